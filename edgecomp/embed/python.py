"""A bundle as a Python package: numpy and one runtime are all that it needs; templates/python holds its code."""

from __future__ import annotations

import hashlib
import keyword
import sys
from pathlib import Path
from string import Template

from edgecomp.embed import Selector
from edgecomp.embed.facts import Facts, facts_json, golden_files
from edgecomp.form import Question

TEMPLATES = Path(__file__).parent / "templates" / "python"
COPIED = ("form", "facts", "outcome", "resample", "window", "ring", "listen", "wav", "model", "sources", "command")
NOT_FREE = {*sys.stdlib_module_names, *keyword.kwlist, "numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime"}
"""A module of this name would hide another that the package imports, or could not be imported."""

INIT = '''\
"""$summary

$labels at $sample_rate Hz; asks the teacher where it is unsure. Needs numpy and one runtime.
"""

from __future__ import annotations

from typing import Literal, Optional, TypedDict

from .command import run as _run
from .facts import ModelError, read_checked, read_facts
from .form import FormError, Question, check_answers
from .listen import Heard, Listener
from .model import Model, Recording, SelfTest
from .outcome import Answer, AskTeacher, Outcome
from .ring import Ring
from .runtime import open_session

__all__ = [
    "BUNDLE_HASH",
    "LABELS",
    "SAMPLES",
    "SAMPLE_RATE_HZ",
    "VERSION",
    "Answer",
    "AskTeacher",
    "FormAnswers",
    "FormError",
    "Heard",
    "Label",
    "Listener",
    "Model",
    "ModelError",
    "Outcome",
    "Question",
    "Recording",
    "Ring",
    "SelfTest",
    "check_answers",
    "load",
    "main",
]

VERSION = "$version"
BUNDLE_HASH = "$bundle_hash"
Label = Literal[$literals]
LABELS: tuple[Label, ...] = ($literals)
SAMPLE_RATE_HZ = $sample_rate
SAMPLES = $samples
FormAnswers = TypedDict("FormAnswers", {$answers})
FACTS_SHA256 = "$facts_sha256"


def load(threads: int | None = None) -> Model:
    """Check the files' hashes and open the model.

    threads: None for what the bundle's target has
    raises:  ModelError with a message for people, whatever is wrong
    """
    facts = read_facts(read_checked("facts.json", FACTS_SHA256))
    return Model(facts, open_session(read_checked(facts.model_file, facts.model_sha256), facts, threads or facts.threads))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see --help."""
    return _run(load, "$selector", arguments)
'''

MAIN = '''\
"""Run this version from the command line, whichever one is in use."""

from . import main

raise SystemExit(main())
'''

SELECTOR = '''\
# $selector_note
"""$name: the version in use. To go back to another one that lies beside this file, change the name after `from`."""

from $package import *  # noqa: F403

if __name__ == "__main__":
    raise SystemExit(main())  # noqa: F405
'''


def files(facts: Facts) -> dict[str, str | bytes]:
    """Return the package of one version and the module that selects it."""
    golden = golden_files(facts)
    stated = facts_json(facts, hashlib.sha256(golden["golden/golden.json"]).hexdigest())
    words = {
        "name": facts.name,
        "title": _plain(facts.summary) or facts.name,
        "summary": _plain(facts.summary) or facts.name,
        "labels": f"{len(facts.labels)} labels",
        "version": facts.version,
        "bundle_hash": facts.bundle_hash,
        "answers": ", ".join(f"{one.id!r}: {_answer_type(one)}" for one in facts.questions),
        "literals": ", ".join(repr(label) for label in facts.labels),
        "sample_rate": facts.sample_rate,
        "samples": facts.samples,
        "facts_sha256": hashlib.sha256(stated.encode()).hexdigest(),
        "selector": selector_name(facts),
        "selector_note": facts.selector_note,
        "package": facts.package,
    }
    code = {f"{name}.py": (TEMPLATES / f"{name}.py").read_text(encoding="utf-8") for name in COPIED}
    code["runtime.py"] = (TEMPLATES / f"runtime_{facts.model.form}.py").read_text(encoding="utf-8")
    code["__init__.py"] = Template(INIT).substitute(words)
    code["__main__.py"] = MAIN
    unit = Template((TEMPLATES / "model.service").read_text(encoding="utf-8")).substitute(words)
    code[f"{facts.name}.service"] = unit
    whole = {name: f"# {facts.note}\n{text}" for name, text in code.items()}
    whole |= {"facts.json": stated, facts.model.file: facts.model.path.read_bytes()} | golden
    made = {f"{facts.package}/{name}": content for name, content in whole.items()}
    return made | {f"{selector_name(facts)}.py": Selector(Template(SELECTOR).substitute(words))}


def selector_name(facts: Facts) -> str:
    """Return the name of the module that selects a version: the task's, unless Python needs that one itself."""
    return f"{facts.name}_model" if facts.name in NOT_FREE else facts.name


def _answer_type(question: Question) -> str:
    """Return the Python type of what answers a question, as it can be evaluated by Python 3.9."""
    literals = ", ".join(repr(option.id) for option in question.options or [])
    told = {"yes-no": "bool", "number": "float", "choice": f"Literal[{literals}]"}[question.kind]
    return f"Optional[{told}]" if question.optional else told


def _plain(text: str) -> str:
    """Return a summary that can stand in a docstring and in a unit file, whatever the recipe says."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in '"\\%$')
