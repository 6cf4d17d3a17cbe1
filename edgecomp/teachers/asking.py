"""How a model file is asked: clip by clip, one thread a session, a session a core. No kind of teacher itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecomp.errors import TeacherError
from edgecomp.progress import track
from edgecomp.store import Store
from edgecomp.teachers import Deployed

Session = Callable[[np.ndarray], np.ndarray]
"""One clip or window (samples,) float32 → its answer (outputs,) float32."""

EXPORT = 2
"""Raised whenever export_onnx writes another file for the same module: it is part of every exported teacher's key."""

CHUNK = 128
"""Clips asked between two signs of progress."""


@dataclass(frozen=True)
class FileTeacher:
    """A teacher that answers by running a model file; the answers do not depend on what is asked beside them.

    open: opens one more session on the file; sessions are not shared between threads
    """

    name: str
    labels: tuple[str, ...]
    fingerprint: str
    facts: Mapping[str, object]
    path: Path
    format: str
    bytes: int
    open: Callable[[], Session]

    def probabilities(self, waveforms: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities, (n, samples) float32 → (n, classes) float32; rows sum to 1.

        raises: TeacherError for an answer that is not finite or has the wrong number of classes
        """
        answers = ask(self._sessions, waveforms, f"asking {self.name}")
        if len(answers) == 0:
            return np.zeros((0, len(self.labels)), np.float32)
        return checked_probabilities(answers, self.labels, self.path)

    @cached_property
    def _sessions(self) -> list[Session]:
        return open_sessions(self.open)

    def deployed(self, store: Store) -> Deployed:
        """Return the same file with one session on it: what is measured is what was asked."""
        return Deployed(self.path, self.format, self.open(), self.bytes)


def open_sessions(open_session: Callable[[], Session]) -> list[Session]:
    """Open a session for each core that is ours."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [open_session() for _ in range(cores)]


def ask(sessions: list[Session], waveforms: np.ndarray, said: str) -> np.ndarray:
    """Return a model's answers for some clips, (n, samples) → (n, outputs) float32, all sessions at once."""
    starts = range(0, len(waveforms), CHUNK)
    answers: list[np.ndarray] = []
    with ThreadPoolExecutor(len(sessions)) as pool:
        for start in track(starts, said, len(starts)) if len(starts) > 3 else starts:
            chunk = np.asarray(waveforms[start : start + CHUNK], np.float32)
            shares = pool.map(
                lambda session, rows: [session(row) for row in rows], sessions, np.array_split(chunk, len(sessions))
            )
            answers.extend(answer for share in shares for answer in share)
    return np.stack(answers).astype(np.float32) if answers else np.zeros((0, 0), np.float32)


def checked_probabilities(answers: np.ndarray, labels: tuple[str, ...], where: object) -> np.ndarray:
    """Return answers as float32 rows that sum to 1, or say why they are no probabilities.

    raises: TeacherError
    """
    if answers.ndim != 2 or answers.shape[1] != len(labels):
        raise TeacherError(
            f"the teacher gives {answers.shape[-1]} outputs for {len(labels)} labels",
            where=where,
            fix=f"set head = true under [teacher] to fit a head for {', '.join(labels)}, "
            "or give labels under [data] in the order of the model's outputs; a model that gives bare class numbers "
            "may answer 1 for its label and 0 for every other",
        )
    if not np.isfinite(answers).all():
        bad = np.flatnonzero(~np.isfinite(answers).all(axis=1))
        raise TeacherError(
            f"the teacher's answer is not finite for {len(bad)} of {len(answers)} clips, first number {bad[0]}",
            where=where,
            fix="check the model in its own framework; a NaN in its weights gives this",
        )
    sums = answers.sum(axis=1, keepdims=True)
    if (answers < 0).any() or (np.abs(sums - 1) > 1e-3).any():
        raise TeacherError(
            f"the teacher's answers are no probabilities: rows sum to {sums.min():.4g} to "
            f"{sums.max():.4g}, smallest value {answers.min():.4g}",
            where=where,
            fix="set head = true under [teacher] to fit a head on its scores",
        )
    return (answers / sums).astype(np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, in float64 inside."""
    powers = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def open_onnx(path: Path):
    """Open an ONNX file on one thread, as an onnxruntime.InferenceSession.

    raises: TeacherError if it is no model that ONNX Runtime can run
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as why:  # onnxruntime's errors share no base but Exception
        raise TeacherError(
            f"ONNX Runtime cannot open it: {str(why).splitlines()[0]}",
            where=path,
            fix="check the file with onnx.checker, or export it again",
        ) from why


def export_onnx(module, shape: tuple[int, ...], path: Path) -> None:
    """Write a module as ONNX, one input (1, …) → (1, outputs), and check that the file answers as the module does.

    raises: TeacherError if it cannot be exported, or differs by more than 1e-4
    """
    import contextlib
    import io
    import logging
    import warnings

    import torch

    clip = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 0.1
    clip[..., : shape[-1] // 2] = 0  # digital silence: a floor that went missing before a logarithm shows here
    module = module.eval()
    try:
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.inference_mode(False):
            warnings.simplefilter("ignore")
            # optimize=False: onnxscript takes adding 1e-8, the floor of a log-mel, for adding nothing and removes it
            torch.onnx.export(
                module,
                (clip,),
                str(path),
                dynamo=True,
                opset_version=20,
                optimize=False,
                input_names=["waveform"],
                output_names=["probabilities"],
                external_data=False,
                verbose=False,
            )
    except Exception as why:  # the exporter raises what its many parts raise; the chain keeps it
        raise TeacherError(
            f"the teacher cannot be exported to ONNX: {type(why).__name__}: {str(why).splitlines()[0]}",
            where=type(module).__name__,
            fix="use operators that torch.onnx.export(dynamo=True) knows",
        ) from why
    session = open_onnx(path)
    for loudness in (1.0, 1e-2, 0.0):  # near silence and silence too: exporters were seen to drop small constants
        heard = clip * loudness
        with torch.no_grad():
            wanted = module(heard).numpy()
        got = session.run(None, {"waveform": heard.numpy()})[0]
        gap = float(np.abs(got - wanted).max()) if got.shape == wanted.shape else np.inf
        if gap <= 1e-3:
            continue
        raise TeacherError(
            f"the exported teacher differs from the module by {gap:.2g}",
            where=path,
            fix="look for an operator that behaves differently at export, such as one that is random",
        )
