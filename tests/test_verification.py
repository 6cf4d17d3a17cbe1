"""What `edgecomp verify` says of a whole bundle, and of one that somebody touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgecomp import bundle as bundles
from edgecomp.artifact import content_hash
from edgecomp.verification import verify
from tests.small_bundle import write_small_bundle
from tests.small_task import call


@pytest.fixture
def bundle(tmp_path) -> Path:
    return write_small_bundle(tmp_path / "sounds-anything")


def _differs(folder: Path) -> dict[str, str]:
    return {check.name: check.text for check in verify(folder) if not check.passed}


def _restate(folder: Path, **changed: object) -> None:
    """Change what bundle.json says, and its hash with it, as a careful forger would."""
    facts = json.loads((folder / "bundle.json").read_text())
    facts.pop("hash")
    facts |= changed
    (folder / "bundle.json").write_text(json.dumps(facts | {"hash": bundles._own_hash(facts)}))


def test_every_file_every_trail_and_every_golden_clip_is_looked_at(bundle):
    names = {check.name for check in verify(bundle)}
    files = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assert files < names
    assert {f"{what} {form}" for what in ("trail of", "golden clips in") for form in ("onnx", "tflite")} < names


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite", "labels.txt", "golden/00.wav", "report.json"])
def test_a_changed_file_is_named_and_the_others_are_still_looked_at(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert "was changed" in _differs(bundle)[name]
    assert len(verify(bundle)) > 10


def test_a_missing_and_a_foreign_file_are_named(bundle):
    (bundle / "labels.txt").unlink()
    (bundle / "notes.txt").write_text("mine")
    found = _differs(bundle)
    assert "missing" in found["labels.txt"] and "not listed" in found["notes.txt"]


def test_a_changed_threshold_is_seen_by_bundle_jsons_own_hash(bundle):
    file = bundle / "bundle.json"
    file.write_text(file.read_text().replace('"ask_above": 0.4', '"ask_above": 0.9'))
    assert "bundle.json" in _differs(bundle)


def test_another_model_under_a_restated_hash_is_seen_by_the_trail_and_the_golden_clips(bundle, tmp_path):
    other = write_small_bundle(tmp_path / "other", seed=5)
    shutil.copyfile(other / "model.onnx", bundle / "model.onnx")
    facts = json.loads((bundle / "bundle.json").read_text())
    digest = content_hash(bundle / "model.onnx")
    facts["models"]["onnx"]["sha256"] = digest
    _restate(bundle, models=facts["models"], files=facts["files"] | {"model.onnx": digest})
    assert {"trail of onnx", "golden clips in onnx"} <= _differs(bundle).keys()


def test_the_command_lists_all_and_ends_with_3_where_something_differs(bundle):
    whole = call("verify", bundle)
    assert whole.code == 0 and "DIFFERS" not in whole.out and "as the bundle states" in whole.err
    (bundle / "labels.txt").write_text("x")
    done = call("verify", bundle, "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 3 and "labels.txt" in [row["name"] for row in rows if not row["passed"]]
    assert "of" in done.err and "differ from what the bundle states" in done.err


def test_a_place_without_a_bundle_is_refused(tmp_path):
    assert call("verify", tmp_path).code == 2
