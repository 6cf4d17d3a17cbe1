"""Form: the questions that an app asks about a person before it records; their answers change no decision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from edgecomp.tables import OF_WORDS, Table

UNSTATED = "und"
"""The language of a text that was given without one: BCP 47's word for undetermined."""
LANGUAGE = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
ID = r"^[a-z][a-z0-9_]{0,39}$"
MOST_LETTERS = 500
"""Of one text. It has to be read on a small screen, by somebody who waits."""
BELONGS = {"yes-no": (), "choice": ("options",), "number": ("unit", "min", "max", "decimals")}
"""Which keys a kind of question has beside those that all of them have."""


def _words(given: Any) -> Any:
    """Return a text by language; a plain one holds for every language."""
    told = {UNSTATED: given} if isinstance(given, str) else given
    if not isinstance(told, dict) or not told:
        raise PydanticCustomError(
            OF_WORDS, 'give a text in quotes, or one for each language: { en = "...", hi = "..." }'
        )
    for language, text in told.items():
        if not (isinstance(language, str) and LANGUAGE.fullmatch(language)):
            raise PydanticCustomError(OF_WORDS, 'languages are named as in "en", "hi" or "pt-BR"')
        if not isinstance(text, str) or not text.strip():
            raise PydanticCustomError(OF_WORDS, "give a text that is not empty, in every language")
        if len(text) > MOST_LETTERS or not all(letter.isprintable() for letter in text):
            raise PydanticCustomError(OF_WORDS, f"give at most {MOST_LETTERS} letters on one line")
    return told


Words = Annotated[dict[str, str], BeforeValidator(_words)]


class Option(Table):
    """One answer of a choice."""

    id: str = Field(pattern=ID)
    text: Words


class Question(Table):
    """One question.

    id:       its name in every record: a to z, 0 to 9 and _
    text:     one text for all languages, or a table of one for each
    kind:     yes-no, choice (needs options) or number (needs min and max; whole unless `decimals` says how many places)
    optional: it may be left without an answer; every other must be answered before the recording begins
    """

    id: str = Field(pattern=ID)
    text: Words
    kind: Literal["yes-no", "choice", "number"] = "yes-no"
    help: Words | None = None
    optional: bool = False
    options: list[Option] | None = None
    unit: Words | None = None
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)
    decimals: int | None = Field(None, ge=0, le=6)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Question:
        own = f"question {self.id!r} is a {self.kind} question"
        foreign = [key for keys in BELONGS.values() for key in keys if key not in BELONGS[self.kind]]
        if wrong := [key for key in foreign if getattr(self, key) is not None]:
            raise ValueError(f"{own}, which has no {' and no '.join(wrong)}")
        if self.kind == "choice":
            ids = [option.id for option in self.options or []]
            if len(ids) < 2:
                raise ValueError(f"{own}: give at least two options")
            if twice := _twice(ids):
                raise ValueError(f"{own}, and its option {twice!r} stands twice")
        if self.kind == "number":
            self._check_range(own)
        return self

    def _check_range(self, own: str) -> None:
        if self.min is None or self.max is None:
            raise ValueError(f"{own}: give min and max")
        if not self.min < self.max:
            raise ValueError(f"{own}, and min {self.min:g} is not below max {self.max:g}")
        if any(round(end, self.decimals or 0) != end or abs(end) > 1e9 for end in (self.min, self.max)):
            raise ValueError(f"{own}: give min and max with {self.decimals or 0} decimals, within a thousand millions")

    def texts(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Give every text of the question with what it is."""
        yield "text", self.text
        if self.help is not None:
            yield "help", self.help
        if self.unit is not None:
            yield "unit", self.unit
        for option in self.options or []:
            yield f"option {option.id!r}", option.text


class Form(Table):
    """The questions in their order; none, and an app asks nothing.

    There is no question with a free text, since people write names into those.
    """

    questions: list[Question] = Field([])

    @field_validator("questions")
    @classmethod
    def _ids_differ_and_languages_agree(cls, value: list[Question]) -> list[Question]:
        if twice := _twice([question.id for question in value]):
            raise PydanticCustomError(OF_WORDS, f"give every question an id of its own: {twice!r} stands twice")
        spoken = {language for one in value for _, words in one.texts() for language in words} - {UNSTATED}
        for question in value:
            for what, words in question.texts():
                lacking = sorted(spoken - set(words))
                if UNSTATED not in words and lacking:
                    raise PydanticCustomError(
                        OF_WORDS,
                        f"the {what} of question {question.id!r} has no {lacking[0]!r}, which other texts of this form have",
                    )
        return value

    @property
    def languages(self) -> list[str]:
        """Return the languages that all texts speak; none where every text was given without one."""
        return sorted(
            {language for one in self.questions for _, words in one.texts() for language in words} - {UNSTATED}
        )

    def told(self) -> dict[str, Any]:
        """Return the form as bundle.json holds it: what was left out is not there."""
        return self.model_dump(exclude_none=True)


def read_form(told: object) -> Form:
    """Read the form of a bundle.json.

    raises: ValueError that says which part is wrong
    """
    try:
        return Form.model_validate(told)
    except ValidationError as faults:
        fault = faults.errors()[0]
        place = ".".join(map(str, ("form", *fault["loc"])))
        raise ValueError(f"{place} {fault['msg'].removeprefix('Value error, ')}") from None


def said(words: Mapping[str, str], language: str = "en") -> str:
    """Return a text in a language, or in its language without the region, in English, or the first that there is; rule 9."""
    for wanted in (language, language.split("-")[0], "en"):
        if wanted in words:
            return words[wanted]
    return next(iter(words.values()))


def _twice(names: list[str]) -> str | None:
    return next((name for at, name in enumerate(names) if name in names[:at]), None)
