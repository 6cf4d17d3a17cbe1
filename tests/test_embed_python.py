"""The generated Python package: the bundle's own answers, whole or in pieces, with only numpy and one runtime."""

import ast
import importlib
import json
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.bundle import read_bundle
from edgecomp.data import audio
from edgecomp.embed import embed
from edgecomp.embed.facts import read_facts
from edgecomp.embed.python import selector_name
from tests.shared_data import shared_data
from tests.small_bundle import RATE, SAMPLES, write_small_bundle
from tests.small_students import sounds

FORMS = ("onnx", "tflite")
RUNTIME = {"onnx": ["onnxruntime"], "tflite": ["ai_edge_litert"]}
SOXR_DB, SOXR_LARGEST = 60, 3e-3
"""How far a resampled real clip may be from soxr's VHQ: power of the clip over that of the difference, and the largest
difference of a sample. Measured on 65 clips: 63 dB at worst, medians 80 to 183; 2.2e-3, at a clip's first samples."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return read_bundle(write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything"))


@pytest.fixture(scope="module")
def folders(bundle, tmp_path_factory):
    """Folders that hold the package, by format."""
    made = {form: tmp_path_factory.mktemp(form) for form in FORMS}
    for form, folder in made.items():
        embed(bundle, "python", folder, form)
    return made


@pytest.fixture(scope="module")
def package(bundle, folders):
    """The package for ONNX, imported here; the subprocess tests import the other one too."""
    sys.path.insert(0, str(folders["onnx"]))
    yield importlib.import_module(read_facts(bundle).package)
    sys.path.remove(str(folders["onnx"]))


@pytest.fixture(scope="module")
def model(package):
    return package.load()


def part(package, name):
    return importlib.import_module(f"{package.__name__}.{name}")


def alone(folder: Path, form: str, scratch: Path) -> tuple[list[str], dict[str, str]]:
    """Return how to start a Python that can import the package, numpy and one runtime, and nothing else."""
    site = scratch / "site"
    if not site.exists():
        site.mkdir(parents=True)
        for name in ("numpy", *RUNTIME[form]):
            place = Path(importlib.import_module(name).__file__).parent
            for found in (place, place.with_name(f"{name}.libs")):
                if found.exists():
                    (site / name if found == place else site / found.name).symlink_to(found)
    found = {
        "PYTHONPATH": os.pathsep.join([str(site), str(folder)]),
        "OMP_NUM_THREADS": "1",
        "PATH": os.environ["PATH"],
    }
    # -B: what Python compiled in the same second as a file of the same length was rewritten would be used again
    return [sys.executable, "-S", "-s", "-B"], found


def command(folder: Path, form: str, scratch: Path, *words: object, **changed: str) -> subprocess.CompletedProcess:
    start, environment = alone(folder, form, scratch)
    return subprocess.run(
        [*start, "-m", "sounds", *map(str, words)],
        env=environment | changed,
        cwd=scratch,
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def real_clips(tmp_path_factory) -> list[Path]:
    """Write 200 real recordings as WAV files: digits at 8 kHz, and wake words at five rates."""
    folder = tmp_path_factory.mktemp("clips")
    digits = sorted((shared_data("fsdd") / "audio").glob("*.flac"))[::20][:100]
    words = sorted((shared_data("wakewords") / "audio").rglob("*.flac"))[::18][:100]
    made = []
    for i, source in enumerate([*digits, *words]):
        wave, rate = soundfile.read(source, dtype="float32")
        if source in words:
            goal = (16000, 48000, 44100, 22050, 11025)[i % 5]
            wave, rate = np.clip(audio.resample(wave, rate, goal), -1, 1), goal
        made.append(folder / f"{i:03d}.wav")
        soundfile.write(made[-1], wave, rate, subtype=("PCM_16", "PCM_24", "FLOAT", "PCM_32", "PCM_U8")[i // 5 % 5])
    return made


@pytest.mark.parametrize("form", FORMS)
def test_200_real_clips_get_the_bundles_answers_with_only_numpy_and_a_runtime(
    form, bundle, folders, real_clips, tmp_path
):
    assert len(real_clips) == 200
    clips = real_clips if form == "tflite" else real_clips[::4]
    done = command(folders[form], form, tmp_path / "alone", *clips)
    assert done.returncode == 0, done.stderr
    session, worst, facts = bundle.session(form), 0.0, read_facts(bundle, form)
    for clip, row in zip(clips, rows(done.stdout), strict=True):
        expected = session(bundle.read_clip(clip))
        assert (row["label"], row["ask"]) == (bundle.label(expected.probabilities), bundle.asks(expected.uncertainty))
        found = [*row["probabilities"].values(), row["uncertainty"]]
        worst = max(worst, np.abs(np.array(found) - [*expected.probabilities, expected.uncertainty]).max())
    assert worst <= facts.model.tolerance


def test_the_lonely_python_can_import_nothing_else(folders, tmp_path):
    start, environment = alone(folders["onnx"], "onnx", tmp_path)
    for name in ("edgecomp", "soundfile", "soxr", "scipy", "torch", "ai_edge_litert"):
        done = subprocess.run(
            [*start, "-c", f"import {name}"], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert "ModuleNotFoundError" in done.stderr, name


@pytest.mark.parametrize("form", FORMS)
def test_the_self_test_passes_here_and_says_the_worst_difference(form, folders, tmp_path):
    done = command(folders[form], form, tmp_path, "--self-test")
    (row,) = rows(done.stdout)
    assert done.returncode == 0 and row["passed"] and row["worst"] <= row["tolerance"] and row["clips"] == 3


def test_the_self_test_fails_where_the_runtime_answers_otherwise(package, model):
    def shifted(wave):
        probabilities, uncertainty = model._session(wave)
        return probabilities + np.float32(0.01), uncertainty

    found = package.Model(model.facts, shifted).self_test()
    assert not found.passed and found.worst == pytest.approx(0.01, abs=1e-3)
    lost = package.Model(model.facts, lambda wave: (np.full(3, np.nan, np.float32), 0.0)).self_test()
    assert not lost.passed and math.isnan(lost.worst)


@pytest.mark.parametrize("source_hz", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("target_hz", [8000, 16000])
def test_resampled_speech_equals_soxr_vhq(source_hz, target_hz, package):
    resample = part(package, "resample").resample
    words = sorted((shared_data("wakewords") / "audio").rglob("*.flac"))[::450]
    for source in [*words, *sorted((shared_data("fsdd") / "audio").glob("*.flac"))[::500]]:
        wave, rate = soundfile.read(source, dtype="float32")
        wave = audio.resample(wave, rate, source_hz)
        mine, soxr = resample(wave, source_hz, target_hz), audio.resample(wave, source_hz, target_hz)
        apart = mine.astype(np.float64) - soxr
        assert mine.dtype == np.float32 and len(mine) == len(soxr)
        assert np.abs(apart).max() <= SOXR_LARGEST
        assert np.square(apart).sum() <= np.square(soxr, dtype=np.float64).sum() / 10 ** (SOXR_DB / 10)


@given(
    source=st.sampled_from([8000, 11025, 16000, 44100, 48000]),
    target=st.sampled_from([8000, 16000]),
    cuts=st.lists(st.integers(0, 9000), max_size=8),
    length=st.integers(0, 9000),
)
@settings(max_examples=40, deadline=None)
def test_resampling_in_pieces_gives_the_same_bits(package, source, target, cuts, length):
    module = part(package, "resample")
    wave = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    one = module.Resampler(source, target)
    pieces = [one.push(piece) for piece in np.split(wave, sorted(min(cut, length) for cut in cuts))]
    assert np.concatenate([*pieces, one.finish()]).tobytes() == module.resample(wave, source, target).tobytes()


@pytest.mark.parametrize("rate", [0, -8000, 3999, 400_000, 8000.0, True, 44_101])
def test_a_rate_that_cannot_be_resampled_is_the_typed_error(rate, model, package):
    with pytest.raises(package.ModelError, match="Hz"):
        model.recording(rate)


@given(
    how=st.sampled_from(["loudest", "centre", "start"]),
    samples=st.integers(1, 60),
    levels=st.lists(st.integers(-3, 3), min_size=1, max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_a_window_found_in_pieces_is_that_of_edgecomp(package, how, samples, levels, cuts):
    wave = np.array(levels, np.float32) * np.float32(0.1)  # few levels: many windows of equal energy
    found = part(package, "window").Fit(samples, how, 8000)
    for piece in np.split(wave, sorted(min(cut, len(wave)) for cut in cuts)):
        found.push(piece)
    assert found.finish().tobytes() == audio.fit(wave, samples, how).tobytes()


def test_the_loudest_window_of_a_long_stream_takes_no_more_memory(package):
    found = part(package, "window").Fit(100, "loudest", 8000)
    random = np.random.default_rng(0)
    wave = random.standard_normal(200_000).astype(np.float32)
    for piece in np.split(wave, 400):
        found.push(piece)
        assert len(found._kept) <= 100 and len(found._energy) <= 101
    assert np.array_equal(found.finish(), audio.fit(wave, 100, "loudest"))


def test_the_centre_of_an_endless_stream_is_refused(package):
    found = part(package, "window").Fit(100, "centre", 10)
    found.push(np.zeros(6000, np.float32))
    with pytest.raises(package.ModelError, match="600 s"):
        found.push(np.zeros(1, np.float32))


@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 20_000), max_size=10), rate=st.sampled_from([8000, 16000]))
@settings(max_examples=25, deadline=None)
def test_a_recording_in_pieces_gives_the_whole_ones_outcome(package, model, seed, cuts, rate):
    wave = sounds(1, 9000, seed=seed)[0]
    one = model.recording(rate)
    for piece in np.split(wave, sorted(min(cut, 9000) for cut in cuts)):
        one.push(piece)
    assert one.finish() == model.answer(wave, rate)


def test_a_refused_chunk_changes_nothing(package, model):
    wave = sounds(1, 6000)[0]
    one = model.recording(RATE)
    one.push(wave[:3000])
    for bad in (np.array([np.nan]), np.array([[0.1]]), np.array([1], np.int16), np.array([1e39]), "a", None):
        with pytest.raises(package.ModelError):
            one.push(bad)
    one.push(wave[3000:])
    assert one.finish() == model.answer(wave, RATE)
    with pytest.raises(package.ModelError, match="finished"):
        one.push(wave)
    with pytest.raises(package.ModelError, match="no samples"):
        model.recording(RATE).finish()


def expected_live(model, wave: np.ndarray, pool: int) -> list[tuple[np.ndarray, float]]:
    """Return the pooled figures of every window, written down from the rules and not from the code."""
    given = [model._session(wave[at : at + SAMPLES]) for at in range(0, len(wave) - SAMPLES + 1, SAMPLES // 2)]
    made = []
    for i in range(len(given)):
        last = given[max(0, i - pool + 1) : i + 1]
        mean = sum(p.astype(np.float64) for p, _ in last) / len(last)
        made.append((mean.astype(np.float32), float(np.float32(sum(u for _, u in last) / len(last)))))
    return made


@given(cuts=st.lists(st.integers(0, 24_000), max_size=12), pool=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_live_windows_are_pooled_alike_however_the_stream_is_cut(package, model, cuts, pool):
    wave = np.concatenate(list(sounds(6, SAMPLES, seed=3)))
    listener, heard = model.listen(RATE, pool=pool), []
    for piece in np.split(wave, sorted(cuts)):
        heard += listener.push(piece)
    expected = expected_live(model, wave, pool)
    assert [one.first_sample for one in heard] == [i * (SAMPLES // 2) for i in range(len(expected))]
    for one, (probabilities, uncertainty) in zip(heard, expected, strict=True):
        assert one.outcome.probabilities == tuple(map(float, probabilities)) and one.outcome.uncertainty == uncertainty


def test_an_outcome_is_announced_once_it_has_held(package, model):
    says = iter([0, 1, 1, 1, 0, 2, 2])

    def session(wave):
        return np.eye(3, dtype=np.float32)[next(says)], 0.0

    listener = part(package, "listen").Listener(model.facts, session, RATE, pool=1, hold=2)
    heard = listener.push(np.zeros(SAMPLES + 6 * (SAMPLES // 2), np.float32))
    assert [one.changed for one in heard] == [False, False, True, False, False, False, True]


def test_no_window_spans_a_gap(package, model):
    wave = np.concatenate(list(sounds(3, SAMPLES, seed=5)))
    listener = model.listen(RATE, pool=3)
    listener.push(wave[: SAMPLES + 100])
    listener.gap()
    after = listener.push(wave[7000 : 7000 + SAMPLES])
    assert [one.first_sample for one in after] == [0]
    assert after[0].outcome.probabilities == tuple(map(float, model._session(wave[7000 : 7000 + SAMPLES])[0]))


@given(
    capacity=st.integers(1, 50),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 80)), max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_a_ring_counts_every_lost_sample_and_gives_the_others_in_order(package, capacity, steps):
    ring, written, read, lost = package.Ring(capacity), 0, [], 0
    for is_write, count in steps:
        if is_write:
            lost += ring.write(np.arange(written, written + count, dtype=np.float32))
            written += count
        else:
            first, wave = ring.read(count)
            assert wave.tolist() == list(range(first, first + len(wave)))
            read += wave.tolist()
        assert ring.waiting <= capacity
        assert written == len(read) + ring.dropped + ring.waiting and ring.dropped == lost
    assert read == sorted(set(read))


def test_a_slow_listener_says_what_it_lost_and_goes_on(package, model):
    sources, ring, found = part(package, "sources"), package.Ring(SAMPLES), []
    wave = np.concatenate(list(sounds(4, SAMPLES, seed=5)))
    ring.write(wave[:SAMPLES])

    def write(row):
        found.append(row)
        if len(found) == 1:  # while the model was busy, three windows came: two of them are lost
            ring.write(wave[SAMPLES:])
            ring.close()

    sources.follow(model.listen(RATE), ring, RATE, write)
    assert [(row["at_s"], row["dropped"]) for row in found] == [(0.0, 0), (3 * SAMPLES / RATE, 2 * SAMPLES)]
    assert found[1]["probabilities"] == {
        name: round(float(p), 6) for name, p in zip(package.LABELS, model._session(wave[-SAMPLES:])[0], strict=True)
    }


@given(held=st.binary(max_size=120))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_sound_are_the_typed_error(package, tmp_path_factory, held):
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    header = b"RIFF\x00\x00\x00\x00WAVE"
    for content in (held, header + held, header + b"fmt \x10\x00\x00\x00" + held):
        path.write_bytes(content)
        try:
            wave, _ = part(package, "wav").read_wav(path)
            assert len(wave) and np.isfinite(wave).all()
        except package.ModelError:
            pass


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_a_wav_file_reads_as_edgecomp_reads_it(subtype, channels, kind, package, tmp_path):
    wave = np.random.default_rng(0).uniform(-1, 1, (500, channels))
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype=subtype, format=kind)
    mine, rate = part(package, "wav").read_wav(tmp_path / "a.wav")
    expected, _ = audio.read_audio(tmp_path / "a.wav")
    assert rate == 8000 and mine.tobytes() == expected.tobytes()


def test_a_truncated_wav_file_is_refused(package, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(500), 8000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-100])
    with pytest.raises(package.ModelError, match="truncated: 900 of 1000 bytes"):
        part(package, "wav").read_wav(tmp_path / "a.wav")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_facts_that_were_tampered_with_are_the_typed_error_or_facts(package, data):
    facts = part(package, "facts")
    told = json.loads((facts.FOLDER / "facts.json").read_text())
    told[data.draw(st.sampled_from(sorted(told)))] = data.draw(json_values)
    try:
        assert isinstance(facts.read_facts(json.dumps(told).encode()), facts.Facts)
    except package.ModelError as why:
        assert str(why)


@pytest.mark.parametrize(
    ("flags", "machine", "expected"),
    [
        ({"sse4_2", "avx2"}, "x86_64", True),
        ({"avx2", "avx_vnni"}, "AMD64", False),
        ({"avx2", "avx512_vnni"}, "x86_64", False),
        ({"sse4_2"}, "x86_64", False),
        (set(), "x86_64", True),
        ({"asimd"}, "aarch64", False),
    ],
)
def test_kernels_that_saturate_are_avoided_where_there_are_such(package, flags, machine, expected):
    assert part(package, "runtime").saturates(flags, machine) is expected


def test_linux_is_asked_for_its_instruction_sets(package):
    if Path("/proc/cpuinfo").exists() and platform.machine() == "x86_64":
        assert "sse2" in part(package, "runtime").cpu_flags()


@given(held=st.binary(max_size=50))
@settings(deadline=None)
def test_bytes_that_are_no_facts_are_the_typed_error(package, held):
    with pytest.raises(package.ModelError):
        part(package, "facts").read_facts(held)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "gone"])
@pytest.mark.parametrize("file", ["model", "facts.json", "golden/01.f32", "golden/golden.json"])
def test_damaged_files_end_in_one_message_and_never_in_a_crash(form, damage, file, folders, bundle, tmp_path):
    whole = shutil.copytree(folders[form], tmp_path / "app")
    place = whole / read_facts(bundle).package / (f"model.{form}" if file == "model" else file)
    held = place.read_bytes()
    place.write_bytes(
        {"cut": held[: len(held) // 2], "one bit": held[:-9] + bytes([held[-9] ^ 1]) + held[-8:]}.get(damage, b"")
    )
    if damage == "gone":
        place.unlink()
    done = command(whole, form, tmp_path / "alone", "--self-test")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert done.returncode == 1 and len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert place.name in lines[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"", b"no model", b"\x1c\x00\x00\x00TFL3" + bytes(100)])
def test_a_model_whose_hash_is_right_and_that_is_none_is_the_typed_error(form, content, folders, bundle, tmp_path):
    whole = shutil.copytree(folders[form], tmp_path / "app")
    code = (
        f"import {read_facts(bundle).package} as p\n"
        f"try:\n    p.open_session({content!r}, p.load().facts, 1)\nexcept p.ModelError as why:\n    print('typed', why)"
    )
    start, environment = alone(whole, form, tmp_path / "alone")
    done = subprocess.run(
        [*start, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout.startswith("typed"), done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_flipped_bits_in_a_model_whose_hash_is_right_end_no_process(form, folders, bundle, tmp_path):
    whole = shutil.copytree(folders[form], tmp_path / "app")
    code = (
        f"import numpy as np, {read_facts(bundle).package} as p\nfacts, random = p.load().facts, np.random.default_rng(0)\n"
        f"held = np.fromfile({str(whole / read_facts(bundle).package / f'model.{form}')!r}, np.uint8)\n"
        "for row in range(40):\n    flipped = held.copy()\n    at = random.integers(0, len(held) if row % 2 else 3000, 4)\n"
        "    flipped[at] ^= (1 << random.integers(0, 8, 4)).astype(np.uint8)\n"
        "    try:\n        p.open_session(flipped.tobytes(), facts, 1)(np.zeros(facts.samples, np.float32))\n"
        "    except p.ModelError:\n        print('typed')\n    else:\n        print('answers')"
    )
    start, environment = alone(whole, form, tmp_path / "alone")
    done = subprocess.run(
        [*start, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("typed") + done.stdout.count("answers") == 40 and "typed" in done.stdout


def test_a_model_with_other_outputs_is_refused(package, model):
    content = (part(package, "facts").FOLDER / "model.onnx").read_bytes()
    for changed in ({"labels": ("a", "b")}, {"samples": 3999}):
        with pytest.raises(package.ModelError, match="of shape"):
            package.open_session(content, replace(model.facts, **changed), 1)


def test_two_versions_answer_side_by_side_and_a_rollback_is_one_line(bundle, tmp_path):
    from tests.test_embed import rewrite

    folder = shutil.copytree(bundle.folder, tmp_path / "newer")
    newer = rewrite(folder, deferral={"rule": "always", "ask_above": None})
    app = tmp_path / "app"
    for one in (bundle, newer):
        embed(one, "python", app)
    old, new = read_facts(bundle).package, read_facts(newer).package
    code = (
        f"import {old} as a, {new} as b, sounds\nprint(a.VERSION, b.VERSION, sounds.VERSION)\n"
        "assert a.load().self_test().passed and b.load().self_test().passed"
    )
    start, environment = alone(app, "tflite", tmp_path / "alone")

    def versions() -> list[str]:
        done = subprocess.run(
            [*start, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert versions() == [read_facts(bundle).version, read_facts(newer).version, read_facts(newer).version]
    selector = (app / "sounds.py").read_text()
    (app / "sounds.py").write_text(selector.replace(f"from {new} ", f"from {old} "))
    assert versions()[2] == read_facts(bundle).version


def test_a_watched_folder_is_answered_once_and_over_a_restart(folders, tmp_path):
    inbox, out = tmp_path / "inbox", tmp_path / "answers.jsonl"
    inbox.mkdir()
    start, environment = alone(folders["onnx"], "onnx", tmp_path / "alone")
    words = [*start, "-m", "sounds", "--watch", str(inbox), "--out", str(out), "--poll", "0.05"]

    def until(count: int) -> list[dict]:
        for _ in range(400):
            if out.exists() and len(found := rows(out.read_text())) >= count:
                return found
            time.sleep(0.05)
        pytest.fail(f"only {out.read_text() if out.exists() else 'nothing'}")

    def stop(process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0

    wave = sounds(2, 5000)
    soundfile.write(inbox / "a.wav", wave[0], RATE)
    (inbox / "broken.wav").write_bytes(b"RIFF")
    (inbox / "notes.txt").write_text("no sound")
    process = subprocess.Popen(words, env=environment)
    try:
        first = until(2)
        held = (inbox / "a.wav").read_bytes()
        with (inbox / "slow.wav").open("wb") as slow:  # a recorder that is still writing
            for at in range(0, len(held), 700):
                slow.write(held[at : at + 700])
                slow.flush()
                time.sleep(0.02)
        until(3)
    finally:
        stop(process)
    assert [Path(row["path"]).name for row in first] == ["a.wav", "broken.wav"]
    assert "no WAV file" in first[1]["error"] and "label" not in first[1]
    with out.open("a") as file:
        file.write('{"path": "cut')  # a kill in the middle of a line
    soundfile.write(inbox / "b.wav", wave[1], RATE)
    process = subprocess.Popen(words, env=environment)
    try:
        for _ in range(400):
            if '"' + str(inbox / "b.wav") in out.read_text():
                break
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        stop(process)
    names = [Path(json.loads(line)["path"]).name for line in out.read_text().splitlines() if line.endswith("}")]
    assert names == ["a.wav", "broken.wav", "slow.wav", "b.wav"]
    answers = {Path(row["path"]).name: row for row in rows(out.read_text().replace('{"path": "cut\n', ""))}
    assert answers["slow.wav"]["probabilities"] == answers["a.wav"]["probabilities"]


def recorder(folder: Path, script: str) -> str:
    """Write an arecord that runs a script, and return a PATH with it in front."""
    folder.mkdir(exist_ok=True)
    (folder / "arecord").write_text(f"#!{sys.executable}\n{script}")
    (folder / "arecord").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_alsa_is_listened_to_window_by_window(folders, model, tmp_path):
    wave = (np.concatenate(list(sounds(3, SAMPLES, seed=1))) * 32767).astype("<i2")
    wave.tofile(tmp_path / "sound.raw")
    path = recorder(
        tmp_path / "bin",
        "import sys, shutil\nassert sys.argv[1:] == '-q -D hw:1,0 -f S16_LE -r 8000 -c 1 -t raw'.split(), sys.argv\n"
        "print('overrun!!! (at least 2 ms long)', file=sys.stderr, flush=True)\n"
        f"sys.stdout.buffer.write(open({str(tmp_path / 'sound.raw')!r}, 'rb').read())",
    )
    done = command(
        folders["onnx"], "onnx", tmp_path / "alone", "--alsa", "hw:1,0", "--rate", RATE, "--pool", 1, PATH=path
    )
    assert done.returncode == 0, done.stderr
    *found, last = rows(done.stdout)
    heard = model.listen(RATE, pool=1).push(wave.astype(np.float32) / np.float32(32768))
    assert [row["at_s"] for row in found] == [one.first_sample / RATE for one in heard]
    for row, one in zip(found, heard, strict=True):
        assert list(row["probabilities"].values()) == [round(p, 6) for p in one.outcome.probabilities]
    assert {row["dropped"] for row in found} == {0} and last == {"ended": True, "dropped": 0, "overruns": 1}


def test_an_arecord_that_is_absent_or_fails_is_one_clear_message(folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = command(folders["onnx"], "onnx", tmp_path / "alone", "--alsa", "default", PATH=str(empty))
    assert done.returncode == 1 and "apt install alsa-utils" in done.stderr
    path = recorder(
        tmp_path / "bin", "import sys\nprint('audio open error: No such device', file=sys.stderr)\nsys.exit(1)"
    )
    done = command(folders["onnx"], "onnx", tmp_path / "alone", "--alsa", "default", PATH=path)
    assert done.returncode == 1 and "exit code 1: audio open error: No such device" in done.stderr


def test_a_file_that_cannot_be_read_does_not_stop_the_others(folders, tmp_path):
    soundfile.write(tmp_path / "a.wav", sounds(1, 5000)[0], RATE)
    done = command(folders["onnx"], "onnx", tmp_path / "alone", tmp_path / "none.wav", tmp_path / "a.wav")
    bad, good = rows(done.stdout)
    assert done.returncode == 2 and "cannot be read" in bad["error"] and good["label"] in ("low", "mid", "high")


def test_the_package_is_python_3_9(folders):
    files = list(folders["onnx"].rglob("*.py"))
    assert len(files) > 10
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
        calls = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip"
        ]
        assert not any(keyword.arg == "strict" for call in calls for keyword in call.keywords), file


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit_and_finds_it_well_confined(folders, bundle, tmp_path):
    unit = shutil.copy(folders["onnx"] / read_facts(bundle).package / "sounds.service", tmp_path)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True)
    assert float(told.stdout.split("Overall exposure level")[1].split()[2]) < 2


@pytest.mark.parametrize(("name", "module"), [("wave", "wave_model"), ("class", "class_model"), ("cough", "cough")])
def test_a_tasks_module_never_hides_one_that_python_needs(name, module, bundle):
    assert selector_name(replace(read_facts(bundle), name=name)) == module


def test_labels_of_any_script_stand_in_the_code(bundle, tmp_path):
    from tests.test_embed import rewrite

    labels = ["हाँ", 'a "quote"\\\n', "🙂"]
    odd = rewrite(shutil.copytree(bundle.folder, tmp_path / "odd"), labels=labels, summary='"""$x % \n')
    embed(odd, "python", tmp_path / "app")
    start, environment = alone(tmp_path / "app", "tflite", tmp_path / "alone")
    code = "import sounds, json\nprint(json.dumps(sounds.LABELS))\nassert sounds.load().facts.labels == sounds.LABELS"
    done = subprocess.run([*start, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout) == labels, done.stderr


def test_reading_waits_for_the_writer(package):
    ring = package.Ring(100)
    threading.Timer(0.1, lambda: (ring.write(np.ones(5, np.float32)), ring.close())).start()
    assert ring.wait(10) and ring.read(100)[1].tolist() == [1] * 5 and not ring.wait(0.0)


DOCS = Path(__file__).parents[1] / "docs" / "embedding.md"


def test_the_example_of_the_docs_runs(bundle, folders, tmp_path):
    code = DOCS.read_text().split("```python\n")[1].split("```")[0]
    soundfile.write(tmp_path / "clip.wav", sounds(1, 5000)[0], RATE)
    start, environment = alone(folders["onnx"], "onnx", tmp_path / "alone")
    done = subprocess.run(
        [*start, "-c", code.replace("keywords", "sounds")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    session, told = bundle.session("onnx"), bundle.read_clip(tmp_path / "clip.wav")
    assert done.returncode == 0 and bundle.label(session(told).probabilities) in done.stdout, done.stderr


def test_the_docs_state_the_resamplers_constants(package):
    module, text = part(package, "resample"), DOCS.read_text()
    for name in ("CUTOFF", "HALF", "BETA"):
        assert re.search(rf"^    {name}\s+= {getattr(module, name)}\b", text, re.MULTILINE), name


def test_the_docs_show_only_options_that_there_are(package):
    shown = set(re.findall(r"--[a-z-]+", "".join(re.findall(r"    python -m keywords.*", DOCS.read_text()))))
    source = (part(package, "facts").FOLDER / "command.py").read_text()
    assert shown and all(f'"{option}"' in source for option in shown)


@pytest.mark.slow
def test_real_clips_get_the_same_answers_on_an_emulated_raspberry_pi(bundle, folders, real_clips, tmp_path):
    from edgecomp.devices.arm64 import open_device
    from edgecomp.errors import DeviceError

    try:
        root = open_device("cortex-a53", Path(__file__).parents[1] / "build").root
    except DeviceError as why:
        pytest.skip(f"{why.what}; {why.fix}")
    clips, session = real_clips[::40], bundle.session("tflite")
    words = root.command("cortex-a53", ["-B", "-m", "sounds", *map(str, clips)])
    words = [f"{word}{os.pathsep}{folders['tflite']}" if word.startswith("PYTHONPATH=") else word for word in words]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for clip, row in zip(clips, rows(done.stdout), strict=True):
        expected = session(bundle.read_clip(clip))
        assert (row["label"], row["ask"]) == (bundle.label(expected.probabilities), bundle.asks(expected.uncertainty))
        apart = np.abs(np.array([*row["probabilities"].values()]) - expected.probabilities).max()
        assert apart <= read_facts(bundle, "tflite").model.tolerance
