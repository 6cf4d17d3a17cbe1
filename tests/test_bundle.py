"""Bundles: whole or not there, checked byte by byte when they are read, and the same answers in both formats."""

import json
import os
import re
import shutil
import threading

import numpy as np
import pytest
import soundfile

from edgecomp import bundle as bundles
from edgecomp.artifact import content_hash
from edgecomp.bundle import read_bundle, replay, write_bundle
from edgecomp.errors import AudioError, BundleError, StoreError
from tests.small_bundle import SAMPLES, copy_report, small_facts, small_models, write_small_bundle
from tests.small_students import sounds

FILES = [
    "golden/00.wav",
    "golden/01.wav",
    "golden/02.wav",
    "golden/golden.json",
    "labels.txt",
    "model.onnx",
    "model.tflite",
    "report.html",
    "report.json",
]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything")


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / original.name)


def _rewrite(bundle, **changed):
    """Change bundle.json as someone would who also mends its own hash."""
    facts = json.loads((bundle / "bundle.json").read_text())
    facts.pop("hash")
    facts |= changed
    (bundle / "bundle.json").write_text(json.dumps(facts | {"hash": bundles._own_hash(facts)}))


def test_a_bundle_holds_these_files_and_the_hash_of_each(original):
    found = sorted(p.relative_to(original).as_posix() for p in original.rglob("*") if p.is_file())
    assert found == sorted([*FILES, "bundle.json"])
    stated = json.loads((original / "bundle.json").read_text())["files"]
    assert stated == {name: content_hash(original / name) for name in FILES}
    assert [p.name for p in original.parent.glob(".*") if p.is_dir()] == []


def test_both_formats_give_the_same_probabilities(original):
    opened, wave = read_bundle(original), sounds(1, SAMPLES, seed=9)[0]
    answers = [opened.session(form)(wave).probabilities for form in ("onnx", "tflite")]
    assert np.abs(answers[0] - answers[1]).max() < 1e-4
    assert answers[0].sum() == pytest.approx(1, abs=1e-5) and answers[0].shape == (3,)


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_the_golden_clips_are_replayed_exactly_where_they_were_made(original, form):
    assert replay(read_bundle(original), form) < 1e-6


def test_golden_answers_that_differ_are_refused(bundle):
    file = bundle / "golden" / "golden.json"
    golden = json.loads(file.read_text())
    golden["expected"]["onnx"]["probabilities"]["00.wav"] = [0.0, 0.0, 0.0]
    file.write_text(json.dumps(golden))
    facts = json.loads((bundle / "bundle.json").read_text())
    _rewrite(bundle, files=facts["files"] | {"golden/golden.json": content_hash(file)})
    with pytest.raises(BundleError, match="golden clips differ by"):
        replay(read_bundle(bundle), "onnx")


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_in_any_file_is_refused_by_name(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{re.escape(name)} was changed after the bundle was written") as caught:
        read_bundle(bundle)
    assert caught.value.exit_code == 2 and caught.value.fix


def test_a_changed_threshold_in_bundle_json_is_refused(tmp_path):
    bundle = write_small_bundle(
        tmp_path / "pair", decision={"rule": "threshold", "positive": "high", "threshold": 0.25}
    )
    file = bundle / "bundle.json"
    file.write_text(file.read_text().replace("0.25", "0.75"))
    with pytest.raises(BundleError, match=r"bundle\.json was changed"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{re.escape(name)} is missing"):
        read_bundle(bundle)


@pytest.mark.parametrize("kept", [0, 1, 500, -3])
def test_a_truncated_bundle_json_is_refused(bundle, kept):
    text = (bundle / "bundle.json").read_bytes()
    (bundle / "bundle.json").write_bytes(text[:kept])
    with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
        read_bundle(bundle)


def test_every_way_to_change_a_byte_of_bundle_json_is_refused(bundle):
    text = (bundle / "bundle.json").read_bytes()
    for place in range(0, len(text), 97):
        changed = bytes([text[place] ^ 1])
        if text[place : place + 1].isspace() and changed.isspace():
            continue  # layout, not content
        (bundle / "bundle.json").write_bytes(text[:place] + changed + text[place + 1 :])
        with pytest.raises(BundleError):
            read_bundle(bundle)


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_schema_is_refused_with_both_versions(bundle, schema):
    _rewrite(bundle, schema=schema)
    with pytest.raises(BundleError, match=f"schema version {schema!r}, and this edgecomp reads 1"):
        read_bundle(bundle)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}"])
def test_json_that_is_no_bundle_is_refused(bundle, content):
    (bundle / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match="schema version None"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname", "golden/../../secret.txt"])
def test_paths_that_leave_the_bundle_are_refused(bundle, name):
    (bundle.parent / "secret.txt").write_text("secret")
    facts = json.loads((bundle / "bundle.json").read_text())
    _rewrite(bundle, files=facts["files"] | {name: content_hash(bundle.parent / "secret.txt")})
    with pytest.raises(BundleError, match="lies outside the bundle"):
        read_bundle(bundle)


def test_a_model_file_without_a_hash_is_refused(bundle):
    (bundle.parent / "other.onnx").write_bytes((bundle / "model.onnx").read_bytes())
    models = json.loads((bundle / "bundle.json").read_text())["models"]
    models["onnx"]["file"] = "../other.onnx"
    _rewrite(bundle, models=models)
    with pytest.raises(BundleError, match="the hash of onnx file"):
        read_bundle(bundle)


@pytest.mark.parametrize("key", ["files", "models", "labels", "preprocessing", "decision", "target"])
@pytest.mark.parametrize("value", [None, 3, "text"])
def test_a_key_that_holds_something_else_is_refused(bundle, key, value):
    _rewrite(bundle, **{key: value})
    with pytest.raises(BundleError, match=r"bundle\.json lacks"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("a file")], ids=["absent", "empty", "a file"]
)
def test_a_place_without_a_bundle_is_refused(tmp_path, make):
    make(tmp_path / "place")
    with pytest.raises(BundleError) as caught:
        read_bundle(tmp_path / "place")
    assert caught.value.where and caught.value.fix


def test_an_unknown_format_is_answered_with_those_there_are(original):
    with pytest.raises(BundleError, match="no 'onx' file in this bundle") as caught:
        read_bundle(original).session("onx")
    assert "did you mean 'onnx'" in caught.value.fix and "tflite" in caught.value.fix


def test_a_threshold_decides_between_two_labels(tmp_path):
    bundle = write_small_bundle(
        tmp_path / "pair", labels=["low", "mid"], decision={"rule": "threshold", "positive": "mid", "threshold": 0.2}
    )
    opened = read_bundle(bundle)
    assert [opened.label(np.array(p)) for p in ([0.9, 0.1], [0.8, 0.2], [0.7, 0.3])] == ["low", "mid", "mid"]


def test_what_is_above_the_threshold_or_no_number_is_left_to_the_teacher(tmp_path):
    opened = read_bundle(write_small_bundle(tmp_path / "asks", deferral={"rule": "uncertainty", "ask_above": 0.25}))
    assert [opened.asks(u) for u in (0.0, 0.25, 0.2500001, float("nan"))] == [False, False, True, True]
    always = read_bundle(write_small_bundle(tmp_path / "always", deferral={"rule": "always", "ask_above": None}))
    assert always.asks(0.0)


def test_a_golden_uncertainty_that_differs_is_refused(bundle):
    file = bundle / "golden" / "golden.json"
    golden = json.loads(file.read_text())
    golden["expected"]["tflite"]["uncertainty"]["00.wav"] += 0.1
    file.write_text(json.dumps(golden))
    facts = json.loads((bundle / "bundle.json").read_text())
    _rewrite(bundle, files=facts["files"] | {"golden/golden.json": content_hash(file)})
    with pytest.raises(BundleError, match=r"golden clips differ by 0\.1"):
        replay(read_bundle(bundle), "tflite")


def test_a_clip_of_any_rate_and_channels_becomes_the_models_input(original, tmp_path):
    soundfile.write(tmp_path / "clip.flac", np.zeros((44100, 2)) + 0.1, 44100)
    wave = read_bundle(original).read_clip(tmp_path / "clip.flac")
    assert wave.shape == (SAMPLES,) and wave.dtype == np.float32
    with pytest.raises(AudioError):
        read_bundle(original).read_clip(tmp_path / "absent.wav")


def test_writing_again_replaces_the_whole_bundle(bundle, tmp_path):
    (bundle / "old.txt").write_text("of the last compile")
    models = small_models(tmp_path / "models", seed=5)
    write_bundle(bundle, models, small_facts(models), sounds(1, SAMPLES), copy_report)
    assert not (bundle / "old.txt").exists() and not (bundle / "golden" / "01.wav").exists()
    assert read_bundle(bundle).facts["models"]["onnx"]["sha256"] == models["onnx"].hash


def test_something_that_is_no_bundle_is_never_replaced(tmp_path):
    place = tmp_path / "sounds-anything"
    place.mkdir()
    (place / "thesis.txt").write_text("three years of work")
    with pytest.raises(BundleError, match="something that is no bundle"):
        write_small_bundle(place)
    assert (place / "thesis.txt").read_text() == "three years of work"


def test_a_failed_write_keeps_the_old_bundle_and_leaves_nothing(bundle, tmp_path):
    before = content_hash(bundle)
    models = small_models(tmp_path / "models", seed=5)

    def full(folder, facts):
        raise OSError(28, os.strerror(28), str(folder))

    with pytest.raises(StoreError, match="the disk is full"):
        write_bundle(bundle, models, small_facts(models), sounds(1, SAMPLES), full)
    assert content_hash(bundle) == before
    assert not list(bundle.parent.glob(".*.new-*"))


def test_what_a_killed_compile_left_is_swept_away(bundle, tmp_path):
    leftover = bundle.parent / f".{bundle.name}.new-0123"
    leftover.mkdir()
    (leftover / "model.onnx").write_bytes(b"half")
    models = small_models(tmp_path / "models")
    write_bundle(bundle, models, small_facts(models), sounds(1, SAMPLES), copy_report)
    assert not leftover.exists()


def test_two_writers_at_once_leave_one_whole_bundle(tmp_path):
    place = tmp_path / "sounds-anything"
    models = [small_models(tmp_path / f"models-{seed}", seed) for seed in range(2)]
    faults = []

    def write(own):
        try:
            for _ in range(4):
                write_bundle(place, own, small_facts(own), sounds(1, SAMPLES), copy_report)
        except BaseException as why:  # a thread's fault would be lost otherwise
            faults.append(why)

    threads = [threading.Thread(target=write, args=(own,)) for own in models]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    assert read_bundle(place).facts["models"]["onnx"]["sha256"] in {own["onnx"].hash for own in models}
