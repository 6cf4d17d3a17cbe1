"""The questions about the person: read and checked, and what answers them; the answers change no decision."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

KINDS = ("yes-no", "choice", "number")
BESIDE = ".answers.json"
"""The end of the name of a file that lies beside a recording and holds the answers: clip.wav, clip.answers.json."""
FormAnswer = Union[bool, str, float, None]  # noqa: UP007  evaluated, and Python 3.9 knows no other way


class FormError(ValueError):
    """A question that cannot be asked, or an answer that does not answer one; the message is for people."""


@dataclass(frozen=True)
class Question:
    """One question.

    text, help, unit: by language; see `said`
    kind:     "yes-no": True or False; "choice": the id of one of the options; "number": from min to max
    options:  id → text by language
    optional: it may be left without an answer, which is None
    """

    id: str
    text: Mapping[str, str]
    kind: str
    optional: bool
    help: Mapping[str, str] | None = None
    options: Mapping[str, Mapping[str, str]] | None = None
    unit: Mapping[str, str] | None = None
    min: float = 0.0
    max: float = 0.0
    decimals: int = 0

    def check(self, value: object) -> FormAnswer:
        """Return an answer as it is kept; raises FormError where it is none."""
        if value is None and self.optional:
            return None
        if self.kind == "yes-no" and isinstance(value, bool):
            return value
        if self.kind == "choice" and isinstance(value, str) and value in (self.options or {}):
            return value
        if self.kind == "number" and isinstance(value, (int, float)) and self._holds(value):
            return value
        raise FormError(f"{self.id} is {json.dumps(value, default=repr)[:80]}; {self.wanted()}")

    def _holds(self, value: float) -> bool:
        return _is_number(value) and self.min <= value <= self.max and round(value, self.decimals) == value

    def wanted(self) -> str:
        """Say which answers the question takes."""
        if self.kind == "number":
            places = f" and at most {self.decimals} decimals" if self.decimals else ", a whole one"
            wanted = f"give a number from {self.min:g} to {self.max:g}{places}"
        else:
            wanted = f"allowed: {', '.join(self.options or {}) if self.kind == 'choice' else 'true, false'}"
        return f"{wanted}; null where there is no answer" if self.optional else wanted


def said(words: Mapping[str, str], language: str) -> str:
    """Return a text in a language, or in its language without the region, in English, or the first that there is."""
    for wanted in (language, language.split("-")[0], "en"):
        if wanted in words:
            return words[wanted]
    return next(iter(words.values()))


def check_answers(questions: tuple[Question, ...], given: object) -> dict[str, FormAnswer]:
    """Return an answer to every question, in the questions' order; one that was left out is None.

    raises: FormError where a question that must be answered is not, or an answer answers nothing
    """
    if not isinstance(given, dict):
        raise FormError("the answers are no JSON object of question and answer")
    known = [question.id for question in questions]
    for name in given:
        if name not in known:
            raise FormError(f"there is no question {str(name)[:40]!r}; there are {', '.join(known) or 'none'}")
    for question in questions:
        if given.get(question.id) is None and not question.optional:
            raise FormError(f"{question.id} is not answered; {question.wanted()}")
    return {question.id: question.check(given.get(question.id)) for question in questions}


def answers_beside(questions: tuple[Question, ...], path: Path) -> dict[str, FormAnswer] | None:
    """Return the answers that lie beside a recording, checked; None where there is no such file.

    raises: FormError where it cannot be read, or does not answer the questions
    """
    place = path.with_name(f"{path.stem}{BESIDE}")
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as why:
        raise FormError(f"{place.name} cannot be read: {why.strerror or why}") from None
    try:
        return check_answers(questions, json.loads(content.decode("utf-8-sig")))
    except FormError as why:
        raise FormError(f"{place.name}: {why}") from None
    except (ValueError, RecursionError) as why:
        raise FormError(f"{place.name} is no JSON: {why}") from None


def read_questions(told: object) -> tuple[Question, ...]:
    """Read the questions of facts.json; raises FormError where they are none."""
    if not isinstance(told, list):
        raise FormError(f"{json.dumps(told)[:80]} is no list")
    questions = tuple(_question(one) for one in told)
    if len({question.id for question in questions}) < len(questions):
        raise FormError("two have the same id")
    return questions


def _question(told: Any) -> Question:
    try:
        question = Question(
            told["id"],
            _words(told["text"]),
            told["kind"],
            told["optional"],
            None if told.get("help") is None else _words(told["help"]),
            None if told.get("options") is None else {one["id"]: _words(one["text"]) for one in told["options"]},
            None if told.get("unit") is None else _words(told["unit"]),
            told.get("min", 0.0),
            told.get("max", 0.0),
            told.get("decimals", 0),
        )
    except (KeyError, TypeError, AttributeError) as why:
        raise FormError(f"{json.dumps(told)[:80]}: {type(why).__name__} {why}") from None
    places = question.decimals
    is_whole = isinstance(places, int) and not isinstance(places, bool) and 0 <= places <= 6
    is_range = _is_number(question.min) and _is_number(question.max) and (question.min < question.max) and is_whole
    names = [question.id, *(question.options or {})]
    is_so = question.kind in KINDS and isinstance(question.optional, bool)
    is_so = is_so and all(isinstance(name, str) and name for name in names)
    if question.kind == "choice":
        is_so = is_so and len(question.options or {}) == len(told["options"]) > 1
    if not is_so or (question.kind == "number" and not is_range):
        raise FormError(json.dumps(told)[:80])
    return question


def _words(told: Any) -> dict[str, str]:
    if not (isinstance(told, dict) and told and all(isinstance(text, str) and text for text in told.values())):
        raise TypeError(f"{json.dumps(told)[:40]} is no text")
    return told


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
