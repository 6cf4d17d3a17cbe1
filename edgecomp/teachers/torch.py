"""Teachers of kind torch: an nn.Module from the task's teacher.py, trained here, with weights in safetensors."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp import __version__
from edgecomp.artifact import content_hash, text_hash, to_json
from edgecomp.code import code_hash, load_code
from edgecomp.errors import EdgecompError, TeacherError
from edgecomp.progress import say
from edgecomp.store import Store, clear_errors, write_atomically
from edgecomp.teachers.asking import EXPORT, FileTeacher, export_onnx, open_onnx

if TYPE_CHECKING:
    from torch import nn

    from edgecomp.data.manifest import Dataset
    from edgecomp.recipe import Recipe

PROCEDURE = 1
"""Raised whenever the training procedure changes its result: it is part of the trained weights' key."""
HEARS = ("students/front_end.py", "students/log_mel.py", "teachers/residual_net.py")
"""The code that a teacher of ours hears through: its answers change with it, whatever its weights are."""


def load(recipe: Recipe, dataset: Dataset, store: Store) -> FileTeacher:
    """Load the module of teacher.path with the weights beside the recipe, or train it where there are none.

    raises: TeacherError where the file has no build(), or the weights do not fit it
    """
    net = _described(recipe, dataset, store)
    weights = _beside(recipe)
    weights = weights if weights is not None and weights.exists() else _trained(recipe, dataset, store)
    fingerprint = text_hash(
        "torch",
        EXPORT,
        code_hash(*HEARS),
        content_hash(recipe.folder / recipe.teacher.path),
        net["structure"],
        content_hash(weights),
        dataset.labels,
        version("torch"),
        __version__,
    )

    def export(folder: Path) -> None:
        from torch import nn

        module = build(recipe, dataset)
        _fill(module, weights)
        export_onnx(nn.Sequential(module, nn.Softmax(dim=1)), (1, dataset.samples), folder / "teacher.onnx")

    path = store.make("teacher-onnx", fingerprint, export) / "teacher.onnx"

    def open_session():
        session = open_onnx(path)
        return lambda clip: session.run(None, {"waveform": clip[None]})[0][0]

    facts = {
        "kind": "torch",
        "parameters": net["parameters"],
        "bytes": path.stat().st_size,
        "weights_hash": content_hash(weights),
        "licence": recipe.teacher.licence,
        "outputs_may_train": recipe.teacher.outputs_may_train,
        "validation": _said(weights),
    }
    name = recipe.teacher.name or f"{net['kind']}, {net['parameters'] / 1e6:.1f} M parameters"
    return FileTeacher(name, dataset.labels, fingerprint, facts, path, "onnx", path.stat().st_size, open_session)


def train(recipe: Recipe, dataset: Dataset, store: Store) -> Path:
    """Train the recipe's torch teacher, or find it trained; return the file of its weights.

    Where the recipe names `weights`, they are also written beside it, matrices in float16, to ship with it.
    Only the validation split judges; a killed training goes on from its last checkpoint.
    raises: TeacherError if the teacher is not of kind torch
    """
    if recipe.teacher.kind != "torch":
        raise TeacherError(
            f"a teacher of kind {recipe.teacher.kind!r} is not trained here",
            where=f"{recipe.file} [teacher]",
            fix='only kind = "torch" is trained; compile fits the head of a black box by itself',
        )
    weights, shipped = _trained(recipe, dataset, store), _beside(recipe)
    if shipped is None:
        return weights
    with clear_errors(shipped.parent):
        write_atomically(shipped, _half(weights))
    return shipped


def build(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """Run the recipe's teacher.py and call build(classes, sample_rate, samples), seeded by the recipe.

    raises: TeacherError
    """
    import torch

    file = recipe.folder / recipe.teacher.path
    if not file.is_file():
        raise TeacherError(
            f"there is no teacher file {recipe.teacher.path!r}",
            where=f"{recipe.file} [teacher] path",
            fix="name a Python file beside the recipe that defines build(classes, sample_rate, samples)",
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            module = load_code(file).build(len(dataset.labels), dataset.sample_rate, dataset.samples)
    except EdgecompError:
        raise
    except Exception as why:  # a user's code may raise anything; the chain keeps what it was
        raise TeacherError(
            f"the teacher's file failed: {type(why).__name__}: {why}",
            where=file,
            fix="it must define build(classes, sample_rate, samples) and return an nn.Module",
        ) from why
    if not isinstance(module, torch.nn.Module):
        raise TeacherError(f"build() returned a {type(module).__name__}", where=file, fix="return an nn.Module")
    return module


def _trained(recipe: Recipe, dataset: Dataset, store: Store) -> Path:
    """Return trained weights from the store, training them first where they are not there."""
    file = recipe.folder / recipe.teacher.path
    settings = recipe.teacher.train
    known = {split: dataset.of(split).labelled() for split in ("train", "validation")}
    heard = [(clip.content, clip.label, split) for split, part in known.items() for clip in part.clips]
    key = text_hash(
        "teacher",
        PROCEDURE,
        file.read_text(encoding="utf-8"),
        _described(recipe, dataset, store)["structure"],
        recipe.seed,
        settings.epochs,
        settings.batch,
        settings.learning_rate,
        settings.weight_decay,
        settings.label_smoothing,
        dataset.labels,
        dataset.sample_rate,
        dataset.samples,
        dataset.fit,
        heard,
    )

    def make(folder: Path) -> None:
        from safetensors.torch import save

        from edgecomp.data.manifest import waveforms
        from edgecomp.teachers.training import Examples, fit

        train_split, validation = known["train"], known["validation"]
        if not train_split.clips or not validation.clips:
            raise TeacherError(
                f"cannot train on {len(train_split.clips)} and validate on {len(validation.clips)} clips",
                where=f"{recipe.file} [data.split]",
                fix="give every split some clips",
            )
        examples = Examples(
            waveforms(train_split, store),
            train_split.targets,
            waveforms(validation, store),
            validation.targets,
            len(dataset.labels),
            dataset.sample_rate,
        )
        checkpoint = store.folder / "training" / f"{key[:32]}.safetensors"
        state, score = fit(build(recipe, dataset), examples, settings, seed=recipe.seed, checkpoint=checkpoint)
        measure = "AUROC" if examples.classes == 2 else "accuracy"
        said = {
            "epoch": score.epoch,
            "validation_loss": score.loss,
            f"validation_{measure}": score.value,
            "validation_clips": len(validation.clips),
        }
        say(
            f"teacher trained: validation {measure} {score.value:.4f} on {len(validation.clips)} clips, "
            f"best of {settings.epochs} epochs: {score.epoch}"
        )
        tensors = {name: value.contiguous() for name, value in state.items()}
        content = save(tensors, metadata={"edgecomp": json.dumps(said, sort_keys=True)})
        write_atomically(folder / "weights.safetensors", content)

    weights = store.make("teacher", key, make) / "weights.safetensors"
    (store.folder / "training" / f"{key[:32]}.safetensors").unlink(missing_ok=True)
    return weights


def _beside(recipe: Recipe) -> Path | None:
    return recipe.folder / recipe.teacher.weights if recipe.teacher.weights else None


def _described(recipe: Recipe, dataset: Dataset, store: Store) -> dict[str, Any]:
    """Return what the recipe's module is (structure, parameters, kind), without building it anew where its code is unchanged."""
    beside = sorted(file for file in recipe.folder.glob("*.py") if file.is_file())
    key = text_hash(
        "teacher-net",
        recipe.teacher.path,
        *(content_hash(file) for file in beside),
        code_hash("teachers", "students"),
        len(dataset.labels),
        dataset.sample_rate,
        dataset.samples,
        version("torch"),
        __version__,
    )

    def make(folder: Path) -> None:
        module = build(recipe, dataset)
        net = {
            "structure": _structure(module),
            "parameters": sum(p.numel() for p in module.parameters()),
            "kind": type(module).__name__,
        }
        (folder / "net.json").write_text(to_json(net), encoding="utf-8")

    return json.loads((store.make("teacher-net", key, make) / "net.json").read_text(encoding="utf-8"))


def _structure(module: nn.Module) -> str:
    """Describe a module's layers and tensors, so that a changed net is never filled with an older one's weights."""
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    front_ends = [repr(part.front_end) for part in module.modules() if hasattr(part, "front_end")]
    return f"{module!r} {shapes} {front_ends}"


def _fill(module: nn.Module, weights: Path) -> None:
    """Load weights, float16 on disk allowed, into a module of float32."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(weights)
        module.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()})
    except (SafetensorError, OSError) as why:
        raise TeacherError(
            f"not readable as safetensors: {why}",
            where=weights,
            fix="train it again with `edgecomp train`; pickled weights are not read",
        ) from why
    except RuntimeError as why:  # torch names the tensors that do not fit, a line each
        lines = [line.strip() for line in str(why).splitlines()[1:4]]
        raise TeacherError(
            f"the weights do not fit the teacher: {' '.join(lines)}",
            where=weights,
            fix="train again with `edgecomp train`, or restore the teacher.py of these weights",
        ) from why
    bad = [name for name, value in module.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise TeacherError(
            f"the weights hold values that are not finite, in {bad[0]}", where=weights, fix="train it again"
        )


def _half(weights: Path) -> bytes:
    """Return a weights file with its matrices in float16; vectors (biases, statistics) stay as they are."""
    from safetensors import safe_open
    from safetensors.torch import save

    with safe_open(weights, "pt") as kept:
        tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118, it is no mapping
        return save({k: v.half() if v.ndim > 1 else v for k, v in tensors.items()}, metadata=kept.metadata())


def _said(weights: Path) -> object:
    """Return what the training wrote of its validation, or None."""
    from safetensors import safe_open

    with safe_open(weights, "np") as kept:
        said = (kept.metadata() or {}).get("edgecomp")
    return json.loads(said) if said else None
