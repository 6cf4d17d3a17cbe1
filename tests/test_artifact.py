"""Artifacts: the hash is the content, the trail only grows, and equal values are equal bytes of JSON."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.artifact import Artifact, Port, Signature, Step, content_hash, text_hash, to_json

SIGNATURE = Signature(
    inputs=(Port("audio", (1, 16_000), "float32", "amplitude, -1 to 1"),),
    outputs=(Port("probabilities", (1, 11), "float32", "share"),),
)


def _folder(at: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    return at


def test_a_files_hash_is_the_sha256_of_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")  # the test vector of FIPS 180-2
    assert content_hash(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_same_content_has_the_same_hash_wherever_it_lies(tmp_path):
    files = {"config.json": "{}", "deep/weights": "w"}
    one = _folder(tmp_path / "one", files)
    other = _folder(tmp_path / "other", dict(reversed(files.items())))
    assert content_hash(one) == content_hash(other)


@pytest.mark.parametrize(
    "change",
    [
        {"config.json": "{ }", "weights": "w"},
        {"config.json": "{}", "weight": "w"},
        {"config.json": "{}", "weights": "w", "more": ""},
        {"config.json": "{}weights\0w"},
        {"config.json": "w", "weights": "{}"},
    ],
)
def test_a_changed_name_or_byte_changes_a_folders_hash(tmp_path, change):
    before = _folder(tmp_path / "before", {"config.json": "{}", "weights": "w"})
    assert content_hash(before) != content_hash(_folder(tmp_path / "after", change))


def test_a_folder_keeps_its_hash_when_it_is_sealed(tmp_path):
    folder = _folder(tmp_path / "model", {"weights": "w"})
    before = content_hash(folder)
    (folder / ".seal.json").write_text("{}")
    assert content_hash(folder) == before


def test_a_missing_file_has_no_hash(tmp_path):
    with pytest.raises(FileNotFoundError):
        content_hash(tmp_path / "nothing")


def test_following_an_artifact_leaves_it_as_it_was(tmp_path):
    first = Artifact("torch", tmp_path / "a", SIGNATURE)
    step = Step("export", {"opset": 20}, input_hash="1", output_hash="2")
    second = first.followed_by(step, path=tmp_path / "b", form="onnx")
    assert first == Artifact("torch", tmp_path / "a", SIGNATURE)
    assert (second.form, second.path, second.trail, second.signature) == ("onnx", tmp_path / "b", (step,), SIGNATURE)
    assert second.followed_by(step, path=tmp_path / "c").form == "onnx"


def test_an_artifact_cannot_be_changed(tmp_path):
    with pytest.raises(dataclasses.FrozenInstanceError):
        Artifact("torch", tmp_path, SIGNATURE).form = "onnx"


def test_an_artifacts_hash_is_its_files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"abc")
    artifact = Artifact("onnx", tmp_path / "model.onnx", SIGNATURE)
    assert artifact.hash == content_hash(tmp_path / "model.onnx")


def test_text_hash_keeps_values_apart():
    assert text_hash("a", "b") == text_hash("a", "b")
    assert len({text_hash("a", "b"), text_hash("ab"), text_hash("a\x1fb"), text_hash("b", "a"), text_hash("a, b")}) == 5


def test_to_json_writes_every_value_an_artifact_holds(tmp_path):
    facts = {"loss": np.float32(0.25), "kept": np.arange(3), "ok": np.True_}
    step = Step("prune", {"keep": 0.5, "widths": (8, 16)}, facts)
    written = json.loads(to_json(Artifact("torch", Path("build/model"), SIGNATURE, (step,))))
    assert written["path"] == "build/model"
    assert written["trail"][0]["settings"] == {"keep": 0.5, "widths": [8, 16]}
    assert written["trail"][0]["facts"] == {"loss": 0.25, "kept": [0, 1, 2], "ok": True}
    assert written["signature"]["inputs"][0]["shape"] == [1, 16_000]


def test_to_json_does_not_depend_on_the_order_of_keys():
    assert to_json({"a": 1, "b": {"d": 2, "c": 3}}) == to_json({"b": {"c": 3, "d": 2}, "a": 1})


def test_to_json_turns_what_json_has_no_number_for_into_null():
    assert json.loads(to_json([float("nan"), float("inf"), np.float32("-inf"), 1.5])) == [None, None, None, 1.5]


def test_to_json_refuses_what_has_no_json_form():
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json({"labels": {"a"}})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(PLAIN)
@settings(max_examples=50, deadline=None)
def test_to_json_loses_nothing_of_plain_values(value):
    assert json.loads(to_json(value)) == value
    assert to_json(json.loads(to_json(value))) == to_json(value)
