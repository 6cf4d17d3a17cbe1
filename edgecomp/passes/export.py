"""Export: lower a student into one runtime's file; int8 where the student has scales."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from edgecomp.artifact import Artifact, Step, content_hash, to_json
from edgecomp.passes import Run, name_of
from edgecomp.runtimes import import_runtime, runtimes


@dataclass(frozen=True)
class Export:
    """Write the model file; labels, sample rate and the hash of the student stand inside it.

    runtime: a file in edgecomp/runtimes/
    """

    takes: ClassVar[str] = "torch"
    runtime: str

    @property
    def gives(self) -> str:
        """Return the form of the runtime's files."""
        return import_runtime(self.runtime).FORM

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        return (
            None if self.runtime in runtimes() else f"runtime is {self.runtime!r}, and may be {', '.join(runtimes())}"
        )

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        from edgecomp.students.ending import read_ending
        from edgecomp.students.student import freeze, load_student, quantisation_of

        runtime = import_runtime(self.runtime)
        student = load_student(model.path)
        told = {
            "labels": student.config.labels,
            "sample_rate": student.config.front_end.sample_rate,
            "signature": model.signature,
            "student_hash": model.hash,
            "recipe": run.task.recipe.name,
        }
        path = run.folder / f"model{runtime.SUFFIX}"
        frozen = freeze(student, quantisation_of(model.path), read_ending(model.path))
        path.write_bytes(runtime.lower(frozen, {"edgecomp": to_json(told)}))
        facts = {"bytes": path.stat().st_size}
        step = Step(name_of(self), asdict(self), facts, model.hash, content_hash(path), run.seed)
        return model.followed_by(step, path=path, form=runtime.FORM)
