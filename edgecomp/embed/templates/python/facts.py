"""The bundle's facts, read from facts.json and checked; and the one error that this package raises."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .form import FormError, Question, read_questions

FOLDER = Path(__file__).resolve().parent
FITS = ("loudest", "centre", "start")


class ModelError(Exception):
    """The model cannot be loaded, or cannot be asked about what it was given; the message is for people."""


@dataclass(frozen=True)
class Facts:
    """What the bundle states: see facts.json.

    positive, threshold: of a two-label decision by threshold; None where the most probable label is the answer
    ask_above: the uncertainty above which the teacher is asked; None where every recording is left to the teacher
    questions: what an app asks about the person; the answers are kept beside the result and change nothing in it
    """

    bundle: str
    version: str
    labels: tuple[str, ...]
    sample_rate_hz: int
    samples: int
    hop_samples: int
    fit: str
    threads: int
    positive: str | None
    threshold: float | None
    ask_above: float | None
    model_file: str
    model_sha256: str
    golden_sha256: str
    questions: tuple[Question, ...]


def read_facts(content: bytes) -> Facts:
    """Read facts.json.

    raises: ModelError where it is not what a bundle states
    """
    told = read_object(content, "facts.json")
    try:
        given = {name: told[name] for name in Facts.__dataclass_fields__ if name not in ("labels", "questions")}
        facts = Facts(**given, labels=_labels(told), questions=read_questions(told["questions"]))
    except KeyError as why:
        raise ModelError(f"facts.json lacks {why}") from None
    except FormError as why:
        raise ModelError(f"facts.json states a question that cannot be asked: {why}") from None
    counts = (facts.sample_rate_hz, facts.samples, facts.hop_samples, facts.threads)
    words = (facts.bundle, facts.version, facts.model_file, facts.model_sha256, facts.golden_sha256)
    by_threshold = facts.positive is not None or facts.threshold is not None
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 31 for n in counts):
        raise ModelError(f"facts.json states a number of samples, Hz or threads that cannot be: {counts!r}")
    if not all(isinstance(word, str) and word for word in words) or Path(facts.model_file).name != facts.model_file:
        raise ModelError(f"facts.json states a name or a hash that cannot be: {words!r}")
    if facts.fit not in FITS:
        raise ModelError(f"facts.json states fit {facts.fit!r}; allowed: {', '.join(FITS)}")
    if by_threshold and not (len(facts.labels) == 2 and facts.positive in facts.labels and is_number(facts.threshold)):
        raise ModelError(f"facts.json states no decision: threshold {facts.threshold!r} for {facts.positive!r}")
    if facts.ask_above is not None and not is_number(facts.ask_above):
        raise ModelError(f"facts.json states ask_above {facts.ask_above!r}, which is no number")
    return facts


def read_checked(name: str, sha256: str) -> bytes:
    """Return a file of this package whose SHA-256 is the one stated; raises ModelError where it is not."""
    try:
        content = (FOLDER / name).read_bytes()
    except OSError as why:
        raise ModelError(f"{name} cannot be read: {why.strerror or why}; copy the whole package again") from None
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise ModelError(
            f"{name} is damaged or was changed (SHA-256 {found[:12]}…, stated {sha256[:12]}…); copy the package again"
        )
    return content


def read_object(content: bytes, name: str) -> dict[str, Any]:
    """Read a JSON object; raises ModelError where it is none."""
    try:
        told = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as why:
        raise ModelError(f"{name} is no JSON: {why}") from None
    if not isinstance(told, dict):
        raise ModelError(f"{name} is no JSON object")
    return told


def is_number(value: object) -> bool:
    """Say whether a JSON value is a finite number."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _labels(told: dict[str, Any]) -> tuple[str, ...]:
    labels = told["labels"]
    if not (isinstance(labels, list) and len(labels) > 1 and all(isinstance(one, str) and one for one in labels)):
        raise ModelError(f"facts.json states labels that are no list of names: {labels!r}")
    if len(set(labels)) != len(labels):
        raise ModelError(f"facts.json names a label twice: {labels!r}")
    return tuple(labels)
