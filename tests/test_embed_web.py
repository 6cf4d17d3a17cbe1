"""The generated TypeScript module: the rules of docs/embedding.md, held against the generated Python package, under node."""

import importlib
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecomp import demo
from edgecomp.bundle import read_bundle
from edgecomp.embed import EmbedError, Selector, embed, web
from edgecomp.embed.facts import read_facts
from edgecomp.errors import EdgecompError
from tests.small_bundle import SAMPLES, write_small_bundle
from tests.small_form import FORM, GIVEN, ODD

BUILD = Path(__file__).parents[1] / "build"
RATE_HZ = 8000
NEAR = 1e-6
"""How far float32 samples of two languages may be apart: their Bessel functions differ in the last bits."""


@pytest.fixture(scope="session")
def tools() -> Path:
    """Return the page's folder with its packages, the test files beside them, or skip with the reason."""
    try:
        return demo.prepare(BUILD, testing=True)
    except EdgecompError as why:
        pytest.skip(f"the web module cannot be tested: {why.what}")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return read_bundle(write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything"))


@pytest.fixture(scope="module")
def facts(bundle):
    return read_facts(bundle)


@pytest.fixture(scope="module")
def folder(bundle, facts, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("web")
    embed(bundle, "web", made)
    return made / facts.package


@pytest.fixture(scope="module")
def module(tools, folder, tmp_path_factory) -> Path:
    """All of the generated code but the runtime, built for node."""
    out = tmp_path_factory.mktemp("module") / "module.mjs"
    run(["node", "test/bundle_module.mjs", str(folder), str(out)], tools)
    return out


@pytest.fixture(scope="module")
def package(bundle, facts, tmp_path_factory):
    """The Python package of the same bundle, which another test file holds against edgecomp itself."""
    made = tmp_path_factory.mktemp("python")
    embed(bundle, "python", made)
    sys.path.insert(0, str(made))
    yield facts.package
    sys.path.remove(str(made))


def run(command: list[str], folder: Path, given: str = "", **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def ask(tools: Path, module: Path, folder: Path, cases: list[dict]) -> list:
    """Ask the TypeScript about some cases."""
    given = json.dumps({"facts": json.loads((folder / "facts.json").read_text()), "cases": cases})
    return json.loads(run(["node", "test/module.mjs"], tools, given, MODULE=str(module)))


def python(package: str, name: str):
    return importlib.import_module(f"{package}.{name}")


def noise(samples: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    loud = 0.2 + np.abs(np.sin(np.arange(samples) / 400 + seed))
    return (0.3 * loud * random.standard_normal(samples)).astype(np.float32)


def test_properties_of_chunks_windows_ring_and_damage_hold(tools, module, folder):
    said = run(
        ["node", "--test", "test/properties.test.mjs"], tools, MODULE=str(module), FACTS=str(folder / "facts.json")
    )
    assert re.search(r"^# pass 11$", said, re.MULTILINE) and re.search(r"^# fail 0$", said, re.MULTILINE)


def test_resampling_is_that_of_the_python_package(tools, module, folder, package):
    rates = [
        (48000, 16000),
        (44100, 16000),
        (8000, 16000),
        (16000, 8000),
        (22050, 16000),
        (44100, 8000),
        (16000, 16000),
    ]
    cases = [
        {"job": "resample", "wave": noise(3000, row).tolist(), "from": a, "to": b} for row, (a, b) in enumerate(rates)
    ]
    for case, found in zip(cases, ask(tools, module, folder, cases), strict=True):
        wave = np.array(case["wave"], np.float32)
        wanted = python(package, "resample").resample(wave, case["from"], case["to"])
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found, wanted, atol=NEAR)


def test_the_model_is_asked_about_the_window_that_python_takes(tools, module, folder, facts, package):
    cases = [
        {"job": "window", "wave": noise(length, length).tolist(), "rate": rate, "fit": fit, "samples": 500}
        for fit in ("loudest", "centre", "start")
        for length in (1, 499, 500, 501, 2500)
        for rate in (RATE_HZ, 44100)
    ]
    for case, found in zip(cases, ask(tools, module, folder, cases), strict=True):
        whole = python(package, "resample").resample(np.array(case["wave"], np.float32), case["rate"], RATE_HZ)
        fit = python(package, "window").Fit(500, case["fit"], RATE_HZ)
        fit.push(whole)
        np.testing.assert_allclose(found, fit.finish(), atol=NEAR, err_msg=str(case["fit"]))


def test_decisions_are_those_of_the_python_package(tools, module, folder, package):
    one = python(package, "facts").read_facts((folder / "facts.json").read_bytes())
    two = {"labels": ["negative", "positive"], "positive": "positive", "threshold": 0.1}
    changes = [
        {},
        {"ask_above": None},
        two,
        two | {"ask_above": None},
        two | {"positive": "negative", "threshold": 0.7},
    ]
    values = ["0.1", "0.3", "0.7", "0.9", "NaN", "Infinity", "-Infinity"]
    cases = []
    for change in changes:
        size = len(change.get("labels", one.labels))
        rows = [[values[(row * (place + 3) + place) % 7] for place in range(size)] for row in range(14)]
        rows += [["0.25"] * size, ["NaN"] * size, ["-Infinity"] * size]
        cases += [
            {"job": "decide", "change": change, "probabilities": row, "uncertainty": unsure}
            for row in rows
            for unsure in ("0.4", "0.40000001", "0.5", "NaN")
        ]
    outcome = python(package, "outcome")
    for case, found in zip(cases, ask(tools, module, folder, cases), strict=True):
        change = {key: tuple(value) if key == "labels" else value for key, value in case["change"].items()}
        changed = replace(one, **change)
        given = np.array([float(value.replace("Infinity", "inf")) for value in case["probabilities"]], np.float32)
        wanted = outcome.as_row(changed, outcome.decide(changed, given, float(case["uncertainty"])))
        assert found == json.loads(json.dumps(wanted)), case


def test_live_listening_hears_what_python_hears(tools, module, folder, facts, package):
    random = np.random.default_rng(5)
    seeds = [[*random.dirichlet(np.ones(3) * 0.4), random.uniform(0, 0.8)] for _ in range(9)]
    seeds = [[float(np.float32(x)) for x in row] for row in seeds]
    cases = [
        {
            "job": "listen",
            "wave": noise(9 * SAMPLES, 3).tolist(),
            "rate": rate,
            "pool": pool,
            "hold": hold,
            "seeds": seeds,
        }
        for rate in (RATE_HZ, 48000)
        for pool in (1, 3)
        for hold in (1, 2)
    ]
    one = python(package, "facts").read_facts((folder / "facts.json").read_bytes())
    for case, found in zip(cases, ask(tools, module, folder, cases), strict=True):
        turns = iter(range(10_000))

        def session(_, turns=turns):
            row = seeds[next(turns) % len(seeds)]
            return np.array(row[:-1], np.float32), row[-1]

        listener = python(package, "listen").Listener(one, session, case["rate"], case["pool"], case["hold"])
        heard = listener.push(np.array(case["wave"], np.float32))
        row = python(package, "outcome").as_row
        wanted = [{"first": h.first_sample, "changed": h.changed, "row": row(one, h.outcome)} for h in heard]
        assert found == wanted and len(wanted) >= 1


def wav(form: int, channels: int, bits: int, sound: bytes, *, rate: int = 44100, stated: int | None = None) -> bytes:
    size = len(sound) if stated is None else stated
    shape = struct.pack("<HHIIHH", form, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    more = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + shape + more + b"data" + struct.pack("<I", size) + sound


def test_wav_files_are_read_as_python_reads_them(tools, module, folder, package):
    random = np.random.default_rng(1)
    noise_bytes = random.integers(0, 256, 240, np.uint8).tobytes()
    floats = random.uniform(-1, 1, 60)
    files = [wav(1, channels, bits, noise_bytes) for bits in (8, 16, 24, 32) for channels in (1, 2, 3)]
    files += [wav(3, 2, 32, floats.astype("<f4").tobytes()), wav(3, 1, 64, floats.astype("<f8").tobytes())]
    files += [wav(1, 1, 16, noise_bytes, stated=0), wav(1, 1, 16, noise_bytes, stated=0x7FFFFF00)]
    files += [
        wav(1, 1, 16, noise_bytes, stated=999),
        wav(1, 1, 12, noise_bytes),
        wav(3, 1, 32, b"\0\0\xc0\x7f"),
        b"RIFF",
    ]
    files += [wav(1, 1, 16, b""), b"", files[0][:30], b"RIFF\0\0\0\0WAVEdata\x02\0\0\0\0\0"]
    cases = [{"job": "wav", "bytes": list(content)} for content in files]
    reader, error = python(package, "wav"), python(package, "facts").ModelError
    for content, found in zip(files, ask(tools, module, folder, cases), strict=True):
        try:
            wave, rate = reader._read(content)
        except error as why:
            assert found == {"error": str(why)}
        else:
            assert found["rate"] == rate
            np.testing.assert_allclose(found["wave"], wave, rtol=0, atol=1e-7)


def test_the_code_is_well_typed_whatever_the_labels_are(tools, tmp_path):
    labels = ['say "no"', "back\\slash", "`${x}`*/-->"]
    for form in ("tflite", "onnx"):
        asks = {"questions": [*FORM["questions"], ODD]}
        names = "Odd */ `${x}` --> \\ names"
        odd = write_small_bundle(tmp_path / form / "sounds", labels=labels, summary=names, form=asks)
        embed(read_bundle(odd), "web", tmp_path / form / "web", form)
        code = next((tmp_path / form / "web").glob("*.ts"))
        (tmp_path / form / "web" / "use.ts").write_text(
            f'import {{ load, type FormAnswers, type Label }} from "./{code.stem}.js";\n'
            'const model = await load({ wasm: "/runtime/" });\n'
            "const outcome = await model.answer(new Float32Array(9), 44100);\n"
            f"export const told: Label = outcome.kind === 'ask' ? outcome.bestGuess : outcome.label;\n"
            f"export const known: Label = {json.dumps(labels[2])};\n"
            "// @ts-expect-error: an answer is not read without having looked which one it is\n"
            "export const unseen = outcome.label;\n"
            "// @ts-expect-error: no such label\n"
            'export const other: Label = "other";\n'
            f"const given: FormAnswers = {json.dumps(GIVEN | {'odd': None})};\n"
            "// @ts-expect-error: a question that must be answered is\n"
            "export const open: FormAnswers = { ...given, fever: null };\n"
            "// @ts-expect-error: no such option\n"
            'export const chosen: FormAnswers = { ...given, breathing: "hard" };\n'
        )
        shutil.copytree(tmp_path / form / "web", tools / "model" / form, dirs_exist_ok=True)
    settings = json.loads((tools / "tsconfig.json").read_text())
    settings["compilerOptions"]["paths"] = {"bundle": ["./model/tflite/sounds.ts"]}
    (tools / "tsconfig.test.json").write_text(json.dumps(settings))
    try:
        run(["node", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.test.json"], tools)
    finally:
        shutil.rmtree(tools / "model")
        (tools / "tsconfig.test.json").unlink()


def test_the_folder_holds_one_version_and_the_selector_names_it(facts, folder):
    names = {path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*") if path.is_file()}
    inside = {name for name in names if name.startswith(f"{facts.package}/")}
    assert names - inside == {"sounds.ts", "edgecomp-embed.json"}
    assert {"index.ts", "facts.json", "model.tflite", "golden/golden.json", "README.md"} <= {
        name.split("/", 1)[1] for name in inside
    }
    assert f'export * from "./{facts.package}/index.js";' in (folder.parent / "sounds.ts").read_text()
    for path in folder.glob("*.ts"):
        text = path.read_text()
        assert text.startswith(f"// {facts.note}\n") and not re.search(r"@[A-Z_0-9]+@", text), path
    assert not re.search(r"@[A-Z_0-9]{2,}@", (folder / "README.md").read_text())


def test_the_same_bundle_gives_the_same_bytes_and_only_the_selector_may_be_edited(bundle, facts, folder):
    first, second = web.files(facts), web.files(read_facts(bundle))
    assert first == second and [type(one) for one in first.values()].count(Selector) == 1
    again = embed(bundle, "web", folder.parent)
    assert again.written == () and len(again.same) == len(first)
    code = folder / "ring.ts"
    before = code.read_text()
    code.write_text(before + "// mine\n")
    with pytest.raises(EmbedError, match="edited by hand"):
        embed(bundle, "web", folder.parent)
    code.write_text(before)


def test_the_stated_facts_are_the_bundles(bundle, facts, folder):
    stated = json.loads((folder / "facts.json").read_text())
    assert stated["labels"] == bundle.labels and stated["samples"] == SAMPLES
    assert stated["model_sha256"] == bundle.facts["models"]["tflite"]["sha256"]
    assert (
        stated["ask_above"] == 0.4 and stated["threshold"] is None and math.isclose(stated["hop_samples"], SAMPLES / 2)
    )
    onnx = web.files(read_facts(bundle, "onnx"))
    assert f"{facts.package}/model.onnx" in onnx and "onnxruntime-web" in onnx[f"{facts.package}/runtime.ts"]
    assert web.PACKAGES["tflite"].endswith(
        json.loads((demo.SOURCES / "package.json").read_text())["dependencies"]["@litertjs/core"]
    )
    assert web.PACKAGES["onnx"].endswith(
        json.loads((demo.SOURCES / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    )
