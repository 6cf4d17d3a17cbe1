"""Run a plan: look every step up in the store, let it refuse, run it, record it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from edgecomp import progress
from edgecomp.artifact import Artifact, Port, Signature, Step, text_hash, to_json
from edgecomp.code import code_hash
from edgecomp.errors import EdgecompError, PlanError
from edgecomp.passes import Pass, Run, name_of
from edgecomp.plan import Plan, Stage
from edgecomp.progress import say
from edgecomp.recipe import Recipe
from edgecomp.store import Store
from edgecomp.task import Task, load_task
from edgecomp.threads import one_thread

CODE = ("students", "schedule.py", "training.py", "task.py", "data/views.py", "passes/__init__.py")
"""What every pass's result depends on beside its own file, its settings and its input."""
MORE_CODE = {"export": ("lowering",), "calibrate": ("audit/calibration.py",)}
"""What the result of one pass depends on beside that."""


@dataclass(frozen=True)
class Staged:
    """One stage of the plan, done: the student that the next stage goes on from, calibrated, and in every format."""

    name: str
    student: Artifact
    calibrated: Artifact
    files: dict[str, Artifact]


def run_plan(plan: Plan, task: Task, seed: int) -> dict[str, Staged]:
    """Run every pass of a plan that is not in the store yet; returns the stages by name, in order.

    raises: PlanError where a pass does not fit or refuses, before any work where it can be known before
    """
    check_fit(plan, task, seed)
    done: dict[str, Staged] = {}
    with _aside(plan, task, seed) as elsewhere:
        for stage in plan.stages:
            if stage.name not in elsewhere:
                done[stage.name] = run_stage(stage, done, plan, task, seed)
    for stage in plan.stages:  # found in the store, where the other process put them
        if stage.name in elsewhere:
            done[stage.name] = run_stage(stage, done, plan, task, seed)
    return {stage.name: done[stage.name] for stage in plan.stages}


def run_stage(stage: Stage, done: Mapping[str, Staged], plan: Plan, task: Task, seed: int) -> Staged:
    """Run one stage's passes and exports."""
    model = done[stage.after].student if stage.after else None
    for step in stage.passes:
        model = run_pass(step, model, task, seed)
    calibrated = run_pass(plan.calibrate, model, task, seed)
    files = (run_pass(export, calibrated, task, seed) for export in plan.exports)
    return Staged(stage.name, model, calibrated, {file.form: file for file in files})


@contextmanager
def _aside(plan: Plan, task: Task, seed: int) -> Iterator[set[str]]:
    """Run the stages that nothing follows in a process of their own, meanwhile; training uses one core only.

    gives: the names of those stages; they are in the store when the block ends, or have failed there
    """
    followed = {stage.after for stage in plan.stages}
    alone = [stage for stage in plan.stages[:-1] if stage.after is None and stage.name not in followed]
    alone = [stage for stage in alone if _is_unfinished(stage, task, seed)]
    if not alone or (os.cpu_count() or 1) < 2:
        yield set()
        return
    task.teacher  # noqa: B018, trained here once, and not in two processes
    task.view_features(alone[0].passes[0].front_end)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_follow_the_parent) as pool:
        with _without_interrupts():  # what starts here inherits that, and leaves interrupts to us
            jobs = [
                pool.submit(_in_process, stage, plan, task.recipe, task.dataset.folder, task.store.folder, seed)
                for stage in alone
            ]
        names = ", ".join(stage.name for stage in alone)
        try:
            yield {stage.name for stage in alone}
            say(f"waiting for {names}")
            for job in jobs:
                job.result()
        except BrokenProcessPool:
            raise EdgecompError(
                f"the process for {names} was ended from outside",
                where=task.store.folder,
                fix="memory may have run out; run the same command again, it goes on from the last finished step",
            ) from None
        except BaseException:
            for process in list(pool._processes.values()):  # the pool has no other way to end a running job
                process.terminate()
            raise


def _is_unfinished(stage: Stage, task: Task, seed: int) -> bool:
    model = None
    for step in stage.passes:
        folder = task.store.find(name_of(step), pass_key(step, model, task, seed))
        if folder is None:
            return True
        model = _read(folder)
    return False


def _in_process(stage: Stage, plan: Plan, recipe: Recipe, data: Path, build: Path, seed: int) -> None:
    progress.quiet()
    run_stage(stage, {}, plan, load_task(recipe, Store(build), data=data), seed)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may say
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _follow_the_parent() -> None:
    """End when the parent asks, tidily, and when it ends: a killed compile would leave this process waiting for ever."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def check_fit(plan: Plan, task: Task, seed: int) -> None:
    """Follow the forms through the plan and ask every pass whether it refuses.

    raises: PlanError with the pass and its reason
    """
    ends: dict[str | None, str] = {None: ""}
    for stage in plan.stages:
        form = ends[stage.after]
        for step in (*stage.passes, plan.calibrate, *plan.exports):
            if step.takes != form:
                raise PlanError(
                    f"{name_of(step)} takes {step.takes or 'nothing'!r} and would be given {form or 'nothing'!r}",
                    where=f"stage {stage.name!r}",
                    fix="change the order of the passes in plan.py",
                )
            reason = step.refuse(None, Run(task, seed, Path()))
            if reason:
                raise PlanError(
                    f"{name_of(step)} refuses: {reason}",
                    where=task.recipe.file,
                    fix=f"change [{name_of(step)}] or what it names",
                )
            form = (step.gives or form) if step in stage.passes else form
        ends[stage.name] = form


def run_pass(step: Pass, model: Artifact | None, task: Task, seed: int) -> Artifact:
    """Return what a pass gives, from the store where it has run before with the same input."""
    key = pass_key(step, model, task, seed)

    def build(folder: Path) -> None:
        with one_thread():
            made = step(model, Run(task, seed, folder))
        (folder / "artifact.json").write_text(to_json(_record(made, folder)), encoding="utf-8")

    if task.store.find(name_of(step), key) is None:
        say(f"{name_of(step)}: {_settings_text(step)}")
    return _read(task.store.make(name_of(step), key, build))


def pass_key(step: Pass, model: Artifact | None, task: Task, seed: int) -> str:
    """Return the cache key of a pass: its settings, its input, the task, the seed and the version of the code."""
    name = name_of(step)
    code = code_hash(*CODE, f"passes/{name}.py", *MORE_CODE.get(name, ()))
    written = task.recipe.name if name == "export" else ""  # stands inside the file
    return text_hash(repr(step), model.hash if model else "", task.fingerprint, seed, code, written)


def _settings_text(step: Pass) -> str:
    text = repr(step)
    return text[text.index("(") + 1 : -1]


def _record(made: Artifact, folder: Path) -> dict[str, Any]:
    return {
        "form": made.form,
        "path": made.path.relative_to(folder).as_posix(),
        "signature": made.signature,
        "trail": list(made.trail),
    }


def _read(folder: Path) -> Artifact:
    raw = json.loads((folder / "artifact.json").read_text(encoding="utf-8"))
    ports = {
        side: tuple(Port(p["name"], tuple(p["shape"]), p["dtype"], p["unit"]) for p in raw["signature"][side])
        for side in ("inputs", "outputs")
    }
    return Artifact(raw["form"], folder / raw["path"], Signature(**ports), tuple(Step(**step) for step in raw["trail"]))
