"""Small int8 bundles and bodies for microcontrollers, and the C that is made from them compiled for this host."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp.artifact import Artifact, Step, content_hash, to_json
from edgecomp.bundle import write_bundle
from edgecomp.lowering.feature_body import FeatureBody, cut_body
from edgecomp.passes import signature_of
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.ending import PLAIN, Ending
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.quantisation import Quantisation
from edgecomp.students.student import Student, freeze
from tests.small_bundle import copy_report, small_facts
from tests.small_students import LABELS, lively_student, probabilities, scales, sounds

RATE, SAMPLES = 8000, 4000
STRICT = (
    "-std=c99",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wconversion",
    "-Wshadow",
    "-Wdouble-promotion",
    "-O2",
)


def fair_student(family: str = "ds_cnn", *, classes: int = 3, seed: int = 1) -> Student:
    """Return a student that gives every label its share of sounds."""
    student = lively_student(family, seed=seed, rate=RATE, samples=SAMPLES, classes=classes)
    dense = student.body.blocks[student.config.layers[-1].name].dense
    with torch.no_grad():
        dense.bias -= student(torch.from_numpy(sounds(32, SAMPLES, rate=RATE, seed=9))).mean(0)
    return student


def lower(runtime: str, student: Student, ending: Ending = PLAIN, held: Quantisation | None = None) -> bytes:
    """Lower a student to int8.

    held: its scales; None for those of sounds that it has not heard yet
    """
    front_end = student.config.front_end
    held = held or scales(student, sounds(16, front_end.samples, rate=front_end.sample_rate, seed=7), weight_bits=8)
    told = {"edgecomp": to_json({"labels": student.config.labels, "student_hash": "a student"})}
    return import_runtime(runtime).lower(freeze(student, held, ending), told)


def small_body(student: Student, ending: Ending = PLAIN) -> FeatureBody:
    """Cut the body out of a student's int8 TFLite file."""
    return cut_body(lower("litert", student, ending), student.config.front_end)


def body_that_hears(clips: np.ndarray, rate: int, **front_end: float) -> FeatureBody:
    """Return the parts of a student whose normalisation was measured on some clips."""
    student = lively_student("ds_cnn", rate=rate, samples=clips.shape[1], **front_end)
    with torch.no_grad():
        student.front_end.set_normalisation(torch.zeros(student.config.front_end.mels), torch.ones(1).expand(1))
        features = student.front_end(torch.from_numpy(clips))
        student.front_end.set_normalisation(features.mean((0, 1)), features.std((0, 1)))
    return small_body(student)


def write_int8_bundle(
    folder: Path, *, ending: Ending = PLAIN, classes: int = 3, seed: int = 1, **changed: object
) -> Path:
    """Write a whole int8 bundle of random weights whose trail says how its front end was built."""
    student = fair_student(classes=classes, seed=seed)
    heard = sounds(32, SAMPLES, rate=RATE, seed=50)
    sure = np.sort(probabilities(student, heard), axis=1)
    clear = np.argsort(sure[:, -2] - sure[:, -1])[:8]  # random weights tip easily: clips that the student is sure of
    told = {"labels": list(LABELS[:classes]), **changed}
    return write_bundle_of(student, folder, None, heard[clear], ending=ending, **told)


def write_bundle_of(
    student: Student,
    folder: Path,
    seen: np.ndarray | None,
    golden: np.ndarray,
    *,
    ending: Ending = PLAIN,
    weight_bits: int = 8,
    features: bool = False,
    **told: object,
) -> Path:
    """Write a student's whole int8 bundle.

    seen:   (n, samples) waveforms that give the scales; None for made sounds
    features: whether the first layer reads int8 too, as in a bundle for a microcontroller
    golden: (n, samples) waveforms
    told:   what bundle.json says otherwise than a small bundle's
    """
    models = folder.parent / f"{folder.name}-models"
    models.mkdir(parents=True, exist_ok=True)
    held = None if seen is None else scales(student, seen, weight_bits=weight_bits, features=features)
    made = {}
    for name in runtimes():
        runtime = import_runtime(name)
        path = models / f"model{runtime.SUFFIX}"
        path.write_bytes(lower(name, student, ending, held))
        built = Step("build", {"front_end": asdict(student.config.front_end)}, {}, "", "built")
        trail = (built, Step("quantise", {}, {}, "built", "a student"))
        export = Step("export", {"runtime": name}, {}, "a student", content_hash(path))
        made[runtime.FORM] = Artifact(runtime.FORM, path, signature_of(student.config), (*trail, export))
    write_bundle(folder, made, small_facts(made, **told), golden, copy_report)
    return folder


def compiler() -> str:
    """Return a C compiler; skip the test where there is none."""
    found = next((path for name in ("gcc", "cc", "clang") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no C compiler on this machine")
    return found


def library(folder: Path, sources: list[Path], *, more: str = "") -> ctypes.CDLL:
    """Compile C without a warning and load it.

    more: text that is put behind the first source, to look at what is static there
    """
    built = folder / "built.so"
    if more:
        sources[0].write_text(sources[0].read_text() + more)
    command = [compiler(), *STRICT, "-shared", "-fPIC", "-I", str(folder), "-o", str(built), *map(str, sources), "-lm"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    return ctypes.CDLL(str(built))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Return where an array's values lie; it lives as long as the pointer."""
    assert array.flags.c_contiguous
    return array.ctypes.data_as(ctypes.c_void_p)


def frames_of(clip: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return a clip's frames, (frames, window)."""
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(clip, front_end.window)[:: front_end.hop])
