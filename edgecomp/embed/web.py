"""A bundle as a TypeScript module for the web: one runtime from npm, and any bundler; templates/web holds its code."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from edgecomp.embed import Selector
from edgecomp.embed.facts import Facts, facts_json, golden_files
from edgecomp.form import Question

TEMPLATES = Path(__file__).parent / "templates" / "web"
COPIED = ("form", "facts", "outcome", "resample", "fit", "ring", "listen", "wav", "simd", "model")
PACKAGES = {"tflite": "@litertjs/core@2.5.3", "onnx": "onnxruntime-web@1.30.0"}
"""By format, the runtime whose API the code is written for; edgecomp's own pages lock the same releases."""
WASM = {
    "tflite": "the files of node_modules/@litertjs/core/wasm",
    "onnx": "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs and .wasm",
}


def files(facts: Facts) -> dict[str, str | bytes]:
    """Return the folder of one version and the module that selects it."""
    golden = golden_files(facts)
    stated = facts_json(facts, hashlib.sha256(golden["golden/golden.json"]).hexdigest())
    known = _known(facts, hashlib.sha256(stated.encode()).hexdigest())
    code = {f"{name}.ts": (TEMPLATES / f"{name}.ts").read_text(encoding="utf-8") for name in COPIED}
    code["runtime.ts"] = (TEMPLATES / f"runtime_{facts.model.form}.ts").read_text(encoding="utf-8")
    code["index.ts"] = _filled("index.ts.in", known)
    whole: dict[str, str | bytes] = {name: f"// {facts.note}\n{text}" for name, text in code.items()}
    whole["README.md"] = f"<!-- {facts.note} -->\n{_filled('README.md.in', known)}"
    whole |= {"facts.json": stated, facts.model.file: facts.model.path.read_bytes()} | golden
    made = {f"{facts.package}/{name}": content for name, content in whole.items()}
    selector = (
        f"// {facts.selector_note}\n"
        "// To go back to another version that lies beside this file, change the folder's name.\n"
        f'export * from "./{facts.package}/index.js";\n'
    )
    return made | {f"{facts.name}.ts": Selector(selector)}


def _known(facts: Facts, facts_sha256: str) -> dict[str, str]:
    """Return what a template's @NAMES@ stand for."""
    return {
        "NAME": facts.name,
        "PACKAGE": facts.package,
        "SUMMARY": _plain(facts.summary) or facts.name,
        "COUNT": str(len(facts.labels)),
        "VERSION": json.dumps(facts.version),
        "VERSION_TEXT": facts.version,
        "BUNDLE_HASH": json.dumps(facts.bundle_hash),
        "FORMAT": json.dumps(facts.model.form),
        "LABELS": ", ".join(json.dumps(label, ensure_ascii=False) for label in facts.labels),
        "ANSWERS": "".join(f"\n  readonly {one.id}: {_answer_type(one)};" for one in facts.questions),
        "SAMPLE_RATE": str(facts.sample_rate),
        "SAMPLES": str(facts.samples),
        "FACTS_SHA256": json.dumps(facts_sha256),
        "MODEL_FILE": facts.model.file,
        "NPM": PACKAGES[facts.model.form],
        "WASM": WASM[facts.model.form],
    }


def _answer_type(question: Question) -> str:
    """Return the TypeScript type of what answers a question."""
    options = " | ".join(json.dumps(option.id) for option in question.options or [])
    told = {"yes-no": "boolean", "number": "number", "choice": options}[question.kind]
    return f"{told} | null" if question.optional else told


def _filled(template: str, known: dict[str, str]) -> str:
    """Return a template with every @NAME@ replaced, in one sweep, so that no value is read as a name."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z0-9_]+)@", lambda found: known[found[1]], text)


def _plain(text: str) -> str:
    """Return a summary that can stand in a comment, whatever the recipe says."""
    return "".join(letter for letter in text if letter.isprintable()).replace("*/", "* /").replace("-->", "-- >")
