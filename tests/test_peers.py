"""The comparison with peers: how scripts are read and run, and how rows become a table and aims."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers_inputs, peers_making, peers_sessions, peers_telling
from edgecomp.artifact import content_hash
from edgecomp.store import Store
from tests.shared_data import shared_data

HEADER = """# /// script
# dependencies = ["numpy==2.4.6"]
#
# [tool.peer]
# row = "a way"
# of = "teacher"
# environment = "own"
# order = {order}
# ///
"""
KEYS = {"teacher": "1", "student": "1", "edgecomp": "1"}


def row(name: str, of: str, ms_per_second: float = 1.0, **more) -> dict:
    """Return a row as the results file holds them."""
    return {
        "name": name,
        "row": name,
        "of": of,
        "error": "",
        "format": "tflite",
        "bytes": 100_000,
        "accuracy": 0.99,
        "accuracy_low": 0.98,
        "accuracy_high": 1.0,
        "ms": 2 * ms_per_second,
        "ms_per_second": ms_per_second,
        "cpu_ms_per_second": ms_per_second,
        "ratio": ms_per_second,
        "ratio_low": ms_per_second,
        "ratio_high": ms_per_second,
        "reference": "edgecomp int8 tflite",
        "peak_bytes": 3_000_000,
        "lines": 7,
        "install_bytes": 150_000_000,
        "install_s": 60.0,
        "script_s": 30.0,
        "versions": {"onnx": "1.23.2"},
    } | more


def rows_of(ours_ms: float = 1.0, **more) -> list[dict]:
    return [
        row("onnxruntime_float", "teacher", 30.0),
        row("sound", "teacher", 20.0, accuracy=0.985),
        row("broken", "teacher", 5.0, accuracy=0.5),
        row("edgecomp-int8-tflite", "edgecomp", ours_ms, **more),
        row("yamnet", "yardstick", 6.0, accuracy=None),
        row("kwt-1", "yardstick", 20.0, accuracy=None),
        row("mlperf-tiny-network", "yardstick", 1 / 3, accuracy=None),
    ]


def test_user_code_is_neither_empty_nor_comment_nor_docstring():
    assert peers_making.code_lines('"""What it is."""\n\n# why\nimport a\n\nrun(  # here\n    a,\n)\n') == 4
    assert peers_making.code_lines('"""What it is,\n\nat length.\n"""\nimport a\n') == 1
    assert peers_making.code_lines("# a recipe\n[data]\npath = 'x'  # where\n") == 2
    assert peers_making.code_lines("") == 0


def test_every_peer_pins_what_it_installs_and_shares_it_with_its_environment():
    peers = peers_making.read_peers()
    assert {"onnxruntime_float", "optimum_dynamic", "edgecomp"} <= {peer.name for peer in peers}
    for peer in peers:
        assert peer.of in peers_telling.KINDS
        assert 0 < peer.lines < 40
        for one in peer.dependencies:
            assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+", one) or Path(one) == peers_making.ROOT
    assert len({(peer.environment, peer.dependencies) for peer in peers}) == len({peer.environment for peer in peers})


def test_torch_is_pinned_first_where_it_is_needed():
    for peer in peers_making.read_peers():
        assert not any(one.startswith("torch==") for one in peer.dependencies[1:])


def test_a_script_without_a_header_is_no_peer(tmp_path):
    (tmp_path / "bare.py").write_text("import a\n")
    with pytest.raises(ValueError, match=r"bare\.py: no header"):
        peers_making.read_peers(tmp_path)


def test_the_last_error_is_what_a_failure_says():
    said = "Traceback\n  File\nValueError: (256) vs (6)\nCalibration: 100%\n"
    assert peers_making.last_words(said) == "ValueError: (256) vs (6)"
    assert peers_making.last_words("ERROR: no matching distribution\n\n") == "ERROR: no matching distribution"
    assert peers_making.last_words("killed\n") == "killed"
    assert peers_making.last_words("") == "it failed and said nothing"


def test_calibration_draws_the_same_clips_each_once():
    clips = np.arange(1000, dtype=np.float32)[:, None]
    drawn = peers_inputs.calibration(clips, seed=0)
    assert drawn.shape == (peers_inputs.CALIBRATION_CLIPS, 1)
    assert len(np.unique(drawn)) == len(drawn)
    assert np.array_equal(drawn, peers_inputs.calibration(clips, seed=0))
    assert len(peers_inputs.calibration(clips[:50], seed=0)) == 50


def test_the_float_student_is_found_by_the_hashes_of_the_report(tmp_path):
    store = Store(tmp_path)
    for number in (1, 2):
        trail = [{"name": "calibrate", "output_hash": f"student {number}"}]
        for step, file in (("export", "model.tflite"), ("calibrate", "artifact.json")):
            (tmp_path / "done" / f"{step}-{number}").mkdir()
            (tmp_path / "done" / f"{step}-{number}" / file).write_text(f"{number}")
        (tmp_path / "done" / f"export-{number}" / "artifact.json").write_text(json.dumps({"trail": trail}))
        made = {"trail": trail, "path": "student"}
        (tmp_path / "done" / f"calibrate-{number}" / "artifact.json").write_text(json.dumps(made))
    file = store.folder / "done" / "export-2" / "model.tflite"
    stage = {"name": "finetuned", "files": [{"format": "tflite", "hash": content_hash(file)}]}
    report = {"stages": [{"name": "teacher"}, {"name": "distilled"}, stage, {"name": "int8"}]}
    assert peers_inputs.stored_file(stage, "tflite", store) == file
    assert peers_inputs.float_student(report, store) == store.folder / "done" / "calibrate-2" / "student"
    file.write_text("changed")
    with pytest.raises(FileNotFoundError, match="the finetuned tflite file of the bundle's report is not in"):
        peers_inputs.float_student(report, store)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Give a function that makes the peers of some scripts without installing anything, and returns what became of them."""

    def install(place, dependencies):
        (place / "bin").mkdir(parents=True, exist_ok=True)
        (place / "bin" / "python").unlink(missing_ok=True)
        (place / "bin" / "python").symlink_to(sys.executable)
        return peers_making.Made("", install_s=1.0, install_bytes=2, versions={"numpy": "2.4.6"})

    monkeypatch.setattr(peers_making, "_install", install)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "task" / "inputs").mkdir(parents=True)
    (tmp_path / "task" / "inputs" / "teacher.onnx").write_bytes(b"teacher")

    def run(scripts: dict[str, str], keys=KEYS, **settings) -> dict[str, peers_making.Made]:
        for order, (name, body) in enumerate(scripts.items()):
            (tmp_path / "scripts" / f"{name}.py").write_text(HEADER.format(order=order) + body)
        peers = peers_making.read_peers(tmp_path / "scripts")
        peers_making.make(peers, tmp_path / "task", keys, given={}, **settings)
        return {peer.name: peers_making.read_made(tmp_path / "task" / peer.name) for peer in peers}

    run.folder = tmp_path / "task"
    return run


COPIES = "import shutil; shutil.copy('teacher.onnx', 'model.onnx'); open('scratch', 'w').close()"


def test_a_peer_leaves_its_model_and_what_it_took(bench):
    made = bench({"copies": COPIES})["copies"]
    assert not made.error
    assert made.script_s > 0
    assert made.script_cpu_s > 0
    assert made.install_bytes == 2
    assert peers_making.model_of(bench.folder / "copies").read_bytes() == b"teacher"
    assert sorted(file.name for file in (bench.folder / "copies").iterdir()) == ["made.json", "model.onnx"]
    assert not (bench.folder.parent / "environments" / "own").exists()


def test_a_peer_that_fails_leaves_its_error_and_the_others_go_on(bench):
    made = bench({"fails": "raise RuntimeError('no such operator')", "nothing": "pass", "copies": COPIES})
    assert made["fails"].error == "RuntimeError: no such operator"
    assert made["nothing"].error == "the script ended well and left no model"
    assert made["copies"].error == ""
    assert peers_making.model_of(bench.folder / "fails") is None


def test_a_peer_is_made_again_only_where_its_script_or_its_inputs_changed_or_it_is_asked_for(bench):
    def time_of(**settings) -> float:
        bench({"copies": settings.pop("body", COPIES)}, **settings)
        return (bench.folder / "copies" / "model.onnx").stat().st_mtime_ns

    first = time_of()
    assert time_of() == first
    second = time_of(fresh=frozenset({"copies"}))
    assert second != first
    third = time_of(keys=KEYS | {"teacher": "2"})
    assert third != second
    assert time_of(keys=KEYS | {"teacher": "2"}, body=COPIES + "  # changed") != third


def test_a_row_that_failed_keeps_its_place_and_shows_its_error():
    failed = row("fails", "teacher", error="InferenceError: (256) vs (6) | `x`", format=None)
    lines = peers_telling.table([*rows_of(), failed]).splitlines()
    line = next(line for line in lines if "the teacher: fails" in line)
    assert "failed: `InferenceError: (256) vs (6) \\| 'x'`" in line
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "| 7 | 150 MB | 1.5 |" in line


def test_a_yardstick_has_no_accuracy_and_a_model_of_features_no_memory():
    line = peers_telling.table([row("kws", "yardstick", accuracy=None, peak_bytes=None)]).splitlines()[-1]
    assert line.startswith("| yardstick: kws | tflite | – | 100,000 | 2.000 | 1.000 | 1.00 (1.00 to 1.00) | – |")


def test_aims_are_met_at_their_bound_and_missed_beyond_it():
    assert [aim.met for aim in peers_telling.aims(rows_of(), "tflite")] == [True] * 6
    slower = peers_telling.aims(rows_of(1.01, bytes=150_001, accuracy=0.9799), "tflite")
    assert [aim.met for aim in slower] == [False] * 6
    assert peers_telling.aims(rows_of(bytes=150_000, accuracy=0.981), "tflite")[-1].met


def test_a_broken_file_of_the_teacher_is_not_its_best_path():
    found = peers_telling.aims(rows_of(), "tflite")[3].found
    assert found == "1/20.0, 1.000 against 20.000 ms, the teacher: sound; in CPU time 1/20.0"


def test_a_latency_that_only_a_busy_clock_shows_is_not_met():
    rows = rows_of(cpu_ms_per_second=1.5)
    assert [aim.met for aim in peers_telling.aims(rows, "tflite")[:4]] == [False] * 4


def test_the_first_run_after_all_other_models_is_told_beside():
    found = peers_telling.aims(rows_of(first_cpu_ms_per_second=2.0), "tflite")[0].found
    assert "right after" not in found, "the other row does not say it"
    rows = [one | {"first_cpu_ms_per_second": 2 * one["ms_per_second"]} for one in rows_of()]
    assert peers_telling.aims(rows, "tflite")[3].found.endswith(
        "in CPU time 1/20.0, right after all other models 1/20.0"
    )


def test_a_busy_machine_is_told():
    facts = {"method": "m", "clip_seconds": 2.0, "device": "host", "taken": "now", "n": 456}
    assert "busy (load 6.0)" in peers_telling.told([row("a", "teacher", load_average=6.0, **facts)])
    assert "busy" not in peers_telling.told([row("a", "teacher", load_average=1.0, **facts)])
    assert peers_telling.told([row("a", "teacher", error="failed")]) == "Nothing was measured."


def test_an_aim_without_its_rows_is_neither_met_nor_missed():
    rows = rows_of()
    assert [aim.met for aim in peers_telling.aims(rows, "onnx")] == [None] * 6
    rows[4] = row("yamnet", "yardstick", error="not there", format=None)
    assert [aim.met for aim in peers_telling.aims(rows, "tflite")] == [None, *[True] * 5]
    assert "- not known: at most 1/6 of YAMNet's" in peers_telling.aims_told(rows, ["tflite"])


def test_mlperf_tiny_hears_a_yes_through_our_mfccs():
    import soundfile

    folder = shared_data("peer_models")
    clip, _ = soundfile.read(folder / "yes_1000ms.wav", dtype="float32")
    whole = next(one for one in peers_sessions.YARDSTICKS if one.name == "mlperf-tiny")
    answer = peers_sessions.open_yardstick(whole, folder)(np.pad(clip, (0, 16000)))
    assert answer.argmax() == 9  # "yes" in its labels
    alone = peers_sessions.open_yardstick(replace(whole, mfcc=False), folder)
    assert np.array_equal(alone(clip), answer)


def test_mfccs_of_silence_are_finite_and_of_the_networks_shape():
    features = peers_sessions.make_mfcc()(np.zeros(16000, np.float32))
    assert features.shape == (49, 10)
    assert np.isfinite(features).all()


def test_edgecomp_s_own_peer_starts_from_the_teacher_and_leaves_it_as_it_was(tmp_path, monkeypatch):
    """The script itself, with a stand-in for the command that writes into its store as a compile does."""

    def install(place, dependencies):
        (place / "bin").mkdir(parents=True)
        stand_in = place / "bin" / "edgecomp"
        stand_in.write_text(
            'set -e\n[ "$*" = "compile a/recipe --target t --build build" ]\n[ -f build/done/teacher ]\n'
            "mkdir -p build/bundles/it && echo made > build/bundles/it/model.tflite && echo new > build/done/student\n"
        )
        stand_in.chmod(0o755)
        return peers_making.Made("", install_s=1.0, install_bytes=2)

    monkeypatch.setattr(peers_making, "_install", install)
    seed = tmp_path / "task" / "inputs" / "seed" / "done"
    seed.mkdir(parents=True)
    (seed / "teacher").write_text("weights")
    (peer,) = [one for one in peers_making.read_peers() if one.of == "edgecomp"]
    peers_making.make([peer], tmp_path / "task", KEYS, given={"RECIPE": "a/recipe", "TARGET": "t"})
    made = peers_making.read_made(tmp_path / "task" / "edgecomp")
    assert (made.error, made.install_bytes) == ("", 2) and made.script_s > 0
    assert peers_making.model_of(tmp_path / "task" / "edgecomp").read_text() == "made\n"
    assert [file.name for file in seed.iterdir()] == ["teacher"], "the next run would find the student there"


def test_edgecomp_s_rows_have_no_minutes_of_a_compile_that_failed():
    minutes = [peers_telling._effort(row("a", "edgecomp", script_error=why))[-1] for why in ("", "a gate failed")]
    assert minutes == ["1.5", "–"]
