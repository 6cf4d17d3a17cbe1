"""Stands in for Android's `am` and the demo app where adbd runs on Linux: a test of the way there, never a phone.

It obeys `am start -S -n edgecomp.demo/.BenchActivity …` and `am force-stop`. The "app" is a process of its own that runs
the bundle's model with edgecomp's own runner and reports what it measured, in the demo app's form; the report says what
it is. Environment: STAND_IN_BUNDLE is the bundle "in the app". A file `crash` in the storage ends the app in mid-run.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = "edgecomp.demo"
MODEL = "stand-in for am, transport test"


def main() -> None:
    """Obey one command of am, or be the app."""
    verb, *rest = sys.argv[1:]
    storage = Path(os.environ["EXTERNAL_STORAGE"])
    if verb == "app":
        run(json.loads(rest[0]), float(rest[1]), storage)
        return
    stop(storage / "pid")
    if verb == "force-stop":
        return
    if f"{PACKAGE}/.BenchActivity" not in rest:
        sys.exit("Error: Activity class does not exist.")
    flags = [at for at, word in enumerate(rest) if word in ("--es", "--ei", "--ef")]
    extras = {rest[at + 1]: rest[at + 2] for at in flags}
    app = subprocess.Popen(
        [PACKAGE, __file__, "app", json.dumps(extras), str(time.monotonic())],
        executable=sys.executable,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(storage / "app.log").open("w"),
    )
    (storage / "pid").write_text(str(app.pid))


def stop(place: Path) -> None:
    """End the app of an earlier command."""
    try:
        os.kill(int(place.read_text()), signal.SIGKILL)
    except (OSError, ValueError):
        return


def run(extras: dict, begun_s: float, storage: Path) -> None:
    """Be the app: run what was asked for, and write the report anew as it grows."""
    from edgecomp.portable import probe

    bundle, folder = Path(os.environ["STAND_IN_BUNDLE"]), storage / "Android" / "data" / PACKAGE / "files"
    facts = json.loads((bundle / "bundle.json").read_text())
    form, out = "tflite", folder / extras["out"]
    folder.mkdir(parents=True, exist_ok=True)
    file, sha256 = bundle / facts["models"][form]["file"], facts["models"][form]["sha256"]
    if "model" in extras:
        file, sha256 = folder / "models" / f"{extras['model']}.{form}", extras["model"]
    report = {
        "schema": "edgecomp-phone-bench/1",
        "bundle": facts["name"],
        "version": facts["hash"][:12],
        "model_sha256": sha256,
        "threads": int(extras["threads"]),
        "delegate": extras.get("delegate", "default"),
        "warmup": 5,
        "samples_ms": [],
        "answers": [],
        "device": {"model": MODEL},
        "battery": [],
        "finished": False,
    }
    given, clips = clips_of(folder / extras["clips"], bundle)
    job = {"format": form, "model": str(file), "clips": clips, "threads": report["threads"], "delegate": "default"}
    begun = time.monotonic()
    loaded, *rows = events("answers", job)
    report |= {
        "runtime": loaded["runtime"],
        "load_ms": (time.monotonic() - begun) * 1e3,
        "cold_start_ms": (time.monotonic() - begun_s) * 1e3,
    }
    answers = [
        {"clip": name, **{key: row[key] for key in ("probabilities", "uncertainty")}}
        for name, row in zip(given, rows, strict=True)
    ]
    if (folder / extras["clips"]).exists():
        report["answers"] = answers
    elif "model" not in extras:
        report["golden"] = judged(
            answers, json.loads((bundle / "golden" / "golden.json").read_text())["expected"][form]
        )
    length = {"seconds": float(extras.get("seconds", 0)), "windows": 10 if "seconds" in extras else 1, "warmup": 5}
    timing = {"models": {"it": {"file": str(file), "format": form}}, "pin": False, "seed": 0, "sustained_s": 0}
    written = 0.0
    for event in events("latency", {**job, **length, **timing}):
        if event["event"] == "window":
            now = probe.rollup()
            report["samples_ms"].append(event["taken"]["it"]["ms"])
            report["battery"].append(
                {"at_ms": round(event["at_s"] * 1e3), "charge_uah": None, "current_ua": None, "temperature_c": None}
            )
            report |= {
                "peak_pss_bytes": max(now["Pss"], report.get("peak_pss_bytes", 0)),
                "native_heap_bytes": now["Anonymous"],
            }
            if time.monotonic() - written > 0.2:  # the whole report each time: seldom, or writing is all that is done
                write(out, report)
                written = time.monotonic()
            if (storage / "crash").exists() and "seconds" in extras:
                sys.exit("asked to crash")
    write(out, report | {"finished": True})


def events(job: str, told: dict):
    """Do a job with edgecomp's runner."""
    from edgecomp.portable import runner

    return runner.JOBS[job](told)


def clips_of(folder: Path, bundle: Path) -> tuple[list[str], str]:
    """Return the names of the pushed clips, or else of the golden ones, and a file with all of them, (n, samples)."""
    import numpy as np
    import soundfile

    if folder.exists():
        files = sorted(folder.glob("*.f32"))
        waves = [np.fromfile(file, "<f4") for file in files]
    else:
        files = sorted((bundle / "golden").glob("*.wav"))
        waves = [soundfile.read(file, dtype="float32")[0] for file in files]
    place = Path(tempfile.mkdtemp(prefix="stand-in-")) / "clips.npy"
    np.save(place, np.stack(waves))
    return [file.name for file in files], str(place)


def judged(answers: list, expected: dict) -> dict:
    """Return how far the golden answers are from what the bundle recorded."""
    worst = max(
        abs(said - wanted)
        for row in answers
        for said, wanted in zip(row["probabilities"], expected["probabilities"][row["clip"]], strict=True)
    )
    return {"worst": worst, "tolerance": expected["tolerance"], "passed": worst <= expected["tolerance"]}


def write(out: Path, report: dict) -> None:
    """Put a whole report in the place of the one before."""
    new = out.with_suffix(".new")
    new.write_text(json.dumps(report))
    new.rename(out)


if __name__ == "__main__":
    main()
