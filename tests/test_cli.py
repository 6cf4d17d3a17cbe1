"""The command line: help that answers at once and opens with examples, light imports, and JSON that scripts rely on."""

import json
import os
import subprocess
import sys
import time
from dataclasses import fields

import pytest
import typer

from edgecomp import __version__
from edgecomp.cli import app
from edgecomp.data.faults import Finding
from edgecomp.shipped import shipped
from tests.small_bundle import write_small_bundle
from tests.small_task import call, command, write_target, write_task

COMMANDS = sorted(typer.main.get_command(app).commands)
HEAVY = ("torch", "onnxruntime", "ai_edge_litert", "onnx", "transformers", "matplotlib", "scipy")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_target(folder)
    write_task(folder / "task", clips=3)
    return folder


def _loaded(*words: object) -> tuple[list[str], str]:
    """Run a command in a process of its own; return which heavy libraries it loaded, and its stdout."""
    code = (
        "import sys\nfrom edgecomp.cli import main\ntry:\n    main()\nfinally:\n"
        f"    sys.stderr.write('\\nloaded: ' + ' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=True)
    return done.stderr.rsplit("loaded: ", 1)[1].split(), done.stdout


def test_the_commands_are_these():
    made = ["check", "compile", "init", "plan", "targets", "train"]
    used = ["audit", "bench", "devices", "embed", "parity", "report", "run", "serve-demo", "show", "verify"]
    assert sorted(made + used) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_opens_with_examples(name):
    done = call(name, "--help")
    usage, said, examples, *_ = done.out.split("\n\n")
    assert done.code == 0 and usage.startswith(f"Usage: edgecomp {name} [OPTIONS]") and said.strip().endswith(".")
    assert all(line.startswith(f"  edgecomp {name} ") or line == f"  edgecomp {name}" for line in examples.splitlines())


def test_the_help_opens_with_examples_and_says_the_exit_codes():
    done = call("--help")
    assert done.code == 0 and done.out.index("edgecomp compile keywords --target redmi-7a") < done.out.index("Options")
    assert "0 done, 1 an error of ours, 2 bad usage or bad input, 3 a gate failed" in " ".join(done.out.split())


def test_the_help_answers_at_once():
    taken = []
    for _ in range(3):
        start = time.monotonic()
        subprocess.run(command("--help"), capture_output=True, check=True)
        taken.append(time.monotonic() - start)
    assert min(taken) < 1.5, "under 0.5 s on an idle machine; this bound leaves room for a busy one"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["targets"], ["compile", "--help"]], ids=" ".join)
def test_light_commands_load_no_heavy_library(words):
    assert _loaded(*words)[0] == []


@pytest.mark.parametrize(("form", "runtime"), [("onnx", "onnxruntime"), ("tflite", "ai_edge_litert")])
def test_run_loads_one_runtime_and_no_torch(bundle, form, runtime):
    loaded, out = _loaded("run", bundle, bundle / "golden" / "00.wav", "--format", form, "--json")
    assert loaded == [runtime] and json.loads(out)["label"]


def test_the_version_is_the_packages():
    assert call("--version").out == f"{__version__}\n"


def test_no_command_shows_the_help():
    assert "edgecomp compile" in call().out + call().err


def test_targets_are_one_object_a_line_for_every_profile():
    rows = [json.loads(line) for line in call("targets", "--json").out.splitlines()]
    assert [row["name"] for row in rows] == sorted(file.stem for file in shipped("targets").glob("*.toml"))
    assert all(row["budget"]["latency_ms"] > 0 and row["hardware"]["sources"] for row in rows)
    assert all(row["name"] in call("targets").out for row in rows)


def test_check_is_one_object_a_finding(place):
    done = call("check", place / "task", "--build", place / "build", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0 and rows and done.err.endswith(" warnings\n")
    assert all(
        set(row) == {field.name for field in fields(Finding)} >= {"code", "severity", "message", "files", "fix"}
        for row in rows
    )


def test_plan_names_every_pass_of_every_stage_and_runs_none(place):
    done = call("plan", place / "task", "-t", place / "anything.toml", "--set", "prune.keep=0.4", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["pass"] for row in rows if row["pass"] not in ("calibrate", "export")] == [
        "build",
        "distil",
        "build",
        "distil",
        "prune",
        "finetune",
        "quantise",
    ]
    stages = {row["stage"] for row in rows}
    assert [row["pass"] for row in rows].count("calibrate") == len(stages), "every stage is calibrated after its passes"
    assert next(row for row in rows if row["pass"] == "prune")["settings"]["keep"] == 0.4
    text = call("plan", place / "task", "-t", place / "anything.toml").out
    assert "Prune(keep=0.6" in text and "Quantise(weight_bits=7" in text and "every stage" in text


@pytest.mark.parametrize("name", sorted(file.stem for file in shipped("targets").glob("*.toml")))
def test_every_shipped_recipe_has_a_plan_for_every_shipped_target(name):
    for recipe in shipped("models").glob("*/recipe.toml"):
        done = call("plan", recipe.parent, "--target", name)
        assert done.code == 0 and "Distil(" in done.out, done.err


@pytest.mark.parametrize(("value", "read"), [("0.5", 0.5), ("1", 1.0), ("'0.5'", 0.5)])
def test_a_setting_is_read_as_toml_and_kept_as_its_fields_type(place, value, read):
    done = call("plan", place / "task", "-t", place / "anything.toml", "--set", f"prune.keep={value}", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert read == 1 or next(row for row in rows if row["pass"] == "prune")["settings"]["keep"] == read
    assert (read == 1) == ("prune" not in {row["pass"] for row in rows}), "keeping everything is no pruning"


def test_init_writes_a_recipe_that_check_reads(place, tmp_path):
    done = call("init", place / "task" / "data", "--out", tmp_path / "mine")
    assert done.code == 0 and done.out == f"{tmp_path / 'mine' / 'recipe.toml'}\n"
    assert call("check", tmp_path / "mine", "--build", tmp_path / "build").code in (0, 2)


def test_a_reader_that_has_gone_is_no_error_message(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command("targets", "--json"), stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in done.stderr and "error" not in done.stderr.lower()
