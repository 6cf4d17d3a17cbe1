"""Tests of edgecomp/teachers/: every kind on small models written here, and YAMNet as the real black box."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgecomp.data.manifest import Dataset, load_dataset, waveforms
from edgecomp.errors import TeacherError
from edgecomp.recipe import Recipe
from edgecomp.store import Store
from edgecomp.teachers import kinds, load_teacher
from edgecomp.teachers.asking import checked_probabilities, export_onnx, open_onnx
from edgecomp.teachers.black_box import window_starts
from tests.shared_data import shared_data
from tests.small_data import write_recipe, write_table

RATE, SECONDS, SAMPLES = 8000, 0.5, 4000
TONES_HZ = {"low": 400, "mid": 1000, "high": 2200}
TEACHER = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, classes, samples):
        super().__init__()
        self.listen = nn.Conv1d(1, 16, 64, 16)
        self.decide = nn.Linear(16, classes)
    def forward(self, waveforms):
        return self.decide(self.listen(waveforms.unsqueeze(1)).square().mean(2).add(1e-4).log())
def build(classes, sample_rate, samples):
    return Net(classes, samples)
"""
TRAIN = "\n[teacher.train]\nepochs = 7\nbatch = 8\nlearning_rate = 0.02\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Tones of three labels: 24 for training, 12 each for validation and test."""
    folder, rng, rows = tmp_path_factory.mktemp("tones"), np.random.default_rng(0), []
    for number in range(48):
        label, split = list(TONES_HZ)[number % 3], "train" if number < 24 else "validation" if number < 36 else "test"
        time = np.arange(SAMPLES) / RATE
        wave = 0.3 * np.sin(2 * np.pi * TONES_HZ[label] * time + rng.uniform(0, 6))
        wave += 0.02 * rng.standard_normal(SAMPLES)
        soundfile.write(folder / f"{number}.wav", wave, RATE)
        rows.append({"path": f"{number}.wav", "label": label, "split": split})
    write_table(folder, rows)
    return folder


def _task(folder: Path, data: Path, teacher: str) -> tuple[Recipe, Dataset, Store]:
    """Write a recipe with a [teacher] table; return it, its data and a new store."""
    lines = f'labels = ["low", "mid", "high"]\n[data.split]\ncolumn = "split"\n[teacher]\n{teacher}'
    recipe = write_recipe(folder, data, lines)
    store = Store(folder / "build")
    return recipe, load_dataset(recipe, store), store


def _waves(dataset: Dataset, store: Store, split: str = "test") -> np.ndarray:
    return np.asarray(waveforms(dataset.of(split), store))


def _is_a_teacher(teacher, dataset: Dataset, store: Store, waves: np.ndarray) -> np.ndarray:
    """Hold a teacher to its contract; return its answers."""
    answers = teacher.probabilities(waves)
    assert answers.shape == (len(waves), len(dataset.labels)) and answers.dtype == np.float32
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5) and (answers >= 0).all()
    assert teacher.labels == dataset.labels and len(teacher.fingerprint) == 64
    assert (teacher.probabilities(waves[3:5]) == answers[3:5]).all()  # an answer depends on nothing beside it
    assert teacher.probabilities(waves[:0]).shape == (0, len(dataset.labels))
    deployed = teacher.deployed(store)
    assert np.allclose(deployed.session(waves[1]), answers[1], atol=1e-6) and deployed.path.is_file()
    assert deployed.bytes >= deployed.path.stat().st_size and deployed.format in ("onnx", "tflite")
    json.dumps(dict(teacher.facts))
    return answers


# the folder


def test_a_kind_is_a_file_that_defines_load():
    assert kinds() == ["litert", "onnx", "torch", "transformers"]


def test_an_unknown_kind_names_the_nearest(tmp_path, data):
    with pytest.raises(TeacherError) as error:
        load_teacher(*_task(tmp_path, data, 'kind = "lite-rt"'))
    assert "unknown kind of teacher 'lite-rt'" in str(error.value)
    assert "did you mean 'litert'? allowed: litert, onnx, torch, transformers" in str(error.value)


@pytest.mark.parametrize(
    "answers, said",
    [
        ([[0.5, np.nan, 0.5]], "not finite for 1 of 1 clips"),
        ([[0.5, 0.5]], "gives 2 outputs for 3 labels"),
        ([[0.9, 0.9, 0.9]], "rows sum to 2.7"),
        ([[1.5, -0.5, 0.0]], "smallest value -0.5"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(answers, said):
    with pytest.raises(TeacherError, match=said):
        checked_probabilities(np.array(answers, np.float32), ("a", "b", "c"), "here")


# torch


def _torch_task(folder: Path, data: Path, more: str = "", code: str = TEACHER) -> tuple[Recipe, Dataset, Store]:
    task = _task(folder, data, f'kind = "torch"\n{more}' + TRAIN)
    (folder / "teacher.py").write_text(code)
    return task


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    task = _torch_task(tmp_path_factory.mktemp("torch"), data)
    return task, load_teacher(*task)


def test_a_torch_teacher_is_trained_where_it_has_no_weights(trained):
    (_, dataset, store), teacher = trained
    answers = _is_a_teacher(teacher, dataset, store, _waves(dataset, store))
    assert (answers.argmax(axis=1) == dataset.of("test").targets).mean() >= 0.9
    assert teacher.facts["validation"]["validation_accuracy"] >= 0.9
    assert teacher.facts["parameters"] == 16 * 64 + 16 + 16 * 3 + 3


def test_the_export_keeps_the_floor_under_a_logarithm(tmp_path):
    import torch

    class Loudness(torch.nn.Module):
        def forward(self, waveforms):
            return torch.sigmoid(torch.log(waveforms.unflatten(1, (4, -1)).square().mean(2) + 1e-8) + 18)

    export_onnx(Loudness(), (1, 400), tmp_path / "m.onnx")
    silence = np.zeros((1, 400), np.float32)
    answer = open_onnx(tmp_path / "m.onnx").run(None, {"waveform": silence})[0]
    assert np.abs(answer - Loudness()(torch.from_numpy(silence)).numpy()).max() < 1e-5


def test_training_never_hears_the_test_split(tmp_path, data, monkeypatch):
    from edgecomp.teachers.torch import train

    recipe, dataset, store = _torch_task(tmp_path, data)
    heard = []
    monkeypatch.setattr(
        "edgecomp.data.manifest.waveforms",
        lambda part, store: (heard.extend(c.split for c in part.clips), waveforms(part, store))[1],
    )
    train(recipe, dataset, store)
    assert set(heard) == {"train", "validation"}


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path, data, monkeypatch, trained):
    from edgecomp.teachers.torch import train

    said = []

    def killed(line: str) -> None:
        said.append(line)
        if line.startswith("epoch 5/"):
            raise KeyboardInterrupt

    task = _torch_task(tmp_path, data)
    monkeypatch.setattr("edgecomp.teachers.training.say", killed)
    with pytest.raises(KeyboardInterrupt):
        train(*task)
    monkeypatch.setattr("edgecomp.teachers.training.say", said.append)
    weights = train(*task)
    assert "training the teacher: going on after epoch 3" in said
    assert weights.read_bytes() == train(*trained[0]).read_bytes()
    assert not list((task[2].folder / "training").iterdir())


def test_shipped_weights_are_half_as_large_and_answer_alike(tmp_path, data, trained):
    from edgecomp.teachers.torch import train

    (_, dataset, store), teacher = trained
    task = _torch_task(tmp_path, data, 'weights = "weights.safetensors"\n')
    shipped = train(*task)
    assert shipped == task[0].folder / "weights.safetensors"
    waves = _waves(dataset, store)
    gap = np.abs(load_teacher(*task).probabilities(waves) - teacher.probabilities(waves)).max()
    assert 0 < gap < 0.02
    assert shipped.stat().st_size < 0.7 * train(*trained[0]).stat().st_size


def test_another_seed_or_code_is_another_teacher(tmp_path, data, trained):
    recipe, dataset, store = _torch_task(tmp_path, data, code=TEACHER.replace("16, 64, 16", "16, 80, 16"))
    assert load_teacher(recipe, dataset, store).fingerprint != trained[1].fingerprint
    from edgecomp.teachers.torch import train

    assert train(recipe, dataset, store) != train(recipe.model_copy(update={"seed": 1}), dataset, store)


@pytest.mark.parametrize(
    "code, said",
    [
        ("x = 1", "AttributeError"),
        ("def build(*a): return 3", "build() returned a int"),
        ("import no_such_package", "ModuleNotFoundError"),
        ("def build(*a): 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_teacher_file_that_fails_says_how(tmp_path, data, code, said):
    with pytest.raises(TeacherError) as error:
        load_teacher(*_torch_task(tmp_path, data, code=code))
    assert said in str(error.value) and "teacher.py" in str(error.value)


def test_weights_that_do_not_fit_or_are_pickled_are_refused(tmp_path, data, trained):
    import torch

    task = _torch_task(tmp_path, data, 'weights = "w.safetensors"\n')
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(TeacherError, match="not readable as safetensors"):
        load_teacher(*task)
    from safetensors.torch import save_file

    save_file({"listen.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(TeacherError, match="the weights do not fit the teacher"):
        load_teacher(*task)


def test_only_torch_teachers_are_trained(tmp_path, data):
    from edgecomp.teachers.torch import train

    with pytest.raises(TeacherError, match="kind 'onnx' is not trained here"):
        train(*_task(tmp_path, data, 'kind = "onnx"'))


def test_every_task_with_a_torch_teacher_builds_a_far_larger_net_than_a_student():
    import torch

    from edgecomp.shipped import shipped
    from edgecomp.students.log_mel import LogMel
    from edgecomp.teachers.residual_net import ResidualNet

    files = sorted(shipped("models").glob("*/teacher.py"))
    assert {file.parent.name for file in files} >= {"keywords", "wakewords", "digits", "cough"}
    for file in files:
        space: dict = {}
        exec(compile(file.read_text(), str(file), "exec"), space)
        net = space["build"](5, 16_000, 16_000)
        assert isinstance(net, ResidualNet) and isinstance(net.log_mel, LogMel)
        assert sum(p.numel() for p in net.parameters()) > 2_000_000
        assert net.eval()(torch.zeros(2, 16_000)).shape == (2, 5)
        assert torch.isfinite(net.train()(torch.randn(4, 16_000))).all()


def test_masks_hide_spans_of_each_clip_alone():
    import torch

    from edgecomp.teachers.residual_net import masked

    torch.manual_seed(0)
    hidden = masked(torch.ones(64, 20, 100), 2, 0.2) == 0
    assert (hidden == hidden[:, :1]).all()  # whole frames
    shares = hidden[:, 0].float().mean(1)
    assert 0 < shares.mean() < 0.4 and shares.max() <= 0.42 and len(shares.unique()) > 5


# windows


def test_windows_hear_every_sample():
    for samples, window, hop in ((80_000, 15_600, 7_800), (10, 4, 4), (9, 4, 3), (5, 5, 5), (3, 5, 5), (11, 4, 2)):
        starts = window_starts(samples, window, hop)
        heard = np.zeros(max(samples, window), bool)
        for start in starts:
            assert start == 0 or start + window <= samples
            heard[start : start + window] = True
        assert heard.all() and list(starts) == sorted(set(starts))


# onnx


def _write_onnx(file: Path, length: int | None, *, outputs: int = 3, softmax: bool = False, bad: bool = False) -> Path:
    """Write a model of one waveform: the mean power at some tones, times 50."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    time = np.arange(1000) / RATE
    tones = [list(TONES_HZ.values())[k % 3] + 7 * (k // 3) for k in range(outputs)]
    waves = np.stack([f(2 * np.pi * hz * time) for hz in tones for f in (np.cos, np.sin)])[:, None].astype(np.float32)
    pairs = np.kron(np.eye(outputs), np.ones((2, 1))).astype(np.float32) / 1000 * (np.nan if bad else 1)
    nodes = [
        helper.make_node("Unsqueeze", ["sound", "one"], ["channel"]),
        helper.make_node("Conv", ["channel", "waves"], ["parts"], strides=[500]),
        helper.make_node("Mul", ["parts", "parts"], ["power"]),
        helper.make_node("ReduceMean", ["power", "two"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "pairs"], ["scores"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["answer"]))
    graph = helper.make_graph(
        nodes,
        "tones",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1, length or "n"])],
        [helper.make_tensor_value_info("answer" if softmax else "scores", TensorProto.FLOAT, [1, outputs])],
        [
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([2]), "two"),
            numpy_helper.from_array(waves, "waves"),
            numpy_helper.from_array(pairs, "pairs"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
    return file


def _direct(file: Path, waves: np.ndarray) -> np.ndarray:
    session = open_onnx(file)
    return np.concatenate([session.run(None, {"sound": wave[None]})[0] for wave in waves])


@pytest.mark.parametrize("softmax", [True, False])
def test_an_onnx_file_answers_as_it_does_alone_and_logits_become_probabilities(tmp_path, data, softmax):
    file = _write_onnx(tmp_path / "m.onnx", None, softmax=softmax)
    task = _task(tmp_path, data, 'kind = "onnx"\npath = "m.onnx"')
    teacher, waves = load_teacher(*task), _waves(*task[1:])
    answers, scores = _is_a_teacher(teacher, *task[1:], waves), _direct(file, waves)
    powers = np.exp(scores)
    assert np.abs(answers - (scores if softmax else powers / powers.sum(1, keepdims=True))).max() < 1e-6
    assert teacher.facts["answers"] == ("probabilities" if softmax else "logits")
    assert (answers.argmax(axis=1) == task[1].of("test").targets).all()


def test_a_longer_clip_is_the_mean_over_its_windows(tmp_path, data):
    file = _write_onnx(tmp_path / "m.onnx", 2000, softmax=True)
    task = _task(tmp_path, data, 'kind = "onnx"\npath = "m.onnx"\nhop_s = 0.2')
    waves = _waves(*task[1:])
    wanted = np.mean([_direct(file, waves[:, start : start + 2000]) for start in (0, 1600, 2000)], axis=0)
    assert np.abs(_is_a_teacher(load_teacher(*task), *task[1:], waves) - wanted).max() < 1e-6


def test_a_head_turns_many_scores_into_the_recipes_labels(tmp_path, data):
    _write_onnx(tmp_path / "m.onnx", None, outputs=30)
    task = _task(tmp_path, data, 'kind = "onnx"\npath = "m.onnx"\nhead = true')
    teacher = load_teacher(*task)
    answers = _is_a_teacher(teacher, *task[1:], _waves(*task[1:]))
    assert (answers.argmax(axis=1) == task[1].of("test").targets).mean() >= 0.9
    assert teacher.facts["head"]["validation_clips"] == 12
    assert teacher.deployed(task[2]).bytes == (tmp_path / "m.onnx").stat().st_size + 4 * (30 * 3 + 3 + 30 + 1)


def test_a_head_is_fitted_without_the_test_split(tmp_path, data, monkeypatch):
    _write_onnx(tmp_path / "m.onnx", None, outputs=6)
    heard = []
    monkeypatch.setattr(
        "edgecomp.data.manifest.waveforms",
        lambda part, store: (heard.extend(c.split for c in part.clips), waveforms(part, store))[1],
    )
    load_teacher(*_task(tmp_path, data, 'kind = "onnx"\npath = "m.onnx"\nhead = true'))
    assert set(heard) == {"train", "validation"}


@pytest.mark.parametrize(
    "model, teacher, said",
    [
        ({"length": None, "outputs": 4}, "", "the model has 4 outputs and the recipe 3 labels"),
        ({"length": 2000}, "window_s = 0.4", "window_s = 0.25, or leave it out"),
        ({"length": 2000}, "hop_s = 0.3", "no sample may go unheard"),
        ({"length": 2000, "bad": True}, "", "not finite for"),
    ],
)
def test_a_black_box_that_does_not_fit_says_what_would(tmp_path, data, model, teacher, said):
    _write_onnx(tmp_path / "m.onnx", **model)
    task = _task(tmp_path, data, f'kind = "onnx"\npath = "m.onnx"\n{teacher}')
    with pytest.raises(TeacherError) as error:
        load_teacher(*task).probabilities(_waves(*task[1:]))
    assert said in str(error.value)


@pytest.mark.parametrize("kind, said", [("onnx", "ONNX Runtime cannot open it"), ("litert", "LiteRT cannot open it")])
def test_a_damaged_model_file_is_refused(tmp_path, data, kind, said):
    (tmp_path / "m").write_bytes(b"no model at all" * 9)
    with pytest.raises(TeacherError, match=said):
        load_teacher(*_task(tmp_path, data, f'kind = "{kind}"\npath = "m"'))


@pytest.mark.parametrize("kind", ["onnx", "litert", "torch"])
def test_a_missing_file_is_named(tmp_path, data, kind):
    with pytest.raises(TeacherError, match=r"there is no (model|teacher) file 'nowhere'"):
        load_teacher(*_task(tmp_path, data, f'kind = "{kind}"\npath = "nowhere"'))


# litert


def test_yamnet_with_a_head_hears_the_tones(tmp_path, data):
    from ai_edge_litert.interpreter import Interpreter

    file = shared_data("peer_models") / "yamnet_audioset521.tflite"
    task = _task(tmp_path, data, f'kind = "litert"\npath = "{file.as_posix()}"\nname = "YAMNet"\nhead = true')
    teacher = load_teacher(*task)
    answers = _is_a_teacher(teacher, *task[1:], _waves(*task[1:]))
    assert teacher.name == "YAMNet" and teacher.facts["window_samples"] == 15_600
    assert (answers.argmax(axis=1) == task[1].of("test").targets).mean() >= 0.6  # it hears them twice as high
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    wave = _waves(*task[1:])[0]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.pad(wave, (0, 15_600 - SAMPLES)))
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    from edgecomp.teachers.head import read_head

    head = read_head(next((task[2].folder / "done").glob("teacher-head-*/head.safetensors")))
    assert np.abs(head(scores)[0] - answers[0]).max() < 1e-5


def test_a_model_that_takes_no_waveform_is_refused(tmp_path, data):
    file = shared_data("peer_models") / "mlperftiny_kws_f32.tflite"
    with pytest.raises(TeacherError, match="no single waveform"):
        load_teacher(*_task(tmp_path, data, f'kind = "litert"\npath = "{file.as_posix()}"'))


# transformers

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def _write_transformers(folder: Path, kind: str, labels: list[str], rate: int = 16_000) -> Path:
    """Write a tiny classifier with random weights, as save_pretrained does."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(1)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    if kind == "ast":
        extractor = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64, sampling_rate=rate)
        config = transformers.ASTConfig(**SMALL, max_length=64, num_mel_bins=32, **names)
        model = transformers.ASTForAudioClassification(config)
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=True)
        config = transformers.Wav2Vec2Config(
            **SMALL,
            conv_dim=(16, 16),
            conv_stride=(5, 4),
            conv_kernel=(10, 8),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
            classifier_proj_size=16,
            **names,
        )
        model = transformers.Wav2Vec2ForSequenceClassification(config)
    with torch.no_grad():  # random nets hardly move: make them say different things
        model.classifier.weight.mul_(60) if kind != "ast" else model.classifier.dense.weight.mul_(60)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def _asked_directly(folder: Path, waves: np.ndarray, order: list[int]) -> np.ndarray:
    import torch
    import transformers

    model = transformers.AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.inference_mode():
        logits = [
            model(**extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="pt")).logits[0, order]
            for wave in waves
        ]
    return torch.softmax(torch.stack(logits), 1).numpy()


@pytest.mark.parametrize("kind", ["ast", "wav2vec2"])
def test_a_transformers_folder_answers_as_transformers_does(tmp_path, data, kind):
    from edgecomp.teachers.transformers import resampled

    _write_transformers(tmp_path / "model", kind, ["HIGH", "noise", "mid", "low"])
    task = _task(tmp_path, data, 'kind = "transformers"\npath = "model"')
    waves = _waves(*task[1:])
    teacher = load_teacher(*task)
    answers = _is_a_teacher(teacher, *task[1:], waves)
    at_16k = [resampled(wave, RATE, 16_000, 2 * SAMPLES) for wave in waves]
    wanted = _asked_directly(tmp_path / "model", at_16k, [3, 2, 0])
    assert np.abs(answers - wanted).max() < 1e-3 and wanted.std(axis=0).max() > 0.01
    assert ("Python" in teacher.facts["features"]) == (kind == "ast")
    assert teacher.facts["resampled_to_hz"] == 16_000


def test_a_transformers_teacher_must_know_the_labels_or_get_a_head(tmp_path, data):
    _write_transformers(tmp_path / "model", "wav2vec2", ["lo", "mid", "high", "x", "y"], RATE)
    with pytest.raises(TeacherError) as error:
        load_teacher(*_task(tmp_path / "a", data, 'kind = "transformers"\npath = "../model"'))
    assert "does not know the label 'low'" in str(error.value) and "did you mean 'lo'?" in str(error.value)
    task = _task(tmp_path / "b", data, 'kind = "transformers"\npath = "../model"\nhead = true')
    teacher = load_teacher(*task)
    _is_a_teacher(teacher, *task[1:], _waves(*task[1:]))
    assert "head" in teacher.facts


def test_pickled_weights_and_empty_folders_are_refused(tmp_path, data):
    pytest.importorskip("transformers")
    (tmp_path / "model").mkdir()
    task = _task(tmp_path, data, 'kind = "transformers"\npath = "model"')
    with pytest.raises(TeacherError, match="there are no weights; only safetensors"):
        load_teacher(*task)
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(TeacherError, match=r"pickled \(pytorch_model.bin\)"):
        load_teacher(*task)


def test_a_missing_extra_says_what_to_install(tmp_path, data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(TeacherError) as error:
        load_teacher(*_task(tmp_path, data, 'kind = "transformers"\npath = "model"'))
    assert 'pip install "edgecomp[transformers]"' in str(error.value)
