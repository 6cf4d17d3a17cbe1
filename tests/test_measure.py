"""measure: fair turns for every session, honest intervals, and a Measurement out of each figure."""

import os
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from edgecomp import measure
from edgecomp.devices.host import Footprint
from edgecomp.errors import EdgecompError
from edgecomp.metrics import Estimate

CLIPS = np.random.default_rng(0).standard_normal((7, 160)).astype(np.float32)
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
METHOD = {"device": "host (test, 1 core)", "of": "int8 onnx", "artifact_hash": "ab"}


def sleeper(name, seconds, log):
    def session(waveform):
        log.append((name, waveform[0]))
        time.sleep(seconds)
        return np.zeros(2, np.float32)

    return session


def timed(seconds_by_name, **settings):
    log = []
    sessions = {name: sleeper(name, seconds, log) for name, seconds in seconds_by_name.items()}
    warmup = settings.setdefault("warmup", 3)
    return measure.latency(sessions, CLIPS, **settings), log[warmup * len(sessions) :]


def test_known_sleeps_are_measured_and_ordered():
    found, _ = timed({"fast": 0.002, "slow": 0.008}, min_seconds=0.1)
    assert 2 <= found["fast"].p50_ms < 8 <= found["slow"].p50_ms < 40
    for one in found.values():
        assert one.low_ms <= one.p50_ms <= one.high_ms and one.p50_ms <= one.p90_ms <= one.p99_ms
        assert one.runs == one.samples_ms.size


def test_cpu_time_is_that_of_the_same_runs_and_counts_helper_threads():
    work = np.random.default_rng(0).standard_normal(200_000)

    def spins(waveform):
        np.sort(work)

    def helped(waveform):  # numpy sorts without the interpreter's lock
        helper = threading.Thread(target=spins, args=(waveform,))
        helper.start()
        np.sort(work)
        helper.join()

    sleeps = sleeper("sleeps", 0.005, [])
    sessions = {"spins": spins, "helped": helped, "sleeps": sleeps}
    found = measure.latency(sessions, CLIPS, min_seconds=0, warmup=1)
    assert found["sleeps"].cpu_ms < 0.5 * found["sleeps"].p50_ms
    assert found["helped"].cpu_ms > 1.5 * found["spins"].cpu_ms
    for one in found.values():
        assert one.cpu_samples_ms.shape == one.samples_ms.shape


def test_every_round_gives_each_session_one_turn_and_the_order_changes():
    _, log = timed({"a": 0.001, "b": 0.001, "c": 0.001}, min_seconds=0, min_rounds=30)
    names = "".join(name for name, _ in log)
    rounds = [names[i : i + 3] for i in range(0, len(names), 3)]
    assert len(rounds) == 30 and all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) == 6


def test_the_order_repeats_under_one_seed():
    orders = [[name for name, _ in timed({"a": 0, "b": 0}, min_seconds=0, seed=5)[1]] for _ in range(2)]
    assert orders[0] == orders[1]


def test_a_fast_session_repeats_within_its_turn_until_it_had_its_time():
    found, log = timed({"fast": 0.0005, "slow": 0.01}, min_seconds=0.12, warmup=9)
    assert found["slow"].samples_ms.shape[0] == found["fast"].samples_ms.shape[0] >= 10
    assert found["slow"].samples_ms.shape[1] == 1 < found["fast"].samples_ms.shape[1]
    for one in found.values():
        assert one.samples_ms.sum() >= 120
    turns = 1 + sum(before[0] != after[0] for before, after in pairwise(log))
    assert turns > found["slow"].samples_ms.shape[0], "the runs of the two are not interleaved"


def test_all_sessions_hear_the_same_clips():
    _, log = timed({"a": 0, "b": 0}, min_seconds=0, min_rounds=9)
    heard = {one: [clip for name, clip in log if name == one] for one in "ab"}
    assert heard["a"] == heard["b"] and set(heard["a"]) == set(CLIPS[:, 0])


def test_the_ratio_of_two_sessions_holds_their_true_ratio():
    found, _ = timed({"student": 0.002, "teacher": 0.006}, min_seconds=0.2)
    ratio = measure.ratios(found, "teacher")
    assert ratio["teacher"] == Estimate(1.0, 1.0, 1.0, ratio["teacher"].n)
    assert 0.28 < ratio["student"].low <= ratio["student"].value <= ratio["student"].high < 0.9


def test_an_unknown_reference_is_named_with_those_there_are():
    found, _ = timed({"student": 0, "teacher": 0}, min_seconds=0)
    with pytest.raises(EdgecompError, match="no latency of 'teachr'") as caught:
        measure.ratios(found, "teachr")
    assert "did you mean 'teacher'? allowed: student, teacher" in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a thread")
def test_the_thread_is_pinned_meanwhile_and_free_afterwards_even_after_a_fault():
    seen = []
    found = measure.latency({"a": lambda clip: seen.append(os.sched_getaffinity(0))}, CLIPS, min_seconds=0)
    assert {len(one) for one in seen} == {1} and os.sched_getaffinity(0) == ALLOWED
    assert f"pinned to CPU {next(iter(seen[0]))};" in found["a"].method

    def faulty(clip):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        measure.latency({"a": faulty}, CLIPS)
    assert os.sched_getaffinity(0) == ALLOWED


def test_the_method_says_when_nothing_was_pinned():
    found = measure.latency({"a": lambda clip: clip}, CLIPS, min_seconds=0, pin=False)
    assert "not pinned; 10 rounds × 1 runs" in found["a"].method


def test_samples_cannot_be_changed_afterwards():
    found, _ = timed({"a": 0}, min_seconds=0)
    with pytest.raises(ValueError, match="read-only"):
        found["a"].samples_ms[0, 0] = 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"sessions": {}},
        {"clips": CLIPS[0]},
        {"clips": CLIPS[:0]},
        {"min_rounds": 0},
        {"warmup": 0},
        {"min_seconds": -1.0},
    ],
)
def test_what_cannot_be_timed_is_refused(wrong):
    with pytest.raises(EdgecompError, match="at least one session"):
        measure.latency(**({"sessions": {"a": lambda clip: clip}, "clips": CLIPS} | wrong))


def test_a_latency_becomes_measurements_in_ms_with_its_interval_on_the_median():
    found, _ = timed({"a": 0.001}, min_seconds=0)
    p50, p90, p99 = measure.from_latency(found["a"], **METHOD)
    assert [one.name for one in (p50, p90, p99)] == ["latency p50", "latency p90", "latency p99"]
    one = found["a"]
    assert (p50.unit, p50.low, p50.value, p50.high) == ("ms", one.low_ms, one.p50_ms, one.high_ms)
    assert p50.n == 10 and p50.how == "measured" and p50.method == one.method and p90.low is None


def test_a_footprint_becomes_measurements_and_leaves_out_what_could_not_be_read():
    times_ms, memory = (300.0, 290.0, 320.0, 9.0, 8.0, 11.0), (None, 2048, 1024, 4096, 3072)
    footprint = Footprint("onnx", 1, 3, *times_ms, *memory, missing="no", method="how")
    rows = {one.name: one for one in measure.from_footprint(footprint, **METHOD)}
    assert "peak memory above the empty process" not in rows
    assert rows["proportional memory above the empty process"].value == 2048
    assert rows["cold start"].method == "how; fastest to slowest start 290 to 320 ms"
    assert {one.unit for one in rows.values()} == {"ms", "bytes"} and rows["cold start"].n == 3


def test_an_estimate_becomes_a_measurement():
    found = measure.from_estimate("accuracy", Estimate(0.9, 0.8, 0.95, 50), "share", "Wilson", **METHOD)
    assert (found.value, found.low, found.high, found.n, found.device) == (0.9, 0.8, 0.95, 50, "host (test, 1 core)")
