"""What every stage answers and what it costs: the figures of the report, all from one run on this host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import __version__, metrics
from edgecomp.artifact import Artifact, text_hash, to_json
from edgecomp.audit.intervals import difference, pairs, share, subject_numbers
from edgecomp.code import code_hash
from edgecomp.compiler import Staged
from edgecomp.data.audio import fit, resample
from edgecomp.data.manifest import waveforms
from edgecomp.devices.host import describe, device_name, footprint
from edgecomp.lowering.analysis import source_log_mel, source_samples
from edgecomp.measure import Latency, Measurement, from_estimate, from_footprint, from_latency, latency, ratios
from edgecomp.metrics import Estimate
from edgecomp.progress import say, track
from edgecomp.runtimes import Answer, runtime_for
from edgecomp.task import Task
from edgecomp.threads import one_thread

SHORT = {
    "peak memory above the empty process": "peak_memory",
    "proportional memory above the empty process": "pss",
    "anonymous memory above the empty process": "anonymous_memory",
    "load to first answer": "load",
}
STARTS = 3
"""Fresh processes for one file's memory and cold start."""
CLIPS = 32
"""Test clips that latency is measured on, taken in turn."""


def source_of(file: Artifact) -> int | None:
    """Return the sample rate of the waveform that a model file takes; None for the recipe's own."""
    exported = [step.settings for step in file.trail if step.name == "export"]
    return exported[-1].get("source_hz") if exported else None


def source_waveforms(task: Task, split: str, source_hz: int | None) -> np.ndarray:
    """Return a split's clips as a file for a source hears them, (n, samples) float32: decoded at that rate, and fitted there.

    source_hz: None for the recipe's own rate
    """
    if source_hz is None:
        return task.waveforms(split)
    dataset = task.dataset.of(split)
    samples = source_samples(dataset.samples, dataset.sample_rate, source_hz)
    return waveforms(replace(dataset, sample_rate=source_hz, samples=samples), task.store)


def as_source(waves: np.ndarray, sample_rate: int, source_hz: int | None) -> np.ndarray:
    """Return sounds that were made at the recipe's rate as a file for a source takes them, (n, samples) float32."""
    if source_hz is None:
        return waves
    samples = source_samples(waves.shape[1], sample_rate, source_hz)
    return np.stack([fit(resample(wave, sample_rate, source_hz), samples, "start") for wave in waves])


def answers_of(file: Artifact, task: Task, split: str) -> np.ndarray:
    """Return a model file's probabilities for a split, (n, classes) float32, asked clip by clip as a phone would."""
    return np.load(_asked(file, task, split) / "probabilities.npy")


def uncertainty_of(file: Artifact, task: Task, split: str) -> np.ndarray:
    """Return a model file's uncertainties for a split, (n,) float32, from the same asking as its probabilities."""
    return np.load(_asked(file, task, split) / "uncertainty.npy")


def _asked(file: Artifact, task: Task, split: str) -> Path:
    key = text_hash("file-answers", file.hash, task.dataset.of(split).fingerprint, __version__)

    def ask(folder: Path) -> None:
        session, heard = runtime_for(file.form).open_session(file.path), source_waveforms(task, split, source_of(file))
        given = [session(wave) for wave in track(heard, f"asking {file.form} on {split}")]
        for place, name in enumerate(Answer._fields):
            np.save(folder / f"{name}.npy", np.array([one[place] for one in given], np.float32))

    return task.store.make("file-answers", key, ask)


def torch_answers(student: Artifact, task: Task, split: str, source_hz: int | None = None) -> np.ndarray:
    """Return a float student's calibrated probabilities in torch, (n, classes): what its files are held against.

    source_hz: the rate that the files hear; torch then hears the same waveforms, its frames computed the plain way
    """
    known = () if source_hz is None else (source_hz, code_hash("lowering/analysis.py"))
    key = text_hash("torch-answers", student.hash, task.dataset.of(split).fingerprint, __version__, *known)

    def ask(folder: Path) -> None:
        import torch

        from edgecomp.students.ending import read_ending
        from edgecomp.students.student import load_student

        model, ending = load_student(student.path), read_ending(student.path)
        front_end = model.config.front_end

        def logits(waves: np.ndarray) -> torch.Tensor:
            if source_hz is None:
                return model(torch.from_numpy(waves))
            frames = torch.from_numpy(source_log_mel(front_end, source_hz, waves))
            return model.body((frames - model.front_end.mean) / model.front_end.std)

        heard = source_waveforms(task, split, source_hz)
        with torch.inference_mode(), one_thread():
            parts = [
                ending(logits(np.array(part)).numpy())[0] for part in np.array_split(heard, max(1, len(heard) // 64))
            ]
        np.save(folder / "answers.npy", np.concatenate(parts))

    return np.load(task.store.make("torch-answers", key, ask) / "answers.npy")


def quality(
    answers: np.ndarray, task: Task, *, of: str, against: np.ndarray | None, artifact_hash: str = ""
) -> list[Measurement]:
    """Measure a model's answers to the test split.

    against: the teacher's answers, for the paired difference
    """
    test = task.dataset.of("test")
    names = [clip.subject for clip in test.clips]
    people = subject_numbers(names) if any(names) else None
    right = answers.argmax(1) == test.targets
    how = {"device": device_name(), "of": of, "artifact_hash": artifact_hash}
    interval = "interval" + ("" if people is None else " at the effective number of clips by subject")
    made = [
        from_estimate(
            "accuracy",
            share(right, people),
            "share",
            f"test split; Wilson's {interval}",
            **how,
        )
    ]
    if against is not None:
        paired = pairs(right, against.argmax(1) == test.targets, people)
        made.append(
            from_estimate(
                "accuracy_difference",
                difference(paired),
                "share",
                f"to the teacher, on the same clips; Newcombe's {interval}",
                **how,
            )
        )
    if task.recipe.data.positive and not metrics.gives_labels_only(answers):  # labels have one point, and no curve
        positive = test.labels.index(task.recipe.data.positive)
        area = metrics.auroc(answers[:, positive], test.targets == positive)
        made.append(from_estimate("auroc", area, "share", "test split; DeLong interval", **how))
    n = len(test.clips)
    made.append(
        Measurement(
            "calibration_error",
            metrics.calibration_error(answers, test.targets),
            "share",
            "test split; 15 bins of equal mass",
            n=n,
            **how,
        )
    )
    made.append(Measurement("brier", metrics.brier(answers, test.targets), "0 to 2", "test split", n=n, **how))
    return made


@dataclass(frozen=True)
class Costs:
    """What the files of a compile cost, kept in the store for these files on this host.

    rows:  by "teacher" or "stage format"
    host:  the machine as it was then
    taken: when, ISO 8601
    """

    rows: Mapping[str, list[Measurement]]
    host: Mapping[str, Any]
    taken: str


def costs(stages: Mapping[str, Staged], task: Task) -> Costs:
    """Measure latency, memory and start of the teacher and of every stage's files, interleaved in one run."""
    files = {
        f"{stage.name} {form}": file
        for stage in stages.values()
        if stage.name != "pruned"
        for form, file in stage.files.items()
    }
    key = text_hash(
        "costs 2",
        *(f"{name} {file.hash}" for name, file in files.items()),
        task.teacher.fingerprint,
        device_name(),
        __version__,
    )

    def take(folder: Path) -> None:
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        found = Costs(_take(files, task), describe(), taken)
        (folder / "costs.json").write_text(to_json(found), encoding="utf-8")

    raw = json.loads((task.store.make("costs", key, take) / "costs.json").read_text(encoding="utf-8"))
    rows = {name: [Measurement(**row) for row in found] for name, found in raw["rows"].items()}
    return Costs(rows, raw["host"], raw["taken"])


def _take(files: Mapping[str, Artifact], task: Task) -> dict[str, list[Measurement]]:
    deployed = task.teacher.deployed(task.store)
    sessions = {"teacher": deployed.session} | {
        name: runtime_for(file.form).open_session(file.path) for name, file in files.items()
    }
    say(f"timing {len(sessions)} models side by side, one thread")
    clips = np.array(task.waveforms("test")[:CLIPS])
    timed = _timed(sessions, clips, {name: source_of(file) for name, file in files.items()}, task)
    shares = ratios(timed, "teacher")
    found = {name: _latency_rows(name, timed[name], shares[name]) for name in sessions}
    places = {"teacher": (deployed.path, deployed.format)}
    places |= {name: (file.path, file.form) for name, file in files.items() if not name.startswith("labels only")}
    for name, (path, form) in track(places.items(), "starting fresh processes", len(places)):
        rows = from_footprint(
            footprint(path, form, starts=STARTS, samples=task.dataset.samples), device=device_name(), of=name
        )
        found[name] += [renamed(row) for row in rows]
    sizes = {"teacher": deployed.bytes} | {name: file.path.stat().st_size for name, file in files.items()}
    for name, size in sizes.items():
        found[name].append(Measurement("bytes", size, "bytes", "size of the file", device_name(), name))
    return found


def _timed(
    sessions: Mapping[str, Any], clips: np.ndarray, sources: Mapping[str, int | None], task: Task
) -> Mapping[str, Latency]:
    """Time the sessions on the same clips, each at the rate that it takes: all are given a clip's number then."""
    if not any(sources.values()):
        return latency(sessions, clips)
    heard = {rate: np.array(source_waveforms(task, "test", rate)[: len(clips)]) for rate in {None, *sources.values()}}

    def numbered(name: str) -> Any:
        own, session = heard[sources.get(name)], sessions[name]
        return lambda number: session(own[int(number[0])])

    return latency({name: numbered(name) for name in sessions}, np.arange(len(clips), dtype=np.float32)[:, None])


def _latency_rows(name: str, one: Latency, share: Estimate) -> list[Measurement]:
    rows = [renamed(row) for row in from_latency(one, device=device_name(), of=name)]
    return [
        *rows,
        from_estimate(
            "latency_ratio",
            share,
            "ratio of medians",
            "to the teacher, interleaved in the same run",
            device=device_name(),
            of=name,
        ),
    ]


def renamed(row: Measurement) -> Measurement:
    """Return a measurement under the short name that reports and scripts use."""
    return Measurement(**(asdict(row) | {"name": SHORT.get(row.name, row.name).replace(" ", "_").replace(",", "")}))


def confusion_and_reliability(answers: np.ndarray, decided: np.ndarray, task: Task) -> dict[str, Any]:
    """Return what the plots of one stage need, from the test split.

    decided: (n,) class numbers, by the rule that the model ships with
    """
    targets = task.targets("test")
    return {
        "confusion": metrics.confusion(decided, targets, answers.shape[1]),
        "reliability": [
            {
                "confidence": b.confidence,
                "accuracy": b.accuracy.value,
                "low": b.accuracy.low,
                "high": b.accuracy.high,
                "count": b.accuracy.n,
            }
            for b in metrics.reliability(answers, targets)
        ],
    }
