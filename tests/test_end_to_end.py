"""The whole way, as a user goes it: one command from recordings to a bundle, and every command that reads one."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgecomp.bundle import read_bundle, replay
from edgecomp.runtimes import runtime_for
from tests.shared_data import shared_data
from tests.small_task import BLACK_BOX, RECIPE, TEACHER, call, edgecomp, write_target, write_task

FILES = {
    "README.md",
    "bom.cdx.json",
    "bundle.json",
    "labels.txt",
    "model.onnx",
    "model.tflite",
    "report.html",
    "report.json",
}
FIGURES = {
    "accuracy",
    "accuracy_difference",
    "latency_p50",
    "latency_p90",
    "latency_p99",
    "latency_ratio",
    "cold_start",
    "peak_memory",
    "bytes",
}
PASSES = ("build:", "distil:", "prune:", "finetune:", "quantise:", "export:")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("end-to-end")
    for name, runtime in (("anything", "litert"), ("anything-else", "ort")):
        write_target(folder, name, runtime=runtime)
    with (write_task(folder / "task") / "recipe.toml").open("a", encoding="utf-8") as recipe:
        recipe.write('[[form.questions]]\nid = "fever"\ntext = { en = "Fever?", hi = "बुख़ार है?" }\n')
    return folder


@pytest.fixture(scope="module")
def compiled(place) -> subprocess.CompletedProcess:
    """Compile once for two targets, with every measurement."""
    done = edgecomp(*_words(place))
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def bundle(compiled) -> Path:
    return Path(compiled.stdout.splitlines()[0])


@pytest.fixture(scope="module")
def report(bundle) -> dict:
    return json.loads((bundle / "report.json").read_text())


def _words(place: Path) -> list[object]:
    return [
        "compile",
        place / "task",
        "-t",
        place / "anything.toml",
        "-t",
        place / "anything-else.toml",
        "--build",
        place / "build",
    ]


def _models(bundle: Path) -> dict[str, str]:
    return {form: model["sha256"] for form, model in read_bundle(bundle).facts["models"].items()}


def _made(report: dict) -> dict[tuple[str, str], str]:
    """Return the hash of every file that a compile made of its students, by stage and format."""
    return {
        (stage["name"], file["format"]): file["hash"]
        for stage in report["stages"]
        for file in stage["files"]
        if stage["name"] != "teacher"
    }


def _rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_stdout_is_the_paths_of_the_bundles_and_nothing_else(place, compiled):
    assert compiled.stdout == "".join(
        f"{place / 'build' / 'bundles' / name}\n" for name in ("tones-anything", "tones-anything-else")
    )
    assert "\r" not in compiled.stderr and "\x1b" not in compiled.stderr, (
        "progress is plain lines where stderr is no terminal"
    )


def test_a_bundle_holds_what_ships_and_every_hash_is_right(bundle):
    assert FILES | {"golden"} == {p.name for p in bundle.iterdir()} - {"forgotten"}
    assert set(read_bundle(bundle).facts["files"]) >= FILES - {"bundle.json"} | {"golden/golden.json", "golden/00.wav"}


def test_the_recipes_questions_are_in_the_bundle_its_card_and_its_report(bundle, report):
    asked = {"id": "fever", "text": {"en": "Fever?", "hi": "बुख़ार है?"}, "kind": "yes-no", "optional": False}
    assert read_bundle(bundle).form.told() == report["form"] == {"questions": [asked]}
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "asks 1 question about the person, in en and hi: Fever?" in card and "They change no decision" in card


def test_targets_share_the_steps_that_they_have_in_common(place, compiled):
    assert [
        sum(line.startswith(name) for line in compiled.stderr.splitlines())
        for name in ("prune:", "finetune:", "quantise:")
    ] == [1, 1, 1]
    both = [_made(json.loads((Path(line) / "report.json").read_text())) for line in compiled.stdout.splitlines()]
    assert both[0] == both[1] and len(both[0]) == 10  # which of them ships is each target's own affair


def test_the_student_learnt_what_the_teacher_knows(report):
    stages = {stage["name"]: stage["files"][0]["measurements"]["accuracy"]["value"] for stage in report["stages"]}
    assert list(stages) == ["teacher", "labels only", "distilled", "pruned", "finetuned", "int8"]
    assert stages["teacher"] >= 0.9 and stages["int8"] >= 0.7 and stages["int8"] >= stages["teacher"] - 0.3


def test_every_gate_passed_and_the_parity_bounds_are_among_them(report):
    assert all(gate["passed"] for gate in report["gates"])
    assert {gate["name"] for gate in report["gates"]} >= {"loss", "latency_p50", "bytes", "peak_memory"}
    pairs = {frozenset((one["a"], one["b"])) for one in report["parity"]}
    wanted = [
        ("float onnx", "torch"),
        ("float tflite", "torch"),
        ("int8 onnx", "torch"),
        ("int8 tflite", "torch"),
        ("int8 onnx", "int8 tflite"),
    ]
    assert pairs == set(map(frozenset, wanted))
    assert all(one["passed"] and one["n"] == 20 for one in report["parity"])


def test_pruning_removed_work_and_the_trail_says_how_much(report):
    pruned = next(step for step in report["trail"] if step["name"] == "prune")["facts"]
    assert pruned["body_macs"] < pruned["body_macs_before"] and pruned["parameters"] < pruned["parameters_before"]
    hashes = [(step["input_hash"], step["output_hash"]) for step in report["trail"]]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(hashes))


def test_every_figure_has_a_unit_a_method_and_this_host_as_its_device(report):
    for stage in report["stages"]:
        for file in stage["files"]:
            for name, one in file["measurements"].items():
                assert one["unit"] and one["method"] and one["device"].startswith("host ("), (stage["name"], name)
    shipped = [file for stage in report["stages"] for file in stage["files"] if file["shipped"]]
    assert shipped and all(set(file["measurements"]) >= FIGURES for file in shipped)
    assert "redmi" not in json.dumps(report["stages"]).lower()


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_labels_and_sample_rate_stand_inside_the_model_files(bundle, form):
    opened = read_bundle(bundle)
    told = json.loads(runtime_for(form).read_metadata(bundle / opened.facts["models"][form]["file"]))
    assert told["labels"] == ["high", "low", "middle"] and told["sample_rate"] == 8000 and told["recipe"] == "tones"
    assert replay(opened, form) < 1e-5


def test_both_formats_answer_alike_and_as_the_contract_says(place, bundle):
    clips = sorted((place / "task" / "data" / "audio").glob("*.wav"))[-6:]
    answers = [_rows(call("run", bundle, *clips, "--json", "--format", form).out) for form in ("onnx", "tflite")]
    assert [row["label"] for row in answers[0]] == [row["label"] for row in answers[1]]
    for row, clip in zip(answers[0], clips, strict=True):
        assert set(row) == {"path", "label", "probabilities", "ask", "uncertainty"} and row["path"] == str(clip)
        assert isinstance(row["ask"], bool) and 0 <= row["uncertainty"] <= 2 / 3
        assert set(row["probabilities"]) == {"high", "low", "middle"} and sum(
            row["probabilities"].values()
        ) == pytest.approx(1, abs=1e-4)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)


def test_run_asks_the_targets_own_format_and_tells_people_the_best_labels(place, bundle):
    clip = place / "task" / "data" / "audio" / "000.wav"
    done = call("run", bundle, clip)
    said = r"(ask; its own answer would be )?(high|low|middle)"
    assert re.fullmatch(
        rf".*000\.wav: {said}  \((high|low|middle) [01]\.\d{{3}}, .*; uncertainty 0\.\d{{3}}\)\n", done.out
    )


def test_show_prints_stages_gates_and_steps(bundle):
    done = call("show", bundle)
    assert done.code == 0 and "FAILED" not in done.out
    assert all(word in done.out for word in ("labels only", "int8", "passed  ", "distil  {", "export  {"))
    rows = _rows(call("show", bundle, "--json").out)
    assert {"stage", "format", "name", "value", "unit", "method", "device", "hash", "how"} <= set(rows[0])


def test_bench_measures_every_file_of_every_bundle_and_keeps_the_lines(compiled, tmp_path):
    kept = tmp_path / "kept.jsonl"
    done = call("bench", *compiled.stdout.split(), "--seconds", "0.05", "--starts", "1", "--results", kept, "--json")
    rows = [row for row in _rows(done.out) if row["name"] != "device"]
    assert {f"{row['bundle']} {row['form']}" for row in rows} == {
        f"tones-{name} {form}" for name in ("anything", "anything-else") for form in ("onnx", "tflite")
    }
    assert {"latency_p50", "latency_ratio", "peak_memory", "cold_start", "bytes", "golden_difference"} <= {
        row["name"] for row in rows
    }
    assert all(
        row["unit"] and row["method"] and row["how"] == "measured" and len(row["model_sha256"]) == 64 for row in rows
    )
    assert _rows(kept.read_text()) == _rows(done.out)
    page = call("report", kept, "--out", tmp_path / "field.html")
    assert page.code == 0 and "tones-anything onnx" in (tmp_path / "field.html").read_text()


def test_bench_on_the_whole_test_split_agrees_with_the_float_student(place, compiled, bundle, tmp_path):
    words = ("--test", "--recipe", place / "task", "--build", place / "build")
    done = call(
        "bench", bundle, *words, "--seconds", "0.05", "--starts", "0", "--results", tmp_path / "r.jsonl", "--json"
    )
    told = {(row["form"], row["name"]): row for row in _rows(done.out)}
    for form in ("onnx", "tflite"):
        assert told[form, "agreement"]["value"] >= 0.99 and told[form, "accuracy"]["n"] == told[form, "agreement"]["n"]


def test_report_prints_markdown_and_writes_one_page_for_several_bundles(compiled, tmp_path):
    folders = compiled.stdout.split()
    assert "int8" in call("report", folders[0], "--markdown").out
    done = call("report", *folders, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert done.out == f"{tmp_path / 'page.html'}\n" and "tones" in page and "<html" in page
    assert not re.search(r"""(src|href)=["']https?://""", page), "a page holds all that it shows"


def test_the_snippet_in_a_bundles_readme_runs(bundle):
    code = re.search(r"```python\n(.*?)```", (bundle / "README.md").read_text(), re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    golden = json.loads((bundle / "golden" / "golden.json").read_text())
    expected = golden["expected"]["onnx"]["probabilities"]["00.wav"]
    assert done.stdout.strip() == golden["labels"][expected.index(max(expected))]


def test_the_same_command_again_runs_no_pass_and_gives_the_same_files(place, bundle):
    before, start = _models(bundle), time.monotonic()
    done = edgecomp(*_words(place))
    seconds = time.monotonic() - start
    assert done.returncode == 0 and _models(bundle) == before
    assert not [line for line in done.stderr.splitlines() if line.startswith(PASSES)]
    assert seconds < 20, "under 5 s on an idle machine; this bound leaves room for a busy one"


def test_the_audit_compares_every_stage_with_the_teacher_on_every_slice(report):
    audit = report["audit"]
    assert audit["models"] == ["teacher", "distilled", "pruned", "finetuned", "int8"]
    assert audit["shipped"] in ("finetuned", "int8") and sum(audit["verdicts"].values()) == len(audit["slices"])
    names = {row["slice"]: row for row in audit["slices"]}
    assert {"all clips", "label: high", "place: hall", "place: street"} <= names.keys()
    assert names["all clips"]["n"] == 20 and set(names["all clips"]["values"]) == set(audit["models"])
    assert all(row["verdict"] in ("kept", "lost", "unclear", "too small") and row["why"] for row in audit["slices"])
    assert [row["name"] for row in audit["outside"]["rows"]][:2] == ["as recorded", "noise-20db"]
    assert next(gate for gate in report["gates"] if gate["name"] == "slices")["passed"]


def test_what_ships_is_calibrated_and_asks_above_a_threshold_from_validation(report, bundle):
    step = next(step for step in report["trail"] if step["name"] == "calibrate")
    assert step["facts"]["validation_clips"] == 20 and report["calibration"]["scale"] == step["facts"]["scale"]
    rule = read_bundle(bundle).facts["deferral"]
    assert rule["rule"] == report["deferral"]["rule"] == "always", "20 clips can promise nothing at 5 % risk"
    assert rule["ask_above"] is None and rule["n"] == 20 and rule["note"]
    foreign = {row["name"]: row for row in report["deferral"]["foreign"]}
    assert (
        foreign["silence"]["n" if "n" in foreign["silence"] else "name"]
        and 0 <= foreign["silence"]["auroc"]["value"] <= 1
    )
    assert report["deferral"]["costs"]["note"], "costs that the recipe does not state are said to be missing"


def test_the_bundle_carries_its_papers_and_verify_finds_it_whole(bundle):
    bom = json.loads((bundle / "bom.cdx.json").read_text())
    assert bom["specVersion"] == "1.7" and bom["components"] and "tones" in json.dumps(bom)
    card = (bundle / "README.md").read_text()
    assert card.startswith("---\n") and "CC0" in card
    done = call("verify", bundle)
    assert done.code == 0 and "DIFFERS" not in done.out, done.out


def test_another_sites_clips_are_audited_without_training(place, bundle, tmp_path):
    write_task(tmp_path / "site")
    (tmp_path / "site" / "data" / "audio" / "000.wav").unlink()
    table = (tmp_path / "site" / "data" / "metadata.csv").read_text().splitlines()
    kept = [line for line in table if "000.wav" not in line]
    (tmp_path / "site" / "data" / "metadata.csv").write_text("\n".join(kept) + "\n")
    words = ["audit", bundle, "--recipe", place / "task", "--build", place / "build"]
    done = call(*words, "--data", tmp_path / "site" / "data", "--out", tmp_path / "audit")
    assert done.code in (0, 3), done.err
    told = json.loads((tmp_path / "audit" / "report.json").read_text())
    assert told["data"]["splits"] == {"test": 99} and told["audit"]["models"] == ["teacher", "ships"]
    assert not [line for line in done.err.splitlines() if line.startswith(PASSES)]
    assert (tmp_path / "audit" / "report.html").stat().st_size > 10_000


def test_another_site_with_a_label_that_the_model_does_not_know_is_refused(place, bundle, tmp_path):
    write_task(tmp_path / "site")
    file = tmp_path / "site" / "data" / "metadata.csv"
    file.write_text(file.read_text().replace("middle", "whistle"))
    words = ["audit", bundle, "--recipe", place / "task", "--build", place / "build"]
    done = call(*words, "--data", tmp_path / "site" / "data", "--out", tmp_path / "audit")
    assert done.code == 2 and "whistle" in done.err and "high, low, middle" in done.err


def test_recordings_of_another_task_are_asked_about_where_the_recipe_names_them(place, bundle, tmp_path):
    recipe = place / "task" / "recipe.toml"
    plain = recipe.read_text()
    words = ["audit", bundle, "--recipe", place / "task", "--build", place / "build", "--data", place / "task" / "data"]
    try:
        recipe.write_text(plain + f'\n[deferral]\nforeign = "{place / "task" / "data"}"\n')
        call(*words, "--out", tmp_path / "audit")
        told = json.loads((tmp_path / "audit" / "report.json").read_text())["deferral"]["foreign"]
        assert "other-task" in {row["name"] for row in told}
        recipe.write_text(plain + '\n[deferral]\nforeign = "nowhere"\n')
        done = call(*words, "--out", tmp_path / "audit")
        assert done.code == 2 and "[deferral] foreign" in done.err
    finally:
        recipe.write_text(plain)


def test_replicates_name_the_clips_that_students_of_any_seed_forget(place, bundle, tmp_path):
    words = ["compile", place / "task", "-t", place / "anything.toml", "--build", place / "build", "--out", tmp_path]
    done = edgecomp(*words, "--replicates", 2, "--set", "distil.epochs=2", "--set", "finetune.epochs=1", quick=True)
    assert done.returncode in (0, 3), done.stderr
    found = next(tmp_path.glob("tones-anything*/report.json"))
    told = json.loads(found.read_text())["audit"]["forgotten"]
    assert told["replicates"] == 3 and not told["is_weak"] and len(told["clips"]) > 0
    assert "replicate 2 of 2" in done.stderr
    clip = told["clips"][0]
    assert (found.parent / clip["sound"]).read_bytes()[:4] == b"fLaC" and clip["path"].startswith("audio/")


def test_without_voices_forgotten_clips_are_listed_and_no_sound_of_theirs_goes_along(place, bundle, tmp_path):
    words = ["compile", place / "task", "-t", place / "anything.toml", "--build", place / "build", "--out", tmp_path]
    done = edgecomp(*words, "--without-voices", "--set", "distil.epochs=2", "--set", "finetune.epochs=1", quick=True)
    assert done.returncode in (0, 3), done.stderr
    folder = next(tmp_path.glob("tones-anything*/report.json")).parent
    told = json.loads((folder / "report.json").read_text())["audit"]["forgotten"]
    assert told["clips"] and {clip["sound"] for clip in told["clips"]} == {None} and told["voices"] is False
    assert not list(folder.rglob("*.flac")) and "data:audio" not in (folder / "report.html").read_text()
    assert "left out on purpose" in (folder / "report.html").read_text()


def test_seed_data_out_and_set_have_their_effect(place, bundle, tmp_path):
    (place / "task" / "data").rename(tmp_path / "elsewhere")
    try:
        done = edgecomp(
            "compile",
            place / "task",
            "-t",
            place / "anything.toml",
            "--build",
            place / "build",
            "--out",
            tmp_path / "out",
            "--data",
            tmp_path / "elsewhere",
            "--seed",
            5,
            "--set",
            "distil.epochs=8",
            "--set",
            "prune.keep=1.0",
            "--set",
            "verify.int8_agreement=0",
            "--set",
            "verify.int8_mean=1",
            quick=True,
        )
    finally:
        (tmp_path / "elsewhere").rename(place / "task" / "data")
    assert done.stdout == f"{tmp_path / 'out' / 'tones-anything'}\n", done.stderr
    trail = json.loads((tmp_path / "out" / "tones-anything" / "report.json").read_text())["trail"]
    assert {step["seed"] for step in trail} == {5}
    assert [step["settings"]["epochs"] for step in trail if step["name"] == "distil"] == [8]
    assert "prune" not in {step["name"] for step in trail}
    assert _models(tmp_path / "out" / "tones-anything") != _models(bundle)


def test_a_failed_gate_is_exit_code_3_with_a_rejected_bundle_and_its_report(place, bundle, tmp_path):
    target = write_target(tmp_path, "too-small")
    target.write_text(target.read_text().replace("model_bytes = 10_000_000", "model_bytes = 1000"))
    done = edgecomp(
        "compile", place / "task", "-t", target, "-t", place / "anything.toml", "--build", place / "build", quick=True
    )
    rejected = place / "build" / "bundles" / "tones-too-small.rejected"
    assert done.returncode == 3 and done.stdout == f"{bundle}\n"
    message = done.stderr[done.stderr.rindex("error: ") :]
    assert (
        "1 gate failed" in message
        and "bytes: size of the model file" in message
        and f"where: {rejected}" in message
        and "fix: " in message
    )
    assert "Traceback" not in done.stderr
    assert (rejected / "report.html").stat().st_size > 10_000 and read_bundle(rejected)
    shown = call("show", rejected)
    assert shown.code == 0 and "FAILED  size of the model file" in shown.out


def test_real_speech_is_learnt_by_a_teacher_that_is_trained_on_the_way(tmp_path):
    source = shared_data("fsdd")
    with (source / "metadata.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["label"] in ("0", "1", "2") and int(row["take"]) < 14]
    task = tmp_path / "task"
    (task / "data").mkdir(parents=True)
    os.symlink(source / "audio", task / "data" / "audio")
    with (task / "data" / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = (
        RECIPE.replace('"tones"', '"three-digits"')
        .replace('subject = "speaker"\n', "")
        .replace('["place"]', '["subject"]')
    )
    text = text.replace("seconds = 0.4", "seconds = 0.6").replace(
        'column = "split"', 'column = "split"\nvalidation = []\nvalidation_from_train = 0.2'
    )
    text = text.replace("[gates]\n", "[gates]\nmax_slice_loss = 0.3\n")  # so few clips: it is learnt, no more is asked
    (task / "recipe.toml").write_text(text.replace("epochs = 20", "epochs = 25"), encoding="utf-8")
    (task / "teacher.py").write_text(TEACHER, encoding="utf-8")
    few = ("--set", "verify.int8_agreement=0.95")  # of 60 clips, one is more than the usual 1 %
    done = edgecomp(
        "compile", task, *few, "--target", write_target(tmp_path), "--build", tmp_path / "build", quick=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((Path(done.stdout.strip()) / "report.json").read_text())
    accuracy = {stage["name"]: stage["files"][0]["measurements"]["accuracy"] for stage in report["stages"]}
    assert accuracy["teacher"]["value"] > 0.7 and accuracy["int8"]["low"] > 0.5, "chance is 0.33"
    assert all(gate["passed"] for gate in report["gates"] if gate["name"].startswith("parity"))
    weights = next((tmp_path / "build" / "done").glob("teacher-*/weights.safetensors"))
    assert call("train", task, "--build", tmp_path / "build").out.strip() == str(weights)


def test_the_black_box_recipe_differs_from_the_trained_one_in_its_teacher_only():
    assert [line for line in BLACK_BOX.splitlines() if line not in RECIPE.splitlines()] == [
        'kind = "onnx"',
        'path = "teacher.onnx"',
    ]
