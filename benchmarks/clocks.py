"""How long do model files take for a second of audio, by which clock, and in whose company? Yardsticks beside them.

    python benchmarks/clocks.py 2 build/bundles/wakewords-redmi-7a/model.tflite teacher.onnx

Files of one float32 waveform of so many seconds at 16 kHz, and the yardsticks of peers_sessions.py, one thread each, in
interleaved turns on noise of speech's loudness. Told of each: the wall's time and the process's CPU time, with helper threads,
of the same runs; both as a median over turns, and of the first run of each turn alone, which comes right after all the other
models. On a busy machine long runs are interrupted, so only CPU times compare there. One row a model goes to stdout as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import peers_sessions

from edgecomp.devices.host import device_name
from edgecomp.measure import Latency, latency

ROOT = Path(__file__).resolve().parents[1]
CLIPS = 8


def main() -> None:
    """Print a row for every model."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("seconds", type=float, help="of the waveform that the files take")
    ask.add_argument("files", type=Path, nargs="+")
    ask.add_argument("--yardsticks", type=Path, default=ROOT.parent / "shared" / "data" / "peer_models")
    ask.add_argument("--at-least", type=float, default=2.0, help="seconds that each model is timed for")
    ask.add_argument("--rounds", type=int, default=30)
    given = ask.parse_args()
    samples = round(given.seconds * peers_sessions.RATE_HZ)
    sessions, length_s = {}, {}
    for one in peers_sessions.YARDSTICKS:
        if (given.yardsticks / one.file).exists():
            sessions[one.name] = peers_sessions.open_yardstick(one, given.yardsticks)
            length_s[one.name] = one.samples / peers_sessions.RATE_HZ
    for file in given.files:
        asked = peers_sessions.open_file(file)
        sessions[str(file)] = lambda clip, asked=asked: asked(clip[:samples])
        length_s[str(file)] = given.seconds
    longest = max(samples, *(one.samples for one in peers_sessions.YARDSTICKS))
    clips = (0.1 * np.random.default_rng(0).standard_normal((CLIPS, longest))).astype(np.float32)
    taken = latency(sessions, clips, min_seconds=given.at_least, min_rounds=given.rounds)
    threads = len(os.listdir("/proc/self/task")) if Path("/proc/self/task").exists() else None
    about = {"device": device_name(), "load_average": os.getloadavg()[0], "threads_of_the_process": threads}
    for name, one in taken.items():
        print(json.dumps({"model": name, **told(one, length_s[name]), **about, "method": one.method}), flush=True)


def told(taken: Latency, seconds: float) -> dict[str, float]:
    """Return milliseconds for a second of audio by both clocks: of all runs, and of those right after the other models."""
    firsts = {"wall": taken.samples_ms[:, 0], "cpu": taken.cpu_samples_ms[:, 0]}
    found = {"wall": taken.p50_ms, "cpu": taken.cpu_ms}
    found |= {f"{clock}_after_others": float(np.median(values)) for clock, values in firsts.items()}
    return {f"{name}_ms_per_second": ms / seconds for name, ms in found.items()}


if __name__ == "__main__":
    main()
