"""What a bench is about: the model files of some bundles, and the clips that they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecomp.bundle import FLOAT_ANSWERS, Bundle, read_bundle
from edgecomp.devices import Device, ModelFile
from edgecomp.errors import BundleError
from edgecomp.evaluate import source_waveforms
from edgecomp.task import Task


@dataclass(frozen=True)
class Subject:
    """A model file of a bundle, with what its bundle says of it."""

    file: ModelFile
    bundle: Bundle
    bundle_hash: str
    sha256: str
    budget: Mapping[str, float]


@dataclass(frozen=True)
class WholeSplit:
    """The test split of the task that some bundles were judged on, whole or thinned.

    clips:   (n, samples) float32
    targets: (n,) class numbers
    rows:    (n,) which clips of the split these are; None for all of them
    """

    clips: np.ndarray
    targets: np.ndarray
    rows: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Say in words what was asked."""
        return "whole test split" if self.rows is None else f"{len(self.rows)} clips, evenly spaced in the test split"

    def thinned(self, clips: int) -> WholeSplit:
        """Return so many clips, evenly spaced; all of them where there are no more."""
        if clips >= len(self.clips):
            return self
        rows = np.linspace(0, len(self.clips) - 1, clips).round().astype(int)
        return WholeSplit(self.clips[rows], self.targets[rows], rows)

    def of(self, answers: np.ndarray) -> np.ndarray:
        """Return the rows of the split's answers that belong to these clips."""
        return answers if self.rows is None else answers[self.rows]


def subjects(folders: list[Path], device: Device, form: str | None = None) -> list[Subject]:
    """Return the model files of some bundles that a device can run.

    form:   only files of that format
    raises: BundleError where a bundle is damaged, has no file that runs there, or takes another waveform than the first
    """
    found: list[Subject] = []
    twice = next(
        (one for place, one in enumerate(folders) if one.resolve() in [f.resolve() for f in folders[:place]]), None
    )
    if twice is not None:
        raise BundleError("the same bundle is given twice", where=twice, fix="give each bundle once")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    for name, folder in zip(names, folders, strict=True):
        bundle = read_bundle(folder)
        forms = [one for one in sorted(bundle.facts["models"]) if one in device.forms and form in (None, one)]
        if not forms:
            raise BundleError(
                f"none of its files runs on {device.name}: it has {', '.join(bundle.facts['models'])}",
                where=folder,
                fix=f"{device.name} runs {', '.join(device.forms)}" + (f", and {form} was asked for" if form else ""),
            )
        stated = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["hash"]  # checked by read_bundle
        budget = json.loads((folder / "report.json").read_text(encoding="utf-8"))["target"].get("budget") or {}
        for one in forms:
            model = bundle.facts["models"][one]
            file = ModelFile(f"{name} {one}", folder / model["file"], one)
            found.append(Subject(file, bundle, stated, model["sha256"], budget))
    told = [one.bundle.facts["preprocessing"] for one in found]
    for what, key, unit in (("lengths", "samples", "samples"), ("rates", "sample_rate", "Hz")):
        if len(values := sorted({one[key] for one in told})) > 1:
            raise BundleError(
                f"these bundles take waveforms of different {what}: {values} {unit}",
                where=folders[0].parent,
                fix="bench them one by one",
            )
    return found


def whole_split(bundles: list[Bundle], task: Task) -> WholeSplit:
    """Return the test split that some bundles were judged on.

    raises: BundleError where the task's data is not what each of them was compiled from
    """
    for bundle in bundles:
        if task.dataset.fingerprint != bundle.facts["data_fingerprint"]:
            raise BundleError(
                "the data is not what this bundle was compiled from",
                where=f"{bundle.folder}, {task.dataset.folder}",
                fix="give the same data with --data, bench bundles of other data one by one, or leave --test out",
            )
    rate = bundles[0].facts["preprocessing"]["sample_rate"]  # of all of them, see subjects
    source_hz = None if rate == task.dataset.sample_rate else rate
    return WholeSplit(np.array(source_waveforms(task, "test", source_hz)), task.targets("test"))


def float_answers(bundle: Bundle) -> np.ndarray:
    """Return what a bundle's float student answered to the test split in the compile, (n, classes) float32."""
    told = json.loads((bundle.folder / FLOAT_ANSWERS).read_text(encoding="utf-8"))
    return np.array(told["probabilities"], np.float32)


def golden_clips(bundle: Bundle) -> tuple[list[str], np.ndarray]:
    """Return the golden clips' names and waveforms (n, samples) float32."""
    import soundfile

    files = sorted((bundle.folder / "golden").glob("*.wav"))
    return [file.name for file in files], np.stack([soundfile.read(file, dtype="float32")[0] for file in files])
