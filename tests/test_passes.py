"""Every pass keeps the contract: frozen, honest about forms, repeatable, tidy, and able to say why not."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp import passes
from edgecomp.artifact import Artifact, content_hash, to_json
from edgecomp.passes import Run, name_of, signature_of, student_artifact
from edgecomp.passes.build import Build
from edgecomp.passes.calibrate import Calibrate
from edgecomp.passes.distil import Distil
from edgecomp.passes.export import Export
from edgecomp.passes.finetune import Finetune
from edgecomp.passes.prune import Prune
from edgecomp.passes.quantise import Quantise
from edgecomp.recipe import PASS_TABLES
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.families import families, import_family
from edgecomp.students.quantisation import Quantisation
from edgecomp.students.student import load_student, quantisation_of
from tests.small_students import LABELS, NARROW, SmallTask, lively_student

torch.set_num_threads(1)
TASK = SmallTask()
NAMES = sorted(p.stem for p in Path(passes.__file__).parent.glob("*.py") if p.stem != "__init__")
SMALL = {
    "build": Build("ds_cnn", (8, 8, 8, 8, 8), TASK.front_end),
    "distil": Distil(epochs=2, batch=8),
    "finetune": Finetune(epochs=1, batch=8),
    "prune": Prune(keep=0.5, round_to=4),
    "quantise": Quantise(weight_bits=7),
    "calibrate": Calibrate(),
    "export": Export("ort"),
}
PASSES = [*SMALL.values(), Export("litert"), Distil(epochs=1, label_weight=1.0)]
EACH = pytest.mark.parametrize(
    "step", PASSES, ids=lambda step: f"{name_of(step)} {'' if step not in PASSES[-2:] else 2}".strip()
)


def _run(folder: Path, task: SmallTask = TASK, seed: int = 0) -> Run:
    folder.mkdir(parents=True)
    return Run(task, seed, folder)


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Callable[[object], Artifact | None]:
    """Return what a pass can be given: nothing, or a student that was built."""
    folder = tmp_path_factory.mktemp("start") / "run"
    student = lively_student("ds_cnn", samples=TASK.samples, widths=(8, 8, 8, 8, 8))
    built = student_artifact(SMALL["build"], student, _run(folder), None, {})
    return lambda step: built if step.takes else None


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_pass_of_the_folder_is_tested_here():
    assert sorted(SMALL) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_is_a_frozen_dataclass_named_as_its_file(name):
    kind = getattr(import_module(f"edgecomp.passes.{name}"), name.capitalize())
    assert is_dataclass(kind) and kind.__dataclass_params__.frozen and kind.__doc__
    assert name_of(SMALL[name]) == name and isinstance(SMALL[name], kind)
    assert isinstance(kind.takes, str) and not {"takes", "gives"} & {field.name for field in fields(kind)}
    assert (
        eval(repr(SMALL[name]), {kind.__name__: kind, "FrontEnd": type(TASK.front_end)}) == SMALL[name]
    )  # an honest key


def test_the_passes_with_settings_are_tables_of_the_recipe():
    assert set(PASS_TABLES) - {"verify"} == set(NAMES) - {"build", "calibrate", "export"}


@EACH
def test_a_pass_keeps_its_word(step, start, tmp_path):
    before = start(step)
    input_hash = before.hash if before else ""
    made = [step(before, _run(tmp_path / name)) for name in ("first", "second")]
    first, second = made
    # the form it claims, and a trail that grows by one honest step
    assert first.form == (step.gives or before.form) and first.signature == signature_of(lively_config())
    assert first.trail[:-1] == (before.trail if before else ())
    told = first.trail[-1]
    assert (told.name, told.settings, told.seed) == (name_of(step), asdict(step), 0)
    assert told.input_hash == input_hash and told.output_hash == first.hash == content_hash(first.path)
    # its input stays, and it writes into its own folder alone
    assert (before.hash if before else "") == input_hash
    assert first.path.is_relative_to(tmp_path / "first") and sorted(p.name for p in tmp_path.iterdir()) == [
        "first",
        "second",
    ]
    # bit for bit again
    assert _files(tmp_path / "first") == _files(tmp_path / "second") and first.hash == second.hash
    assert to_json(told) == to_json(second.trail[-1]) and str(tmp_path) not in to_json(told)
    json.loads(to_json(told.facts))
    assert step.refuse(None, _run(tmp_path / "third")) is None


def lively_config():
    return lively_student("ds_cnn", samples=TASK.samples).config


@pytest.mark.parametrize("step", [SMALL["distil"], SMALL["build"]], ids=name_of)
def test_another_seed_gives_another_student(step, start, tmp_path):
    first, other = (step(start(step), _run(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    assert first.hash != other.hash and other.trail[-1].seed == 1


@pytest.mark.parametrize("family", families())
def test_the_chain_from_build_to_both_files_works_for_every_family(family, tmp_path):
    model = None
    steps = [
        Build(family, NARROW.get(family, ()), TASK.front_end),
        SMALL["distil"],
        SMALL["prune"],
        SMALL["finetune"],
        SMALL["quantise"],
        SMALL["calibrate"],
    ]
    for place, step in enumerate(steps):
        model = step(model, _run(tmp_path / str(place)))
    assert [step.name for step in model.trail] == ["build", "distil", "prune", "finetune", "quantise", "calibrate"]
    answers = []
    for name in runtimes():
        file = Export(name)(model, _run(tmp_path / name))
        ask = import_runtime(name).open_session(file.path)
        answers.append(np.stack([ask(wave).probabilities for wave in TASK.waveforms("test")]))
        told = json.loads(import_runtime(name).read_metadata(file.path))
        assert told["labels"] == list(LABELS) and told["sample_rate"] == 8000 and told["student_hash"] == model.hash
        assert told["signature"]["inputs"][0]["shape"] == [1, TASK.samples]
        assert file.trail[-1].facts == {"bytes": file.path.stat().st_size}
    assert (answers[0].argmax(1) == answers[1].argmax(1)).mean() >= 0.9


def test_build_measures_the_front_ends_constants_on_the_training_split(tmp_path):
    student = load_student(SMALL["build"](None, _run(tmp_path / "a")).path)
    features = TASK.features("train", TASK.front_end)
    assert np.allclose(student.front_end.mean, features.mean((0, 1)), atol=1e-4)
    assert np.allclose(student.front_end.std, np.maximum(features.std((0, 1), ddof=1), 0.1), atol=1e-3)
    assert Build("ds_cnn", (), TASK.front_end)(None, _run(tmp_path / "b")).trail[-1].facts == {
        "widths": list(import_family("ds_cnn").WIDTHS)
    }


def test_prune_shrinks_the_widths_and_says_by_how_much(start, tmp_path):
    before = start(SMALL["prune"])
    after = SMALL["prune"](before, _run(tmp_path / "a"))
    facts, student = after.trail[-1].facts, load_student(after.path)
    assert tuple(facts["widths"]) == student.config.widths and all(width % 4 == 0 for width in student.config.widths)
    assert facts["body_macs"] <= 0.5 * facts["body_macs_before"] and facts["parameters"] < facts["parameters_before"]


def test_quantise_keeps_the_function_and_adds_scales_for_every_tensor(start, tmp_path):
    before = start(SMALL["quantise"])
    after = SMALL["quantise"](before, _run(tmp_path / "a"))
    held = quantisation_of(after.path)
    assert isinstance(held, Quantisation) and held.weight_bits == 7 and quantisation_of(before.path) is None
    assert set(held.activations) == {layer.name for layer in load_student(after.path).config.layers}
    in_float, equalised = load_student(before.path), load_student(after.path)
    waves = torch.from_numpy(SmallTask().waveforms("validation"))
    with torch.inference_mode():
        assert torch.allclose(in_float(waves), equalised(waves), atol=1e-3) and in_float.config == equalised.config
    facts = after.trail[-1].facts
    tried = facts["mean_probability_difference_on_validation"]
    assert tried[facts["estimator"]] == min(tried.values()) < 0.05 and len(tried) > 1


def test_quantise_never_listens_to_the_test_split(start, tmp_path):
    class Deaf(SmallTask):
        def features(self, split, front_end):
            assert split != "test"
            return super().features(split, front_end)

    for step in (SMALL["quantise"], SMALL["prune"], SMALL["distil"], SMALL["build"]):
        step(start(step), _run(tmp_path / name_of(step), Deaf()))


@pytest.mark.parametrize(
    "step, said",
    [
        (Quantise(weight_bits=6), "weight_bits is 6, and may be 7 or 8"),
        (Quantise(clips=0), "clips is 0, and must be 1 or more"),
        (Prune(keep=0.0), "keep is 0.0, and must be above 0 and at most 1"),
        (Prune(keep=1.01), "keep is 1.01, and must be above 0 and at most 1"),
        (Prune(keep=float("nan")), "keep is nan, and must be above 0 and at most 1"),
        (Prune(round_to=0), "round_to is 0 and clips is 512, and both must be 1 or more"),
        (Build("ds_cnn", (8, 8), TASK.front_end), "ds_cnn has 5 widths, and [student] widths gives 2"),
        (Build("ds_cnn", (8, 8, 0, 8, 8), TASK.front_end), "[student] widths has 0, and a width is 1 or more"),
        (Distil(label_weight=2.0), "label_weight is 2.0, and must be from 0 to 1"),
        (Distil(epochs=0), "epochs is 0, and must be 1 or more"),
        (Distil(mask=2.0), "mask is 2.0, and must be from 0 to 1"),
        (Finetune(temperature=0.0), "temperature is 0.0, and must be above 0"),
        (Finetune(batch=0), "batch is 0, and must be 1 or more"),
        (Export("tensorrt"), f"runtime is 'tensorrt', and may be {', '.join(runtimes())}"),
    ],
    ids=repr,
)
def test_a_pass_refuses_with_the_value_and_what_is_allowed(step, said, tmp_path):
    assert step.refuse(None, _run(tmp_path / "run")) == said


@pytest.mark.parametrize("step", [Distil(), Finetune()], ids=name_of)
def test_a_teacher_whose_outputs_may_not_train_is_not_asked(step, tmp_path):
    closed = SmallTask(outputs_may_train="no")
    assert "outputs may not train another model" in step.refuse(None, _run(tmp_path / "a", closed))
    assert replace(step, label_weight=1.0).refuse(None, _run(tmp_path / "b", closed)) is None
    for outputs_may_train in ("yes", "unknown"):
        assert (
            step.refuse(None, _run(tmp_path / outputs_may_train, SmallTask(outputs_may_train=outputs_may_train)))
            is None
        )
