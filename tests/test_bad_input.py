"""Bad input of every kind, through the command line: the right exit code and one message of what, where and fix."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from tests.small_bundle import write_small_bundle
from tests.small_task import RATE, call, refused, write_target, write_task


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    write_target(folder)
    return write_task(folder / "task", clips=3).parent


@pytest.fixture
def place(original, tmp_path):
    """A folder of its own with task/, anything.toml and no build/."""
    return shutil.copytree(original, tmp_path / "work")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything")


def _compile(place, *more):
    return call("compile", place / "task", "--target", place / "anything.toml", "--build", place / "build", *more)


def _edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def _truncated_wav(file):
    file.write_bytes(file.read_bytes()[:-1000])


def _corrupt_flac(file):
    wave, rate = soundfile.read(file)
    soundfile.write(file, wave, rate, format="FLAC")
    file.write_bytes(file.read_bytes()[:60] + b"no sound here" * 30)


def _text(file):
    file.write_text("this is no recording")


def _empty(file):
    file.write_bytes(b"")


def _no_samples(file):
    soundfile.write(file, np.zeros(0), RATE)


def _not_finite(file):
    wave = np.full(3200, 0.1, np.float32)
    wave[100] = np.nan
    soundfile.write(file, wave, RATE, subtype="FLOAT")


def _silent(file):
    soundfile.write(file, np.zeros(3200), RATE)


BAD_CLIPS = [
    _truncated_wav,
    _corrupt_flac,
    _text,
    _empty,
    _no_samples,
    _not_finite,
    _silent,
    lambda file: file.unlink(),
]
BAD_CLIP_NAMES = ["truncated", "corrupt FLAC", "text", "0 bytes", "no samples", "NaN", "silent", "absent"]


@pytest.mark.parametrize("spoil", BAD_CLIPS, ids=BAD_CLIP_NAMES)
def test_a_compile_names_the_clip_that_cannot_be_used_and_how_to_go_on(place, spoil):
    spoil(place / "task" / "data" / "audio" / "004.wav")
    message = refused(_compile(place), "audio/004.wav", "resolve")
    assert "audio/005.wav" not in message
    assert not list((place / "build" / "making").iterdir())


@pytest.mark.parametrize("spoil", BAD_CLIPS, ids=BAD_CLIP_NAMES)
def test_check_reports_the_clip_that_cannot_be_used(place, spoil):
    spoil(place / "task" / "data" / "audio" / "004.wav")
    done = call("check", place / "task", "--build", place / "build", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 2
    assert any(row["severity"] == "error" and row["files"] == ["audio/004.wav"] and row["fix"] for row in rows)
    assert all(set(row) >= {"code", "severity", "message", "files", "fix"} for row in rows)


@pytest.mark.parametrize(
    "spoil",
    [spoil for spoil in BAD_CLIPS if spoil is not _silent],
    ids=[name for name in BAD_CLIP_NAMES if name != "silent"],
)
def test_run_answers_the_other_clips_and_names_the_one_it_cannot_read(place, bundle, spoil):
    audio = place / "task" / "data" / "audio"
    spoil(audio / "004.wav")
    done = call("run", bundle, audio / "003.wav", audio / "004.wav", audio / "005.wav", "--json")
    assert [json.loads(line)["path"] for line in done.out.splitlines()] == [
        str(audio / "003.wav"),
        str(audio / "005.wav"),
    ]
    assert (
        done.code == 2
        and "004.wav" in done.err
        and "where: " in done.err
        and "fix: " in done.err
        and "Traceback" not in done.err
    )


@pytest.mark.parametrize("column", ["path", "label", "speaker", "split", "place"])
def test_a_csv_without_a_column_is_answered_with_the_columns_it_has(place, column):
    table = place / "task" / "data" / "metadata.csv"
    _edit(table, column, "somethingelse")
    refused(_compile(place), repr(column), "somethingelse", "metadata.csv")


def test_a_missing_data_folder_is_answered_with_source_and_licence(place):
    shutil.rmtree(place / "task" / "data")
    refused(_compile(place), "data", "written by the tests", "CC0", "--data")


def test_a_data_option_that_leads_nowhere_is_an_error(place):
    refused(_compile(place, "--data", place / "nowhere"), "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 3", 'seed = "three"', ["seed is 'three'", "whole number"]),
        ("seed = 3", "sead = 3", ["unknown key 'sead'", "did you mean 'seed'"]),
        ("sample_rate = 8000", "sample_rate = 8000.5", ["data.sample_rate is 8000.5", "[data] sample_rate"]),
        ("seconds = 0.4", "seconds = 0.4\nlenght = 3", ["unknown key 'lenght'", "[data] lenght", "allowed: "]),
        ("epochs = 20", "epochs = 0", ["teacher.train.epochs is 0", "[teacher.train] epochs"]),
        ("[distil]", "[distill]", ["unknown key 'distill'", "did you mean 'distil'"]),
        ("[distil]\nepochs = 24", "[distil]\nepoch = 24", ["unknown setting 'epoch'", "[distil]", "epochs"]),
        ("[distil]\nepochs = 24", '[distil]\nepochs = "many"', ["epochs is 'many'", "[distil]"]),
        ('[data]\npath = "data"', "[data]", ["either path or generator"]),
        ("seed = 3", "seed = ", ["not valid TOML", "line 3"]),
        ('kind = "onnx"', 'kind = "onxx"', ["unknown kind of teacher 'onxx'", "did you mean 'onnx'"]),
        ("[student]", '[student]\nfamily = "ds_cn"', ["unknown student family 'ds_cn'", "did you mean 'ds_cnn'"]),
        ("widths = [16, 24, 16, 24, 16]", "widths = [16, 24]", ["5 widths", "gives 2"]),
    ],
    ids=lambda value: value.replace("\n", " ") if isinstance(value, str) else "",
)
def test_a_recipe_that_is_wrong_is_answered_with_key_path_and_values(place, old, new, words):
    _edit(place / "task" / "recipe.toml", old, new)
    refused(_compile(place), *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ram_mb = 2048", 'ram_mb = "2 GB"', ["hardware.ram_mb is '2 GB'", "whole number"]),
        ("ram_mb = 2048", "ram_md = 2048", ["unknown key 'ram_md'", "did you mean 'ram_mb'"]),
        ("weight_bits = 7", "weight_bits = 4", ["numerics.weight_bits is 4", "7, 8"]),
        ('isa = "any"', 'isa = "arm"', ["hardware.isa is 'arm'", "aarch64"]),
        ("max_loss = 1.0", "max_loss = 5", ["budget.max_loss is 5"]),
        ("[budget]", "[budgit]", ["unknown key 'budgit'", "did you mean 'budget'"]),
        ('name = "litert"', 'name = "lite"', ["unknown runtime 'lite'", "litert"]),
        ("[budget]", "[override.prun]\nkeep = 0.5\n[budget]", ["unknown pass 'prun'", "did you mean 'prune'"]),
        (
            "[budget]",
            "[override.prune]\nkept = 0.5\n[budget]",
            ["unknown setting 'kept'", "[override.prune]", "keep, round_to"],
        ),
    ],
    ids=lambda value: value.replace("\n", " ") if isinstance(value, str) else "",
)
def test_a_target_that_is_wrong_is_answered_with_key_path_and_values(place, old, new, words):
    _edit(place / "anything.toml", old, new)
    refused(_compile(place), *words)
    assert not (place / "build").exists(), "a target is read before any work"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("prun.keep=0.5", ["unknown pass 'prun'", "did you mean 'prune'"]),
        ("prune.kep=0.5", ["unknown setting 'kep'", "settings of prune are clips, keep, round_to"]),
        ("prune.keep=half", ["keep is 'half'"]),
        ("prune.keep=0", ["keep is 0.0", "above 0"]),
        ("prune.keep=nan", ["keep is nan"]),
        ("prune.keep", ["cannot read 'prune.keep'", "PASS.FIELD=VALUE"]),
        ("=3", ["cannot read '=3'"]),
        ("distil.epochs=0", ["epochs"]),
        ("distil.batch=0", ["batch"]),
        ("distil.learning_rate=-1", ["learning_rate"]),
        ("distil.label_weight=2", ["label_weight is 2.0", "0 to 1"]),
        ("finetune.epochs=-1", ["epochs"]),
        ("finetune.temperature=0", ["temperature"]),
        ("prune.clips=0", ["clips"]),
        ("prune.round_to=0", ["round_to"]),
        ("quantise.clips=0", ["clips"]),
        ("quantise.weight_bits=4", ["weight_bits is 4"]),
    ],
)
def test_a_setting_that_does_not_fit_is_answered_before_any_work(place, setting, words):
    refused(_compile(place, "--set", setting), *words)
    assert not list((place / "build" / "done").glob("build-*")) if (place / "build" / "done").exists() else True


def test_a_teacher_whose_outputs_may_not_train_is_refused(place):
    _edit(place / "task" / "recipe.toml", 'outputs_may_train = "yes"', 'outputs_may_train = "no"')
    refused(_compile(place), "outputs may not train another model", "recipe.toml")


def test_a_front_end_that_does_not_fit_is_a_plan_error(place):
    _edit(place / "task" / "recipe.toml", "[augment]", "[student.front_end]\nhigh_hz = 100_000\n[augment]")
    refused(_compile(place), "front end", "[student.front_end]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compile", "keyword", "--target", "redmi-7a"], ["no recipe 'keyword'", "did you mean 'keywords'"]),
        (["compile", "keywords", "--target", "redmi-7"], ["unknown target 'redmi-7'", "did you mean 'redmi-7a'"]),
        (["plan", "keywords", "--target", "nowhere.toml"], ["there is no nowhere.toml"]),
        (["check", "/nowhere/at/all"], ["no recipe '/nowhere/at/all'"]),
        (["show", "/nowhere"], ["no bundle", "/nowhere"]),
        (["run", "/nowhere", "clip.wav"], ["no bundle", "/nowhere"]),
        (["bench", "/nowhere"], ["no bundle", "/nowhere"]),
        (["bench", "/nowhere", "--delegate", "gpu"], ["no delegate 'gpu'", "default, none; on a phone also nnapi"]),
        (["bench", "/nowhere", "--delegate", "nnapi"], ["only a phone has the delegate 'nnapi', not host", "--on adb"]),
        (["bench", "/nowhere", "--on", "adb:A", "--delegate", "xnnpack"], ["no bundle", "/nowhere"]),
        (["report", "/nowhere"], ["there is no report.json", "/nowhere"]),
        (["init", "/nowhere"], ["/nowhere"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_a_name_that_leads_nowhere_is_answered_with_the_nearest(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(call(*words), *said)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_answered_with_those_there_are(place, bundle):
    refused(
        call("run", bundle, place / "task" / "data" / "audio" / "003.wav", "--format", "onx"),
        "'onx'",
        "did you mean 'onnx'",
        "tflite",
    )


@pytest.mark.parametrize("words", [["run"], ["show"], ["bench"]], ids=lambda words: words[0])
def test_a_tampered_bundle_is_refused_by_every_command(bundle, tmp_path, words):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    content = bytearray((copy / "model.onnx").read_bytes())
    content[1000] ^= 1
    (copy / "model.onnx").write_bytes(content)
    refused(
        call(*words, copy, *(["clip.wav"] if words == ["run"] else [])),
        "model.onnx was changed",
        "compile the bundle again",
    )


def test_bundles_of_other_lengths_are_not_compared(bundle, tmp_path):
    other = write_small_bundle(
        tmp_path / "other", preprocessing={"sample_rate": 8000, "samples": 8000, "channels": 1, "fit": "loudest"}
    )
    refused(call("bench", bundle, other), "different lengths", "[4000, 8000]")


@pytest.mark.parametrize(
    "words",
    [["compile"], ["compile", "keywords"], ["run", "x"], ["bench"], ["nothing"], ["run", "--jason"]],
    ids=" ".join,
)
def test_wrong_usage_has_exit_code_2_and_no_traceback(words):
    done = call(*words)
    assert done.code == 2 and done.err and "Traceback" not in done.err and done.out == ""


def test_init_keeps_a_recipe_that_is_there(place):
    before = (place / "task" / "recipe.toml").read_bytes()
    refused(call("init", place / "task" / "data", "--out", place / "task"), "there is a recipe already", "--out")
    assert (place / "task" / "recipe.toml").read_bytes() == before


@pytest.mark.parametrize("words", [["--build", "blocked"], ["--out", "blocked/bundles"]], ids=" ".join)
def test_a_file_in_place_of_a_folder_is_one_error_before_any_work(place, words):
    (place / "blocked").write_text("a file")
    name, value = words
    refused(_compile(place, name, place / value), "cannot write here", str(place / "blocked"), code=1)
    assert (place / "blocked").read_text() == "a file"
    assert not (place / "build" / "done").exists() or not list((place / "build" / "done").iterdir())


def test_a_report_where_no_file_can_be_written_is_one_error(bundle, tmp_path):
    (tmp_path / "blocked").write_text("a file")
    refused(call("report", bundle, "--out", tmp_path / "blocked" / "page.html"), "blocked", code=1)
