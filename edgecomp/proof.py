"""The proof of a compile: what was measured, the gates it is held against, and which files may ship."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecomp.artifact import Artifact
from edgecomp.audit.parity import Parity, parities
from edgecomp.compiler import Staged
from edgecomp.evaluate import Costs, answers_of, costs, quality, torch_answers
from edgecomp.measure import Measurement
from edgecomp.plan import Plan
from edgecomp.runtimes import import_runtime
from edgecomp.target import Target
from edgecomp.task import Task

MB = 1_000_000


@dataclass(frozen=True)
class Gate:
    """A condition that fails the compile, and how it went."""

    name: str
    value: float
    bound: float
    unit: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Proof:
    """Everything that was measured of one compile."""

    task: Task
    target: Target
    stages: Mapping[str, Staged]
    quality: Mapping[str, list[Measurement]]
    costs: Costs
    parity: tuple[Parity, ...]

    @staticmethod
    def gather(chosen: Plan, stages: Mapping[str, Staged], task: Task, target: Target) -> Proof:
        """Ask every file about the test split, compare the files, and measure what they cost."""
        teacher = task.answers("test")
        found = {"teacher": quality(teacher, task, of="teacher", against=None, artifact_hash=task.teacher.fingerprint)}
        in_float = stages[chosen.float_stage].calibrated
        answers: dict[str, np.ndarray] = {"torch": torch_answers(in_float, task, "test", chosen.source_hz)}
        for stage in stages.values():
            for form, file in stage.files.items():
                got = answers_of(file, task, "test")
                found[f"{stage.name} {form}"] = quality(
                    got, task, of=f"{stage.name} {form}", against=teacher, artifact_hash=file.hash
                )
                if stage.name in (chosen.float_stage, "int8"):
                    answers[f"{'int8' if stage.name == 'int8' else 'float'} {form}"] = got
        return Proof(task, target, stages, found, costs(stages, task), parities(answers, chosen.verify))

    def value(self, name: str, of: str) -> Measurement | None:
        """Return one figure of the teacher or of a stage's file, such as "int8 onnx"."""
        rows = [*self.quality.get(of, []), *self.costs.rows.get(of, [])]
        return next((row for row in rows if row.name == name), None)

    @property
    def format(self) -> str:
        """Return the format that the target's runtime opens."""
        return import_runtime(self.target.runtime.name).FORM

    def gates(self, shipped: Mapping[str, Artifact]) -> list[Gate]:
        """Hold the file that the target runs against the budget, the recipe's gates and the parity bounds."""
        of = f"{stage_of(self.stages, shipped[self.format])} {self.format}"
        return [self._loss(of), *self._budget(of), *map(_alike, self.parity)]

    def _loss(self, of: str) -> Gate:
        metric = "auroc" if self.value("auroc", "teacher") else "accuracy"  # a teacher of labels only has no area
        loss = self.value(metric, "teacher").value - self.value(metric, of).value
        bound = min(self.task.recipe.gates.max_loss, self.target.budget.max_loss)
        where = f"{abs(loss) * 100:.1f} points {'below' if loss > 0 else 'above'} the teacher's"
        text = f"{metric} on the test split is {where}; at most {bound * 100:.1f} below are allowed"
        return Gate("loss", loss, bound, "share", loss <= bound, text)

    def _budget(self, of: str) -> list[Gate]:
        budget = self.target.budget
        limits = (
            ("latency_p50", budget.latency_ms, "ms", 1, "one clip, one thread, measured on host"),
            ("bytes", budget.model_bytes, "bytes", 1, "size of the model file"),
            ("peak_memory", budget.peak_memory_mb, "MB", MB, "peak memory above the empty process, measured on host"),
        )
        made = []
        for name, limit, unit, scale, text in limits:
            found = self.value(name, of)
            if name == "peak_memory" and self.target.hardware.is_microcontroller:
                continue  # a process of this host says nothing of an arena; the device `mcu` holds that against the budget
            if found is not None:
                value = found.value / scale
                told = f"{text}: {_plain(value)} {unit}, at most {_plain(limit)}"
                made.append(Gate(name, value, limit, unit, value <= limit, told))
        return made


def choose(proof: Proof, chosen: Plan) -> tuple[dict[str, Artifact], list[str]]:
    """Return the file that ships in each format, and what to warn of.

    That is int8, unless it is slower than its own float model on this host, in the format that the target runs; for a
    microcontroller always, which runs nothing else. Every format holds the same student: a bundle has one threshold and
    one promise.
    """
    form, warnings = proof.format, []
    ships = chosen.stages[-1].name
    slow, fast = (proof.value("latency_p50", f"{name} {form}") for name in ("int8", chosen.float_stage))
    if slow and fast and slow.low > fast.high and not proof.target.hardware.is_microcontroller:
        ships = chosen.float_stage
        warnings.append(
            f"{form}: int8 takes {slow.value:.3f} ms and its own float model {fast.value:.3f} ms on this host, "
            "so the float model ships; on a processor with faster int8 instructions this may be the other way round"
        )
    shipped = dict(proof.stages[ships].files)
    if proof.task.recipe.teacher.outputs_may_train == "unknown":
        warnings.append(
            "the recipe does not say whether the teacher's licence lets its outputs train another model "
            "([teacher] outputs_may_train)"
        )
    ours, labels = (proof.value("accuracy", f"{name} {proof.format}") for name in ("distilled", "labels only"))
    if ours and labels and ours.value <= labels.value:
        warnings.append(
            f"distillation did not help here: accuracy {ours.value:.3f} with the teacher, "
            f"{labels.value:.3f} from labels alone"
        )
    return shipped, warnings


def _alike(pair: Parity) -> Gate:
    bounds = ", ".join(f"{name} {value:g}" for name, value in pair.bounds.items())
    text = pair.refused or (
        f"same decision on {pair.agreement * 100:.2f} % of {pair.n} test clips, mean probability difference "
        f"{pair.mean_difference:.2g}, largest {pair.largest_difference:.2g}; bounds: {bounds}"
    )
    bound = pair.bounds.get("agreement", 0.0)
    return Gate(f"parity: {pair.a} against {pair.b}", pair.agreement, bound, "share", pair.passed, text)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def stage_of(stages: Mapping[str, Staged], file: Artifact) -> str:
    """Return the name of the stage that a file belongs to."""
    return next(stage.name for stage in stages.values() if stage.files.get(file.form) == file)
