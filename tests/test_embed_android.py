"""The Android module: what it states, and that the shipped Kotlin answers as the bundle does on real clips."""

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from android_demo.checks import kotlinc
from edgecomp.bundle import read_bundle
from edgecomp.data import audio
from edgecomp.embed import EmbedError, Selector, android, embed
from edgecomp.embed.facts import read_facts
from tests.android_tools import have
from tests.shared_data import shared_data
from tests.small_bundle import write_small_bundle

SOXR_PROBABILITY = 1e-3
"""How far a probability may be from the one after soxr's resampling; 3.7e-4 was measured on 100 resampled clips."""
SOXR_DB, SOXR_LARGEST = 60, 3e-3
"""How far a resampled real clip may be from soxr's VHQ; see tests/test_embed_python.py, whose arithmetic this is."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Write a bundle with the seed whose random weights give real clips several labels, sure and unsure."""
    return read_bundle(write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything", seed=7))


@pytest.fixture(scope="module")
def modules(bundle, tmp_path_factory) -> dict[str, Path]:
    """Folders that hold the module, by format."""
    made = {form: tmp_path_factory.mktemp(form) for form in android.OPENERS}
    for form, folder in made.items():
        embed(bundle, "android", folder, form)
    return made


@pytest.fixture(scope="module")
def drive(bundle, modules, tmp_path_factory):
    """Run the generated ONNX module and the core on this machine's JVM."""
    work = tmp_path_factory.mktemp("replay")
    program, needs = have(kotlinc.replay, modules["onnx"], work)

    def run(verb: str, *arguments: object, assets: Path | None = None):
        place = assets or modules["onnx"] / "src" / "main" / "assets" / read_facts(bundle).package
        return kotlinc.run("edgecomp.replay.ReplayKt", [program, *needs], verb, str(place), *map(str, arguments))

    return run


@pytest.fixture(scope="module")
def python_model(bundle, tmp_path_factory):
    """The same bundle's Python module, loaded."""
    folder = tmp_path_factory.mktemp("python")
    embed(bundle, "python", folder, "onnx")
    sys.path.insert(0, str(folder))
    yield importlib.import_module(read_facts(bundle, "onnx").package).load()
    sys.path.remove(str(folder))


def rows(ended) -> list[dict]:
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def real_clips(tmp_path_factory) -> Path:
    """Write 200 real recordings as WAV files: digits at 8 kHz, and wake words at five rates and in five codings."""
    folder = tmp_path_factory.mktemp("clips")
    digits = sorted((shared_data("fsdd") / "audio").glob("*.flac"))[::20][:100]
    words = sorted((shared_data("wakewords") / "audio").rglob("*.flac"))[::18][:100]
    for i, source in enumerate([*digits, *words]):
        wave, rate = soundfile.read(source, dtype="float32")
        if source in words:
            goal = (16000, 48000, 44100, 22050, 11025)[i % 5]
            wave, rate = np.clip(audio.resample(wave, rate, goal), -1, 1), goal
        coding = ("PCM_16", "PCM_24", "FLOAT", "PCM_32", "PCM_U8")[i // 5 % 5]
        soundfile.write(folder / f"{i:03d}.wav", wave, rate, subtype=coding)
    return folder


def test_the_class_states_the_bundles_facts(bundle, modules):
    for form, folder in modules.items():
        facts = read_facts(bundle, form)
        text = next(folder.rglob(f"{facts.class_name}.kt")).read_text()
        for told in (
            f'version = "{facts.version}"',
            f"sampleRateHz = {facts.sample_rate}",
            f"samples = {facts.samples}",
            f"hopSamples = {facts.hop_samples}",
            f"fit = Fit.{facts.fit.upper()}",
            f"askAbove = {facts.ask_above!r}",
            "threshold = null",
            f"threads = {facts.threads}",
            f'modelSha256 = "{facts.model.sha256}"',
            'labels = listOf("' + '", "'.join(facts.labels) + '")',
        ):
            assert told in text
        assert next(folder.rglob(facts.model.file)).read_bytes() == facts.model.path.read_bytes()
        assert re.findall(r"@[A-Z0-9_]+@", "".join(p.read_text() for p in folder.rglob("*.kt"))) == []


def test_only_the_runtime_of_the_format_is_a_dependency(modules):
    for form, folder in modules.items():
        assert [p.stem for p in folder.rglob("*Model.kt") if p.stem in android.OPENERS.values()] == [
            android.OPENERS[form]
        ]
        build = (folder / "build.gradle.kts").read_text()
        assert len(re.findall(r'"[a-z.]+:[a-z-]+:[0-9.]+"', build)) == 2  # each behind the presence of its opener
        assert re.findall(r'"(\w+\.kt)" in openers', build) == ["LiteRtModel.kt", "OrtModel.kt"]


def test_the_version_in_use_is_one_line_of_a_selector(bundle):
    facts = read_facts(bundle)
    made = android.files(facts)
    (place,) = [name for name, content in made.items() if isinstance(content, Selector)]
    assert f"typealias InUse = edgecomp.{facts.package}.{facts.class_name}\n" in made[place]


def test_any_label_becomes_a_kotlin_literal_of_itself():
    assert android._kotlin_text('a"b\\c$d\n\x0cé') == '"a\\"b\\\\c\\$d\\n\\u000c\\u00e9"'


def test_a_threshold_and_a_bundle_that_always_asks_are_stated(bundle):
    facts = replace(read_facts(bundle), labels=("no", "a $label"), positive="a $label", threshold=0.25, ask_above=None)
    facts = replace(facts, summary="ends */ here @NOTE@")
    text = android._filled("Version.kt", android._known(facts, "0" * 64))
    assert 'positive = "a \\$label"' in text and "threshold = 0.25" in text and "askAbove = null" in text
    assert "/** ends * / here @NOTE@ */" in text


def test_the_core_that_is_written_is_the_core_that_is_tested(modules):
    for folder in modules.values():
        written = {p.name: p.read_text() for p in (folder / "src" / "core").rglob("*.kt")}
        assert {name: text.split("\n", 1)[1] for name, text in written.items()} == {
            p.name: p.read_text() for p in kotlinc.CORE.rglob("*.kt")
        }


def test_an_installation_without_the_core_writes_nothing(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(android, "shipped", lambda folder: tmp_path / folder)
    with pytest.raises(EmbedError, match="core is missing"):
        embed(bundle, "android", tmp_path / "module")
    assert not (tmp_path / "module").exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", android.OPENERS)
def test_types_agree_with_androids_classes(form, modules):
    have(kotlinc.model_module, modules[form])


@pytest.mark.slow
def test_the_check_of_types_sees_a_break(modules, tmp_path):
    broken = tmp_path / "Broken.kt"
    broken.write_text("package edgecomp.broken\nfun f(c: android.content.Context): Int = c.assets\n")
    with pytest.raises(kotlinc.CompileError, match="AssetManager"):
        have(kotlinc.on_android, [broken], [])


@pytest.mark.slow
def test_the_self_test_passes_here_and_names_what_was_changed(drive, bundle, modules, tmp_path):
    facts = read_facts(bundle, "onnx")
    (told,) = rows(drive("selftest"))
    assert (
        told["passed"]
        and told["worst"] <= told["tolerance"] == facts.model.tolerance
        and told["clips"] == len(facts.golden)
    )
    source = modules["onnx"] / "src" / "main" / "assets" / facts.package
    for name, damage in [
        ("model.onnx", lambda held: held[:-1]),
        ("model.onnx", lambda held: b"\0" + held[1:]),
        ("golden/golden.json", lambda held: held + b" "),
        (
            "golden/00.f32",
            lambda held: held[:-4] + b"\0\0\0\0" if held[-4:] != b"\0\0\0\0" else held[:-4] + b"\1\0\0\0",
        ),
    ]:
        copy = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        for file in source.rglob("*"):
            if file.is_file():
                (copy / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                (copy / file.relative_to(source)).write_bytes(file.read_bytes())
        (copy / name).write_bytes(damage((copy / name).read_bytes()))
        ended = drive("selftest", assets=copy)
        assert ended.returncode == 3 and "was changed" in ended.stderr and "\n" not in ended.stderr.strip()


@pytest.mark.slow
def test_a_damaged_model_file_is_refused_with_a_message_even_where_its_hash_is_right(drive, bundle, tmp_path):
    whole, random = read_facts(bundle, "onnx").model.path.read_bytes(), np.random.default_rng(0)
    held = {
        "whole": whole,
        "empty": b"",
        "zeros": bytes(5000),
        "text": b"no model",
        "tflite": b"\x1c\0\0\0TFL3" + bytes(99),
    }
    held |= {f"cut {row}": whole[: int(at)] for row, at in enumerate(random.integers(1, len(whole), 12))}
    for row in range(40):
        flipped = bytearray(whole)
        for at in random.integers(0, 3000 if row % 2 else len(whole), 4):
            flipped[at] ^= 1 << int(random.integers(8))
        held[f"flipped {row:02}"] = bytes(flipped)
    for name, content in held.items():
        (tmp_path / name).write_bytes(content)
    told = {row["file"]: row["refused"] for row in rows(drive("load", tmp_path))}
    assert set(told) == set(held) and told["whole"] is None
    assert all(told[name] for name in held if not name.startswith(("whole", "flipped")))
    assert any(told[name] for name in held if name.startswith("flipped")), "weights may be any bytes, the graph may not"


@pytest.mark.slow
def test_200_real_clips_get_the_bundles_answers(drive, bundle, real_clips, python_model):
    """The decision of every clip is the bundle's own, whose resampler is soxr; Python's module resamples as Kotlin does."""
    facts, session = read_facts(bundle, "onnx"), bundle.session("onnx")
    told = rows(drive("answers", real_clips))
    assert len(told) == 200 and all(row["same"] for row in told)  # in pieces as in the whole, to the last bit
    asked, labels, apart_soxr, apart_python = 0, set(), 0.0, 0.0
    for row in told:
        line, clip = json.loads(row["line"]), real_clips / row["clip"]
        found = np.array([*line["probabilities"].values(), line["uncertainty"]])
        expected = session(bundle.read_clip(clip))
        assert (line["label"], line["ask"]) == (bundle.label(expected.probabilities), bundle.asks(expected.uncertainty))
        apart = np.abs(found - [*expected.probabilities, expected.uncertainty]).max()
        if soundfile.info(clip).samplerate == facts.sample_rate:
            assert apart <= facts.model.tolerance
        apart_soxr = max(apart_soxr, apart)
        outcome = python_model.answer_file(clip)
        apart_python = max(apart_python, np.abs(found - [*outcome.probabilities, outcome.uncertainty]).max())
        asked += line["ask"]
        labels.add(line["label"])
    assert apart_python <= facts.model.tolerance and apart_soxr <= SOXR_PROBABILITY
    assert 0 < asked < 200 and len(labels) > 1  # both outcomes were met, and more than one label


@pytest.mark.slow
def test_live_listening_hears_what_the_windows_say(drive, bundle, tmp_path):
    facts, session = read_facts(bundle, "onnx"), bundle.session("onnx")
    digits = sorted((shared_data("fsdd") / "audio").glob("*.flac"))[::97][:20]
    wave = np.concatenate([soundfile.read(one, dtype="float32")[0] for one in digits])
    (tmp_path / "wave.f32").write_bytes(wave.astype("<f4").tobytes())
    told = rows(drive("listen", tmp_path / "wave.f32", facts.sample_rate))
    given = []
    for i, row in enumerate(told):
        assert row["first"] == i * facts.hop_samples
        given.append(session(wave[i * facts.hop_samples :][: facts.samples]))
        last = given[-3:]
        line = json.loads(row["line"])
        expected = np.mean([one.probabilities for one in last], axis=0, dtype=np.float64)
        assert np.abs(expected - list(line["probabilities"].values())).max() <= facts.model.tolerance
        assert abs(np.mean([one.uncertainty for one in last]) - line["uncertainty"]) <= facts.model.tolerance
    assert len(told) == (len(wave) - facts.samples) // facts.hop_samples + 1 and told[0]["changed"]


@pytest.mark.slow
@pytest.mark.parametrize("rates", [(48000, 16000), (44100, 16000), (16000, 8000), (8000, 16000)])
def test_resampling_a_real_clip_equals_pythons_and_nearly_soxrs(rates, drive, tmp_path):
    source_hz, target_hz = rates
    clip = sorted((shared_data("wakewords") / "audio").rglob("*.flac"))[5]
    wave = audio.resample(*(soundfile.read(clip, dtype="float32")), source_hz)
    (tmp_path / "in.f32").write_bytes(wave.astype("<f4").tobytes())
    ended = drive("resample", source_hz, target_hz, tmp_path / "in.f32", tmp_path / "out.f32")
    assert ended.returncode == 0, ended.stderr
    found = np.fromfile(tmp_path / "out.f32", "<f4")
    soxr = audio.resample(wave, source_hz, target_hz)
    assert len(found) == len(soxr)
    apart = found.astype(np.float64) - soxr
    assert np.abs(apart).max() <= SOXR_LARGEST
    assert 10 * np.log10(np.square(soxr, dtype=np.float64).sum() / np.square(apart).sum()) >= SOXR_DB
    at = np.arange(0, len(found), 16)
    python = python_resample(wave, source_hz, target_hz, at)
    assert np.abs(found[at] - python).max() <= 2**-22  # sin and the Bessel function may differ in their last bits


def python_resample(wave: np.ndarray, source_hz: int, target_hz: int, at: np.ndarray) -> np.ndarray:
    """Return some samples by rule 3 of docs/embedding.md as its definition says it, without polyphase tables."""
    cutoff, half, beta = 0.9556642, 133.25, 18.43353
    low = min(source_hz, target_hz)
    width, c = half * source_hz / low, cutoff * low / source_hz
    made = np.zeros(len(at), np.float32)
    for row, j in enumerate(at):
        centre = j * source_hz / target_hz
        x = np.arange(max(0, int(centre - width)), min(len(wave), int(centre + width) + 2))
        d = x - centre
        inside = np.abs(d) <= width
        window = np.i0(beta * np.sqrt(np.where(inside, 1 - (d / width) ** 2, 0))) / np.i0(beta)
        made[row] = np.sum(np.where(inside, c * np.sinc(c * d) * window, 0) * wave[x].astype(np.float64))
    return made
