import copy
import json
import re

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.schema._res import SPDX_JSON
from cyclonedx.validation.json import JsonStrictValidator

from edgecomp.papers import cyclonedx
from edgecomp.papers.licences import SPDX, spdx_id
from tests.small_report import FILES, FIXTURE, audited_report, digest, facts, hostile, plain_report


def _faults(text: str) -> str | None:
    """Return what the official schema (with its sub-schemas for SPDX, JSF and cryptography) finds wrong, or None."""
    fault = JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)
    return None if fault is None else str(fault)


def _written(report: dict, told: dict | None = None) -> dict:
    return json.loads(cyclonedx(report, facts() if told is None else told, FILES))


def _student(report: dict) -> dict:
    return _written(report)["metadata"]["component"]


def _walk(item):
    yield item
    for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        yield from _walk(inner)


def _bare(report: dict) -> dict:
    """Leave only what no report may lack."""
    kept = ("name", "labels", "device", "parity", "schema")
    empty = {"target": {"name": "x"}, "teacher": {}, "student": {}, "data": {}}
    lists = {key: [] for key in ("stages", "gates", "warnings", "trail")}
    return {key: report[key] for key in kept} | empty | lists


@pytest.mark.parametrize(
    ("report", "told", "files"),
    [
        (plain_report(), facts(), FILES),
        (audited_report(), facts(), FILES),
        (audited_report(), {}, {}),
        (_bare(plain_report()), {}, {}),
        (hostile(audited_report(), '"<b>|\n\u2028 \x7f é 字 https://a.b/c?d=[e]'), facts(), FILES),
    ],
    ids=["plain", "audited", "no facts", "bare", "hostile"],
)
def test_the_bom_is_valid_against_the_official_schema(report, told, files):
    text = cyclonedx(report, told, files)
    assert _faults(text) is None
    assert json.loads(text)["specVersion"] == "1.7"


def test_the_official_schema_refuses_a_wrong_bom():
    bom = _written(audited_report())
    bom["metadata"]["component"]["licenses"] = [{"license": {"id": "Apache-2.1"}}]
    assert "Apache-2.1" in _faults(json.dumps(bom))


def test_the_same_compile_gives_the_same_bytes_and_another_file_another_serial_number():
    first = cyclonedx(audited_report(), facts(), FILES)
    assert cyclonedx(audited_report(), facts(), dict(reversed(FILES.items()))) == first
    other = json.loads(cyclonedx(audited_report(), facts(), FILES | {"labels.txt": digest("other")}))
    assert other["serialNumber"] != json.loads(first)["serialNumber"]


def test_the_only_time_in_the_bom_is_the_reports_own():
    report = audited_report()
    text = cyclonedx(report, facts(), FILES)
    assert re.findall(r"\d{4}-\d\d-\d\dT[^\"]*", text) == [report["created"]]
    del report["created"]
    assert "timestamp" not in _written(report)["metadata"]


def test_every_reference_in_the_bom_leads_somewhere():
    bom = _written(audited_report())
    named = [one["bom-ref"] for one in _walk(bom) if isinstance(one, dict) and "bom-ref" in one]
    assert len(named) == len(set(named))
    used = {one["ref"] for one in _walk(bom) if isinstance(one, dict) and "ref" in one}
    used |= {ref for one in _walk(bom) if isinstance(one, dict) for ref in one.get("dependsOn", [])}
    assert used and used <= set(named)


def test_the_student_carries_the_hash_of_every_file_that_ships():
    student = _student(audited_report())
    found = {one["name"]: one["hashes"][0]["content"] for one in student["components"]}
    assert found == FILES
    assert student["hashes"] == [{"alg": "SHA-256", "content": FILES["model.tflite"]}]  # the target runs tflite


def test_overall_metrics_carry_their_intervals_and_no_slice():
    report = audited_report()
    metrics = _student(report)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    overall = {one["type"]: one for one in metrics if "slice" not in one}
    shipped = next(f for s in report["stages"] for f in s["files"] if f.get("shipped") and f["format"] == "tflite")
    told = shipped["measurements"]["accuracy"]
    assert float(overall["accuracy"]["value"]) == pytest.approx(told["value"], abs=1e-6)
    between = overall["accuracy"]["confidenceInterval"]
    assert float(between["lowerBound"]) == pytest.approx(told["low"], abs=1e-6)
    assert float(between["upperBound"]) == pytest.approx(told["high"], abs=1e-6)
    assert "confidenceInterval" not in overall["brier"]  # none was computed
    assert overall["risk"]["value"] == "0.021" and overall["calibration_error_before_calibration"]["value"] == "0.061"


def test_every_audited_slice_is_a_metric_with_slice_and_interval():
    report = audited_report()
    metrics = _student(report)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    for one in report["audit"]["slices"]:
        for kind, estimate in (("accuracy", one["values"]["int8"]), ("accuracy_difference", one["difference"])):
            found = [m for m in metrics if m.get("slice") == one["slice"] and m["type"] == kind]
            assert [float(m["value"]) for m in found] == [estimate["value"]]
            assert float(found[0]["confidenceInterval"]["lowerBound"]) == estimate["low"]
            assert float(found[0]["confidenceInterval"]["upperBound"]) == estimate["high"]


def test_without_an_audit_there_are_no_slices_and_the_limits_say_that_nothing_was_tested():
    card = _student(plain_report())["modelCard"]
    assert not [m for m in card["quantitativeAnalysis"]["performanceMetrics"] if "slice" in m]
    assert any("holds no audit" in one for one in card["considerations"]["technicalLimitations"])


def test_limitations_name_failed_gates_lost_slices_and_warnings():
    report = audited_report()
    report["gates"][0] |= {"passed": False, "text": "6.2 points below the teacher's"}
    report["audit"]["slices"][1]["why"] = "9.1 points lost"
    limits = " | ".join(_student(report)["modelCard"]["considerations"]["technicalLimitations"])
    assert "A gate failed: loss against the teacher: 6.2 points below" in limits
    assert "Lost on a slice: accent: scotland: accuracy 79.1 % (95 % interval 77.1 to 81.1, 110 clips)" in limits
    assert "difference −9.1 points (95 % interval −11.1 to −7.1, 110 clips)" in limits
    assert "verdict: lost (9.1 points lost)" in limits
    assert "unclear: accent: us" in limits and "judge these slices: accent: en-029" in limits
    assert report["warnings"][0] in limits


def test_what_was_forgotten_is_a_limitation_and_inherited_errors_are_a_property():
    report = audited_report() | json.loads(FIXTURE.with_name("audit.json").read_text(encoding="utf-8"))
    card = _student(report)["modelCard"]
    limits = card["considerations"]["technicalLimitations"]
    assert any(one.startswith("What compression forgot: On 5.8 %") for one in limits)
    told = {one["name"]: one["value"] for one in card["properties"]}["edgecomp:forgotten clips and inherited errors"]
    assert "the student repeats 17.4 %" in told and "86.6 %" in told


def test_fairness_is_told_of_groups_only_and_users_are_never_invented():
    told = _student(audited_report())["modelCard"]["considerations"]
    assert [one["groupAtRisk"] for one in told["fairnessAssessments"]] == [
        "accent: scotland",
        "accent: us",
        "accent: en-029",
    ]
    assert told["fairnessAssessments"][0]["harms"].endswith("verdict: lost")
    assert told["useCases"] == [audited_report()["summary"]] and "users" not in told


def test_the_teacher_is_an_ancestor_with_licence_hash_and_terms():
    report = audited_report()
    report["teacher"]["weights_hash"] = digest("weights")
    (teacher,) = _student(report)["pedigree"]["ancestors"]
    assert teacher["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert teacher["hashes"] == [{"alg": "SHA-256", "content": digest("weights")}]
    assert {"name": "edgecomp:outputs_may_train", "value": "yes"} in teacher["properties"]


def test_a_teachers_fingerprint_is_not_passed_off_as_the_hash_of_a_file():
    (teacher,) = _student(audited_report())["pedigree"]["ancestors"]
    assert "hashes" not in teacher
    assert {"name": "edgecomp:fingerprint", "value": digest("teacher")} in teacher["properties"]


def test_a_student_that_learnt_from_labels_alone_has_no_ancestor():
    report, told = audited_report(), facts()
    for trail in (report["trail"], *told["trail"].values()):
        for step in trail:
            if step["name"] in ("distil", "finetune"):
                step["settings"]["label_weight"] = 1.0
    bom = json.loads(cyclonedx(report, told, FILES))
    assert "pedigree" not in bom["metadata"]["component"]
    assert '"teacher"' not in json.dumps(bom["formulation"])


def test_what_formats_share_is_one_task_with_settings_seed_and_hashes():
    told = facts()
    (workflow,) = _written(audited_report())["formulation"][0]["workflows"]
    assert [task["name"] for task in workflow["tasks"]] == ["build", "distil", "prune", "finetune", "export", "export"]
    distil, step = workflow["tasks"][1], told["trail"]["onnx"][1]
    given = {p["name"]: p["value"] for i in distil["inputs"] for p in i.get("parameters", [])}
    assert given == {name: str(value) for name, value in step["settings"].items()}
    assert {i["resource"]["ref"] for i in distil["inputs"] if "resource" in i} >= {"teacher", "data"}
    properties = {p["name"]: p["value"] for p in distil["properties"]}
    assert properties["edgecomp:seed"] == "0" and properties["edgecomp:output_hash"] == step["output_hash"]
    ends = [task["outputs"][0]["resource"]["ref"] for task in workflow["tasks"][-2:]]
    assert ends == ["file:model.onnx", "file:model.tflite"]
    follows = {one["ref"]: one["dependsOn"] for one in workflow["taskDependencies"]}
    assert follows["pass:05:export"] == follows["pass:06:export"] == ["pass:04:finetune"]


def test_data_tell_source_licence_and_splits():
    report = audited_report()
    report["data"] |= {"source": "see https://example.org/data.zip, resampled", "licence": "CC BY-SA 4.0"}
    (data,) = _written(report)["components"]
    assert data["licenses"] == [{"license": {"id": "CC-BY-SA-4.0"}}]
    assert data["externalReferences"] == [{"type": "distribution", "url": "https://example.org/data.zip"}]
    assert {one["name"] for one in data["data"]} == {"train split", "validation split", "test split"}


@pytest.mark.parametrize("licence", ["not stated", "", None])
def test_a_licence_that_is_not_stated_is_left_out_and_named_as_a_limit(licence):
    report = copy.deepcopy(audited_report())
    report["data"]["licence"] = licence
    bom = _written(report)
    assert "licenses" not in bom["components"][0]
    limits = bom["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"]
    assert "The recipe does not state the data’s licence" in limits


def test_our_spdx_identifiers_are_official():
    with open(SPDX_JSON, encoding="utf-8") as stream:
        official = set(json.load(stream)["enum"])
    assert set(SPDX) <= official


@pytest.mark.parametrize(
    ("stated", "means"),
    [
        ("Apache-2.0", "Apache-2.0"),
        (" cc by-sa 4.0 ", "CC-BY-SA-4.0"),
        ("CC0-1.0", "CC0-1.0"),
        ("Apache-2.0, trained by this project", None),
        ("not stated", None),
        ("GPL-3", None),
        (None, None),
    ],
)
def test_only_a_whole_spdx_identifier_counts_as_one(stated, means):
    assert spdx_id(stated) == means
