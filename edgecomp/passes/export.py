"""Export: lower a student into one runtime's file; int8 where the student has scales."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from edgecomp.artifact import Artifact, Port, Signature, Step, content_hash, to_json
from edgecomp.lowering.analysis import source_samples
from edgecomp.passes import Run, name_of
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.front_end import FrontEnd


@dataclass(frozen=True)
class Export:
    """Write the model file; labels, sample rate and the hash of the student stand inside it.

    runtime:   a file in edgecomp/runtimes/
    source_hz: the sample rate of the waveform that the file takes; None for the student's own
    """

    takes: ClassVar[str] = "torch"
    runtime: str
    source_hz: int | None = None

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
        front_end = student.config.front_end
        signature = _heard(model.signature, front_end, self.source_hz)
        told = {
            "labels": student.config.labels,
            "sample_rate": self.source_hz or front_end.sample_rate,
            "signature": signature,
            "student_hash": model.hash,
            "recipe": run.task.recipe.name,
        }
        path = run.folder / f"model{runtime.SUFFIX}"
        frozen = freeze(student, quantisation_of(model.path), read_ending(model.path))
        path.write_bytes(runtime.lower(frozen, {"edgecomp": to_json(told)}, self.source_hz))
        facts = {"bytes": path.stat().st_size}
        step = Step(name_of(self), asdict(self), facts, model.hash, content_hash(path), run.seed)
        return replace(model.followed_by(step, path=path, form=runtime.FORM), signature=signature)


def _heard(of_student: Signature, front_end: FrontEnd, source_hz: int | None) -> Signature:
    """Return a file's signature: the student's own, or with the waveform as a source gives it."""
    if source_hz is None:
        return of_student
    samples = source_samples(front_end.samples, front_end.sample_rate, source_hz)
    waveform = Port("waveform", (1, samples), "float32", f"amplitude, -1 to 1, {source_hz} Hz, mono")
    return replace(of_student, inputs=(waveform,))
