"""bench/places.py: every place is held against the float student and this host; what cannot be asked says why."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgecomp import bench
from edgecomp.bench import places as asked
from edgecomp.bench.answers import whole_split_lines
from edgecomp.bench.run import line_of
from edgecomp.bundle import FLOAT_ANSWERS, read_bundle
from edgecomp.devices import Answers, BrokenOffError, devices, open_device
from edgecomp.errors import BundleError, DeviceError
from edgecomp.report import field_parity
from edgecomp.results import append_results
from tests.small_bundle import RATE, SAMPLES, write_small_bundle
from tests.small_mcu import write_int8_bundle
from tests.small_students import sounds
from tests.small_task import call

CLIPS = sounds(12, SAMPLES, rate=RATE, seed=3)


class Place:
    """A place that answers like the host, but for what a test changes; none of its clips after `until`."""

    how, forms = "emulated", ("onnx", "tflite")

    def __init__(self, name="x86 Fake (emulated)", change=lambda p: p, until=None):
        self.name, self.change, self.until = name, change, until

    def __enter__(self):
        self.host = open_device("host")
        return self

    def __exit__(self, *_):
        self.host.close()

    def describe(self):
        return {"cpu": "a fake core"}

    def answers(self, model, clips, threads=1, delegate="default"):
        said = self.host.answers(model, clips, threads)
        found = Answers(self.change(said.probabilities), said.uncertainty, said.runtime)
        if self.until is None:
            return found
        why = DeviceError("the cable is out", where=self.name, fix="plug it in")
        if not self.until:
            raise why
        kept = replace(
            found, probabilities=found.probabilities[: self.until], uncertainty=found.uncertainty[: self.until]
        )
        raise BrokenOffError(why, kept, f"the first {self.until} of {len(clips)} clips had been answered")


def _with_float_answers(folder):
    """Write what the float student answered to the test split, which here are the answers of the TFLite file."""
    session = read_bundle(folder).session("tflite")
    said = [session(clip).probabilities.astype(float).tolist() for clip in CLIPS]
    (folder / FLOAT_ANSWERS).write_text(json.dumps({"probabilities": said}))
    return folder


@pytest.fixture(scope="module")
def in_float(tmp_path_factory):
    return _with_float_answers(write_small_bundle(tmp_path_factory.mktemp("float") / "sounds"))


@pytest.fixture(scope="module")
def in_int8(tmp_path_factory):
    return _with_float_answers(write_int8_bundle(tmp_path_factory.mktemp("int8") / "small"))


def _split(found):
    answers = bench.float_answers(found[0].bundle)
    return bench.WholeSplit(CLIPS, answers.argmax(1))


def _rows(folders, monkeypatch, cache, **places):
    """Fill the matrix, with stand-ins for places."""

    def opened(name, cache):
        if name in places:
            return places[name]
        return open_device(name, cache)

    monkeypatch.setattr(asked, "open_device", opened)
    return list(bench.matrix(folders, list(places), _split, cache))


def _of(rows, device, form="tflite"):
    kept = [row for row in rows if row.device.startswith(device) and row.form == form and row.delegate == "default"]
    return {row.name: row for row in kept}


def test_this_host_and_torch_stand_in_the_matrix_whatever_is_asked(in_float, monkeypatch, tmp_path):
    rows = _rows([in_float], monkeypatch, tmp_path)
    for form in ("onnx", "tflite"):
        mine = _of(rows, "host", form)
        assert (mine["agreement"].value, mine["agreement"].n, mine["accuracy"].value) == (1, 12, 1)
        assert mine["largest_difference"].value < 1e-5 and mine["largest_difference"].bound == 1e-4
        assert (
            mine["mean_difference"].bound is None and mine["mean_difference"].value <= mine["largest_difference"].value
        )
    report = json.loads((in_float / "report.json").read_text())
    torch = _of(rows, "host", "torch")
    wanted = max(row["largest_difference"] for row in report["parity"] if row["b"] == "torch" and "float" in row["a"])
    assert torch["largest_difference"].value == wanted and torch["largest_difference"].device == report["device"]
    assert torch["agreement"].value == 1 and torch["agreement"].runtime.startswith("torch ")


def test_another_place_is_held_against_the_float_student_and_against_this_host(in_float, monkeypatch, tmp_path):
    def shifted(p):
        p = p.copy()
        p[3] = np.roll(p[3], 1)
        return p

    rows = _rows([in_float], monkeypatch, tmp_path, **{"x86:nehalem": Place(change=shifted)})
    there, here = _of(rows, "x86 Fake"), _of(rows, "host")
    assert there["agreement"].value == pytest.approx(11 / 12) and there["agreement"].within() is False
    assert there["same_as_host"].value == pytest.approx(11 / 12) and there["same_as_host"].n == 12
    assert there["largest_difference_host"].value == pytest.approx(there["largest_difference"].value, abs=1e-6)
    assert there["agreement"].how == "emulated" and "largest_difference_host" not in here
    ((why, where),) = field_parity.differences(rows)
    assert "nothing here explains it" in why and "sounds tflite on x86 Fake (emulated): 1 of 12 clips" in where[-1]


def test_an_int8_file_is_held_to_the_bounds_of_int8_and_its_differences_are_explained(in_int8, monkeypatch, tmp_path):
    def tipped(p):
        p = p.copy()
        p[0, :2] += [1e-3, -1e-3]
        return p

    rows = _rows([in_int8], monkeypatch, tmp_path, **{"arm64:cortex-a53": Place("arm64 Cortex-A53", tipped)})
    there = _of(rows, "arm64")
    assert there["mean_difference"].bound == 0.02 and there["largest_difference"].bound is None
    assert "an int8 file" in there["agreement"].method
    said = dict(field_parity.differences(rows))
    (where,) = [told for why, told in said.items() if why.startswith("The float parts")]
    assert [told for told in where if "tflite, int8 on arm64 Cortex-A53: 1 of 12 clips" in told]


@pytest.mark.parametrize("change", [lambda p: np.tile(p[:1], (len(p), 1)), lambda p: p * np.nan])
def test_constant_answers_and_what_is_no_number_are_refused_and_told(in_float, monkeypatch, tmp_path, change):
    rows = _rows([in_float], monkeypatch, tmp_path, **{"x86:haswell": Place(change=change)})
    (skipped,) = [row for row in rows if row.name == "skipped"]
    assert "answers" in skipped.method and skipped.device == "x86:haswell" and not _of(rows, "x86 Fake")


def test_constant_answers_on_this_host_end_it(in_float, monkeypatch, tmp_path):
    same = Place("host (fake)", lambda p: np.tile(p[:1], (len(p), 1)))
    with pytest.raises(BundleError, match="answers the same to every clip"):
        _rows([in_float], monkeypatch, tmp_path, host=same)


def test_a_place_that_is_not_prepared_is_told_with_what_prepares_it_and_the_next_has_its_turn(
    in_float, monkeypatch, tmp_path
):
    rows = _rows([in_float], monkeypatch, tmp_path, **{"arm64:cortex-a53": _Absent(), "x86:nehalem": Place()})
    (skipped,) = [row for row in rows if row.name == "skipped"]
    assert skipped.method == "the arm64 emulation is not prepared; edgecomp devices prepare arm64"
    assert _of(rows, "x86 Fake")["agreement"].value == 1
    lines = field_parity.matrix(rows)["lines"]
    assert [line["why"] for line in lines if line["why"]] == [f"not run: {skipped.method}"]


class _Absent:
    def __enter__(self):
        raise DeviceError("the arm64 emulation is not prepared", fix="edgecomp devices prepare arm64")

    def __exit__(self, *_): ...


def test_of_two_bundles_the_one_that_does_not_run_there_is_told_and_the_other_is_asked(
    in_float, in_int8, monkeypatch, tmp_path
):
    pytest.importorskip("tflite_micro", reason='pip install "edgecomp[mcu]"')
    rows = list(_rows([in_float, in_int8], monkeypatch, tmp_path, mcu=open_device("mcu")))
    (skipped,) = [row for row in rows if row.name == "skipped"]
    assert skipped.bundle == "sounds" and "int8" in skipped.method
    there = _of(rows, "mcu")
    (why,) = [why for why, where in field_parity.differences(rows) if "tflite, int8 on mcu" in where[0]]
    assert "the first layer runs in int8 too" in why
    assert there["agreement"].bundle == "small" and there["agreement"].value >= 0.75, "random weights tip easily"


def test_the_answers_before_a_place_was_lost_are_kept_and_break_no_bound(in_float, monkeypatch, tmp_path):
    wrong = Place(change=lambda p: np.roll(p, 1, axis=1), until=5)
    rows = _rows([in_float], monkeypatch, tmp_path, **{"ssh:board": wrong})
    there = _of(rows, "x86 Fake", "onnx")
    assert there["agreement"].n == 5 and there["agreement"].value < 1 and there["agreement"].within() is None
    assert there["agreement"].method.startswith("the first 5 of 12 clips, then the device was lost")
    (skipped,) = [row for row in rows if row.name == "skipped"]
    assert "the cable is out; the first 5 of 12 clips had been answered" in skipped.method


def test_two_files_of_one_bundle_and_the_order_of_places_are_laid_out(in_float, monkeypatch, tmp_path):
    places = {"browser": Place("browser (Chromium)"), "x86:nehalem": Place("x86 Nehalem")}
    made = field_parity.matrix(_rows([in_float], monkeypatch, tmp_path, **places))
    assert [(line["device"].split()[0], line["format"]) for line in made["lines"]] == [
        *[("host", form) for form in ("float student", "onnx", "tflite", "tflite, without XNNPACK")],
        *[(kind, form) for kind in ("x86", "browser") for form in ("onnx", "tflite")],
    ]
    assert all(len(line["cells"]) == len(made["heads"]) for line in made["lines"])
    assert all(line["within"] for line in made["lines"])


def test_a_skip_is_forgotten_once_the_place_was_asked(in_float, monkeypatch, tmp_path):
    rows = _rows([in_float], monkeypatch, tmp_path, **{"x86:nehalem": _Absent()})
    later = [replace(row, at="2999-01-01T00:00:00+00:00") for row in rows if row.name == "agreement"]
    assert [line for line in field_parity.matrix(rows)["lines"] if line["why"]]
    moved = [replace(row, device="x86 Nehalem") for row in later]
    assert not [line for line in field_parity.matrix([*rows, *moved])["lines"] if line["why"]]


def test_thinned_clips_are_evenly_spaced_and_no_more_than_there_are(in_float):
    given = bench.WholeSplit(CLIPS, np.arange(12)).thinned(6)
    assert given.rows.tolist() == [0, 2, 4, 7, 9, 11] and np.array_equal(given.clips, CLIPS[given.rows])
    assert given.thinned(6) is given and given.name == "6 clips, evenly spaced in the test split"
    assert given.of(np.arange(12)).tolist() == given.targets.tolist() == given.rows.tolist()


@pytest.mark.parametrize(("turned", "verdict"), [(0, None), (5, None), (40, False)])
def test_some_clips_of_a_split_break_the_agreement_only_beyond_chance(in_float, turned, verdict):
    answers, rows = bench.float_answers(read_bundle(in_float)), np.tile(np.arange(12), 30)
    given = bench.WholeSplit(CLIPS[rows], answers[rows].argmax(1), rows)
    said = given.of(answers).copy()
    said[:turned] = np.roll(said[:turned], 1, axis=1)
    with open_device("host") as host:
        one = bench.subjects([in_float], host, "tflite")[0]
        line = line_of(one, host, "2026-01-01T00:00:00+00:00", "a run")
    told = Answers(said, np.zeros(360, np.float32), "a runtime 1")
    rows = {row.name: row for row in whole_split_lines(one, given, told, line)}
    assert rows["agreement"].value == (360 - turned) / 360 and rows["agreement"].within() is verdict


def test_the_places_are_kinds_of_devices_and_the_host_is_the_first():
    assert bench.PLACES[0] == "host" and {name.partition(":")[0] for name in bench.PLACES} <= set(devices())


def test_the_command_appends_its_lines_shows_them_and_fails_where_a_bound_is_broken(in_float, monkeypatch, tmp_path):
    from edgecomp.cli import measuring

    monkeypatch.setattr(measuring.Split, "of", lambda self, found: _split(found))
    done = call("parity", in_float, "--on", "host", "--results", tmp_path / "all.jsonl", "--build", tmp_path)
    assert done.code == 0 and "100.0 %" in done.out and "float student" in done.out
    wrong = SimpleNamespace(device=Place(change=lambda p: np.roll(p, 1, axis=1)))
    monkeypatch.setattr(asked, "open_device", lambda name, cache: open_device(name) if name == "host" else wrong.device)
    done = call("parity", in_float, "--on", "x86", "--results", tmp_path / "all.jsonl", "--build", tmp_path)
    assert done.code == 3 and "it does not answer there as the float student does: sounds onnx on x86 Fake" in done.err
    page = tmp_path / "page.html"
    assert call("report", tmp_path / "all.jsonl", "--out", page).code == 0
    text = page.read_text()
    assert "Does every place answer alike?" in text and "✕ broken" in text and "x86 Fake" in text
    told = call("report", tmp_path / "all.jsonl", "--markdown").out
    assert "| x86 Fake (emulated), ONNX Runtime " in told and "| NO |" in told


def test_an_unknown_place_is_refused_before_anything_is_asked(in_float, tmp_path):
    done = call("parity", in_float, "--on", "x68", "--results", tmp_path / "all.jsonl")
    assert done.code == 2 and "did you mean 'x86'?" in done.err and not (tmp_path / "all.jsonl").exists()


def test_a_damaged_results_file_is_refused_before_anything_is_asked(in_float, tmp_path):
    file = tmp_path / "all.jsonl"
    append_results(file, [])
    file.write_text('{"schema": "edgecomp-results/9"}\n')
    done = call("parity", in_float, "--results", file)
    assert done.code == 2 and "edgecomp-results/9" in done.err
