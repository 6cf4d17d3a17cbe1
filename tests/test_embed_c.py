"""A bundle as C: it compiles without a warning, decides as the bundle does, and its golden clip tests it."""

import ctypes
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from edgecomp.bundle import read_bundle
from edgecomp.embed import Selector, c, embed
from edgecomp.embed.facts import outcome, read_facts
from edgecomp.errors import BundleError, GateError
from edgecomp.lowering.feature_body import cut_bundle, run_part
from edgecomp.students.ending import Ending
from tests.small_bundle import write_small_bundle
from tests.small_mcu import STRICT, compiler, library, pointer, write_int8_bundle

torch.set_num_threads(1)
THRESHOLD = 0.3
BUNDLES = {
    "most probable": {},
    "two labels by threshold": {
        "classes": 2,
        "ending": Ending(1.5, (0.0, 0.25), (0.0, -float(np.log(THRESHOLD / (1 - THRESHOLD))))),
        "decision": {"rule": "threshold", "positive": "mid", "threshold": THRESHOLD},
        "deferral": {"rule": "uncertainty", "ask_above": 0.3000000001},
    },
    "every clip for the teacher": {"deferral": {"rule": "always", "ask_above": None}},
    "odd names": {"name": "2 small-sounds", "labels": ['a "quoted"', "ü\\n", "??/"]},
}


@pytest.fixture(scope="module", params=BUNDLES)
def bundle(request, tmp_path_factory):
    return read_bundle(write_int8_bundle(tmp_path_factory.mktemp("c") / "sounds", **BUNDLES[request.param]))


@pytest.fixture(scope="module")
def facts(bundle):
    return read_facts(bundle)


@pytest.fixture(scope="module")
def built(bundle, facts, tmp_path_factory) -> ctypes.CDLL:
    """The module, compiled for this host."""
    folder = tmp_path_factory.mktemp("built")
    embed(bundle, "c", folder)
    return library(folder, sorted((folder / facts.package).glob("*.c")))


def _decide(built, facts, logits: np.ndarray) -> tuple[np.ndarray, float, int, int, int]:
    count = len(facts.labels)

    class Told(ctypes.Structure):
        _fields_ = [
            ("probabilities", ctypes.c_float * count),
            ("uncertainty", ctypes.c_float),
            ("ask", ctypes.c_int),
            ("label", ctypes.c_int),
            ("best_guess", ctypes.c_int),
        ]

    told = Told()
    getattr(built, f"{facts.package}_decide")(pointer(logits), ctypes.byref(told))
    return np.array(told.probabilities[:]), told.uncertainty, told.ask, told.label, told.best_guess


def test_it_decides_as_the_bundle_does(bundle, facts, built):
    body = cut_bundle(bundle.folder, bundle.facts)
    rng = np.random.default_rng(0)
    reasons = []
    for logits in rng.integers(-128, 128, (300, len(facts.labels))).astype(np.int8):
        probabilities, uncertainty, ask, label, best = _decide(built, facts, logits)
        (wanted,), (unsure,) = body.answers(logits[None])
        assert probabilities == pytest.approx(wanted, abs=2e-6) and uncertainty == pytest.approx(unsure, abs=2e-6)
        guess, reason = outcome(facts, probabilities.astype(np.float32), uncertainty)
        assert facts.labels[best] == guess and ask == [None, "unsure", "always"].index(reason)
        assert label == (best if reason is None else -1)
        reasons.append(reason)
    assert set(reasons) == ({"always"} if facts.ask_above is None else {None, "unsure"})


def test_labels_are_the_bundles(facts, built):
    held = (ctypes.c_char_p * len(facts.labels)).in_dll(built, f"{facts.package}_labels")
    assert tuple(label.decode() for label in held) == facts.labels


def test_the_model_is_the_body_and_lies_at_a_multiple_of_16(bundle, facts, built):
    body = cut_bundle(bundle.folder, bundle.facts)
    held = (ctypes.c_ubyte * len(body.content)).in_dll(built, f"{facts.package}_model")
    assert bytes(held) == body.content and ctypes.addressof(held) % 16 == 0


def test_the_golden_clip_passes_here_and_finds_what_is_wrong(bundle, facts, built):
    body = cut_bundle(bundle.folder, bundle.facts)
    size = body.front_end.frames * body.front_end.mels
    features = np.frombuffer((ctypes.c_int8 * size).in_dll(built, f"{facts.package}_golden_features"), np.int8)
    clip, _ = soundfile.read(facts.golden[0].path, dtype="float32")
    assert (features == body.quantise(run_part(body.front, clip[None])).reshape(-1)).all()
    front, answer = (getattr(built, f"{facts.package}_golden_{name}") for name in ("front_end", "answer"))
    front.restype = answer.restype = ctypes.c_float
    assert 0 <= front(pointer(np.empty(body.front_end.window, np.float32))) <= c.FEATURE_TOLERANCE / 10
    logits = run_part(body.content, features[None])[0]
    assert 0 <= answer(pointer(logits)) < 1e-5
    assert answer(pointer(np.roll(logits, 1))) > facts.models["tflite"].tolerance


def test_everything_that_is_exported_carries_the_version(bundle, facts, tmp_path):
    embed(bundle, "c", tmp_path)
    found = set()
    for source in (tmp_path / facts.package).glob("*.c"):
        subprocess.run([compiler(), "-std=c99", "-c", source, "-o", tmp_path / "one.o"], check=True, timeout=60)
        said = subprocess.run(
            ["nm", "-g", "--defined-only", tmp_path / "one.o"], capture_output=True, text=True, check=True
        )
        found |= {line.split()[-1] for line in said.stdout.splitlines()}
    types = {"work", "listener", "answer", "recording", "live", "heard", "ring"}
    assert found == {f"{facts.package}_{name}" for name in set(c.EXPORTED) - types}


def test_two_versions_link_into_one_program(facts, built, tmp_path):
    other = replace(facts, version="0" * 12)
    sources = []
    for one in (facts, other):
        for name, text in c.files(one).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        sources += sorted((tmp_path / one.package).glob("*.c"))
    both = library(tmp_path, sources)
    assert getattr(both, f"{facts.package}_decide") and getattr(both, f"{other.package}_decide")


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_readmes_example_compiles_with_the_selector(bundle, facts, language, tmp_path):
    embed(bundle, "c", tmp_path)
    readme = (tmp_path / facts.package / "README.md").read_text()
    example = tmp_path / "firmware.c"
    example.write_text(re.search(r"```c\n(.*?)```", readme, re.DOTALL).group(1))
    flags = STRICT if language == "c" else STRICT[1:]
    command = [compiler(), *flags, "-x", language, "-fsyntax-only", "-I", str(tmp_path), str(example)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "cc1plus" in run.stderr:
        pytest.skip("no C++ compiler on this machine")
    assert run.returncode == 0 and run.stderr == "", run.stderr


def test_files_lie_in_the_versions_folder_and_open_with_the_note(facts):
    made = c.files(facts)
    assert made == c.files(facts)
    for name, text in made.items():
        if isinstance(text, Selector):
            assert name == f"{facts.name}.h" and facts.selector_note in text.splitlines()[0]
        else:
            assert name.startswith(f"{facts.package}/") and facts.note in text.splitlines()[0]
    assert sum(isinstance(text, Selector) for text in made.values()) == 1
    assert {Path(name).suffix for name in made} == {".h", ".c", ".md"}


def test_a_float_bundle_is_refused_with_what_to_do(tmp_path):
    bundle = read_bundle(write_small_bundle(tmp_path / "sounds"))
    with pytest.raises(BundleError) as caught:
        embed(bundle, "c", tmp_path / "firmware")
    assert caught.value.what == "the model of this bundle is float32, and a microcontroller's body must be int8"
    assert "stm32h747" in caught.value.fix and not (tmp_path / "firmware").exists()


def test_a_body_that_answers_otherwise_on_int8_features_is_refused(facts):
    golden = tuple(replace(one, probabilities={"tflite": one.probabilities["tflite"][::-1]}) for one in facts.golden)
    with pytest.raises(GateError, match="answers its golden clips otherwise") as caught:
        c.files(replace(facts, golden=golden))
    assert "do not ship it" in caught.value.fix


def test_the_uncertainty_is_compared_as_exactly_as_the_bundle_does():
    for bound in (0.3, 0.3000000001, 0.40160512924194336, 1e-9):
        near = c._at_most(bound)
        assert float(near) <= bound < float(np.nextafter(near, np.float32(1)))
