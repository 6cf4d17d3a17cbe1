"""A target with a source: from its table to a bundle, an app and every command that asks a file, all at the source's rate."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from edgecomp import bench as benches
from edgecomp import evaluate
from edgecomp.bundle import read_bundle
from edgecomp.cases import asker
from edgecomp.data.audio import load_clip
from edgecomp.devices import ModelFile
from edgecomp.errors import BundleError, PlanError
from edgecomp.evaluate import as_source, source_of, source_waveforms
from edgecomp.lowering.analysis import analysis_of
from edgecomp.passes import Run, student_artifact
from edgecomp.passes.export import Export
from edgecomp.plan import plan
from edgecomp.recipe import read_recipe
from edgecomp.roofline import front_end_file, parts
from edgecomp.runtimes import runtime_for, runtimes
from edgecomp.shipped import shipped
from edgecomp.site import _file
from edgecomp.store import Store
from edgecomp.students.front_end import FrontEnd
from edgecomp.target import read_target
from edgecomp.task import load_task
from tests.small_students import lively_student
from tests.small_task import RATE, call, edgecomp, refused, tone, write_target, write_task

SOURCE_HZ = 48_000


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_target(folder, "anything")
    _with_source(write_target(folder, "microphone"), SOURCE_HZ)
    write_task(folder / "task")
    return folder


@pytest.fixture(scope="module")
def compiled(place) -> subprocess.CompletedProcess:
    """Compile once for a target without a source and one with, from the same training."""
    targets = ["-t", place / "anything.toml", "-t", place / "microphone.toml"]
    done = edgecomp("compile", place / "task", *targets, "--build", place / "build", quick=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def bundle(compiled) -> Path:
    return Path(compiled.stdout.splitlines()[1])


@pytest.fixture(scope="module")
def task(place, compiled):
    return load_task(read_recipe(place / "task"), Store(place / "build"))


def _with_source(target: Path, hz: object) -> Path:
    target.write_text(f"{target.read_text(encoding='utf-8')}[source]\nsample_rate_hz = {hz}\n", encoding="utf-8")
    return target


def test_the_plan_hands_the_rate_to_every_export_and_to_nothing_else(tmp_path):
    recipe, target = read_recipe(shipped("models") / "keywords"), shipped("targets")
    plain = plan(recipe, read_target("raspberry-pi-zero-2w", target))
    made = plan(recipe, read_target("raspberry-pi-zero-2w-48khz", target))
    assert made.source_hz == SOURCE_HZ and plain.source_hz is None
    assert made.exports == tuple(Export(name, SOURCE_HZ) for name in runtimes())
    assert (made.stages, made.calibrate, made.verify) == (plain.stages, plain.calibrate, plain.verify)
    own = _with_source(write_target(tmp_path, "own"), 16_000)
    assert plan(recipe, read_target(str(own), tmp_path)).exports == plain.exports


@pytest.mark.parametrize(
    ("hz", "words"),
    [
        (
            22_050,
            ("a window of 480 samples at 16000 Hz would be 661.5 at 22050 Hz", "44100, 48000", "without [source]"),
        ),
        (16_001, ("keywords cannot be computed from 16001 Hz", "[source] sample_rate_hz")),
    ],
)
def test_a_rate_that_does_not_fit_fails_in_the_plan(hz, words, tmp_path):
    target = _with_source(write_target(tmp_path), hz)
    refused(call("plan", "keywords", "-t", target), *words)


@pytest.mark.parametrize("hz", [0, -48_000, 3_999, 500_000, '"48 kHz"', 44_100.5])
def test_a_rate_that_is_none_fails_when_the_target_is_read(hz, tmp_path):
    target = _with_source(write_target(tmp_path), hz)
    refused(call("plan", "keywords", "-t", target), "[source] sample_rate_hz")


def test_a_misspelt_setting_of_a_source_is_named(tmp_path):
    target = write_target(tmp_path)
    target.write_text(target.read_text() + "[source]\nsample_rate = 48000\n")
    refused(call("plan", "keywords", "-t", target), "sample_rate", "sample_rate_hz")


def test_a_microcontroller_refuses_a_source(tmp_path):
    recipe, target = read_recipe(shipped("models") / "keywords"), read_target("stm32h747", shipped("targets"))
    source = read_target(str(_with_source(write_target(tmp_path), SOURCE_HZ)), tmp_path).source
    with pytest.raises(PlanError, match="a microcontroller's front end is C at the recipe's rate") as caught:
        plan(recipe, target.model_copy(update={"source": source}))
    assert "leave [source] out" in caught.value.fix


def test_targets_with_and_without_a_source_share_all_training(compiled):
    lines = compiled.stderr.splitlines()
    assert [sum(line.startswith(name) for line in lines) for name in ("prune:", "finetune:", "quantise:")] == [1, 1, 1]
    plain, heard = (read_bundle(Path(line)).facts for line in compiled.stdout.splitlines())
    for form in plain["models"]:
        before = [step["output_hash"] for step in plain["trail"][form][:-1]]
        assert before == [step["output_hash"] for step in heard["trail"][form][:-1]]
        assert plain["models"][form]["sha256"] != heard["models"][form]["sha256"]


def test_all_that_speaks_of_the_input_speaks_of_the_source(bundle):
    facts = read_bundle(bundle).facts
    samples = round(0.4 * SOURCE_HZ)
    told = facts["preprocessing"]
    assert (told["sample_rate"], told["samples"], told["resampled_inside_to"]) == (SOURCE_HZ, samples, RATE)
    waveform = facts["signature"]["inputs"][0]
    assert waveform["shape"] == [1, samples] and f"{SOURCE_HZ} Hz" in waveform["unit"]
    for form, model in facts["models"].items():
        inside = json.loads(runtime_for(form).read_metadata(bundle / model["file"]))
        assert inside["sample_rate"] == SOURCE_HZ and inside["signature"]["inputs"][0]["shape"] == [1, samples]
        assert facts["trail"][form][-1]["settings"]["source_hz"] == SOURCE_HZ
    clips = sorted((bundle / "golden").glob("*.wav"))
    assert len(clips) == 8 and all(soundfile.info(clip).samplerate == SOURCE_HZ for clip in clips)
    assert all(soundfile.info(clip).frames == samples for clip in clips)
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert f"{samples} samples, {SOURCE_HZ} Hz, mono), resamples it inside to the {RATE} Hz" in card
    assert "48,000 Hz, resampled inside the file; it learnt at 8,000 Hz" in (bundle / "report.html").read_text("utf-8")


def test_torch_hears_the_same_and_every_parity_bound_holds(bundle):
    report = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
    assert len(report["parity"]) == 5 and all(one["passed"] and one["n"] == 20 for one in report["parity"])
    assert all(one["largest_difference"] < 1e-5 for one in report["parity"] if one["a"].startswith("float"))
    front_end = FrontEnd(**report["student"]["front_end"])
    assert report["student"]["source_hz"] == SOURCE_HZ and front_end.sample_rate == RATE
    assert report["student"]["front_end_macs"] == analysis_of(front_end, SOURCE_HZ).macs


def test_a_bundle_for_a_source_verifies(bundle):
    called = call("verify", bundle)
    assert called.code == 0 and "DIFFERS" not in called.out, called.out


def test_files_answer_alike_with_and_without_a_source(compiled, task):
    """The file for a source hears clips that were decoded at that rate, and decides as the other does."""
    plain, heard = (read_bundle(Path(line)) for line in compiled.stdout.splitlines())
    for form in ("onnx", "tflite"):
        asks = [one.session(form) for one in (plain, heard)]
        given = [
            np.stack([ask(wave).probabilities for wave in source_waveforms(task, "test", rate)])
            for ask, rate in zip(asks, (None, SOURCE_HZ), strict=True)
        ]
        assert np.abs(given[0] - given[1]).mean() < 0.01  # int8 steps, and windows that the loudest part moved
        assert (given[0].argmax(1) == given[1].argmax(1)).mean() >= 0.95


def test_clips_are_decoded_and_fitted_at_the_sources_rate(task):
    clip = task.dataset.of("test").clips[3]
    wanted = load_clip(
        task.dataset.folder / clip.path, sample_rate=SOURCE_HZ, samples=round(0.4 * SOURCE_HZ), fit=task.dataset.fit
    )
    assert (source_waveforms(task, "test", SOURCE_HZ)[3] == wanted).all()
    assert (source_waveforms(task, "test", None) == task.waveforms("test")).all()


def test_sounds_at_the_recipes_rate_reach_a_file_at_its_own(bundle):
    """Corruptions and foreign sounds are made at the recipe's rate, for the teacher's sake."""
    file = _file(read_bundle(bundle))
    assert source_of(file) == SOURCE_HZ
    waves = np.stack([tone("low", 1), tone("high", 2)])
    probabilities, uncertainty = asker(file, RATE)(waves)
    session = read_bundle(bundle).session("tflite")
    for row, wave in enumerate(waves):
        same = session(soxr.resample(wave, RATE, SOURCE_HZ, quality="VHQ"))
        assert (probabilities[row] == same.probabilities).all() and uncertainty[row] == same.uncertainty
    assert as_source(waves, RATE, None) is waves and as_source(waves[:, :-1], RATE, 44_100).shape == (2, 17_634)


def test_bench_answers_the_split_as_the_file_hears_it(bundle, task):
    opened = read_bundle(bundle)
    given = benches.whole_split([opened], task)
    assert given.clips.shape == (20, round(0.4 * SOURCE_HZ))
    asked = np.stack([opened.session("tflite")(wave).probabilities for wave in given.clips])
    assert (asked.argmax(1) == benches.float_answers(opened).argmax(1)).mean() >= 0.95


def test_the_limit_counts_the_front_end_that_the_file_has(bundle, tmp_path):
    opened = read_bundle(bundle)
    front, _ = parts(opened, "tflite")
    made = analysis_of(FrontEnd(**opened.facts["trail"]["tflite"][0]["settings"]["front_end"]), SOURCE_HZ)
    assert front.macs == {"float32": made.macs}
    assert front.bytes == made.table_bytes + 4 * (made.samples + made.frames * made.mels)
    whole = ModelFile("whole", bundle / "model.tflite", "tflite")
    alone = front_end_file(opened, whole, tmp_path).path
    assert made.table_bytes < alone.stat().st_size < made.table_bytes + 20_000


def test_an_app_that_records_at_the_source_answers_as_run_does(bundle, tmp_path):
    """With no resampling in the app: its module is told the source's rate."""
    clips = []
    for number, label in enumerate(("low", "high", "middle")):
        wave = soxr.resample(tone(label, 900 + number), RATE, SOURCE_HZ, quality="VHQ")
        wave = np.concatenate(
            [wave, 0.01 * np.random.default_rng(number).standard_normal(9_001)]
        )  # longer than a window
        clips.append(tmp_path / f"{label}.wav")
        soundfile.write(clips[-1], wave, SOURCE_HZ, subtype="FLOAT")
    ran = call("run", bundle, *clips, "--json")
    assert ran.code == 0, ran.err
    assert call("embed", bundle, "--python", tmp_path / "app").code == 0
    command = [sys.executable, "-m", "tones", *map(str, clips)]
    said = subprocess.run(
        command, cwd=tmp_path / "app", capture_output=True, text=True, timeout=120, check=True, env=os.environ
    )
    ours, theirs = ([json.loads(line) for line in text.splitlines()] for text in (ran.out, said.stdout))
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one["label"] == other["label"] and one["ask"] == other["ask"]
        assert all(
            abs(one["probabilities"][name] - other["probabilities"][name]) < 1e-5 for name in one["probabilities"]
        )
    checked = subprocess.run(
        [*command[:3], "--self-test"], cwd=tmp_path / "app", capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(checked.stdout)["passed"]


def test_no_c_is_made_from_a_bundle_for_a_source(bundle, tmp_path):
    called = call("embed", bundle, "--c", tmp_path / "c")
    refused(called, f"take {SOURCE_HZ} Hz and resample inside", "without [source]")
    assert not (tmp_path / "c").exists() or not any((tmp_path / "c").iterdir())


def test_a_bundle_of_another_rate_is_not_benched_beside_it(compiled):
    class Host:
        name, forms = "host", ("onnx", "tflite")

    folders = [Path(line) for line in compiled.stdout.splitlines()]
    with pytest.raises(BundleError, match="waveforms of different lengths"):
        benches.subjects(folders, Host())


def test_latency_is_taken_on_the_same_clips_each_at_its_own_rate(place, task, monkeypatch):
    seen: dict[str, set[int]] = {"teacher": set(), "file": set()}

    def hear(name: str):
        return lambda wave: seen[name].add(len(wave))

    clips = np.array(task.waveforms("test")[:3])
    monkeypatch.setattr(
        evaluate, "latency", lambda timed, given: {n: [ask(one) for one in given] for n, ask in timed.items()}
    )
    sessions = {name: hear(name) for name in seen}
    timed = evaluate._timed(sessions, clips, {"file": SOURCE_HZ}, task)
    assert set(timed) == set(seen)
    assert seen == {"teacher": {clips.shape[1]}, "file": {round(0.4 * SOURCE_HZ)}}


def test_an_export_without_a_source_is_what_it_was(place, task, tmp_path):
    """Its settings say so, and the file is the one of the recipe's rate."""
    run = {name: Run(task, 0, tmp_path / name) for name in ("student", "none", "own", "other")}
    for one in run.values():
        one.folder.mkdir()
    student = student_artifact(Export("litert"), lively_student("ds_cnn"), run["student"], None, {})
    none, own, other = (
        Export("litert", hz)(student, run[name]) for name, hz in (("none", None), ("own", RATE), ("other", 16_000))
    )
    assert none.signature == student.signature == own.signature
    assert none.hash == own.hash != other.hash
    assert other.signature.inputs[0].shape == (1, 8_000) and other.signature.outputs == none.signature.outputs
