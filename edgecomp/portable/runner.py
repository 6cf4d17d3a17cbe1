"""Do one job with model files on the machine that this runs on, and write what happens as JSON, an object a line.

The job is JSON on stdin; every line is written as soon as it is known, so that a machine that is unplugged leaves
what it had measured. The last line is {"event": "done"}. Only the standard library, numpy and one runtime.

    {"job": "answers", "model": file, "format": "onnx", "clips": "clips.npy", "threads": 1, "delegate": "default"}
    {"job": "latency", "models": {name: {"file": …, "format": …}}, "clips": …, "threads": 1, "delegate": "default",
     "seconds": 10, "windows": 10, "warmup": 5, "seed": 0, "pin": true, "sustained_s": 0}
    {"job": "packages", "names": ["numpy", "onnxruntime"]}
    {"job": "peaks", "products": [{"file": …, "format": "onnx", "numerics": "int8", "macs": 16777216}], "pin": true}
    {"job": "starts", "model": file, "format": "onnx", "threads": 1, "starts": 5, "samples": null}
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))  # last, so that nothing beside this file shadows a module

MOST_WINDOWS = 100
"""Windows to plan for where no sustained run is asked: enough for an interval of their median."""
MOST_KEPT = 400
"""Runs of one window that are written out, evenly spaced; all of them count for the window's median."""
SUSTAINED_WINDOW_S = 1.0


def main() -> None:
    """Read the job, do it, write its events."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for the processes that a job starts; see probe.py
    job = json.load(sys.stdin)
    for event in JOBS[job["job"]](job):
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    sys.stdout.write('{"event": "done"}\n')


def answers(job: dict):
    """Answer every clip: an event for each, probabilities and uncertainty in full precision."""
    import numpy as np

    clips = np.load(job["clips"])
    runtime, answer = _open(job, job["threads"], clips.shape[1])
    yield {"event": "loaded", "runtime": runtime}
    for row, clip in enumerate(clips):
        found = answer(clip[None])
        yield {
            "event": "answer",
            "row": row,
            "probabilities": found["probabilities"][0].tolist(),
            "uncertainty": float(found["uncertainty"].ravel()[0]),
        }


def latency(job: dict):
    """Time several models in interleaved windows, in an order drawn anew for each; one event a window."""
    import random

    import machine
    import numpy as np

    clips = np.load(job["clips"])[:, None, :]
    opened = {}
    for name, model in job["models"].items():
        begun = time.perf_counter()
        runtime, opened[name] = _open({**job, "model": model["file"], **model}, job["threads"], clips.shape[2])
        opened[name](clips[0])
        yield {"event": "loaded", "name": name, "runtime": runtime, "load_ms": (time.perf_counter() - begun) * 1e3}
    cpu = _pin(machine) if job["pin"] and job["threads"] == 1 else None
    typical_s = {name: _typical_s(answer, clips, job["warmup"]) for name, answer in opened.items()}
    windows, repeats = _schedule(job, typical_s)
    yield {"event": "planned", "windows": windows, "repeats": repeats, "cpu": cpu}
    order, names, begun, turn = random.Random(job["seed"]), list(opened), time.perf_counter(), 0
    total = dict.fromkeys(names, 0.0)
    wanted = job["sustained_s"] or job["seconds"]
    while turn < windows or min(total.values()) < wanted:
        order.shuffle(names)
        taken, energy = {}, {}
        for name in names:
            before = machine.energy_uj()
            runs = _timed(opened[name], clips, turn, repeats[name])
            after = machine.energy_uj()
            total[name] += sum(runs) / 1e3
            taken[name] = {"median_ms": float(np.median(runs)), "runs": len(runs), "ms": _thinned(runs)}
            if before is not None and after is not None and after >= before:  # the counter wraps round
                energy[name] = (after - before) / len(runs)
        now = machine.state()
        yield {
            "event": "window",
            "window": turn,
            "at_s": time.perf_counter() - begun,
            "taken": taken,
            "energy_uj": energy,
            "load": (now["load_average"] or [None])[0],
            **{key: now[key] for key in ("temperature_c", "clock_khz", "battery")},
        }
        turn += 1


def starts(job: dict):
    """Start a fresh process several times that runs one model once; see probe.py."""
    command = [sys.executable, str(HERE / "probe.py"), job["model"], job["format"], "--threads", str(job["threads"])]
    if job.get("samples"):
        command += ["--samples", str(job["samples"])]
    for _ in range(job["starts"]):
        begun_ns = time.monotonic_ns()
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode:
            sys.exit((child.stderr.strip().splitlines() or [f"the process ended with {child.returncode}"])[-1])
        said = json.loads(child.stdout.strip().splitlines()[-1])
        yield {"event": "start", "cold_ms": (said["first_answer_ns"] - begun_ns) / 1e6, **said}


def packages(job: dict):
    """Say which packages can be imported, each in a process of its own, which one built for another processor ends."""
    for name in job["names"]:
        child = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False)
        last = (child.stderr.strip().splitlines() or [f"the process ended with {child.returncode}"])[-1]
        yield {"event": "package", "name": name, "reason": last if child.returncode else ""}


def peaks(job: dict):
    """Measure what one core reaches at best; an event for each attempt. See peaks.py."""
    import machine
    from peaks import attempts

    cpu = _pin(machine) if job["pin"] else None
    for one in attempts(job["products"]):
        yield {"event": "peak", "name": one.name, "value": one.value, "by": one.by, "cpu": cpu}


JOBS = {"answers": answers, "latency": latency, "starts": starts, "packages": packages, "peaks": peaks}


def _open(job: dict, threads: int, samples: int):
    """Return the runtime's name and version, and waveform (1, samples) → outputs by name."""
    from probe import RUNTIMES

    runtime, load = RUNTIMES[job["format"]](job["model"], threads, samples, job["delegate"])
    shape, answer = load()
    if shape[-1] != samples:
        sys.exit(f"the model takes {shape[-1]} samples and the clips have {samples}")
    return runtime, answer


def _schedule(job: dict, typical_s: dict) -> tuple:
    """Return how many windows there are at least, and how often each model runs within one."""
    if job["sustained_s"]:
        windows = max(job["windows"], int(job["sustained_s"] / SUSTAINED_WINDOW_S))
        return windows, {name: max(1, round(SUSTAINED_WINDOW_S / one_s)) for name, one_s in typical_s.items()}
    slowest = max(typical_s.values())
    windows = max(job["windows"], min(MOST_WINDOWS, int(job["seconds"] / slowest)))
    return windows, {name: max(1, round(job["seconds"] / windows / one_s)) for name, one_s in typical_s.items()}


def _typical_s(answer, clips, warmup: int) -> float:
    """Warm a model up, by one run at least, and return the median seconds of the later half of those runs."""
    warmup = max(1, warmup)
    taken = sorted(_timed(answer, clips, 0, warmup)[warmup // 2 :])
    return max(taken[len(taken) // 2] / 1e3, 1e-6)


def _timed(answer, clips, first: int, runs: int) -> list:
    """Return the milliseconds of each run, over the clips in turn."""
    taken = []
    for run in range(first, first + runs):
        clip = clips[run % len(clips)]
        begun = time.perf_counter()
        answer(clip)
        taken.append((time.perf_counter() - begun) * 1e3)
    return taken


def _thinned(runs: list) -> list:
    step = max(1, -(-len(runs) // MOST_KEPT))
    return [round(ms, 5) for ms in runs[::step]]


def _pin(machine) -> "int | None":
    """Hold this thread on the idlest of the fastest CPUs it may use; returns it, None where the system forbids it."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = os.sched_getaffinity(0)
    before = _idle_ticks(machine)
    time.sleep(0.2)
    after = _idle_ticks(machine)
    idle = {one: after.get(one, 0) - before.get(one, 0) for one in allowed}
    cpu = max(allowed, key=lambda one: (_highest_khz(machine, one), idle[one], one))
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return None
    return cpu


def _highest_khz(machine, cpu: int) -> int:
    return int(machine.read(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq") or 0)


def _idle_ticks(machine) -> dict:
    """Return how long each CPU has been idle since the system's start, in hundredths of a second."""
    rows = [line.split() for line in (machine.read("/proc/stat") or "").splitlines()]
    return {int(row[0][3:]): int(row[4]) for row in rows if row[0].startswith("cpu") and row[0] != "cpu"}


if __name__ == "__main__":
    main()
