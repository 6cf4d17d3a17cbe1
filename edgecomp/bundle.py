"""The bundle: the folder that ships. Model files, what an app must know about them, and proof that they work."""

from __future__ import annotations

import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from edgecomp import __version__
from edgecomp.artifact import Artifact, content_hash, text_hash, to_json
from edgecomp.data.audio import load_clip
from edgecomp.errors import BundleError, nearest
from edgecomp.form import Form, read_form
from edgecomp.runtimes import Session, import_runtime, runtime_for, runtimes
from edgecomp.store import clear_errors

SCHEMA = 1
NEEDED = {
    "files": dict,
    "labels": list,
    "models": dict,
    "preprocessing": dict,
    "decision": dict,
    "deferral": dict,
    "target": dict,
    "trail": dict,
}
"""What bundle.json must hold, and of which kind."""
GOLDEN_CLIPS = 8
FLOAT_ANSWERS = "golden/float_answers.json"
"""What the float student answered to the test split, by path: what any device's answers can be held against."""
GOLDEN_TOLERANCE = {"float32": 1e-4, "int8": 0.02}
"""Largest probability difference of a replayed golden clip: rounding in float; a few int8 steps elsewhere,
since processors may round a sum that lies between two steps either way."""


Evidence = Callable[[Path, Mapping[str, Any]], None]
"""Writes into a folder that holds the models already, and is told what bundle.json will say but for the files' hashes."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked: every file has the hash that bundle.json states, and bundle.json its own."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def form(self) -> Form:
        """Return the questions that an app asks before it records; most bundles have none."""
        return read_form(self.facts.get("form", {}))

    @property
    def labels(self) -> list[str]:
        """Return the labels in the order of the probabilities."""
        return list(self.facts["labels"])

    def session(self, form: str | None = None, threads: int = 1) -> Session:
        """Return a function from a waveform (samples,) float32 to an answer.

        form: "onnx" or "tflite"; None for the format of the target's runtime
        """
        form = form or self.facts["target"]["format"]
        if form not in self.facts["models"]:
            raise BundleError(
                f"no {form!r} file in this bundle", where=self.folder, fix=nearest(form, self.facts["models"])
            )
        return runtime_for(form).open_session(self.folder / self.facts["models"][form]["file"], threads)

    def read_clip(self, path: Path) -> np.ndarray:
        """Return a recording as the model wants it, (samples,) float32, whatever its rate, channels and length."""
        told = self.facts["preprocessing"]
        return load_clip(path, sample_rate=told["sample_rate"], samples=told["samples"], fit=told["fit"])

    def asks(self, uncertainty: float) -> bool:
        """Say whether the bundle leaves a clip of this uncertainty to the teacher; what is no number is left to it too."""
        rule = self.facts["deferral"]
        return rule["rule"] == "always" or not uncertainty <= rule["ask_above"]

    def label(self, probabilities: np.ndarray) -> str:
        """Return the label that the bundle's threshold gives: the most probable, or for two labels by the threshold."""
        rule = self.facts["decision"]
        if rule["rule"] == "threshold":
            positive = self.labels.index(rule["positive"])
            return self.labels[positive if probabilities[positive] >= rule["threshold"] else 1 - positive]
        return self.labels[int(np.argmax(probabilities))]


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check every file against its hash; bundle.json holds its own.

    raises: BundleError where it is no bundle, or a file is missing or was changed
    """
    facts, is_own = _read_facts(folder)
    wrong = [] if is_own else ["bundle.json was changed after the bundle was written"]
    wrong += [why for name, digest in facts["files"].items() if (why := _fault(folder, name, digest)) is not None]
    if wrong:
        fix = "copy the whole bundle, or compile the bundle again; `edgecomp verify` lists all that differs"
        raise BundleError(wrong[0], where=folder, fix=fix)
    return Bundle(folder, facts)


def faults(folder: Path) -> tuple[Bundle, dict[str, str | None]]:
    """Read a bundle and say of every file what is wrong with it, or None; nothing that differs is raised.

    raises: BundleError where it is no bundle
    """
    facts, is_own = _read_facts(folder)
    found = {"bundle.json": None if is_own else "bundle.json was changed after the bundle was written"}
    found |= {name: _fault(folder, name, digest) for name, digest in facts["files"].items()}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in found:
            found[name] = f"{name} is not listed in bundle.json"
    return Bundle(folder, facts), found


def _read_facts(folder: Path) -> tuple[dict[str, Any], bool]:
    """Return bundle.json and whether it has the hash that it states of itself.

    raises: BundleError where it cannot be read or does not say what a bundle must
    """
    file = folder / "bundle.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            "this is no bundle: it has no bundle.json", where=folder, fix="give a folder that edgecomp compile wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as why:
        raise BundleError(f"bundle.json cannot be read: {why}", where=file, fix="compile the bundle again") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise BundleError(
            f"schema version {facts.get('schema') if isinstance(facts, dict) else None!r}, and this edgecomp reads {SCHEMA}",
            where=file,
            fix="use the edgecomp that wrote it, or compile the bundle again",
        )
    is_own = facts.pop("hash", None) == _own_hash(facts)
    if not is_own:  # what a hand has changed may hold anything: said first, and not what it led to
        try:
            _check_facts(facts)
        except BundleError:
            raise BundleError(
                "bundle.json was changed after the bundle was written", where=folder, fix="compile the bundle again"
            ) from None
    _check_facts(facts, file)
    return facts, is_own


def _check_facts(facts: Mapping[str, Any], file: Path | None = None) -> None:
    try:
        for key, kind in NEEDED.items():
            if not isinstance(facts[key], kind):
                raise TypeError(key)
        if not all(isinstance(digest, str) for digest in facts["files"].values()):
            raise TypeError("files")
        for form, model in facts["models"].items():
            if model["file"] not in facts["files"]:
                raise KeyError(f"the hash of {form} file {model['file']}")
        for key, is_so in _claims(facts):
            if not is_so:
                raise TypeError(key)
        read_form(facts.get("form", {}))
    except ValueError as why:
        raise BundleError(f"bundle.json: {why}", where=file, fix="compile the bundle again") from None
    except (KeyError, TypeError, AttributeError) as why:
        raise BundleError(
            f"bundle.json lacks {why}, or holds something else there", where=file, fix="compile the bundle again"
        ) from None


def _claims(facts: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Say of what sessions, labels and decisions are made from whether it can be so."""
    labels, decision, deferral, prepared = (facts[key] for key in ("labels", "decision", "deferral", "preprocessing"))
    yield "labels", len(labels) > 0 and all(isinstance(label, str) for label in labels)
    yield "target.format", isinstance(facts["target"]["format"], str)
    yield "preprocessing", all(type(prepared[key]) is int and prepared[key] > 0 for key in ("sample_rate", "samples"))
    yield "preprocessing.fit", isinstance(prepared["fit"], str)
    if decision["rule"] == "threshold":
        yield "decision.positive", len(labels) == 2 and decision["positive"] in labels
        yield "decision.threshold", _is_number(decision["threshold"])
    if deferral["rule"] != "always":
        yield "deferral.ask_above", _is_number(deferral["ask_above"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _fault(folder: Path, name: str, digest: str) -> str | None:
    """Say what is wrong with one file of a bundle, or None."""
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        return f"{name} lies outside the bundle"
    if not place.is_file():
        return f"{name} is missing"
    return None if content_hash(place) == digest else f"{name} was changed after the bundle was written"


def _own_hash(facts: Mapping[str, Any]) -> str:
    """Return the hash of bundle.json's content: thresholds and labels are worth guarding as much as files."""
    return text_hash(to_json(facts))


def write_bundle(
    folder: Path,
    shipped: Mapping[str, Artifact],
    facts: Mapping[str, Any],
    golden: np.ndarray,
    write_evidence: Evidence,
) -> None:
    """Write a bundle's files beside its place, then move it there whole; of several compiles the last one stays.

    shipped: the model file of every format
    facts:   bundle.json but for the files and their hashes
    golden:  (clips, samples) float32, real test clips to replay on a device
    write_evidence: writes report, card and bill of materials; they ship and are hashed like every other file
    raises:  BundleError where something that is no bundle lies at its place
    """
    with clear_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if folder.exists() and not (folder / "bundle.json").is_file():
                raise BundleError(
                    "something that is no bundle lies where the bundle goes",
                    where=folder,
                    fix="move it away, or give another --out",
                )
            for leftover in folder.parent.glob(f".{folder.name}.new-*"):  # of a killed compile; the lock is ours
                shutil.rmtree(leftover, ignore_errors=True)
            work, old = (folder.parent / f".{folder.name}.new-{uuid.uuid4().hex}" for _ in range(2))
            try:
                work.mkdir()
                _fill(work, shipped, facts, golden, write_evidence)
                if folder.exists():
                    os.replace(folder, old)
                os.replace(work, folder)
            finally:
                for leftover in (work, old):
                    shutil.rmtree(leftover, ignore_errors=True)


def _fill(
    work: Path,
    shipped: Mapping[str, Artifact],
    facts: Mapping[str, Any],
    golden: np.ndarray,
    write_evidence: Evidence,
) -> None:
    models = {}
    for form, file in shipped.items():
        name = f"model{file.path.suffix}"
        shutil.copyfile(file.path, work / name)
        models[form] = {
            "file": name,
            "bytes": file.path.stat().st_size,
            "sha256": file.hash,
            "numerics": "int8" if any(step.name == "quantise" for step in file.trail) else "float32",
        }
    (work / "labels.txt").write_text("\n".join(facts["labels"]) + "\n", encoding="utf-8")
    _write_golden(work / "golden", models, work, golden, facts)
    told = {"schema": SCHEMA, "edgecomp": __version__, **facts, "models": models}
    write_evidence(work, told)
    files = {p.relative_to(work).as_posix(): content_hash(p) for p in sorted(work.rglob("*")) if p.is_file()}
    whole = json.loads(to_json({**told, "files": files}))
    (work / "bundle.json").write_text(to_json({**whole, "hash": _own_hash(whole)}) + "\n", encoding="utf-8")


def _write_golden(
    folder: Path, models: Mapping[str, Any], work: Path, golden: np.ndarray, facts: Mapping[str, Any]
) -> None:
    """Write real clips as 32-bit float WAV files, and what each model file answers to them here."""
    import soundfile

    folder.mkdir()
    names = [f"{row:02d}.wav" for row in range(len(golden))]
    for name, wave in zip(names, golden, strict=True):
        stream = io.BytesIO()  # libsndfile says of a full disk only that something failed
        soundfile.write(stream, wave, facts["preprocessing"]["sample_rate"], format="WAV", subtype="FLOAT")
        (folder / name).write_bytes(stream.getvalue())
    expected = {}
    for form, model in models.items():
        session = runtime_for(form).open_session(work / model["file"])
        given = {name: session(wave) for name, wave in zip(names, golden, strict=True)}
        expected[form] = {
            "tolerance": GOLDEN_TOLERANCE[model["numerics"]],
            "probabilities": {name: answer.probabilities for name, answer in given.items()},
            "uncertainty": {name: answer.uncertainty for name, answer in given.items()},
        }
    (folder / "golden.json").write_text(
        to_json({"labels": facts["labels"], "expected": expected}) + "\n", encoding="utf-8"
    )


def replay(bundle: Bundle, form: str) -> float:
    """Replay the golden clips here and return the largest difference of a probability or an uncertainty.

    raises: BundleError where it is beyond the bundle's own tolerance
    """
    import soundfile

    golden = json.loads((bundle.folder / "golden" / "golden.json").read_text(encoding="utf-8"))["expected"][form]
    session, worst = bundle.session(form), 0.0
    for name, expected in golden["probabilities"].items():
        wave, _ = soundfile.read(bundle.folder / "golden" / name, dtype="float32")
        probabilities, uncertainty = session(wave)
        apart = [*np.abs(probabilities - np.array(expected)), abs(uncertainty - golden["uncertainty"][name])]
        worst = float("nan") if np.isnan(apart).any() else max(worst, float(max(apart)))
    if not worst <= golden["tolerance"]:
        raise BundleError(
            f"the golden clips differ by {worst:.4f} here, and may differ by {golden['tolerance']}",
            where=bundle.folder,
            fix="do not use this file on this machine; report the processor and the runtime's version",
        )
    return worst


def formats() -> list[str]:
    """Return the formats that bundles hold."""
    return [import_runtime(name).FORM for name in runtimes()]
