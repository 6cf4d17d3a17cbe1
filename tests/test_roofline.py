"""roofline.py: what a part must do at least, counted by hand; the limit and its share; what a core reaches at best."""

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from typer.testing import CliRunner

from edgecomp import bench, roofline
from edgecomp.bundle import read_bundle, write_bundle
from edgecomp.cli import app
from edgecomp.devices import Effort, open_device
from edgecomp.errors import BundleError
from edgecomp.metrics import Estimate
from edgecomp.portable import peaks as portable
from edgecomp.portable.peaks import Peak
from edgecomp.report import field, field_limit
from edgecomp.roofline import Part
from edgecomp.students import StudentConfig
from edgecomp.students.front_end import FrontEnd, front_end_macs
from tests.small_bundle import RATE, SAMPLES, copy_report, small_facts, small_models, write_small_bundle
from tests.small_students import LABELS, NARROW, sounds
from tests.test_bench import Fake, _right
from tests.test_results import ONE

EFFORT = Effort(seconds=0.05, windows=10, processes=2)
FRONT_END = FrontEnd.preset(RATE, SAMPLES)
SLOW = (Peak("float32", 2e9, "a"), Peak("int8", 8e9, "b"), Peak("bandwidth", 1e9, "c"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle whose trail says how its student was built, in float32."""
    place = tmp_path_factory.mktemp("roofline")
    models = small_models(place / "models")
    built = {"family": "ds_cnn", "widths": (), "front_end": vars(FRONT_END)}
    steps = (
        {"name": "build", "settings": built, "facts": {"widths": [32, 48, 48, 64, 64]}},
        {"name": "prune", "settings": {}, "facts": {"widths": list(NARROW["ds_cnn"])}},
    )
    trail = {form: [*steps, *model.trail] for form, model in models.items()}
    facts = small_facts(models, trail=trail)
    write_bundle(place / "sounds", models, facts, sounds(3, SAMPLES, rate=RATE), copy_report)
    return place / "sounds"


@pytest.fixture(scope="module")
def bundle(folder):
    return read_bundle(folder)


def as_int8(bundle):
    """Return a bundle that says of its files that they are int8."""
    models = {form: {**model, "numerics": "int8"} for form, model in bundle.facts["models"].items()}
    return replace(bundle, facts={**bundle.facts, "models": models})


def weights_bytes(file, is_of):
    """Add up the constants of a TFLite file that are weights, biases or tables."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    held = {t.name.decode(): model.buffers[t.buffer].data for t in model.subgraphs[0].tensors}
    return sum(len(data) for name, data in held.items() if data is not None and is_of(name))


def test_the_front_end_moves_its_tables_the_waveform_and_the_features(bundle, folder):
    front, _ = roofline.parts(bundle, "tflite")
    tables = weights_bytes(folder / "model.tflite", lambda name: name.startswith("front/") and "_table" in name)
    tables += weights_bytes(folder / "model.tflite", lambda name: name == "front/mel_f16")
    features = FRONT_END.frames * FRONT_END.mels
    assert front.macs == {"float32": front_end_macs(FRONT_END)}
    assert front.bytes == tables + 4 * SAMPLES + 4 * features


def test_a_float_body_moves_the_weights_that_its_file_holds(bundle, folder):
    _, body = roofline.parts(bundle, "tflite")
    stored = weights_bytes(
        folder / "model.tflite", lambda name: not name.startswith("front/") and name.endswith(("_weight", "_bias"))
    )
    ends = 4 * (FRONT_END.frames * FRONT_END.mels + len(LABELS) + 1)
    assert body.bytes == stored + ends and set(body.macs) == {"float32"}


def test_an_int8_body_is_counted_by_hand_with_its_stem_in_float(bundle):
    _, body = roofline.parts(as_int8(bundle), "onnx")
    assert (FRONT_END.frames, FRONT_END.mels, NARROW["ds_cnn"]) == (24, 40, (8, 16, 8, 16, 8))
    # the stem halves 24 × 40, blocks 1 and 3 halve it again
    stem, middle, last = 12 * 20, 6 * 10, 3 * 5
    int8 = middle * (9 * 8 + 8 * 16) + middle * (9 * 16 + 16 * 8) + last * (9 * 8 + 8 * 16) + last * (9 * 16 + 16 * 8)
    assert body.macs == {"float32": stem * 25 * 8, "int8": int8 + 8 * 3}
    weights = 9 * (8 + 16 + 8 + 16) + 8 * 16 + 16 * 8 + 8 * 16 + 16 * 8 + 8 * 3
    outputs = (8 + 16) + (16 + 8) + (8 + 16) + (16 + 8) + 3  # each with a bias and a step of four bytes
    ends = 4 * (24 * 40 + 3 + 1)
    assert body.bytes == 4 * (25 * 8 + 8) + weights + 8 * outputs + ends


def test_the_widths_after_pruning_count_and_not_those_at_first(bundle):
    narrow = StudentConfig("ds_cnn", NARROW["ds_cnn"], LABELS, FRONT_END)
    assert roofline._config(bundle, "onnx") == narrow


def test_the_limit_is_the_longer_of_arithmetic_and_bytes():
    best = {one.name: one.value for one in SLOW}
    mixed = Part("body", {"float32": 2_000_000, "int8": 8_000_000}, 1000)
    assert mixed.products_ms(best) == pytest.approx(2) and mixed.limit_ms(best) == pytest.approx(2)
    assert replace(mixed, bytes=5_000_000).limit_ms(best) == pytest.approx(5)


def test_a_share_is_the_limit_over_the_time_and_its_interval_turns_round():
    part, taken = Part("body", {"int8": 8_000_000}, 1000), Estimate(4.0, 2.0, 5.0, 10)
    rows = {one.name: one for one in roofline.part_results([part], SLOW, {"body": taken}, ONE)}
    assert rows["limit_body"].value == pytest.approx(1) and rows["limit_body"].method.endswith(": arithmetic")
    share = rows["share_body"]
    assert (share.value, share.low, share.high) == pytest.approx((0.25, 0.2, 0.5)) and share.how == "estimated"
    assert rows["macs_body"].value == 8_000_000 and rows["time_body"].how == "measured"


def test_a_part_that_cannot_be_told_from_noise_has_no_share():
    part, taken = Part("body", {"int8": 8_000_000}, 1000), Estimate(0.1, -0.1, 0.3, 10)
    rows = {one.name: one for one in roofline.part_results([part], SLOW, {"body": taken}, ONE)}
    assert rows["share_body"].value is None and rows["share_body"].low is None and rows["time_body"].low == -0.1


def test_what_was_emulated_stays_emulated():
    part, taken = Part("body", {"int8": 8_000_000}, 1000), Estimate(4.0, 2.0, 5.0, 10)
    rows = [*roofline.peak_results(SLOW, replace(ONE, how="emulated"))]
    rows += roofline.part_results([part], SLOW, {"body": taken}, replace(ONE, how="emulated"))
    assert {one.how for one in rows} == {"emulated"}


def test_a_trail_that_does_not_say_how_the_student_was_built_is_refused(tmp_path):
    plain = read_bundle(write_small_bundle(tmp_path / "plain"))
    with pytest.raises(BundleError, match="does not say how its student was built") as caught:
        roofline.parts(plain, "onnx")
    assert "--limit" in caught.value.fix


def test_the_front_end_alone_is_the_files_own(bundle, folder, tmp_path):
    from edgecomp.lowering.feature_body import run_part

    whole = bench.subjects([folder], Fake(None), "tflite")[0].file
    front = roofline.front_end_file(bundle, whole, tmp_path)
    made = run_part(front.path.read_bytes(), sounds(1, SAMPLES, rate=RATE))
    assert front.form == "tflite" and front.name != whole.name and np.ptp(made) > 1


def test_a_core_reaches_more_in_large_products_than_a_slow_loop_and_repeats_itself():
    with open_device("host") as host:
        first, second = ({one.name: one.value for one in host.peaks()} for _ in range(2))
    assert set(first) == {"float32", "int8", "bandwidth"}
    for name, value in first.items():
        assert value > 1e8 and 1 / 4 < value / second[name] < 4, name


def test_the_fastest_of_the_runs_counts(monkeypatch):
    taken = iter([9.0, 3.0, 0.5, 2.0])
    now = [0.0]
    monkeypatch.setattr(portable.time, "perf_counter", lambda: now[0])

    def run():
        now[0] += next(taken)

    assert portable.best_s(run, seconds=0) == 0.5


def test_bench_holds_both_parts_of_both_files_against_the_limit(folder):
    with open_device("host") as host:
        rows = list(bench.bench(bench.subjects([folder], host), host, [EFFORT], starts=0, limit=True))
    by_name = {(row.form, row.name): row for row in rows}
    for name, unit in (("peak_float32", "MAC/s"), ("peak_int8", "MAC/s"), ("bandwidth", "bytes/s")):
        row = by_name["", name]
        assert row.value > 1e8 and row.unit == unit and row.how == "measured" and not row.bundle + row.model_sha256
    for form in ("onnx", "tflite"):
        whole = by_name[form, "latency_p50"].value
        front, body = (by_name[form, f"time_{part}"].value for part in ("front_end", "body"))
        assert 0 < front < whole * 1.5 and abs(front + body - whole) < whole
        for part in ("front_end", "body"):
            share, limit = by_name[form, f"share_{part}"], by_name[form, f"limit_{part}"]
            assert limit.value > 0 and (share.value is None or 0 < share.value <= 1.2)
    page, text = field.html(rows), field.markdown(rows)
    assert "How far from the limit?" in page and "Roofline of one core" in page and "share of the limit" in text


def test_a_device_that_cannot_tell_its_peaks_is_benched_without_the_limit(folder, capsys):
    device = Fake(_right(folder))
    rows = list(bench.bench(bench.subjects([folder], device), device, [EFFORT], starts=0, limit=True))
    names = {row.name for row in rows}
    assert "latency_p50" in names and not any("limit" in name or "share_" in name for name in names)
    assert "skipped the limit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--threads", "2"], "--threads 2 was given"), (["--sustained", "5"], "--sustained 5 was given")],
)
def test_the_limit_is_refused_where_it_is_not_of_one_core(folder, tmp_path, words, said):
    done = CliRunner().invoke(
        app, ["bench", str(folder), "--limit", *words, "--results", str(tmp_path / "r.jsonl")], env={"COLUMNS": "300"}
    )
    assert done.exit_code != 0 and said in str(done.exception or done.output) + done.output


def test_the_plot_names_each_point_and_stands_between_its_ceilings():
    taken = {name: Estimate(4.0, 2.0, 5.0, 10) for name in ("front_end", "body")}
    found = (Part("front_end", {"float32": 4_000_000}, 200_000), Part("body", {"int8": 8_000_000}, 1000))
    rows = [*roofline.peak_results(SLOW, ONE), *roofline.part_results(found, SLOW, taken, ONE)]
    limits = field_limit.limits(rows)
    assert [(one.number, one.part) for one in limits] == [(1, "front_end"), (2, "body")]
    assert limits[0].per_byte == 20 and limits[1].speed("limit") == pytest.approx(8e9)
    (plot,) = field.field_plots.rooflines(limits, field_limit.peaks(rows)).values()
    assert "1: front end 50 %" in plot and "2: body 25 %" in plot and "int8: 8" in plot and "memory: 1 GB/s" in plot
    emulated = [replace(row, how="emulated") for row in rows]
    assert field.field_plots.rooflines(field_limit.limits(emulated), field_limit.peaks(emulated)) == {}
