"""The bundle: the folder that ships. Model files, what an app must know about them, and proof that they work."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from edgecomp import __version__
from edgecomp.artifact import Artifact, content_hash, text_hash, to_json
from edgecomp.data.audio import load_clip
from edgecomp.errors import BundleError, nearest
from edgecomp.runtimes import import_runtime, runtime_for, runtimes
from edgecomp.store import clear_errors

SCHEMA = 1
GOLDEN_CLIPS = 8
GOLDEN_TOLERANCE = {"float32": 1e-4, "int8": 0.02}
"""Largest probability difference of a replayed golden clip: rounding in float; a few int8 steps elsewhere,
since processors may round a sum that lies between two steps either way."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked: every file has the hash that bundle.json states, and bundle.json its own."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def labels(self) -> list[str]:
        """Return the labels in the order of the probabilities."""
        return list(self.facts["labels"])

    def session(self, form: str | None = None, threads: int = 1) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from a waveform (samples,) to probabilities (classes,), both float32.

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
    file = folder / "bundle.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            "this is no bundle: it has no bundle.json", where=folder, fix="give a folder that edgecomp compile wrote"
        ) from None
    except (OSError, ValueError) as why:
        raise BundleError(f"bundle.json cannot be read: {why}", where=file, fix="compile the bundle again") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise BundleError(
            f"schema version {facts.get('schema') if isinstance(facts, dict) else None!r}, and this edgecomp reads {SCHEMA}",
            where=file,
            fix="use the edgecomp that wrote it, or compile the bundle again",
        )
    if facts.pop("hash", None) != _own_hash(facts):
        raise BundleError(
            "bundle.json was changed after the bundle was written", where=folder, fix="compile the bundle again"
        )
    try:
        for name, digest in facts["files"].items():
            _check_file(folder, name, digest)
        for key, kind in (
            ("labels", list),
            ("models", dict),
            ("preprocessing", dict),
            ("decision", dict),
            ("target", dict),
        ):
            if not isinstance(facts[key], kind):
                raise TypeError(key)
        for form, model in facts["models"].items():
            if model["file"] not in facts["files"]:
                raise KeyError(f"the hash of {form} file {model['file']}")
    except (KeyError, TypeError, AttributeError) as why:
        raise BundleError(
            f"bundle.json lacks {why}, or holds something else there", where=file, fix="compile the bundle again"
        ) from None
    return Bundle(folder, facts)


def _check_file(folder: Path, name: str, digest: str) -> None:
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise BundleError(f"{name} lies outside the bundle", where=folder, fix="compile the bundle again")
    if not place.is_file():
        raise BundleError(f"{name} is missing", where=folder, fix="copy the whole bundle, or compile it again")
    if content_hash(place) != digest:
        raise BundleError(
            f"{name} was changed after the bundle was written", where=folder, fix="compile the bundle again"
        )


def _own_hash(facts: Mapping[str, Any]) -> str:
    """Return the hash of bundle.json's content: thresholds and labels are worth guarding as much as files."""
    return text_hash(to_json(facts))


def write_bundle(
    folder: Path,
    shipped: Mapping[str, Artifact],
    facts: Mapping[str, Any],
    golden: np.ndarray,
    write_evidence: Callable[[Path], None],
) -> None:
    """Write a bundle's files beside its place, then move it there whole; of several compiles the last one stays.

    shipped: the model file of every format
    facts:   bundle.json but for the files and their hashes
    golden:  (clips, samples) float32, real test clips to replay on a device
    write_evidence: writes the report into a folder; it ships and is hashed like every other file
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
    write_evidence: Callable[[Path], None],
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
    (work / "README.md").write_text(_readme(told), encoding="utf-8")
    write_evidence(work)
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
        soundfile.write(folder / name, wave, facts["preprocessing"]["sample_rate"], subtype="FLOAT")
    expected = {}
    for form, model in models.items():
        session = runtime_for(form).open_session(work / model["file"])
        expected[form] = {
            "tolerance": GOLDEN_TOLERANCE[model["numerics"]],
            "probabilities": {name: session(wave) for name, wave in zip(names, golden, strict=True)},
        }
    (folder / "golden.json").write_text(
        to_json({"labels": facts["labels"], "expected": expected}) + "\n", encoding="utf-8"
    )


def replay(bundle: Bundle, form: str) -> float:
    """Replay the golden clips here and return the largest probability difference.

    raises: BundleError where it is beyond the bundle's own tolerance
    """
    import soundfile

    golden = json.loads((bundle.folder / "golden" / "golden.json").read_text(encoding="utf-8"))["expected"][form]
    session, worst = bundle.session(form), 0.0
    for name, expected in golden["probabilities"].items():
        wave, _ = soundfile.read(bundle.folder / "golden" / name, dtype="float32")
        worst = max(worst, float(np.abs(session(wave) - np.array(expected)).max()))
    if worst > golden["tolerance"]:
        raise BundleError(
            f"the golden clips differ by {worst:.4f} here, and may differ by {golden['tolerance']}",
            where=bundle.folder,
            fix="do not use this file on this machine; report the processor and the runtime's version",
        )
    return worst


def formats() -> list[str]:
    """Return the formats that bundles hold."""
    return [import_runtime(name).FORM for name in runtimes()]


def _readme(facts: Mapping[str, Any]) -> str:
    told, models = facts["preprocessing"], facts["models"]
    sizes = "\n".join(
        f"| `{m['file']}` | {m['numerics']} body, float front end | {m['bytes']:,} bytes |" for m in models.values()
    )
    return f"""# {facts["name"]} for {facts["target"]["name"]}

{facts["summary"]}. Compiled by edgecomp {facts["edgecomp"]}; what it does, costs and misses stands in `report.html`.

| file | numerics | size |
|---|---|---|
{sizes}

Input `waveform`: (1, {told["samples"]}) float32, {told["sample_rate"]} Hz mono, amplitude -1 to 1. No signal processing is needed
before it. Output `probabilities`: (1, {len(facts["labels"])}), in the order of `labels.txt`.

```python
import numpy as np, onnxruntime, soundfile

wave, rate = soundfile.read("golden/00.wav", dtype="float32")   # {told["sample_rate"]} Hz, {told["samples"]} samples
session = onnxruntime.InferenceSession("{models["onnx"]["file"]}")
probabilities = session.run(["probabilities"], {{"waveform": wave[None]}})[0][0]
print(open("labels.txt").read().split("\\n")[int(np.argmax(probabilities))])
```

Recordings of any rate, length and channel count: `edgecomp run THIS_FOLDER clip.mp3`. To see that a device answers
as it should, replay `golden/` and compare with `golden/golden.json`, whose tolerances are stated there.
"""
