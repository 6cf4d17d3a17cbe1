"""What does a source cost a whole model, and does it decide alike? A bundle's own student, lowered for several sources.

    python benchmarks/resampled_files.py build/bundles/wakewords-redmi-7a ../shared/data/wakewords/audio --build build

The student that the bundle's files came from is found in the build folder by its hash and lowered again, for its own rate and
for each source. Every file is asked about the same clips, decoded and fitted at its own rate, and all are timed in turn in one
process on one thread. Decisions are held against the file at the recipe's rate, which hears the clip; for a source below
that rate also against the same file hearing what soxr makes of the source. One row a file goes to stdout as JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from edgecomp.artifact import content_hash
from edgecomp.bundle import Bundle, read_bundle
from edgecomp.data.audio import SUFFIXES, fit, load_clip, resample
from edgecomp.devices.host import device_name
from edgecomp.lowering.analysis import source_samples
from edgecomp.measure import latency, ratios
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.ending import read_ending
from edgecomp.students.student import Frozen, freeze, load_student, quantisation_of

SOURCES_HZ = (48_000, 44_100, 8_000)


def main() -> None:
    """Print a row for every source and runtime."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("bundle", type=Path, help="a bundle whose files take the recipe's rate")
    ask.add_argument("audio", type=Path, help="a folder of audio files")
    ask.add_argument("--build", type=Path, default=Path("build"), help="where the bundle was compiled")
    ask.add_argument("--clips", type=int, default=200, help="files of the folder, taken at even distances")
    ask.add_argument("--seconds", type=float, default=1.0, help="how long each file is timed for")
    given = ask.parse_args()
    bundle = read_bundle(given.bundle)
    files = sorted(file for file in given.audio.rglob("*") if file.suffix in SUFFIXES)
    files = files[:: max(1, len(files) // given.clips)][: given.clips]
    model = student_of(bundle, given.build)
    for runtime in runtimes():
        for row in rows(bundle, model, runtime, files, given.seconds):
            print(json.dumps({"task": bundle.facts["name"], "runtime": runtime, "clips": len(files)} | row), flush=True)


def student_of(bundle: Bundle, build: Path) -> Frozen:
    """Return the student that a bundle's files were lowered from, by its hash in the build folder."""
    wanted = bundle.facts["trail"][bundle.facts["target"]["format"]][-1]["input_hash"]
    for folder in sorted((build / "done").glob("calibrate-*/student")):
        if content_hash(folder) == wanted:
            return freeze(load_student(folder), quantisation_of(folder), read_ending(folder))
    raise SystemExit(f"no student {wanted[:12]} in {build}; compile the bundle there")


def rows(bundle: Bundle, model: Frozen, runtime: str, files: list[Path], seconds: float) -> list[dict]:
    """Ask and time one runtime's files."""
    told, module = bundle.facts["preprocessing"], import_runtime(runtime)
    rates = [told["sample_rate"], *(hz for hz in SOURCES_HZ if hz != told["sample_rate"])]
    clips, sessions, size = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for hz in rates:
            samples = source_samples(told["samples"], told["sample_rate"], hz)
            clips[hz] = np.stack([load_clip(f, sample_rate=hz, samples=samples, fit=told["fit"]) for f in files])
            path = Path(folder) / f"{hz}{module.SUFFIX}"
            path.write_bytes(module.lower(model, {}, hz))
            sessions[hz], size[hz] = module.open_session(path), path.stat().st_size

        def answers(hz: int, waves: np.ndarray) -> np.ndarray:
            return np.stack([sessions[hz](wave).probabilities for wave in waves])

        given = {hz: answers(hz, clips[hz]) for hz in rates}
        timed = latency(
            {str(hz): _on_one(sessions[hz], clips[hz][0]) for hz in rates}, clips[rates[0]][:1], min_seconds=seconds
        )
        own, found = rates[0], []
        for hz in rates:
            row = {"source_hz": hz, "bytes": size[hz], "p50_ms": timed[str(hz)].p50_ms}
            ratio = ratios(timed, str(own))[str(hz)]
            row |= {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
            if hz != own:
                row |= _apart("", given[hz], given[own])
            if hz < own:
                slow = [fit(resample(wave, hz, own), told["samples"], "start") for wave in clips[hz]]
                row |= _apart("_by_soxr", given[hz], answers(own, np.stack(slow)))
            found.append(row | {"device": device_name(), "method": timed[str(hz)].method})
    return found


def _on_one(session, wave: np.ndarray):
    return lambda _: session(wave)


def _apart(name: str, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return how many decisions are the same (the most probable label's), and how far probabilities lie apart."""
    return {
        f"same_decisions{name}": int((a.argmax(1) == b.argmax(1)).sum()),
        f"largest{name}": float(np.abs(a - b).max()),
        f"mean{name}": float(np.abs(a - b).mean()),
    }


if __name__ == "__main__":
    main()
