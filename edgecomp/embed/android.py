"""A bundle as an Android library module in Kotlin: model and golden clips as assets, a typed class, one runtime."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgecomp.embed import EmbedError, Selector
from edgecomp.embed.facts import Facts, golden_files
from edgecomp.form import Question
from edgecomp.shipped import shipped

TEMPLATES = Path(__file__).parent / "templates" / "android"
LITERT = "2.3.0"
"""com.google.ai.edge.litert:litert; the release of the Python runtime that bundles are made and verified with."""
ORT = "1.29.0"
"""com.microsoft.onnxruntime:onnxruntime-android; the release whose classes android_demo/typecheck reads."""
OPENERS = {"tflite": "LiteRtModel", "onnx": "OrtModel"}
"""The Kotlin class that opens each format."""
QUESTIONS = {"yes-no": "YesNo", "choice": "Choice", "number": "Figure"}
"""The Kotlin class of each kind of question."""


def files(facts: Facts) -> dict[str, str | bytes]:
    """Return a Gradle library module; the folder is the module's own, beside the app's.

    What belongs to the version lies in packages and assets named after it; edgecomp/model/InUse.kt says which version is used.
    """
    package, opener = facts.package, OPENERS[facts.model.form]
    golden = golden_files(facts)
    known = _known(facts, hashlib.sha256(golden["golden/golden.json"]).hexdigest())
    version, assets = f"src/main/kotlin/edgecomp/{package}", f"src/main/assets/{package}"
    return {
        "build.gradle.kts": _filled("build.gradle.kts", known),
        "src/main/AndroidManifest.xml": _filled("AndroidManifest.xml", known),
        "src/main/kotlin/edgecomp/model/Bundle.kt": _filled("Bundle.kt", known),
        "src/main/kotlin/edgecomp/model/InUse.kt": Selector(_filled("InUse.kt", known)),
        f"{version}/{facts.class_name}.kt": _filled("Version.kt", known),
        f"{version}/{opener}.kt": _filled(f"{opener}.kt", known),
        f"{assets}/{facts.model.file}": facts.model.path.read_bytes(),
        **{f"{assets}/{name}": content for name, content in golden.items()},
        **{f"src/core/kotlin/edgecomp/core/{file.name}": _noted(file, facts) for file in core_sources()},
    }


def core_sources() -> list[Path]:
    """Return the Kotlin files of android_demo/core, which every module needs: fit, resampling, windows, the outcome.

    raises: EmbedError where this installation came without them
    """
    folder = shipped("android_demo") / "core" / "src" / "main" / "kotlin" / "edgecomp" / "core"
    if not (found := sorted(folder.glob("*.kt"))):
        raise EmbedError("the Kotlin core is missing", where=folder, fix="install edgecomp again, or use a checkout")
    return found


def _noted(file: Path, facts: Facts) -> str:
    return f"// {facts.note}\n{file.read_text(encoding='utf-8')}"


def _known(facts: Facts, golden_sha256: str) -> dict[str, str]:
    """Return what a template's @NAMES@ stand for."""
    text, number = _kotlin_text, _kotlin_number
    return {
        "NOTE": facts.note,
        "SELECTOR_NOTE": facts.selector_note,
        "LITERT": LITERT,
        "ORT": ORT,
        "PACKAGE": facts.package,
        "CLASS": facts.class_name,
        "OPENER": OPENERS[facts.model.form],
        "SUMMARY": facts.summary.replace("*/", "* /").replace("/*", "/ *"),
        "SUMMARY_TEXT": text(facts.summary),
        "NAME": text(facts.name),
        "VERSION": text(facts.version),
        "BUNDLE_HASH": text(facts.bundle_hash),
        "SAMPLE_RATE": number(facts.sample_rate),
        "SAMPLES": number(facts.samples),
        "HOP": number(facts.hop_samples),
        "FIT": facts.fit.upper(),
        "LABELS": _kotlin_list(facts.labels),
        "POSITIVE": "null" if facts.positive is None else text(facts.positive),
        "THRESHOLD": "null" if facts.threshold is None else number(float(facts.threshold)),
        "ASK_ABOVE": "null" if facts.ask_above is None else number(float(facts.ask_above)),
        "THREADS": number(facts.threads),
        "MODEL_FILE": text(facts.model.file),
        "MODEL_BYTES": number(facts.model.bytes),
        "MODEL_SHA256": text(facts.model.sha256),
        "GOLDEN_SHA256": text(golden_sha256),
        "QUESTIONS": "".join(f"\n        {_kotlin_question(one)}," for one in facts.questions),
        "ASSETS": text(facts.package),
    }


def _filled(template: str, known: dict[str, str]) -> str:
    """Return a template with every @NAME@ replaced, in one sweep, so that no value is read as a name."""
    return re.sub(r"@([A-Z0-9_]+)@", lambda m: known[m[1]], (TEMPLATES / template).read_text(encoding="utf-8"))


def _kotlin_text(value: str) -> str:
    """Return a Kotlin string literal: JSON's escapes are Kotlin's too, but for the dollar, which begins a template."""
    return json.dumps(value).replace("$", "\\$").replace("\\f", "\\u000c")


def _kotlin_question(one: Question) -> str:
    """Return the constructor's call of a question: its texts, and only what differs from the defaults."""
    given = [_kotlin_text(one.id), _kotlin_words(one.text)]
    if one.kind == "choice":
        options = (f"Option({_kotlin_text(each.id)}, {_kotlin_words(each.text)})" for each in one.options or [])
        given.append(f"listOf({', '.join(options)})")
    if one.kind == "number":
        given.append(
            f"min = {_kotlin_number(one.min)}, max = {_kotlin_number(one.max)}, decimals = {one.decimals or 0}"
        )
    given += [f"{name} = {_kotlin_words(words)}" for name, words in (("unit", one.unit), ("help", one.help)) if words]
    given += ["isOptional = true"] if one.optional else []
    return f"{QUESTIONS[one.kind]}({', '.join(given)})"


def _kotlin_words(words: Mapping[str, str]) -> str:
    return (
        f"Words({', '.join(f'{_kotlin_text(language)} to {_kotlin_text(text)}' for language, text in words.items())})"
    )


def _kotlin_number(value: int | float) -> str:
    return repr(value)


def _kotlin_list(values: Iterable[str]) -> str:
    return ", ".join(map(_kotlin_text, values))
