"""A model file as a teacher: windows over the clip, averaged scores, and a head or the model's own probabilities.

No kind of teacher itself: onnx and litert open their files, everything else is here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp import __version__
from edgecomp.artifact import content_hash, text_hash
from edgecomp.errors import TeacherError
from edgecomp.store import Store
from edgecomp.teachers.asking import FileTeacher, Session, ask, open_sessions, softmax
from edgecomp.teachers.head import (
    PROCEDURE,
    SMALLEST,
    STRENGTHS,
    Head,
    cross_entropy,
    fit_head,
    read_head,
    scored,
    write_head,
)

if TYPE_CHECKING:
    from edgecomp.data.manifest import Dataset
    from edgecomp.recipe import Recipe

PROBES = 16
"""Training clips asked once to find out what a model without a head answers with."""


def black_box(
    recipe: Recipe,
    dataset: Dataset,
    store: Store,
    *,
    path: Path,
    form: str,
    window: int | None,
    open_model: Callable[[], Session],
) -> FileTeacher:
    """Make a teacher out of a model file.

    form:       "onnx" or "tflite"
    window:     samples that the model takes; None: any number
    open_model: opens a session of one thread: one window (window,) → scores (outputs,)
    raises:     TeacherError where windows do not fit, or outputs are no probabilities of the recipe's labels
    """
    table = recipe.teacher
    where = f"{recipe.file} [teacher]"
    window = _window(table.window_s, window, dataset, where)
    starts = window_starts(dataset.samples, window, _hop(table.hop_s, window, dataset, where))

    def open_scores() -> Session:
        return _windowed(open_model(), starts, window)

    digest = content_hash(path)
    key = text_hash("black box", digest, form, window, starts, dataset.labels, dataset.sample_rate, __version__)
    facts = {
        "kind": table.kind,
        "bytes": path.stat().st_size,
        "model_hash": digest,
        "windows": len(starts),
        "window_samples": window,
        "licence": table.licence,
        "outputs_may_train": table.outputs_may_train,
    }
    name, size = table.name or path.stem, path.stat().st_size
    if table.head:
        head, said = fitted_head(open_scores, recipe, dataset, store, key)
        key = text_hash(
            key, head.weight.tobytes(), head.bias.tobytes(), head.mean.tobytes(), head.scale.tobytes(), head.form
        )
        return FileTeacher(
            name, dataset.labels, key, facts | said, path, form, size + head.bytes, scored(open_scores, head)
        )
    answers = _answer_kind(open_scores, dataset, store, path)
    if answers == "logits":
        open_scores = _then(open_scores, softmax)
    return FileTeacher(
        name, dataset.labels, text_hash(key, answers), facts | {"answers": answers}, path, form, size, open_scores
    )


def window_starts(samples: int, window: int, hop: int) -> tuple[int, ...]:
    """Return where windows begin: hop by hop, and the last one ends with the clip, so that every sample is heard."""
    if samples <= window:
        return (0,)
    starts = list(range(0, samples - window + 1, hop))
    if starts[-1] + window < samples:
        starts.append(samples - window)
    return tuple(starts)


def fitted_head(
    open_scores: Callable[[], Session], recipe: Recipe, dataset: Dataset, store: Store, key: str
) -> tuple[Head, dict[str, object]]:
    """Fit a head on the training split, or find it fitted; return it and what there is to say about it."""
    train, validation = dataset.of("train").labelled(), dataset.of("validation")
    key = text_hash("head", PROCEDURE, SMALLEST, STRENGTHS, key, train.fingerprint, validation.fingerprint)

    def make(folder: Path) -> None:
        from edgecomp.data.manifest import waveforms

        sessions = open_sessions(open_scores)
        scores = [
            ask(sessions, waveforms(part, store), f"asking {recipe.teacher.path.rsplit('/')[-1]} for scores")
            for part in (train, validation)
        ]
        head = fit_head(scores[0], train.targets, scores[1], validation.targets, len(dataset.labels))
        write_head(head, folder / "head.safetensors")
        np.save(folder / "validation.npy", head.logits(scores[1]))

    folder = store.make("teacher-head", key, make)
    head, logits = read_head(folder / "head.safetensors"), np.load(folder / "validation.npy")
    right = float((logits.argmax(axis=1) == validation.targets).mean())
    return head, {
        "head": {
            "form": head.form,
            "l2_strength": head.strength,
            "parameters": head.weight.size + head.bias.size,
            "validation_accuracy": right,
            "validation_clips": len(logits),
            "validation_loss": cross_entropy(logits, validation.targets),
        }
    }


def _windowed(session: Session, starts: tuple[int, ...], window: int) -> Session:
    """Return a session over whole clips: each window's scores, averaged."""

    def answer(clip: np.ndarray) -> np.ndarray:
        if len(clip) < window:
            clip = np.pad(clip, (0, window - len(clip)))
        total = sum(session(clip[start : start + window]).astype(np.float64) for start in starts)
        return (total / len(starts)).astype(np.float32)

    return answer


def _then(open_session: Callable[[], Session], after: Callable[[np.ndarray], np.ndarray]) -> Callable[[], Session]:
    def opened() -> Session:
        session = open_session()
        return lambda clip: after(session(clip))

    return opened


def _answer_kind(open_scores: Callable[[], Session], dataset: Dataset, store: Store, path: Path) -> str:
    """Find out on a few training clips whether a model answers with probabilities or with logits."""
    from edgecomp.data.manifest import waveforms

    answers = ask(open_sessions(open_scores), waveforms(dataset.of("train"), store)[:PROBES], "probing the teacher")
    if answers.shape[-1] != len(dataset.labels):
        raise TeacherError(
            f"the model has {answers.shape[-1]} outputs and the recipe {len(dataset.labels)} labels",
            where=path,
            fix="set head = true under [teacher] to fit a head, or name the model's labels, "
            "in its order, as labels under [data]",
        )
    is_sound = np.isfinite(answers).all() and (answers >= 0).all() and (np.abs(answers.sum(axis=1) - 1) < 1e-3).all()
    return "probabilities" if is_sound else "logits"


def _window(window_s: float | None, fixed: int | None, dataset: Dataset, where: str) -> int:
    wanted = None if window_s is None else round(window_s * dataset.sample_rate)
    if fixed is not None and wanted not in (None, fixed):
        raise TeacherError(
            f"window_s is {window_s}, which is {wanted} samples; the model takes {fixed}",
            where=where,
            fix=f"window_s = {fixed / dataset.sample_rate:g}, or leave it out",
        )
    return fixed or wanted or dataset.samples


def _hop(hop_s: float | None, window: int, dataset: Dataset, where: str) -> int:
    hop = window if hop_s is None else round(hop_s * dataset.sample_rate)
    if not 0 < hop <= window:
        raise TeacherError(
            f"hop_s is {hop_s}, which is {hop} samples; a window is {window}",
            where=where,
            fix=f"hop_s between 0 and {window / dataset.sample_rate:g}: no sample may go unheard",
        )
    return hop


def model_file(recipe: Recipe, suffix: str) -> Path:
    """Return the model file that a recipe names.

    raises: TeacherError where it is not there
    """
    path = (recipe.folder / recipe.teacher.path).resolve()
    if not path.is_file():
        raise TeacherError(
            f"there is no model file {recipe.teacher.path!r}",
            where=f"{recipe.file} [teacher] path",
            fix=f"name a {suffix} file, relative to the recipe's folder; looked at {path}",
        )
    return path


def one_input(found: list[tuple[str, tuple[int | None, ...], str]], path: Path) -> int | None:
    """Return the samples that a model's only input takes, or None where its length is free.

    found:  name, shape (None: free) and dtype of each input
    raises: TeacherError unless there is one float32 waveform
    """
    fixed = None
    sound = len(found) == 1 and found[0][2] == "float32"
    if sound:
        shape = found[0][1]
        sound = 1 <= len(shape) <= 3 and all(size in (1, None) for size in shape[:-1])
        fixed = shape[-1]
    if not sound or (fixed is not None and fixed < 100):
        said = ", ".join(f"{name} {dtype} {list(shape)}" for name, shape, dtype in found) or "none"
        raise TeacherError(
            f"the model's inputs are no single waveform: {said}",
            where=path,
            fix="give a model with one float32 input (samples,) or (1, samples)",
        )
    return fixed
