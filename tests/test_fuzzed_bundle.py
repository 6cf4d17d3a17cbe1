"""A bundle.json that anybody may have written, even one whose own hash is right: every use of it ends well or in one message."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp import bundle as bundles
from edgecomp.artifact import content_hash
from edgecomp.bundle import read_bundle
from edgecomp.embed import android, c, python, web
from edgecomp.embed.facts import read_facts
from edgecomp.errors import BundleError, EdgecompError
from tests.small_bundle import SAMPLES, write_small_bundle

WAVE = np.linspace(-0.1, 0.1, SAMPLES, dtype=np.float32)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1 << 70, -1, 0, 1e400, -1e400, float("nan"), 1e-320])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything")


@pytest.fixture(scope="module")
def stated(original):
    told = json.loads((original / "bundle.json").read_text())
    told.pop("hash")
    return told


@pytest.fixture(scope="module")
def place(original, tmp_path_factory):
    return shutil.copytree(original, tmp_path_factory.mktemp("fuzzed") / "sounds-anything")


def places_of(value: object, path: tuple = ()) -> list[tuple]:
    """Return the path of every value inside a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places_of(one, (*path, key)))]


def use(folder: Path) -> None:
    """Do what apps and commands do with a bundle, as far as they depend on bundle.json."""
    bundle = read_bundle(folder)
    answer = bundle.session()(WAVE)
    bundle.label(answer.probabilities)
    bundle.asks(answer.uncertainty)
    facts = read_facts(bundle)
    for language in (python, android, web, c):
        language.files(facts)


def ends_well_or_in_a_message(folder: Path) -> bool:
    """Use a bundle; return whether it was refused, with what, where and fix."""
    try:
        use(folder)
    except EdgecompError as why:
        assert why.what and why.where and why.fix, why
        return True
    return False


def test_the_whole_bundle_is_used_and_is_refused_only_for_c(original):
    with pytest.raises(BundleError, match="float32, and a microcontroller's body must be int8"):
        use(original)


@given(data=st.data())
@settings(max_examples=250, deadline=None, derandomize=True)
def test_any_value_may_be_anything_even_where_the_hash_is_right(stated, place, data):
    told = copy.deepcopy(stated)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([one for one in places_of(told) if one]))
        inside = told
        for key in path[:-1]:
            inside = inside[key]
        if data.draw(st.booleans()):
            inside[path[-1]] = data.draw(values)
        else:
            del inside[path[-1]]
        if not any(places_of(told)):
            break
    told.pop("hash", None)
    (place / "bundle.json").write_text(json.dumps(told | {"hash": bundles._own_hash(told)}))
    assert ends_well_or_in_a_message(place)  # at the latest by C


@given(data=st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_bytes_that_were_changed_cut_or_doubled_are_refused(original, place, data):
    whole = (original / "bundle.json").read_bytes()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    changed = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
    (place / "bundle.json").write_bytes(changed)
    assert ends_well_or_in_a_message(place)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "\ufeff{}", '{"schema": 1e999}', "9" * 5000])
def test_json_that_readers_choke_on_is_one_message(text, place):
    (place / "bundle.json").write_text(text, encoding="utf-8")
    assert ends_well_or_in_a_message(place)


@pytest.mark.parametrize("form", ["onnx", "tflite"])
@pytest.mark.parametrize("damage", ["empty", "cut", "no model", "another model's name"])
def test_a_model_file_that_is_none_is_one_message_even_where_its_hash_is_right(form, damage, original, tmp_path):
    folder = shutil.copytree(original, tmp_path / "sounds-anything")
    told = json.loads((folder / "bundle.json").read_text())
    told.pop("hash")
    file = folder / told["models"][form]["file"]
    whole = file.read_bytes()
    other = folder / told["models"]["onnx" if form == "tflite" else "tflite"]["file"]
    held = {"empty": b"", "cut": whole[: len(whole) // 2], "no model": b"\0" * 5000}.get(damage, other.read_bytes())
    file.write_bytes(held)
    digest = content_hash(file)
    told["files"][file.name] = told["models"][form]["sha256"] = digest
    (folder / "bundle.json").write_text(json.dumps(told | {"hash": bundles._own_hash(told)}))
    with pytest.raises(EdgecompError) as caught:
        read_bundle(folder).session(form)(WAVE)
    assert caught.value.what and caught.value.where and caught.value.fix
