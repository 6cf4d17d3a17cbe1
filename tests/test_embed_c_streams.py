"""C's recordings in pieces, live listening and ring: Python's answers however a stream is cut, and no sample lost unsaid."""

import ctypes
import importlib
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.bundle import read_bundle
from edgecomp.data import audio
from edgecomp.embed import c, embed
from edgecomp.embed.facts import read_facts
from edgecomp.lowering.feature_body import cut_bundle
from tests.c_streams import Streams, build, sanitizers, write_module
from tests.small_mcu import RATE, SAMPLES, compiler, library, pointer, write_int8_bundle
from tests.small_students import sounds

FITS = ("loudest", "centre", "start")
HOPS = {"windows share their frames": 1920, "two windows at a time": 2000, "three windows at a time": 1999}
WRAP = 1 << 32


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return read_bundle(write_int8_bundle(tmp_path_factory.mktemp("c") / "sounds"))


@pytest.fixture(scope="module")
def facts(bundle):
    return read_facts(bundle)


@pytest.fixture(scope="module")
def body(bundle):
    return cut_bundle(bundle.folder, bundle.facts)


@pytest.fixture(scope="module")
def package(bundle, tmp_path_factory):
    """The Python package of the same bundle, whose rules tests/test_embed_python.py holds."""
    folder = tmp_path_factory.mktemp("python")
    embed(bundle, "python", folder, "onnx")
    sys.path.insert(0, str(folder))
    yield importlib.import_module(read_facts(bundle).package)
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def start(facts, body, tmp_path_factory):
    """Start the program for a fit and a hop, compiled once each."""
    built, running = {}, []

    def begin(fit: str = "loudest", hop_samples: int = 2000) -> Streams:
        told = replace(facts, fit=fit, hop_samples=hop_samples)
        if (fit, hop_samples) not in built:
            program = build(tmp_path_factory.mktemp("built"), told)
            built[fit, hop_samples] = Streams(program, told, body.front_end.frames * body.front_end.mels)
            running.append(built[fit, hop_samples])
        return built[fit, hop_samples]

    yield begin
    for one in running:
        one.__exit__()


@pytest.fixture(scope="module")
def clip_features(facts, body, tmp_path_factory):
    """C's own features of a whole window of floats, by the function that other tests hold against the graph."""
    folder = tmp_path_factory.mktemp("front")
    built = library(folder, [one for one in write_module(folder, facts) if "front_end" in one.name])

    def compute(window: np.ndarray) -> np.ndarray:
        work = np.empty(body.front_end.window, np.float32)
        found = np.empty(body.front_end.frames * body.front_end.mels, np.int8)
        getattr(built, f"{facts.package}_clip")(pointer(np.ascontiguousarray(window)), pointer(work), pointer(found))
        return found

    return compute


def answered(features: np.ndarray) -> np.ndarray:
    """Return logits that depend on every feature, in place of the body: what is tested here stands around it."""
    weights = np.random.default_rng(0).integers(-9, 10, (len(features), 3))
    return ((features.astype(np.int64) @ weights // 64) % 256 - 128).astype(np.int8)


def as_floats(wave: np.ndarray) -> np.ndarray:
    return wave.astype(np.float32) / np.float32(32768)


def cut(wave: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(wave, sorted(min(one, len(wave)) for one in cuts))


def test_sanitizers_watch_the_c_code():
    if not sanitizers():
        pytest.skip("this compiler has no address and undefined-behaviour sanitizer; the other tests ran without")


@pytest.mark.parametrize("fit", FITS)
def test_a_recording_in_pieces_gives_the_features_of_pythons_window(fit, start, package, clip_features):
    streams, window = start(fit), importlib.import_module(f"{package.__name__}.window")

    @given(
        length=st.integers(1, 3 * SAMPLES),
        cuts=st.lists(st.integers(0, 3 * SAMPLES), max_size=12),
        shape=st.sampled_from(["noise", "silence", "one loudness", "rising", "falling", "few levels", "full scale"]),
        seed=st.integers(0, 9),
    )
    @settings(max_examples=40, deadline=None, derandomize=True)
    def check(length, cuts, shape, seed):
        wave = shaped(length, shape, seed)
        found = window.Fit(SAMPLES, fit, RATE)
        found.push(as_floats(wave))
        part = found.finish()
        assert part.tobytes() == audio.fit(as_floats(wave), SAMPLES, fit).tobytes()
        assert (streams.recording(cut(wave, cuts)) == clip_features(part)).all()

    check()


def shaped(length: int, shape: str, seed: int) -> np.ndarray:
    """Return (length,) int16 where the first of equals, and a best part that is found anew at every sample, matter."""
    random = np.random.default_rng(seed)
    noise, ramp = random.integers(-3000, 3000, length), np.arange(length) / length
    made = {
        "noise": noise,
        "silence": np.zeros(length),
        "one loudness": random.choice([-700, 700], length),
        "rising": noise * ramp,
        "falling": noise * (1 - ramp),
        "few levels": random.integers(-1, 2, length) * 900,
        "full scale": np.full(length, -32768),
    }
    return made[shape].astype(np.int16)


def test_an_empty_or_a_finished_recording_is_refused(start):
    streams, wave = start("loudest"), np.ones(10, np.int16)
    assert streams.recording([]) is None and streams.recording([np.zeros(0, np.int16)]) is None
    assert streams.recording([wave]) is not None
    assert not streams.push(wave) and streams.finish() is None


def test_a_centre_that_no_longer_fits_is_refused_and_changes_nothing(start, clip_features):
    streams, longest = start("centre"), 3 * SAMPLES
    wave = shaped(longest, "noise", 1)
    streams.send(b"b")
    assert streams.push(wave[:-1]) and not streams.push(wave[:2]) and streams.push(wave[-1:])
    assert not streams.push(wave[:1])
    assert (streams.finish() == clip_features(audio.fit(as_floats(wave), SAMPLES, "centre"))).all()


@pytest.mark.parametrize("hop", HOPS.values(), ids=HOPS)
def test_live_listening_hears_what_python_hears_however_the_stream_is_cut(hop, start, package, body, clip_features):
    streams = start(hop_samples=hop)
    assert c.ears(hop, body.front_end) == {1920: 1, 2000: 2, 1999: 3}[hop]
    listen, told = importlib.import_module(f"{package.__name__}.listen"), package.load().facts
    told = replace(told, hop_samples=hop)

    def session(window: np.ndarray) -> tuple[np.ndarray, float]:
        probabilities, uncertainty = body.answers(answered(clip_features(window))[None])
        return probabilities[0], float(uncertainty[0])

    kinds, changes = set(), 0

    @given(
        seed=st.integers(0, 20),
        cuts=st.lists(st.integers(0, 8 * SAMPLES), max_size=14),
        pool=st.integers(1, c.LARGEST_POOL),
        hold=st.integers(1, 3),
        gap=st.none() | st.integers(0, 8 * SAMPLES),
    )
    @settings(max_examples=20, deadline=None, derandomize=True)
    def check(seed, cuts, pool, hold, gap):
        nonlocal changes
        wave = (32767 * np.concatenate(list(sounds(8, SAMPLES, seed=seed)))).astype(np.int16)
        assert streams.live(pool, hold)
        listener = listen.Listener(told, session, RATE, pool, hold)
        parts = [wave] if gap is None else [wave[:gap], wave[gap + 500 :]]
        for row, part in enumerate(parts):
            if row:
                streams.gap()
                listener.gap()
            found, expected = streams.listen(cut(part, cuts), answered), listener.push(as_floats(part))
            assert len(found) == len(expected)
            for mine, one in zip(found, expected, strict=True):
                assert (mine.first_sample, mine.changed) == (one.first_sample, one.changed)
                outcome = one.outcome
                assert mine.answer.label == getattr(outcome, "label", None)
                assert mine.answer.best_guess == getattr(outcome, "best_guess", mine.answer.label)
                assert np.abs(mine.answer.probabilities - outcome.probabilities).max() < 2e-6
                assert abs(mine.answer.uncertainty - outcome.uncertainty) < 2e-6
                kinds.add(type(outcome).__name__)
                changes += one.changed

    check()
    assert kinds == {"Answer", "AskTeacher"} and changes > 30


def test_nothing_more_is_heard_while_an_answer_is_due(start):
    streams, wave = start(), shaped(SAMPLES + 10, "noise", 0)
    assert not streams.live(0, 1) and not streams.live(c.LARGEST_POOL + 1, 1) and not streams.live(1, 0)
    assert streams.live(1, 1) and streams.answer(np.zeros(3)) is None and streams.due() is None
    assert streams.hear(wave) == SAMPLES and streams.hear(wave) == 0
    features = streams.due()
    assert (features == streams.due()).all()
    assert streams.answer(answered(features)).first_sample == 0
    assert streams.due() is None and streams.answer(np.zeros(3)) is None
    assert streams.hear(wave) == 2000 and streams.due() is not None
    streams.gap()
    assert streams.due() is None and streams.hear(wave) == SAMPLES
    assert streams.answer(answered(streams.due())).first_sample == 0


def test_a_ring_counts_every_lost_sample_and_gives_the_others_in_order(start):
    streams, lost = start(), []

    @given(
        capacity=st.integers(1, 50),
        begun=st.sampled_from([0, WRAP - 70, WRAP - 1]),
        steps=st.lists(st.tuples(st.booleans(), st.integers(0, 130)), max_size=60),
    )
    @settings(max_examples=200, deadline=None, derandomize=True)
    def check(capacity, begun, steps):
        assert streams.ring(capacity, begun=begun)
        written, read, expected = 0, 0, 0
        for is_write, count in steps:
            if is_write:
                streams.write(np.arange(written, written + count).astype(np.int16))
                written += count
            else:
                first, wave = streams.read(count)
                first = (first - begun) % WRAP
                assert first >= expected and wave.tolist() == list(range(first, first + len(wave)))
                expected, read = first + len(wave), read + len(wave)
            waiting, dropped = streams.counts()
            assert waiting <= capacity and written == read + dropped + waiting
            assert waiting == min(written - expected, capacity)
            lost.append(dropped)

    check()
    assert max(lost) > 50 and min(lost) == 0


def test_a_ring_without_room_or_too_large_is_refused(start):
    streams = start()
    assert not streams.ring(0)
    assert streams.ring(1)


@pytest.mark.parametrize("pause_us, most", [(0, 256), (300, 256), (0, 1000), (50, 1)])
def test_a_writer_that_interrupts_the_reader_anywhere_tears_no_sample(pause_us, most, start):
    streams, total = start(), 100_000 if most > 1 else 20_000
    for _ in range(5):
        assert streams.ring(1000)
        read, dropped, gaps, wrong = streams.race(total, most, pause_us)
        assert wrong == 0 and read + dropped == total and gaps == dropped
        if pause_us:
            assert dropped > 0, "the reader was not slow enough to test anything"


@pytest.mark.parametrize("fit", FITS)
def test_nothing_is_allocated_and_nothing_unknown_is_called(fit, facts, tmp_path):
    sources = write_module(tmp_path, replace(facts, fit=fit, hop_samples=1999))
    for part in ("recording", "live", "ring"):
        (source,) = (one for one in sources if one.stem == f"sounds_{part}")
        made = tmp_path / f"{part}.o"
        subprocess.run([compiler(), "-std=c99", "-Os", "-c", source, "-o", made], check=True, timeout=60)
        said = subprocess.run(["nm", made], capture_output=True, text=True, check=True, timeout=60).stdout
        called = {line.split()[-1] for line in said.splitlines() if " U " in line}
        own = {name for name in called if name.startswith(facts.package)}
        assert called - own <= {"memcpy", "memmove", "memset", "__stack_chk_fail"}
        assert not re.search(r" [dDbBC] ", said), "all state is the caller's"


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("hop", HOPS.values(), ids=HOPS)
def test_the_readme_states_the_bytes_of_the_state(fit, hop, facts, body, tmp_path):
    told = replace(facts, fit=fit, hop_samples=hop)
    more = "".join(
        f'#include "sounds_{one}.h"\nsize_t size_of_{one}(void);\nsize_t size_of_{one}(void) {{ return sizeof(sounds_{one}); }}\n'
        for one in ("recording", "live")
    )
    sources = sorted(write_module(tmp_path, told), key=lambda one: one.name != "sounds_live.c")
    built = library(tmp_path, sources, more=more)
    readme = (tmp_path / facts.package / "README.md").read_text()
    for one, count in (
        ("recording", c.recording_bytes(told, body.front_end)),
        ("live", c.live_bytes(told, body.front_end)),
    ):
        size = getattr(built, f"size_of_{one}")
        size.restype = ctypes.c_size_t
        assert f"{count:,}" in readme
        assert 0 <= size() - count <= 24 + 24 * c.ears(hop, body.front_end), (
            "64 bits: counts are wider, ends are padded"
        )
