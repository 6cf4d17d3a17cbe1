"""The plan: every recipe fits every target, settings go in their order, and what is wrong is said in one message."""

import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from edgecomp.audit.parity import Verify
from edgecomp.errors import PlanError
from edgecomp.passes import Run, name_of
from edgecomp.passes.build import Build
from edgecomp.plan import Plan, plan
from edgecomp.recipe import Recipe, read_recipe
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.shipped import shipped
from edgecomp.target import Target, read_target
from tests.small_students import SmallTask

RECIPES = sorted(shipped("models").glob("*/*.toml"))
TARGETS = sorted(file.stem for file in shipped("targets").glob("*.toml"))


def _recipe(folder: Path, lines: str = "") -> Recipe:
    (folder / "recipe.toml").write_text(
        f'name = "small"\n[data]\npath = "."\nsample_rate = 8000\n{lines}\n', encoding="utf-8"
    )
    return read_recipe(folder)


def _target(**override: dict[str, object]) -> Target:
    return read_target("redmi-7a", shipped("targets")).model_copy(
        update={"override": override, "file": Path("redmi-7a.toml")}
    )


def _steps(made: Plan) -> dict[str, object]:
    return {stage.name: stage.passes[-1] for stage in made.stages}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: f"{file.parent.name}/{file.stem}")
@pytest.mark.parametrize("target", TARGETS)
def test_every_recipe_fits_every_target(recipe, target, tmp_path):
    made = plan(read_recipe(recipe), read_target(target, shipped("targets")))
    forms: dict[str | None, str] = {None: ""}
    for stage in made.stages:
        assert stage.after in forms  # it goes on from a stage before it
        form = forms[stage.after]
        for step in stage.passes:
            assert step.takes == form and step.refuse(None, Run(SmallTask(), 0, tmp_path)) is None
            form = step.gives or form
        assert stage.name not in forms
        forms[stage.name] = form
        assert all(export.takes == form for export in made.exports)
    assert [export.runtime for export in made.exports] == runtimes()
    assert {export.gives for export in made.exports} == {import_runtime(name).FORM for name in runtimes()}


def test_a_recipe_for_a_phone_has_its_stages_in_order(tmp_path):
    made = plan(_recipe(tmp_path), _target())
    assert [(stage.name, stage.after, [name_of(step) for step in stage.passes]) for stage in made.stages] == [
        ("labels only", None, ["build", "distil"]),
        ("distilled", None, ["build", "distil"]),
        ("pruned", "distilled", ["prune"]),
        ("finetuned", "pruned", ["finetune"]),
        ("int8", "finetuned", ["quantise"]),
    ]
    assert made.float_stage == "finetuned" and made.verify == Verify()


def test_the_baseline_is_the_same_student_and_schedule_without_the_teacher(tmp_path):
    labels, distilled = plan(_recipe(tmp_path, "[distil]\nepochs = 3"), _target()).stages[:2]
    assert labels.passes[0] == distilled.passes[0]
    assert labels.passes[1] == replace(distilled.passes[1], label_weight=1.0) and distilled.passes[1].epochs == 3


def test_what_the_device_wants_arrives_in_the_passes(tmp_path):
    target = _target()
    steps = _steps(
        plan(
            _recipe(tmp_path),
            target.model_copy(
                update={"numerics": target.numerics.model_copy(update={"channel_multiple": 4, "weight_bits": 7})}
            ),
        )
    )
    assert steps["pruned"].round_to == 4 and steps["int8"].weight_bits == 7


def test_a_float_target_has_no_int8_stage(tmp_path):
    target = _target()
    made = plan(
        _recipe(tmp_path),
        target.model_copy(update={"numerics": target.numerics.model_copy(update={"weights": "float32"})}),
    )
    assert [stage.name for stage in made.stages] == ["labels only", "distilled", "pruned", "finetuned"]
    assert made.float_stage == "finetuned"


@pytest.mark.parametrize("keep", [1, 1.0])
def test_nothing_is_pruned_where_everything_is_kept(keep, tmp_path):
    made = plan(_recipe(tmp_path), _target(), {"prune": {"keep": keep}})
    assert [(stage.name, stage.after) for stage in made.stages] == [
        ("labels only", None),
        ("distilled", None),
        ("int8", "distilled"),
    ]
    assert made.float_stage == "distilled"


@pytest.mark.parametrize("keep", [1.5, 0.0, float("nan")])
def test_a_share_that_means_nothing_reaches_the_pass_that_refuses_it(keep, tmp_path):
    step = _steps(plan(_recipe(tmp_path), _target(), {"prune": {"keep": keep}}))["pruned"]
    assert "keep" in step.refuse(None, Run(SmallTask(), 0, tmp_path))


def test_the_command_line_goes_before_the_target_the_recipe_and_the_default(tmp_path):
    recipe = _recipe(tmp_path, "[prune]\nkeep = 0.7\nclips = 70\nround_to = 7\n[verify]\nint8_mean = 0.5")
    target, settings = _target(prune={"clips": 60, "round_to": 6}), {"prune": {"round_to": 5}}
    found = _steps(plan(recipe, target, settings))
    assert (found["pruned"].keep, found["pruned"].clips, found["pruned"].round_to) == (0.7, 60, 5)
    assert found["finetuned"] == type(found["finetuned"])()
    assert plan(recipe, target, settings).verify == Verify(int8_mean=0.5)
    assert plan(recipe, _target(verify={"int8_mean": 0.4}), {"verify": {"int8_agreement": 0.9}}).verify == Verify(
        int8_mean=0.4, int8_agreement=0.9
    )


def test_the_front_end_and_student_are_the_recipes(tmp_path):
    lines = '[student]\nfamily = "ds_cnn"\nwidths = [8, 8, 8, 8, 8]\nfront_end = { mels = 20, hop = 100 }'
    step = plan(_recipe(tmp_path, lines), _target()).stages[0].passes[0]
    assert isinstance(step, Build) and step.widths == (8, 8, 8, 8, 8)
    assert (step.front_end.mels, step.front_end.hop, step.front_end.sample_rate, step.front_end.samples) == (
        20,
        100,
        8000,
        8000,
    )


GOLDEN = {
    "an unknown setting on the command line": (
        {"prune": {"kep": 0.5}},
        {},
        "",
        "unknown setting 'kep'\n  where: --set prune\n"
        "  fix:   did you mean 'keep'? settings of prune are clips, keep, round_to",
    ),
    "an unknown setting far from any": (
        {"prune": {"xyz": 0.5}},
        {},
        "",
        "unknown setting 'xyz'\n  where: --set prune\n  fix:   settings of prune are clips, keep, round_to",
    ),
    "an unknown pass on the command line": (
        {"prun": {"keep": 0.5}},
        {},
        "",
        "unknown pass 'prun'\n  where: --set\n"
        "  fix:   did you mean 'prune'? allowed: distil, finetune, prune, quantise, verify",
    ),
    "an unknown pass of a target": (
        {},
        {"compress": {}},
        "",
        "unknown pass 'compress'\n  where: redmi-7a.toml [override]\n"
        "  fix:   allowed: distil, finetune, prune, quantise, verify",
    ),
    "an unknown setting of a target": (
        {},
        {"quantise": {"weight_bit": 7}},
        "",
        "unknown setting 'weight_bit'\n  where: redmi-7a.toml [override.quantise]\n"
        "  fix:   did you mean 'weight_bits'? settings of quantise are clips, features_in_int8, weight_bits",
    ),
    "a wrong type in a recipe": (
        {},
        {},
        '[prune]\nkeep = "most"',
        "keep is 'most'\n  where: {recipe} [prune]\n"
        "  fix:   input should be a valid number, unable to parse string as a number",
    ),
    "a wrong type on the command line": (
        {"distil": {"epochs": 1.5}},
        {},
        "",
        "epochs is 1.5\n  where: --set distil\n"
        "  fix:   input should be a valid integer, got a number with a fractional part",
    ),
    "a front end that does not fit": (
        {},
        {},
        "[student]\nfront_end = { window = 242 }",
        "the front end does not fit: window 242 must be a multiple of 4 and at most 8000 samples; the band "
        "60.0–3800.0 Hz must lie within 0–4000.0 Hz\n  where: {recipe} [student.front_end]\n"
        "  fix:   change window, hop or the band; leave them out for the preset",
    ),
}


@pytest.mark.parametrize("fault", GOLDEN)
def test_what_is_wrong_is_one_message_of_what_where_and_fix(fault, tmp_path):
    settings, override, lines, said = GOLDEN[fault]
    recipe = _recipe(tmp_path, lines)
    with pytest.raises(PlanError) as error:
        plan(recipe, _target(**override), settings)
    assert str(error.value) == said.format(recipe=recipe.file)
    assert error.value.exit_code == 2


def test_planning_takes_under_50_ms(tmp_path):
    recipe, target = _recipe(tmp_path), _target()
    plan(recipe, target)
    best = []
    for _ in range(5):
        start = time.perf_counter()
        plan(recipe, target, {"prune": {"keep": 0.5}})
        best.append(time.perf_counter() - start)
    assert min(best) < 0.05


def test_a_plan_is_plain_values_that_compare(tmp_path):
    recipe, target = _recipe(tmp_path), _target()
    assert plan(recipe, target) == plan(recipe, target) and hash(plan(recipe, target)) == hash(plan(recipe, target))
    assert {field.name for field in fields(Plan)} == {"stages", "calibrate", "exports", "verify"}
