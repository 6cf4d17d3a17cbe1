"""Teachers of kind transformers: an audio classifier from a local folder or the Hugging Face hub, safetensors only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecomp import __version__
from edgecomp.artifact import content_hash, text_hash
from edgecomp.errors import TeacherError, nearest
from edgecomp.store import Store
from edgecomp.teachers.asking import EXPORT, FileTeacher, Session, export_onnx, open_onnx, softmax
from edgecomp.teachers.black_box import fitted_head
from edgecomp.teachers.head import scored

if TYPE_CHECKING:
    from edgecomp.data.manifest import Dataset
    from edgecomp.recipe import Recipe


def load(recipe: Recipe, dataset: Dataset, store: Store) -> FileTeacher:
    """Load AutoModelForAudioClassification and its feature extractor, and export them once to ONNX.

    The feature extractor goes into the file where it only scales the waveform (Wav2Vec2, HuBERT, …); one that
    computes a spectrogram (AST, …) stays in Python, is measured with the file, and facts say so.
    raises: TeacherError for a missing extra, pickled weights, or labels that the model does not know
    """
    where = f"{recipe.file} [teacher]"
    model, extractor, weights = _read(recipe, where)
    known = [str(model.config.id2label[number]) for number in sorted(model.config.id2label)]
    order = None if recipe.teacher.head else _order(known, dataset.labels, where)
    rate = int(getattr(extractor, "sampling_rate", dataset.sample_rate))
    samples = round(dataset.samples * rate / dataset.sample_rate)
    inside = _only_scales(extractor)
    name = recipe.teacher.name or Path(recipe.teacher.path).name
    key = text_hash(
        "transformers",
        EXPORT,
        weights,
        model.config.to_json_string(),
        extractor.to_json_string(),
        samples,
        _version(),
        __version__,
    )

    def prepare(clip: np.ndarray) -> np.ndarray:
        if rate != dataset.sample_rate:
            clip = resampled(clip, dataset.sample_rate, rate, samples)
        return clip[None] if inside else _features(extractor, clip, rate)

    def export(folder: Path) -> None:
        shape = prepare(np.zeros(dataset.samples, np.float32)).shape
        export_onnx(_wrapped(model, bool(inside and extractor.do_normalize)), shape, folder / "teacher.onnx")

    path = store.make("teacher-onnx", key, export) / "teacher.onnx"

    def open_scores() -> Session:
        session = open_onnx(path)
        name_in = session.get_inputs()[0].name
        return lambda clip: session.run(None, {name_in: prepare(np.asarray(clip, np.float32))})[0][0]

    parameters = sum(p.numel() for p in model.parameters())
    size = path.stat().st_size
    facts = {
        "kind": "transformers",
        "architecture": type(model).__name__,
        "parameters": parameters,
        "bytes": size,
        "weights_hash": weights,
        "resampled_to_hz": rate if rate != dataset.sample_rate else None,
        "features": "inside the file" if inside else f"{type(extractor).__name__} in Python, beside the file",
        "licence": recipe.teacher.licence,
        "outputs_may_train": recipe.teacher.outputs_may_train,
    }
    if recipe.teacher.head:
        head, said = fitted_head(open_scores, recipe, dataset, store, text_hash(key, dataset.sample_rate))
        fingerprint = text_hash(
            key,
            dataset.sample_rate,
            dataset.labels,
            head.form,
            *(a.tobytes() for a in (head.weight, head.bias, head.mean, head.scale)),
        )
        return FileTeacher(
            name, dataset.labels, fingerprint, facts | said, path, "onnx", size + head.bytes, scored(open_scores, head)
        )
    fingerprint = text_hash(key, dataset.sample_rate, dataset.labels, order)
    return FileTeacher(name, dataset.labels, fingerprint, facts, path, "onnx", size, _chosen(open_scores, order))


def resampled(clip: np.ndarray, rate: int, to: int, samples: int) -> np.ndarray:
    """Return a clip at another rate, exactly `samples` long."""
    import soxr

    made = soxr.resample(clip, rate, to).astype(np.float32)[:samples]
    return np.pad(made, (0, samples - len(made)))


def _read(recipe: Recipe, where: str) -> tuple[Any, Any, str]:
    """Return the model, its feature extractor and a hash of its weights."""
    try:
        import transformers
    except ImportError:
        raise TeacherError(
            "the package transformers is not installed", where=where, fix='pip install "edgecomp[transformers]"'
        ) from None
    local = (recipe.folder / recipe.teacher.path).resolve()
    if local.is_dir():
        _check_folder(local)
    elif recipe.teacher.path.startswith((".", "/", "~")):
        raise TeacherError(
            f"there is no folder {recipe.teacher.path!r}",
            where=f"{where} path",
            fix=f"name a folder with config.json and model.safetensors, or a hub name; tried {local}",
        )
    source = str(local) if local.is_dir() else recipe.teacher.path
    said = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        model, loading = transformers.AutoModelForAudioClassification.from_pretrained(
            source, use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
        extractor = transformers.AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as why:
        raise TeacherError(
            f"transformers cannot load it: {str(why).splitlines()[0]}",
            where=f"{where} path = {source!r}",
            fix="give a folder written by save_pretrained (config.json, preprocessor_config.json, "
            "model.safetensors) or a hub name of an audio classifier",
        ) from why
    finally:
        transformers.logging.set_verbosity(said)
    if missing := sorted(loading["missing_keys"]):
        raise TeacherError(
            f"the weights lack {len(missing)} tensors, first {missing[0]}",
            where=f"{where} path = {source!r}",
            fix="give a model that was fine-tuned to classify; a bare encoder has no classifier",
        )
    return model.eval().float(), extractor, _weights_hash(model, local)


def _check_folder(folder: Path) -> None:
    """Refuse a folder without safetensors."""
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    what = f"the weights are pickled ({', '.join(pickled)})" if pickled else "there are no weights"
    raise TeacherError(
        f"{what}; only safetensors are read, since a pickle can run any code",
        where=folder,
        fix="convert it where you trust it: model.save_pretrained(folder, safe_serialization=True)",
    )


def _weights_hash(model: Any, local: Path) -> str:
    """Hash the weights: the files of a folder, or the tensors of a model from the hub."""
    if local.is_dir():
        return text_hash(*(content_hash(p) for p in sorted(local.glob("*.safetensors"))))
    tensors = model.state_dict().items()
    return text_hash(*(f"{name} {hashlib.sha256(value.numpy().tobytes()).hexdigest()}" for name, value in tensors))


def _order(known: list[str], labels: tuple[str, ...], where: str) -> list[int]:
    """Return where each of the recipe's labels stands among the model's outputs, whatever the case."""
    places = {name.casefold(): number for number, name in enumerate(known)}
    for label in labels:
        if label.casefold() not in places:
            raise TeacherError(
                f"the teacher does not know the label {label!r}",
                where=f"{where} labels",
                fix=f"set head = true to fit a head, or use its labels: {nearest(label, known)}",
            )
    return [places[label.casefold()] for label in labels]


def _chosen(open_scores: Callable[[], Session], order: list[int]) -> Callable[[], Session]:
    """Return sessions that keep the recipe's labels only, in its order, made to sum to 1 again."""

    def opened() -> Session:
        session = open_scores()

        def answer(clip: np.ndarray) -> np.ndarray:
            scores = session(clip)[order]
            return softmax(np.log(np.maximum(scores, 1e-30)))

        return answer

    return opened


def _only_scales(extractor: Any) -> bool:
    """Say whether a feature extractor gives the waveform itself, at most normalised."""
    return type(extractor).__name__ == "Wav2Vec2FeatureExtractor"


def _features(extractor: Any, clip: np.ndarray, rate: int) -> np.ndarray:
    """Return what a feature extractor gives for a clip: its first (and only used) array, float32."""
    given = extractor(clip, sampling_rate=rate, return_tensors="np")
    return np.asarray(given[extractor.model_input_names[0]], np.float32)


def _wrapped(model: Any, normalise: bool) -> Any:
    """Return a module from one input (1, …) to probabilities (1, outputs)."""
    import torch

    class Probabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            if normalise:  # as Wav2Vec2FeatureExtractor does it
                variance, mean = torch.var_mean(values, -1, keepdim=True, correction=0)
                values = (values - mean) / torch.sqrt(variance + 1e-7)
            return torch.softmax(self.model(values).logits, dim=-1)

    return Probabilities()


def _version() -> str:
    import transformers

    return transformers.__version__
