"""All models of the comparison side by side in one process: what they answer, how long they take, what they hold in memory."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import peers_inputs
import peers_making
import peers_sessions

from edgecomp.artifact import content_hash
from edgecomp.bundle import read_bundle
from edgecomp.devices.host import describe, device_name, footprint
from edgecomp.errors import EdgecompError
from edgecomp.evaluate import quality
from edgecomp.measure import latency, ratios
from edgecomp.progress import track
from edgecomp.runtimes import runtime_for
from edgecomp.store import Store
from edgecomp.task import Task, load_task

FORMS = ("tflite", "onnx")
CLIPS = 32
"""Test clips that latency is measured on, taken in turn."""
STARTS = 3


@dataclass(frozen=True)
class Entry:
    """One model of the comparison, or why there is none.

    seconds:     of audio that one run hears
    lines, made: the user's code, and what its environment took
    has_labels:  answers with the task's labels, so that its accuracy can be told
    """

    name: str
    row: str
    of: str
    path: Path | None
    seconds: float
    open: Callable[[], peers_sessions.Session] | None = None
    error: str = ""
    lines: int | None = None
    made: peers_making.Made | None = None
    has_labels: bool = True


def compare(given: argparse.Namespace) -> list[dict]:
    """Return the rows of all peers, of edgecomp's own files and of the yardsticks."""
    from edgecomp.cli import recipe_named

    recipe, store = recipe_named(given.task), Store(given.build)
    task = load_task(recipe, store)
    bundle = read_bundle(given.bundle or given.build / "bundles" / f"{given.task}-{given.target}")
    report = json.loads((bundle.folder / "report.json").read_text(encoding="utf-8"))
    folder = given.build.resolve() / "peers" / given.task
    peers = peers_making.read_peers()
    named = set(given.fresh or ()) | set(given.only or ())
    unknown = named - {peer.name for peer in peers}
    if unknown:
        sys.exit(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(peer.name for peer in peers)}")
    peers = [peer for peer in peers if not given.only or peer.name in given.only]
    fresh = {peer.name for peer in peers} if given.fresh == [] else set(given.fresh or ())
    if not given.as_is:
        keys = peers_inputs.prepare(task, report, folder / "inputs")
        told = {"RECIPE": str(recipe.folder), "TARGET": given.target}
        peers_making.make(peers, folder, keys, given=told, fresh=frozenset(fresh), keep=given.keep)
    length_s = task.dataset.samples / task.dataset.sample_rate
    ours = [peer for peer in peers if peer.of == "edgecomp"]
    entries = [peer_entry(peer, folder, length_s) for peer in peers if peer not in ours]
    lines = peers_making.code_lines(recipe.file.read_text(encoding="utf-8")) + sum(peer.lines for peer in ours)
    made = next((found for peer in ours if (found := peers_making.read_made(folder / peer.name))), None)
    entries += [replace(one, lines=lines, made=made) for one in own_entries(bundle, report, store, length_s)]
    entries += [yardstick_entry(one, given.yardsticks) for one in peers_sessions.YARDSTICKS]
    return measure(entries, task, f"edgecomp-int8-{bundle.facts['target']['format']}", given.seconds)


def peer_entry(peer: peers_making.Peer, folder: Path, seconds: float) -> Entry:
    """Return a peer's model, or what became of it instead."""
    made, path = peers_making.read_made(folder / peer.name), peers_making.model_of(folder / peer.name)
    error = "not made yet" if made is None else made.error
    entry = Entry(peer.name, peer.row, peer.of, path, seconds, error=error, lines=peer.lines, made=made)
    return replace(entry, open=lambda: peers_sessions.open_file(path))


def own_entries(bundle, report: dict, store: Store, seconds: float) -> list[Entry]:
    """Return the bundle's int8 files, the float student that they were made from, and the student of labels alone."""
    form = bundle.facts["target"]["format"]
    stages = {stage["name"]: stage for stage in report["stages"]}
    wanted = [("int8", "int8", stages["int8"], one) for one in FORMS]
    wanted += [("float32", "float", peers_inputs.float_stage(report), one) for one in FORMS]
    wanted.append(("float32, the student trained on labels only", "labels", stages["labels only"], form))
    entries = []
    for row, name, stage, one in wanted:
        entry = Entry(f"edgecomp-{name}-{one}", f"edgecomp {row}", "edgecomp", None, seconds)
        try:
            shipped = next(file for file in stage["files"] if file["format"] == one)["shipped"]
            in_bundle = bundle.folder / bundle.facts["models"][one]["file"]
            path = in_bundle if shipped else peers_inputs.stored_file(stage, one, store)
            entries.append(replace(entry, path=path, open=lambda path=path, one=one: _probabilities(one, path)))
        except FileNotFoundError as why:
            entries.append(replace(entry, error=str(why)))
    return entries


def yardstick_entry(one: peers_sessions.Yardstick, folder: Path) -> Entry:
    """Return a ready-made model."""
    path, seconds = folder / one.file, one.samples / peers_sessions.RATE_HZ
    error = "" if path.exists() else f"{one.file} is not in the folder of --yardsticks"
    entry = Entry(one.name, one.row, "yardstick", path if not error else None, seconds, error=error, has_labels=False)
    return replace(entry, open=lambda: peers_sessions.open_yardstick(one, folder))


def measure(entries: list[Entry], task: Task, reference: str, min_seconds: float) -> list[dict]:
    """Open all models, ask them about the test split, time them interleaved, and start each alone for its memory."""
    sessions, done = {}, []
    waves = np.array(task.waveforms("test"), np.float32)
    for entry in entries:
        try:
            if not entry.error:
                sessions[entry.name] = entry.open()
                sessions[entry.name](waves[0])
        except Exception as why:  # the runtimes' errors share no base class
            sessions.pop(entry.name, None)
            entry = replace(entry, error=f"{type(why).__name__}: {peers_making.last_words(str(why))}")
        done.append(entry)
    answers = {
        entry.name: np.stack([sessions[entry.name](wave) for wave in waves])
        for entry in track(done, "asking the test split", len(done))
        if entry.name in sessions and entry.has_labels
    }
    load_before = os.getloadavg()[0]
    timed = latency(sessions, waves[:CLIPS], min_seconds=min_seconds)
    load = max(load_before, os.getloadavg()[0])
    shares = ratios(timed, reference)
    by_name = {entry.name: entry for entry in done}
    common = {
        "task": task.recipe.name,
        "device": device_name(),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "how": "measured",
        "clip_seconds": task.dataset.samples / task.dataset.sample_rate,
        "reference": f"{by_name[reference].row} {by_name[reference].path.suffix[1:]}",
        "n": len(waves),
        "timed_with": {name: found for name, found in describe()["versions"].items() if found},
        "load_average": load,
    }
    rows = []
    for entry in track(done, "starting fresh processes", len(done)):
        row = common | _effort(entry)
        if not entry.error:
            row |= _quality(entry, answers, task) | _memory(entry, task)
            row |= _latency(entry, timed[entry.name], shares[entry.name], by_name[reference].seconds)
        rows.append(row)
    return rows


def _effort(entry: Entry) -> dict:
    made = entry.made or peers_making.Made("")
    return {
        "name": entry.name,
        "row": entry.row,
        "of": entry.of,
        "error": entry.error,
        "format": entry.path.suffix[1:] if entry.path else None,
        "bytes": entry.path.stat().st_size if entry.path else None,
        "sha256": content_hash(entry.path) if entry.path else None,
        "seconds": entry.seconds,
        "lines": entry.lines,
        "install_bytes": made.install_bytes,
        "install_s": made.install_s,
        "script_s": made.script_s,
        "script_cpu_s": made.script_cpu_s,
        "script_error": made.error,
        "versions": dict(made.versions),
    }


def _quality(entry: Entry, answers: dict[str, np.ndarray], task: Task) -> dict:
    if not entry.has_labels:
        return {"accuracy": None}
    against = answers.get("onnxruntime_float")
    found = {}
    for one in quality(answers[entry.name], task, of=entry.name, against=against):
        if one.name in ("accuracy", "accuracy_difference"):
            found |= {one.name: one.value, f"{one.name}_low": one.low, f"{one.name}_high": one.high}
            found["accuracy_method"] = one.method
    return found


def _latency(entry: Entry, timed, share, reference_seconds: float) -> dict:
    first_cpu_ms = float(np.median(timed.cpu_samples_ms[:, 0]))  # of a turn: all other models have run in between
    scale = reference_seconds / entry.seconds  # from a ratio of clips to one of seconds of audio
    return {
        "ms": timed.p50_ms,
        "ms_low": timed.low_ms,
        "ms_high": timed.high_ms,
        "ms_p90": timed.p90_ms,
        "ms_per_second": timed.p50_ms / entry.seconds,
        "cpu_ms": timed.cpu_ms,
        "cpu_ms_per_second": timed.cpu_ms / entry.seconds,
        "first_cpu_ms_per_second": first_cpu_ms / entry.seconds,
        "ratio": share.value * scale,
        "ratio_low": share.low * scale,
        "ratio_high": share.high * scale,
        "method": timed.method,
    }


def _memory(entry: Entry, task: Task) -> dict:
    try:
        found = footprint(entry.path, entry.path.suffix[1:], starts=STARTS, samples=task.dataset.samples)
    except EdgecompError as why:  # such as a network that takes features
        return {"peak_bytes": None, "memory_method": str(why).splitlines()[0]}
    return {"peak_bytes": found.peak_bytes, "memory_method": found.method}


def _probabilities(form: str, path: Path):
    session = runtime_for(form).open_session(path)
    return lambda clip: session(clip).probabilities
