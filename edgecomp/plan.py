"""The plan: which passes turn this recipe into a model for this target, in order. Read this file to know edgecomp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edgecomp.audit.parity import Verify
from edgecomp.errors import PlanError, nearest
from edgecomp.lowering.analysis import misfit, rates_that_fit
from edgecomp.passes.build import Build
from edgecomp.passes.calibrate import Calibrate
from edgecomp.passes.distil import Distil
from edgecomp.passes.export import Export
from edgecomp.passes.finetune import Finetune
from edgecomp.passes.prune import Prune
from edgecomp.passes.quantise import Quantise
from edgecomp.recipe import PASS_TABLES, Recipe
from edgecomp.runtimes import runtimes
from edgecomp.students.front_end import FrontEnd
from edgecomp.target import Target

Settings = Mapping[str, Mapping[str, Any]]
Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class Stage:
    """A point of the plan that is exported and measured, and the passes that lead to it from the stage before.

    after: the stage it goes on from; None: from nothing
    """

    name: str
    passes: tuple[Any, ...]
    after: str | None = None


@dataclass(frozen=True)
class Plan:
    """Stages in order, how each is calibrated and exported, and how alike the files must answer."""

    stages: tuple[Stage, ...]
    calibrate: Calibrate
    exports: tuple[Export, ...]
    verify: Verify

    @property
    def source_hz(self) -> int | None:
        """Return the sample rate of the waveform that the files take; None for the recipe's own."""
        return self.exports[0].source_hz

    @property
    def float_stage(self) -> str:
        """Return the last stage in float: what int8 is held against."""
        return [stage.name for stage in self.stages if stage.name != "int8"][-1]


def plan(recipe: Recipe, target: Target, settings: Settings | None = None) -> Plan:
    """Choose the passes for a recipe and a target; this is all that edgecomp does, in order.

    settings: what the command line sets, by pass; it goes before the target's override, the recipe and the defaults
    raises:   PlanError for settings that no pass has, or that do not fit together
    """
    ask = _Asker(recipe, target, settings or {})
    ask.check_tables()
    if target.runtime.name not in runtimes():
        raise PlanError(
            f"unknown runtime {target.runtime.name!r}",
            where=f"{target.file} [runtime] name",
            fix=nearest(target.runtime.name, runtimes()),
        )

    front_end = _front_end(recipe)
    build = Build(recipe.student.family, tuple(recipe.student.widths or ()), front_end)
    learn = ask.settings_of(Distil())

    stages = [
        # The baseline: the same student and schedule, without the teacher. Distillation has to beat it.
        Stage("labels only", (build, replace(learn, label_weight=1.0))),
        # The student learns from the teacher's answers to views of every training clip.
        Stage("distilled", (build, learn)),
    ]
    prune = ask.settings_of(Prune(round_to=target.numerics.channel_multiple))
    if prune.keep != 1:
        # Whole channels go, in multiples that the device's vector units like; then the student recovers.
        stages += [
            Stage("pruned", (prune,), after="distilled"),
            Stage("finetuned", (ask.settings_of(Finetune()),), after="pruned"),
        ]
    if target.numerics.weights == "int8":
        # One choice of scales for every format. The front end and the softmax stay float.
        quantise = Quantise(target.numerics.weight_bits, target.numerics.features == "int8")
        stages += [Stage("int8", (ask.settings_of(quantise),), after=stages[-1].name)]

    # What leaves a stage: probabilities that mean what they say (fitted after int8), in one file for each runtime.
    calibrate = Calibrate(recipe.data.positive or "", recipe.gates.sensitivity)
    # A target whose recorder gives another rate than the recipe's has files that take that rate, and resample inside.
    source_hz = _source(front_end, recipe, target)
    exports = tuple(Export(name, source_hz) for name in runtimes())

    return Plan(tuple(stages), calibrate, exports, ask.settings_of(Verify(), "verify"))


def _front_end(recipe: Recipe) -> FrontEnd:
    try:
        return FrontEnd.preset(recipe.data.sample_rate, recipe.data.samples, **recipe.student.front_end.model_dump())
    except ValueError as why:
        raise PlanError(
            f"the front end does not fit: {why}",
            where=f"{recipe.file} [student.front_end]",
            fix="change window, hop or the band; leave them out for the preset",
        ) from None


def _source(front_end: FrontEnd, recipe: Recipe, target: Target) -> int | None:
    """Return the rate of the waveform that the files take; None for the recipe's own.

    raises: PlanError where the front end has no whole window there, or a microcontroller's C front end has no such tables
    """
    if target.source is None or target.source.sample_rate_hz == front_end.sample_rate:
        return None
    given, where = target.source.sample_rate_hz, f"{target.file} [source] sample_rate_hz"
    if target.hardware.is_microcontroller:
        raise PlanError(
            f"a microcontroller's front end is C at the recipe's rate, and {given} Hz is asked for",
            where=where,
            fix=f"leave [source] out, and record or resample at {front_end.sample_rate} Hz in the firmware",
        )
    if (why := misfit(front_end, given)) is not None:
        fitting = ", ".join(map(str, rates_that_fit(front_end)))
        raise PlanError(
            f"{recipe.name} cannot be computed from {given} Hz: {why}",
            where=where,
            fix=f"give one that fits, such as {fitting}; without [source] the app resamples, from any rate",
        )
    return given


@dataclass(frozen=True)
class _Asker:
    """Looks a pass's settings up: command line, then target, then recipe, then default."""

    recipe: Recipe
    target: Target
    settings: Settings

    def settings_of(self, default: Chosen, name: str | None = None) -> Chosen:
        name = name or type(default).__module__.rsplit(".", 1)[-1]
        for given, where in (
            (self.recipe.settings(name), f"{self.recipe.file} [{name}]"),
            (self.target.override.get(name, {}), f"{self.target.file} [override.{name}]"),
            (self.settings.get(name, {}), f"--set {name}"),
        ):
            default = _with(default, given, where, name)
        return default

    def check_tables(self) -> None:
        for given, where in ((self.target.override, f"{self.target.file} [override]"), (self.settings, "--set")):
            for name in given:
                if name not in PASS_TABLES:
                    raise PlanError(f"unknown pass {name!r}", where=where, fix=nearest(name, PASS_TABLES))


def _with(chosen: Chosen, given: Mapping[str, Any], where: str, name: str) -> Chosen:
    """Return a pass with some settings changed, checked against its fields and their types."""
    known = {field.name for field in fields(chosen)}  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise PlanError(
                f"unknown setting {key!r}",
                where=where,
                fix=nearest(key, known).replace("allowed:", f"settings of {name} are"),
            )
    try:
        return TypeAdapter(type(chosen)).validate_python(
            {f.name: getattr(chosen, f.name) for f in fields(chosen)} | dict(given)
        )  # type: ignore[arg-type]
    except ValidationError as faults:
        fault = faults.errors()[0]
        raise PlanError(
            f"{fault['loc'][0]} is {fault['input']!r}", where=where, fix=fault["msg"][:1].lower() + fault["msg"][1:]
        ) from None
