"""report/field.py: one line holds figures of one file, one kind of run and one version; a plot bears its device's name."""

import re
from dataclasses import replace

import pytest

from edgecomp.errors import InputError
from edgecomp.report import field, field_parity
from tests.test_results import ONE

TIME = replace(ONE, quantiles=[0.2 + i / 1000 for i in range(101)])


def _cells(made, *, file=None):
    """Return a table's cells by head, of its only line or the one of a file."""
    (line,) = [line for line in made["lines"] if file in (None, line["file"])]
    return {head: cell["value"] for head, cell in zip(made["heads"], line["cells"], strict=True)}


def test_a_plot_stands_above_the_name_of_its_own_device():
    later = replace(TIME, at="2026-01-03T03:04:05+00:00", device="a board", run="b")
    page = field.html([TIME, later])
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) == 2
    for figure, device in zip(figures, ("a board", TIME.device), strict=True):
        assert f"Distribution of latency on {device}<" in figure and f"<figcaption>{device}<" in figure


def test_figures_of_a_sustained_run_do_not_stand_among_those_of_a_short_one():
    short = [TIME, replace(TIME, name="latency_p99", value=0.4, quantiles=())]
    long = [
        replace(TIME, run="b", value=0.7, series=[[0, 0.6, 40.0], [1, 0.8, 41.0]]),
        replace(TIME, run="b", name="latency_p99", value=0.9, quantiles=()),
        replace(TIME, run="b", name="drift", value=1.3, unit="ratio of medians", quantiles=()),
        replace(TIME, run="b", name="golden_difference", value=0.0, unit="probability", quantiles=()),
    ]
    made = field.table([*short, *long], field.COLUMNS)
    assert _cells(made, file="sounds-phone onnx") == {
        "median time": "0.250 ms",
        "99th percentile": "0.400 ms",
        "drift of a sustained run": "–",
    }
    assert _cells(made, file="sounds-phone onnx, sustained") == {
        "median time": "0.700 ms",
        "99th percentile": "0.900 ms",
        "drift of a sustained run": "1.30",
    }
    (line,) = field.table([*short, *long], field.PARITY, by_threads=False)["lines"]
    assert line["file"] == "sounds-phone onnx"


def test_of_a_bundle_that_was_compiled_again_only_the_newest_version_counts():
    before = [
        replace(TIME, value=0.5),  # breaks the bound of 0.3
        replace(TIME, name="accuracy", value=0.9, unit="share", bound=None, quantiles=()),
    ]
    after = replace(TIME, run="b", bundle_hash="2" * 64, model_sha256="3" * 64)
    results = [*before, after]
    assert field.newest(results) == [after]
    (verdict,) = field.verdicts(results)
    assert verdict["broken"] == [] and verdict["judged"] == 1
    assert field.table(results, field.PARITY, by_threads=False)["lines"] == []


def test_a_recompiled_bundle_on_another_device_takes_nothing_from_this_one():
    other = replace(TIME, run="b", device="a board", bundle_hash="2" * 64, model_sha256="3" * 64)
    assert field.newest([TIME, other]) == [TIME, other]


def test_what_is_told_of_a_device_outlives_a_bundle():
    about = replace(ONE, name="bandwidth", bundle="", form="", bound=None)
    assert field.newest([about, replace(TIME, bundle_hash="2" * 64)])[0] == about
    named = replace(about, name="device", bundle_hash="2" * 64, model_sha256="3" * 64)
    assert field.newest([about, named]) == [about, named]


def test_emulated_times_keep_and_break_no_bound():
    (verdict,) = field.verdicts([replace(TIME, how="emulated", value=99.0)])
    assert verdict["judged"] == 0 and verdict["broken"] == []
    assert field.html([replace(TIME, how="emulated", value=99.0)]).count("no bound") == 1


def test_an_answer_that_is_no_number_is_bad_news():
    (verdict,) = field.verdicts([replace(TIME, name="golden_difference", value=None, unit="probability", bound=0.02)])
    assert verdict["broken"] == ["golden clips, largest difference: –, at most 0.0200"]


def test_what_only_a_phone_or_a_microcontroller_tells_is_shown():
    def one(name, value, unit, how="measured"):
        return replace(TIME, name=name, value=value, unit=unit, how=how, quantiles=(), bound=None)

    phone = [one("app_peak_pss", 60e6, "bytes"), one("app_native_heap", 12e6, "bytes")]
    made = field.table(phone, field.COLUMNS)
    assert _cells(made) == {"whole app, peak memory": "60 MB", "whole app, native heap": "12 MB"}
    board = [one("arena", 31000, "bytes", "estimated"), one("npu_time", 1.25, "ms", "estimated")]
    assert _cells(field.table(board, field.COLUMNS)) == {"tensor arena": "31 kB", "time on the NPU": "1.25 ms"}
    alike = [one("agreement_bundle", 0.995, "share", "emulated")]
    assert _cells(field.table(alike, field.PARITY)) == {"same decision as the bundle": "99.5 %"}
    assert "(estimated)" in field.html(board) and "(estimated)" in field.markdown(board)


def test_every_column_has_a_head():
    assert set(field.COLUMNS) | set(field.PARITY) | set(field_parity.JUDGED) == set(field.HEADS)


def test_markdown_has_as_many_cells_in_every_row():
    rows = [line for line in field.markdown([TIME, replace(TIME, threads=2)]).splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1 and len(rows) == 4


def test_no_results_at_all_are_said(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="there are no results in it") as caught:
        field.read_all([tmp_path / "empty.jsonl"])
    assert "edgecomp bench" in caught.value.fix


@pytest.mark.parametrize(
    ("delegate", "told"), [("default", "onnx"), ("none", "onnx, without XNNPACK"), ("nnapi", "onnx, nnapi")]
)
def test_a_line_of_the_parity_matrix_names_the_delegate_that_computed(delegate, told):
    rows = [replace(ONE, name="agreement", form="onnx", delegate=delegate)]
    (line,) = field_parity.matrix(rows)["lines"]
    assert line["format"] == told
