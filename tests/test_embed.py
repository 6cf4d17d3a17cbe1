"""Embedding: what is generated is known again, an edited file is never lost, and two versions lie side by side."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import edgecomp.cli.embed  # noqa: F401
from edgecomp import bundle as bundles
from edgecomp import embed as embedding
from edgecomp.bundle import read_bundle
from edgecomp.cli.app import app
from edgecomp.embed import MANIFEST, STAGE, EmbedError, Selector, embed, embed_all, languages
from edgecomp.embed.facts import golden_files, outcome, read_facts
from edgecomp.errors import BundleError, InputError, StoreError
from tests.small_bundle import write_small_bundle


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything")


@pytest.fixture(scope="module")
def bundle(written):
    return read_bundle(written)


@pytest.fixture(scope="module")
def newer(written, tmp_path_factory):
    """The same model with another threshold: another version."""
    folder = shutil.copytree(written, tmp_path_factory.mktemp("newer") / "sounds-anything")
    return rewrite(folder, deferral={"rule": "uncertainty", "ask_above": 0.3})


def rewrite(folder: Path, **changed: object):
    """Change bundle.json as someone would who also mends its own hash."""
    facts = json.loads((folder / "bundle.json").read_text())
    facts.pop("hash")
    facts |= changed
    (folder / "bundle.json").write_text(json.dumps(facts | {"hash": bundles._own_hash(facts)}))
    return read_bundle(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def embed_or_skip(language: str, bundle, folder: Path):
    """Embed a float bundle, which a language for microcontrollers may refuse."""
    try:
        return embed(bundle, language, folder)
    except BundleError as why:
        pytest.skip(f"{language} takes no such bundle: {why.what}")


def test_python_is_a_language():
    assert "python" in languages() and "facts" not in languages()


@pytest.mark.parametrize("language", languages())
def test_the_same_bundle_gives_the_same_files(language, bundle, tmp_path):
    one, other = (embed_or_skip(language, bundle, tmp_path / name) for name in ("one", "other"))
    assert content(tmp_path / "one") == content(tmp_path / "other")
    assert set(content(tmp_path / "one")) == {*one.written, MANIFEST} == {*other.written, MANIFEST}


@pytest.mark.parametrize("language", languages())
def test_generated_text_opens_with_a_note_and_holds_no_path_of_this_machine(language, bundle, tmp_path):
    embed_or_skip(language, bundle, tmp_path)
    for name, held in content(tmp_path).items():
        if name.endswith((".py", ".kt", ".ts", ".js", ".h", ".c", ".service", ".xml", ".html", ".css")):
            assert b"edgecomp" in b"\n".join(held.split(b"\n")[:3]), name
        assert str(bundle.folder).encode() not in held and str(Path.home()).encode() + b"/" not in held, name


@pytest.mark.parametrize("language", languages())
def test_all_of_a_version_but_shared_files_names_the_version(language, bundle, tmp_path):
    package = read_facts(bundle).package
    assert any(package in name for name in embed_or_skip(language, bundle, tmp_path).written)


def test_a_second_run_writes_nothing(bundle, tmp_path):
    first = embed(bundle, "python", tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    second = embed(bundle, "python", tmp_path)
    assert (second.written, second.same) == ((), first.written)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_two_versions_lie_side_by_side_and_the_selector_follows(bundle, newer, tmp_path):
    embed(bundle, "python", tmp_path)
    old = content(tmp_path)
    embed(newer, "python", tmp_path)
    both = content(tmp_path)
    assert {name: both[name] for name in old if name.startswith("sounds_")} == {
        name: held for name, held in old.items() if name.startswith("sounds_")
    }
    assert read_facts(newer).package in both["sounds.py"].decode()


def test_an_edited_selector_is_left_alone(bundle, newer, tmp_path):
    embed(bundle, "python", tmp_path)
    back = (tmp_path / "sounds.py").read_text()
    embed(newer, "python", tmp_path)
    (tmp_path / "sounds.py").write_text(back)  # the rollback: one line
    done = embed(newer, "python", tmp_path)
    assert done.kept == ("sounds.py",) and (tmp_path / "sounds.py").read_text() == back


def test_an_edited_generated_file_stops_the_run_before_anything_is_written(bundle, tmp_path):
    embed(bundle, "python", tmp_path)
    package = tmp_path / read_facts(bundle).package
    (package / "wav.py").write_text("mine")
    (package / "ring.py").unlink()
    before = content(tmp_path)
    with pytest.raises(EmbedError, match="edited by hand") as why:
        embed(bundle, "python", tmp_path)
    assert why.value.where == str(package / "wav.py") and "delete this one" in why.value.fix
    assert content(tmp_path) == before
    (package / "wav.py").unlink()
    assert len(embed(bundle, "python", tmp_path).written) == 2


def test_a_file_of_the_users_own_is_never_touched(bundle, newer, tmp_path):
    (tmp_path / "main.py").write_text("import sounds")
    embed(bundle, "python", tmp_path)
    (tmp_path / read_facts(bundle).package / "notes.txt").write_text("mine")
    embed(newer, "python", tmp_path)
    embed(bundle, "python", tmp_path, "onnx")
    assert (tmp_path / "main.py").read_text() == "import sounds"
    assert (tmp_path / read_facts(bundle).package / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["a file", "a folder", "a file for the folder"])
def test_what_lies_where_a_generated_file_goes_stops_the_run(place, bundle, tmp_path):
    package = tmp_path / read_facts(bundle).package
    if place == "a file for the folder":
        package.write_text("mine")
    else:
        package.mkdir()
        (package / "wav.py").write_text("mine") if place == "a file" else (package / "wav.py").mkdir()
    before = content(tmp_path)
    with pytest.raises(EmbedError, match="your own"):
        embed(bundle, "python", tmp_path)
    assert content(tmp_path) == before


def test_a_link_out_of_the_folder_is_not_followed(bundle, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / read_facts(bundle).package).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbedError, match="your own"):
        embed(bundle, "python", tmp_path / "app")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_another_format_replaces_the_model_and_removes_the_first(bundle, tmp_path):
    embed(bundle, "python", tmp_path)
    done = embed(bundle, "python", tmp_path, "onnx")
    package = read_facts(bundle).package
    assert done.removed == (f"{package}/model.tflite",) and not (tmp_path / package / "model.tflite").exists()
    assert (tmp_path / package / "model.onnx").read_bytes() == (bundle.folder / "model.onnx").read_bytes()


def test_line_ends_changed_by_git_are_no_edit(bundle, tmp_path):
    embed(bundle, "python", tmp_path)
    for file in tmp_path.rglob("*.py"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    embed(bundle, "python", tmp_path)
    assert all(b"\r\n" not in file.read_bytes() for file in tmp_path.rglob("*.py"))


def test_a_kill_between_two_files_is_mended_by_the_next_run(bundle, newer, tmp_path, monkeypatch):
    embed(bundle, "python", tmp_path)
    embed(newer, "python", tmp_path, "onnx")
    moved, real = [], embedding.os.replace

    def killed(source, goal):
        moved.append(goal)
        if len(moved) == 3:
            raise KeyboardInterrupt
        real(source, goal)

    monkeypatch.setattr(embedding.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        embed(newer, "python", tmp_path, "tflite")
    monkeypatch.undo()
    assert list(tmp_path.glob(".*")) == []
    embed(newer, "python", tmp_path, "onnx")
    clean = tmp_path.with_name("clean")
    embed(bundle, "python", clean)
    embed(newer, "python", clean, "onnx")
    assert content(tmp_path) == content(clean)


def test_what_a_killed_run_left_is_swept_away(bundle, tmp_path):
    (tmp_path / f"{STAGE}old" / "inner").mkdir(parents=True)
    embed(bundle, "python", tmp_path)
    assert list(tmp_path.glob(".*")) == []


def test_of_several_languages_none_is_written_where_one_is_refused(bundle, tmp_path):
    with pytest.raises(EmbedError, match="unknown language"):
        embed_all(bundle, {"python": tmp_path / "one", "cobol": tmp_path / "two"})
    with pytest.raises(EmbedError, match="two languages"):
        embed_all(bundle, {"python": tmp_path / "one", "web": tmp_path / "x" / ".." / "one"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_a_clear_error(bundle, tmp_path):
    (tmp_path / "app").write_text("mine")
    with pytest.raises(EmbedError, match="your own"):
        embed(bundle, "python", tmp_path / "app")
    assert (tmp_path / "app").read_text() == "mine"


def test_a_full_disk_changes_nothing(bundle, newer, tmp_path, monkeypatch):
    embed(bundle, "python", tmp_path)
    before, real = content(tmp_path), Path.write_bytes

    def full(self, held):
        if self.name == "window.py":
            raise OSError(28, "No space left on device", str(self))
        return real(self, held)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="disk is full"):
        embed(newer, "python", tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"schema": 9, "files": {}}', '{"schema": 1, "files": {"a": 1}}'])
def test_a_damaged_list_of_generated_files_is_a_clear_error(damage, bundle, tmp_path):
    (tmp_path / MANIFEST).write_text(damage)
    with pytest.raises(EmbedError, match="list of generated files"):
        embed(bundle, "python", tmp_path)


def test_a_list_that_names_a_file_outside_is_refused(bundle, tmp_path):
    entry = {"of": f"python {read_facts(bundle).package}", "sha256": ["0"]}
    (tmp_path / MANIFEST).write_text(json.dumps({"schema": 1, "files": {"../mine": entry}}))
    with pytest.raises(EmbedError, match="outside"):
        embed(bundle, "python", tmp_path)


def test_an_unknown_language_or_format_names_those_that_there_are(bundle, tmp_path):
    with pytest.raises(EmbedError, match="unknown language 'pyton'") as why:
        embed(bundle, "pyton", tmp_path)
    assert "did you mean 'python'" in why.value.fix
    with pytest.raises(BundleError, match="no 'tfl' file") as why:
        embed(bundle, "python", tmp_path, "tfl")
    assert "onnx, tflite" in why.value.fix


@pytest.mark.parametrize(
    "changed",
    [
        {"name": 3},
        {"labels": ["a"]},
        {"labels": ["a", "a", "b"]},
        {"labels": [["a"], "b", "c"]},
        {"preprocessing": {}},
        {"preprocessing": {"sample_rate": 8000, "samples": 0, "fit": "loudest"}},
        {"preprocessing": {"sample_rate": "8000", "samples": 4000, "fit": "loudest"}},
        {"preprocessing": {"sample_rate": 8000, "samples": 4000, "fit": "quietest"}},
        {"decision": {"rule": "threshold", "positive": "hum", "threshold": 0.5}},
        {"deferral": {"rule": "uncertainty", "ask_above": "0.4"}},
        {"deferral": {}},
        {"target": {"format": "tflite", "threads": True}},
        {"models": {"tflite": {"file": "model.tflite"}}},
    ],
    ids=str,
)
def test_facts_that_cannot_be_are_refused(changed, written, tmp_path):
    with pytest.raises(InputError):
        read_facts(rewrite(shutil.copytree(written, tmp_path / "bundle"), **changed))


@pytest.mark.parametrize(
    ("name", "word"), [("wake words-2", "wake_words_2"), ("3 cats", "task_3_cats"), ("खांसी", "task")]
)
def test_a_task_of_any_name_has_a_word_for_code(name, word, written, tmp_path):
    facts = read_facts(rewrite(shutil.copytree(written, tmp_path / "bundle"), name=name))
    assert facts.name == word and facts.package == f"{word}_{facts.bundle_hash[:12]}"


def test_outcomes_are_those_of_the_bundle(bundle):
    facts, random = read_facts(bundle), np.random.default_rng(0)
    for _ in range(200):
        given, uncertainty = random.dirichlet(np.ones(len(facts.labels))).astype(np.float32), float(random.uniform())
        label, reason = outcome(facts, given, uncertainty)
        assert (label, reason is not None) == (bundle.label(given), bundle.asks(uncertainty))


def test_two_labels_are_decided_by_the_threshold_in_float32(bundle):
    facts = replace(read_facts(bundle), labels=("cough", "other"), positive="other", threshold=0.1, ask_above=0.4)
    told = replace(bundle, facts={"labels": facts.labels, "decision": {"rule": "threshold", "positive": "other"}})
    told.facts["decision"]["threshold"] = 0.1
    for value in (np.nextafter(np.float32(0.1), np.float32(0)), np.float32(0.1), np.float32(0.5)):
        given = np.array([1 - value, value], np.float32)
        assert outcome(facts, given, 0.4) == (told.label(given), None)
    assert outcome(facts, [0.9, float("nan")], 0.0) == ("cough", "not a number")
    assert outcome(replace(facts, ask_above=None), [0.9, 0.1], 0.0)[1] == "always"


def test_golden_clips_are_those_of_the_bundle_as_raw_floats(bundle):
    import soundfile

    facts = read_facts(bundle, "onnx")
    files = golden_files(facts)
    told = json.loads(files["golden/golden.json"])
    assert (told["format"], len(told["clips"])) == ("onnx", 3)
    for one in told["clips"]:
        wave = np.frombuffer(files[f"golden/{one['file']}"], "<f4")
        source = soundfile.read(bundle.folder / "golden" / one["file"].replace(".f32", ".wav"), dtype="float32")[0]
        assert np.array_equal(wave, source)
        answer = bundle.session("onnx")(wave)
        assert np.abs(answer.probabilities - one["probabilities"]).max() <= told["tolerance"]


def test_the_command_writes_several_and_prints_their_folders_last(written, tmp_path):
    run = CliRunner().invoke(app, ["embed", str(written), "--python", str(tmp_path / "py"), "--format", "onnx"])
    assert run.exit_code == 0 and run.stdout.splitlines()[-1] == str(tmp_path / "py")
    next((tmp_path / "py").glob("*/ring.py")).unlink()
    run = CliRunner().invoke(app, ["embed", str(written), "--python", str(tmp_path / "py"), "--format", "onnx"])
    assert "1 file written, " in run.output
    with pytest.raises(InputError, match="no folder"):
        CliRunner().invoke(app, ["embed", str(written)], catch_exceptions=False)


def test_help_opens_with_examples():
    lines = CliRunner().invoke(app, ["embed", "--help"]).stdout
    assert lines.index("edgecomp embed build/bundles") < lines.index("--android")


def test_a_selector_is_text():
    assert Selector("a") == "a" and isinstance(Selector("a"), str)
