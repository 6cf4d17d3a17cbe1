"""What ships, driven as it ships: one function for each place, from recordings to decisions; nothing here answers by itself.

As a script, `python -m tests.shipped BUNDLE CLIP…` prints how far each place is from `edgecomp run` for WAV files of any bundle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.bundle import Bundle
from edgecomp.embed import embed
from edgecomp.embed.facts import read_facts

if TYPE_CHECKING:
    from edgecomp.lowering.feature_body import FeatureBody

ARM64 = Path(os.environ.get("EDGECOMP_ARM64", Path(__file__).parents[1] / "build"))
"""The build folder in which `edgecomp devices prepare arm64` has put it; tests/test_arm64.py looks there too."""
RunBody = Callable[["FeatureBody", np.ndarray], np.ndarray]
"""A body and stored features (n, frames × mels) int8 → stored logits (n, labels) int8."""
PIECE = 3000
"""Samples in the longest piece that a recording is cut into."""


class Absent(Exception):
    """Something of the system that a place needs is not here, and which."""


@dataclass(frozen=True)
class Said:
    """What a place says of some recordings.

    figures: (recordings, labels + 1) float64, the probabilities in the bundle's order and then the uncertainty
    labels:  the best guess where the teacher is to be asked
    """

    figures: np.ndarray
    labels: tuple[str, ...]
    asks: tuple[bool, ...]


@dataclass(frozen=True)
class Apart:
    """How far a place is from another.

    worst: largest difference of a probability or an uncertainty; mean: of all of them
    """

    clips: int
    same: int
    worst: float
    mean: float


def apart(one: Said, other: Said) -> Apart:
    """Compare decisions (label and whether to ask) and figures."""
    pairs = zip(zip(one.labels, one.asks, strict=True), zip(other.labels, other.asks, strict=True), strict=True)
    differences = np.abs(one.figures - other.figures)
    return Apart(len(one.labels), sum(a == b for a, b in pairs), float(differences.max()), float(differences.mean()))


def edgecomp_run(bundle: Bundle, clips: Sequence[Path], work: Path) -> Said:
    """Answer by the code of `edgecomp run`, in the format that the bundle's target takes."""
    session = bundle.session()
    answers = [session(bundle.read_clip(clip)) for clip in clips]
    figures = np.array([[*one.probabilities, one.uncertainty] for one in answers], np.float64)
    labels = tuple(bundle.label(one.probabilities) for one in answers)
    return Said(figures, labels, tuple(bundle.asks(one.uncertainty) for one in answers))


def kotlin_on_the_jvm(bundle: Bundle, clips: Sequence[Path], work: Path) -> Said:
    """Ask the generated Kotlin module and its core on this machine's JVM; the model runs in ONNX Runtime for Java.

    Each recording is asked about whole and in pieces, and both must say the same to the last digit.
    """
    from android_demo.checks import kotlinc, toolchain

    embed(bundle, "android", work / "embedded", "onnx")
    try:
        program, needs = kotlinc.replay(work / "embedded", work)
    except toolchain.Absent as why:
        raise Absent(str(why)) from None
    assets = work / "embedded" / "src" / "main" / "assets" / read_facts(bundle).package
    folder = work / "clips"
    folder.mkdir()
    for row, clip in enumerate(clips):
        (folder / f"{row:05}.wav").symlink_to(clip)
    ended = kotlinc.run("edgecomp.replay.ReplayKt", [program, *needs], "answers", str(assets), str(folder))
    assert ended.returncode == 0, ended.stderr
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert all(row["same"] for row in rows), "a recording in pieces is answered otherwise than the whole"
    return _said(bundle, [json.loads(row["line"]) for row in rows])


def page_in_chromium(bundle: Bundle, clips: Sequence[Path], work: Path) -> Said:
    """Give the built page the files in a headless Chromium; the model runs in LiteRT.js, and the history tells the answers."""
    from edgecomp import demo
    from edgecomp.errors import EdgecompError
    from tests import web_page

    try:
        tools = web_page.tools()
        site = demo.build_demo(bundle, work / "site", cache=web_page.BUILD)
    except EdgecompError as why:
        raise Absent(why.what) from None
    with demo.DemoServer(site) as server:
        return _said(
            bundle, [one["row"] for one in web_page.visit(tools, "files", server.address, clips=clips)["rows"]]
        )


def python_on_arm64(bundle: Bundle, clips: Sequence[Path], work: Path) -> Said:
    """Ask the generated Python package from its command line on an emulated Cortex-A53, with nothing but numpy and LiteRT."""
    from edgecomp.devices._arm64_root import find_root
    from edgecomp.errors import DeviceError

    try:
        root = find_root(ARM64)
    except DeviceError as why:
        raise Absent(f"{why.what}: {why.fix}") from None
    embed(bundle, "python", work, "tflite")
    words = root.command("cortex-a53", ["-B", "-m", read_facts(bundle).package, *map(str, clips)])
    words = [f"{word}{os.pathsep}{work}" if word.startswith("PYTHONPATH=") else word for word in words]
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return _said(bundle, [json.loads(line) for line in done.stdout.splitlines()])


def c_with_tflm(bundle: Bundle, clips: Sequence[Path], work: Path) -> Said:
    """Ask the generated C for recordings in pieces, with its int8 body in TensorFlow Lite Micro."""
    from edgecomp.devices import _mcu_tools

    if _mcu_tools.version("tflite-micro") is None:
        raise Absent("TensorFlow Lite Micro is not installed (edgecomp[mcu])")
    return _through_c(bundle, clips, work, _mcu_tools.run_body)


def c_with_litert(bundle: Bundle, clips: Sequence[Path], work: Path) -> Said:
    """Ask the generated C for recordings in pieces, with its int8 body in LiteRT, whose rounding is the bundle's own."""
    from edgecomp.lowering.feature_body import run_part

    return _through_c(bundle, clips, work, lambda body, features: run_part(body.content, features))


def _through_c(bundle: Bundle, clips: Sequence[Path], work: Path, run_body: RunBody) -> Said:
    import soundfile

    from edgecomp.lowering.feature_body import cut_bundle
    from tests.c_streams import Streams, build

    body = cut_bundle(bundle.folder, bundle.facts)
    facts, front_end, random = read_facts(bundle), body.front_end, np.random.default_rng(0)
    heard = []
    with Streams(build(work, facts), facts, front_end.frames * front_end.mels) as streams:
        for clip in clips:
            wave, rate = soundfile.read(clip, dtype="int16")
            assert rate == facts.sample_rate, "nothing resamples in C"
            pieces = np.split(wave, np.cumsum(random.integers(1, PIECE, len(wave) // 200 + 1)).clip(max=len(wave)))
            heard.append(streams.recording(pieces))
        told = [streams.decide(logits) for logits in run_body(body, np.stack(heard))]
    figures = np.array([[*one.probabilities, one.uncertainty] for one in told], np.float64)
    return Said(figures, tuple(one.best_guess for one in told), tuple(one.label is None for one in told))


PLACES = {
    "Kotlin on the JVM": kotlin_on_the_jvm,
    "page in Chromium": page_in_chromium,
    "Python on arm64": python_on_arm64,
    "C, its body in LiteRT": c_with_litert,
    "C, its body in TFLM": c_with_tflm,
}


def _said(bundle: Bundle, rows: Sequence[dict]) -> Said:
    """Return what JSON lines say, which every language writes alike (rule 1)."""
    figures = [[*(row["probabilities"][label] for label in bundle.labels), row["uncertainty"]] for row in rows]
    return Said(np.array(figures, np.float64), tuple(row["label"] for row in rows), tuple(row["ask"] for row in rows))


def main(folder: str, *clips: str) -> None:
    """Print a line for each place."""
    from edgecomp.bundle import read_bundle
    from edgecomp.errors import EdgecompError

    bundle, files = read_bundle(Path(folder)), [Path(clip).resolve() for clip in clips]
    with tempfile.TemporaryDirectory() as place:
        wanted = edgecomp_run(bundle, files, Path(place))
        for name, ask in PLACES.items():
            (work := Path(place) / ask.__name__).mkdir()
            try:
                found = apart(ask(bundle, files, work), wanted)
            except (Absent, EdgecompError) as why:
                print(f"{name}: not here: {str(why).splitlines()[0]}", flush=True)
                continue
            told = f"{found.same} of {found.clips} decisions, at most {found.worst:.2g} apart, {found.mean:.2g} in the mean"
            print(f"{name}: {told}; {sum(wanted.asks)} asked", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
