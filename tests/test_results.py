"""results.py: lines are only appended, and what is cut off or of another schema is said, by line."""

import json
from dataclasses import asdict, replace

import pytest

from edgecomp.errors import InputError
from edgecomp.results import SCHEMA, Result, append_results, read_results

ONE = Result(
    at="2026-01-02T03:04:05+00:00",
    run="a",
    edgecomp="0.1.0",
    task="sounds",
    bundle="sounds-phone",
    bundle_hash="0" * 64,
    target="phone",
    form="onnx",
    model_sha256="1" * 64,
    device="host (a CPU, 2 cores)",
    runtime="ONNX Runtime 1",
    threads=1,
    delegate="default",
    name="latency_p50",
    value=0.25,
    unit="ms",
    method="a stop-watch",
    how="measured",
    bound=0.3,
    quantiles=[0.2, 0.3],
    series=[],
)


def test_what_is_appended_is_read_again_in_order(tmp_path):
    file = tmp_path / "folder" / "results.jsonl"
    append_results(file, [ONE, replace(ONE, name="bytes")])
    append_results(file, [replace(ONE, value=float("nan"))])
    found = read_results(file)
    assert found == [ONE, replace(ONE, name="bytes"), replace(ONE, value=None)]
    assert all(json.loads(line)["schema"] == SCHEMA for line in file.read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:-20], r"line 2 is cut off, the 1 before it are whole"),
        (lambda text: text.replace("results/1", "results/2", 1), r"schema is 'edgecomp-results/2'"),
        (lambda text: "nonsense\n" + text, r"no JSON"),
        (lambda text: "[1]\n" + text, r"schema is None"),
        (lambda text: text.replace('"measured"', '"guessed"', 1), r"how is 'guessed', allowed: measured"),
        (lambda text: text.replace('"unit"', '"limit"', 1), r"no field 'unit'"),
    ],
)
def test_a_damaged_file_is_said_by_line_and_never_appended_to(tmp_path, change, said):
    file = tmp_path / "results.jsonl"
    append_results(file, [ONE, ONE])
    file.write_text(change(file.read_text()))
    before = file.read_bytes()
    for use in (lambda: read_results(file), lambda: append_results(file, [ONE])):
        with pytest.raises(InputError, match=said) as caught:
            use()
        assert str(file) in str(caught.value) and caught.value.fix
    assert file.read_bytes() == before


def test_a_bound_is_a_ceiling_and_of_an_agreement_a_floor():
    assert ONE.within() and not replace(ONE, value=0.31).within()
    assert replace(ONE, name="agreement", value=0.995, bound=0.99).within()
    assert not replace(ONE, name="agreement", value=0.98, bound=0.99).within()
    assert replace(ONE, bound=None).within() is None


def test_an_answer_that_is_no_number_keeps_no_bound(tmp_path):
    append_results(
        tmp_path / "r.jsonl", [replace(ONE, name="golden_difference", unit="probability", value=float("nan"))]
    )
    (found,) = read_results(tmp_path / "r.jsonl")
    assert found.value is None and found.within() is False


def test_a_time_that_was_not_measured_neither_keeps_nor_breaks_a_bound():
    for how in ("emulated", "estimated"):
        assert replace(ONE, how=how, value=1e9).within() is None and replace(ONE, how=how, value=1e-9).within() is None
    assert replace(ONE, how="emulated", name="golden_difference", unit="probability", value=0.31).within() is False


def test_every_field_is_explained_in_the_docs():
    from edgecomp.shipped import shipped

    docs = shipped("models").parent / "docs" / "results.md"
    if not docs.exists():
        pytest.skip("docs/ are not in an installed edgecomp")
    told = docs.read_text()
    assert [name for name in asdict(ONE) if f"`{name}`" not in told] == []
