"""The data set of a recipe: its clips, labels and splits, and their waveforms."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecomp import __version__
from edgecomp.artifact import text_hash
from edgecomp.code import load_code
from edgecomp.data.audio import load_clip
from edgecomp.data.faults import Finding, Sifted, sift
from edgecomp.data.rows import Clip, list_clips
from edgecomp.data.scan import Facts, scan
from edgecomp.data.splits import SIDES, require_all_sides
from edgecomp.errors import DataError, EdgecompError, nearest
from edgecomp.progress import quiet_libraries, track
from edgecomp.recipe import Recipe, Split
from edgecomp.store import Store, new_array

__all__ = ["Clip", "Dataset", "data_folder", "load_dataset", "load_site", "sifted", "waveforms"]


@dataclass(frozen=True)
class Dataset:
    """Clips with their labels and splits, and how a clip becomes a model's input.

    samples: length of one input at sample_rate Hz
    fit:     which part of a longer clip is used
    notes:   how faults were resolved: code, resolution, how many clips were found, which were left out
    """

    folder: Path
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    sample_rate: int
    samples: int
    fit: str
    notes: tuple[dict, ...] = ()

    def of(self, split: str) -> Dataset:
        """Return the clips of one split: "train", "validation" or "test"."""
        if split not in SIDES:
            raise DataError(f"unknown split {split!r}", where="Dataset.of", fix=nearest(split, SIDES))
        return replace(self, clips=tuple(clip for clip in self.clips if clip.split == split))

    def labelled(self) -> Dataset:
        """Return the clips that have a label; only training clips may have none."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.label))

    @cached_property
    def targets(self) -> np.ndarray:
        """Return each clip's label as its index in labels, -1 where it has none: (n,) int64, not writable."""
        index = {label: number for number, label in enumerate(self.labels)} | {"": -1}
        targets = np.array([index[clip.label] for clip in self.clips], dtype=np.int64)
        targets.flags.writeable = False
        return targets

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that a result can depend on: rows, audio bytes and settings, hex."""
        rows = [[c.path, c.label, c.split, c.subject, sorted(c.groups.items()), c.content] for c in self.clips]
        return text_hash(self.labels, self.sample_rate, self.samples, self.fit, json.dumps(rows, ensure_ascii=False))


def load_dataset(recipe: Recipe, store: Store, *, data: Path | None = None) -> Dataset:
    """Read a recipe's data set, with its faults resolved as the recipe says.

    data:   the folder that holds the manifest, instead of the recipe's own
    raises: DataError for a manifest that cannot be used, and for every leak, conflict or unreadable clip that
            [data] resolve leaves as an error
    """
    folder = data_folder(recipe, store, data)
    found, facts = sifted(recipe, store, folder)
    errors = [finding for finding in found.findings if finding.severity == "error"]
    if errors:
        raise _refusal(errors, folder, recipe)
    clips = tuple(replace(clip, content=facts[clip.path].content) for clip in found.clips)
    require_all_sides(clips)
    labels = tuple(recipe.data.labels or sorted({clip.label for clip in clips} - {""}))
    _check_labels(labels, clips, recipe)
    return Dataset(folder, labels, clips, recipe.data.sample_rate, recipe.data.samples, recipe.data.fit, found.notes)


def load_site(recipe: Recipe, store: Store, data: Path, labels: tuple[str, ...]) -> Dataset:
    """Read another site's clips, all of them as a test split; columns are named as in the recipe, and no split is needed.

    labels: the model's; clips of any other label are refused
    raises: DataError as in load_dataset
    """
    strict = recipe.data.resolve.model_copy(update={"unlabelled": "error"})
    table = recipe.data.model_copy(update={"split": Split(), "labels": None, "resolve": strict})
    found, facts = sifted(recipe.model_copy(update={"data": table}), store, data)
    errors = [finding for finding in found.findings if finding.severity == "error"]
    if errors:
        raise _refusal(errors, data, recipe)
    strange = sorted({clip.label for clip in found.clips} - set(labels))
    if strange:
        raise DataError(
            f"clips have the label {strange[0]!r}, which the model does not know",
            where=data,
            fix=f"leave them out or name them as the model does: {', '.join(labels)}",
        )
    clips = tuple(replace(clip, content=facts[clip.path].content, split="test") for clip in found.clips)
    return Dataset(data, labels, clips, recipe.data.sample_rate, recipe.data.samples, recipe.data.fit, found.notes)


def waveforms(dataset: Dataset, store: Store) -> np.ndarray:
    """Return the clips as a model wants them: (n, samples) float32 at dataset.sample_rate, read-only, on disk.

    Decoded once; the same files, rate and length give the same array whatever their labels and groups are.
    raises: AudioError if a file has gone bad since it was scanned
    """
    import soundfile
    import soxr

    how = {"sample_rate": dataset.sample_rate, "samples": dataset.samples, "fit": dataset.fit}
    versions = soundfile.__libsndfile_version__, soxr.__version__, __version__
    key = text_hash("waveforms", *versions, sorted(how.items()), *(clip.content for clip in dataset.clips))

    def decode(work: Path) -> None:
        files = [dataset.folder / clip.path for clip in dataset.clips]
        waves = new_array(work / "waveforms.npy", (len(files), dataset.samples), np.float32)
        with quiet_libraries(), ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda file: load_clip(file, **how), files)
            for row, wave in enumerate(track(decoded, "decoding audio", len(files))):
                waves[row] = wave
        waves.flush()

    if not dataset.clips:
        return np.zeros((0, dataset.samples), np.float32)
    return np.load(store.make("waveforms", key, decode) / "waveforms.npy", mmap_mode="r")


def data_folder(recipe: Recipe, store: Store, data: Path | None = None) -> Path:
    """Return where the data lie: --data, else the recipe's path, else what its generator writes (once)."""
    if data is not None:
        return data
    if recipe.data.path is not None:
        return (recipe.folder / recipe.data.path).resolve()
    file = recipe.folder / str(recipe.data.generator)
    try:
        code = file.read_bytes()
    except OSError as why:
        raise DataError(
            f"cannot read the generator: {why.strerror}",
            where=file,
            fix="generator under [data] names a Python file beside the recipe",
        ) from None
    key = text_hash(code.decode("utf-8", "replace"), recipe.seed, __version__)
    return store.make("data", key, lambda folder: _generate(file, folder, recipe.seed))


def sifted(recipe: Recipe, store: Store, folder: Path) -> tuple[Sifted, dict[str, Facts]]:
    """List, scan and sift the clips of a folder: what is left, what was found, and each file's facts."""
    clips = list_clips(folder, recipe.data, recipe.file)
    facts = scan(folder, [clip.path for clip in clips], store)
    return sift(clips, facts, recipe.data, recipe.seed), facts


def _generate(file: Path, folder: Path, seed: int) -> None:
    try:
        module = load_code(file)
        if not hasattr(module, "generate"):
            raise DataError("the generator has no function generate(folder, seed)", where=file, fix="write one")
        module.generate(folder, seed)
    except EdgecompError:
        raise
    except ImportError as why:
        raise DataError(
            f"the generator needs a package that is not installed: {why.name}",
            where=file,
            fix="install it into this environment",
        ) from why
    except Exception as why:  # a user's code may raise anything; the chain keeps what it was
        raise DataError(f"the generator failed: {type(why).__name__}: {why}", where=file, fix="mend it") from why


def _refusal(errors: list[Finding], folder: Path, recipe: Recipe) -> DataError:
    """Put all unresolved faults into one error: the first few files of each, and every setting that resolves them."""
    lines = []
    for finding in errors:
        more = f" and {len(finding.files) - 4} more" if len(finding.files) > 4 else ""
        lines.append(f"{finding.code}: {finding.message}\n    {', '.join(finding.files[:4])}{more}\n    {finding.fix}")
    return DataError(
        "the data have faults that would make the result untrue:\n  " + "\n  ".join(lines),
        where=folder,
        fix=f"mend the files, or decide under [data] resolve in {recipe.file.name}; `edgecomp check` lists every file",
    )


def _check_labels(labels: tuple[str, ...], clips: tuple[Clip, ...], recipe: Recipe) -> None:
    if len(labels) < 2:
        raise DataError(
            f"there is one label, {labels[0]!r}",
            where=f"{recipe.file} [data]",
            fix="a classifier needs clips of at least two labels",
        )
    trained = {clip.label for clip in clips if clip.split == "train"} - {""}
    for label in labels:
        if label not in trained:
            raise DataError(
                f"no training clip has the label {label!r}",
                where=f"{recipe.file} [data] labels",
                fix=f"add some or leave it out; training has {', '.join(sorted(trained))}",
            )
