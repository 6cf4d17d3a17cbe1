import ast
import json
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.papers import model_card
from edgecomp.papers.front_matter import front_matter
from tests.small_report import FILES, FIXTURE, audited_report, facts, hostile, plain_report


def _section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _measured(report: dict) -> dict:
    return next(f for s in report["stages"] for f in s["files"] if f.get("shipped") and f["format"] == "tflite")[
        "measurements"
    ]


def test_the_hubs_own_reader_finds_the_metrics_of_the_report():
    report = audited_report()
    data = ModelCard(model_card(report, facts())).data
    found = {(one.task_type, one.dataset_type, one.dataset_split, one.metric_type): one for one in data.eval_results}
    accuracy = found["audio-classification", "keywords", "test", "accuracy"]
    told = _measured(report)["accuracy"]
    assert accuracy.metric_value == told["value"]
    assert f"95 % interval {told['low'] * 100:.1f} to {told['high'] * 100:.1f}" in accuracy.metric_name
    assert data.pipeline_tag == "audio-classification" and data.library_name == "litert"
    assert {"onnx", "tflite", "distil", "galaxy-a05s"} <= set(data.tags)


def test_a_card_survives_the_hubs_own_reading_and_writing():
    card = ModelCard(model_card(audited_report(), facts()))
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict() and again.text == card.text


def test_a_teacher_is_the_base_model_only_where_it_has_a_hub_name():
    report = audited_report()
    assert ModelCard(model_card(report, facts())).data.base_model is None
    report["teacher"]["hub"] = "org/teacher"
    assert ModelCard(model_card(report, facts())).data.base_model == "org/teacher"


def test_the_weights_licence_is_left_out_and_the_card_says_why():
    card = model_card(audited_report(), facts())
    assert ModelCard(card).data.license is None
    assert "a compiler does not answer" in _section(card, "Licence of these weights")


@pytest.mark.parametrize("report", [plain_report(), audited_report()], ids=["plain", "audited"])
@pytest.mark.parametrize("told", [{}, facts()], ids=["no facts", "facts"])
def test_every_card_has_the_same_questions_in_the_same_order(report, told):
    titles = re.findall(r"^## (.*)$", model_card(report, told), re.M)
    assert titles == [
        "What it does",
        "For whom it does not work as well",
        "When it asks",
        "Results",
        "Limits",
        "Training data",
        "Teacher",
        "Licence of these weights",
        "Provenance",
        *(["How to run it"] if told else []),
    ]


def test_slices_that_are_not_kept_stand_in_the_table_lost_ones_first():
    told = _section(model_card(audited_report(), facts()), "For whom it does not work as well")
    assert "on 5 slices of the test split (one for each metric): 2 lost, 1 unclear, 1 too small, 1 kept." in told
    assert "a loss above 3.0 points is ruled out with 95 % confidence" in told
    assert "Too small to judge: accent: en-029." in told
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("|")][2:]
    assert [(row[0], row[1]) for row in rows] == [
        ("accent: scotland", "lost"),
        ("label: off", "lost"),
        ("accent: us", "unclear"),
    ]
    assert rows[0][2:] == [
        "110",
        "accuracy",
        "79.1 % (77.1 to 81.1)",
        "88.2 % (86.2 to 90.2)",
        "−9.1 points (−11.1 to −7.1)",
    ]


def test_where_every_slice_is_kept_the_card_says_so():
    report = audited_report()
    report["audit"]["slices"] = [one for one in report["audit"]["slices"] if one["verdict"] == "kept"]
    told = _section(model_card(report, facts()), "For whom it does not work as well")
    assert "No slice was lost, and none is unclear." in told and "|" not in told and "Too small to" not in told


def test_without_an_audit_the_card_says_that_nothing_was_tested():
    told = _section(model_card(plain_report(), facts()), "For whom it does not work as well")
    assert "No slice was tested" in told and "compared with the teacher" not in told


def test_the_card_lists_what_was_forgotten_and_whose_mistakes_the_model_makes():
    report = audited_report() | json.loads(FIXTURE.with_name("audit.json").read_text(encoding="utf-8"))
    told = _section(model_card(report, facts()), "What compression forgot")
    clips = report["audit"]["forgotten"]["clips"]
    assert all(clip["path"].replace("_", r"\_") in told for clip in clips)
    assert f"wrong on {report['audit']['inherited']['teacher_errors']} test clips" in told and "are new" in told
    assert "What compression forgot" not in model_card(plain_report(), facts())


def test_the_card_says_when_the_model_asks_and_how_sure_that_is():
    told = _section(model_card(audited_report(), facts()), "When it asks")
    assert "above 0.312" in told and "at most 5.0 %" in told and "95 % confidence" in told
    assert "share of clips answered: 83.0 % (95 % interval 81.0 to 85.0, 500 clips)" in told
    assert "share of wrong answers among those answered: 2.1 % (95 % interval 0.1 to 4.1, 500 clips)" in told
    assert "It answers every clip" in _section(model_card(plain_report(), facts()), "When it asks")


def test_where_no_threshold_was_found_the_card_gives_none():
    report = audited_report()
    report["deferral"] |= {"ask_above": None, "text": "No threshold keeps the bound."}
    card = model_card(report, facts())
    assert "uncertainty is above" not in card and "ask instead" not in card
    assert "No threshold keeps the bound." in _section(card, "Limits")


@pytest.mark.parametrize(
    ("answer", "says"),
    [("unknown", "It is not known whether"), ("no", "does NOT let"), (None, "It is not known whether")],
)
def test_a_teacher_whose_outputs_may_not_surely_train_is_a_warning_at_the_top(answer, says):
    report = audited_report()
    report["teacher"].pop("outputs_may_train")
    report["teacher"] |= {"outputs_may_train": answer} if answer else {}
    card = model_card(report, facts())
    warnings = [line for line in card.split("\n## ")[0].splitlines() if line.startswith("> **Warning.**")]
    assert len(warnings) == 1 and says in warnings[0]


def test_a_teacher_that_may_be_learnt_from_is_no_warning():
    assert "Warning" not in model_card(audited_report(), facts())


def test_a_rejected_compile_says_so_before_anything_else():
    report = audited_report()
    report["gates"][0] |= {"passed": False, "text": "6.2 points below the teacher's"}
    card = model_card(report, facts())
    top = card.split("\n## ")[0]
    assert "**Rejected: 1 check failed. Do not use this model as it is.**" in top and "6.2 points below" in top
    assert "rejected" in ModelCard(card).data.tags
    assert "6 checks made, none failed." in model_card(audited_report(), facts())


def test_results_hold_this_model_beside_its_teacher_with_units_and_intervals():
    told = _section(model_card(audited_report(), facts()), "Results")
    assert "| accuracy | 96.7 % (95 % interval 95.2 to 98.0, 1320 clips) | 97.5 % (95 % interval 96.1 to 98.6" in told
    assert "| latency, median | 1.62 ms (95 % interval 1.60 to 1.66 ms) | 61.4 ms" in told
    assert "| calibration error before calibration | 6.1 % (95 % interval 4.1 to 8.1, 500 clips) |" in told
    assert plain_report()["device"].split("(")[0].strip() in told


def test_provenance_holds_the_hashes_of_files_and_passes():
    report = audited_report()
    told = _section(model_card(report, facts()), "Provenance")
    for form in ("onnx", "tflite"):
        assert FILES[f"model.{form}"] in told
    for step in report["trail"]:
        assert step["output_hash"] in told


def test_the_code_in_the_card_is_python_and_names_the_files_that_ship():
    told = _section(model_card(audited_report(), facts()), "How to run it")
    blocks = re.findall(r"```python\n(.*?)```", told, re.S)
    assert [re.search(r'"(model\.\w+)"', block)[1] for block in blocks] == ["model.tflite", "model.onnx"]
    for block in blocks:
        ast.parse(block)
    assert "Where the output `uncertainty` is above 0.3125, ask instead of answering." in told


@pytest.mark.parametrize(
    "text",
    ["<script>x</script>", "a | b", "---\nlicense: mit", "[x](http://y)", "# head", '"quoted\\', "\x85\u2028\x7f: é"],
)
def test_no_text_of_a_recipe_becomes_markup_or_metadata(text):
    card = model_card(hostile(audited_report(), text), facts())
    data, honest = ModelCard(card).data, ModelCard(model_card(audited_report(), facts())).data
    assert set(data.to_dict()) == set(honest.to_dict())
    assert text in data.tags and data.license is None
    body = card.split("\n---\n", 1)[1]
    assert "<script>" not in body and "[x](" not in body
    assert len(re.findall(r"^#+ ", body, re.M)) == 11
    for line in body.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 5, 8)


values = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True).map("k_".__add__), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True).map("k_".__add__), values, max_size=4))
def test_front_matter_comes_back_from_a_yaml_reader_as_it_was(table):
    assert (yaml.safe_load(front_matter(table).split("---\n", 1)[1].rsplit("---\n", 1)[0]) or {}) == table


def test_a_report_as_it_stands_in_memory_gives_the_same_card_as_from_its_file():
    report = audited_report()
    in_memory = report | {"labels": tuple(report["labels"]), "warnings": tuple(report["warnings"])}
    assert model_card(in_memory, facts()) == model_card(json.loads(json.dumps(report)), facts())
