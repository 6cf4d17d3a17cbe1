"""Training of a torch teacher: seeded, resumable, judged on the validation split only. No kind of teacher itself."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgecomp.data.views import draw_views, noises, render
from edgecomp.errors import TeacherError
from edgecomp.metrics import auroc
from edgecomp.progress import say, track
from edgecomp.recipe import Augment, Training
from edgecomp.store import clear_errors, write_atomically

AUGMENT = Augment(views=2, shift_s=0.1, gain_db=6.0, noise_snr_db=[10.0, 40.0], noise_share=0.5, mix_share=0.5)
"""Of a clip's two views, the second is shown; drawn anew in each epoch. The recipe's own table is the student's."""

CHECKPOINT_EPOCHS = 3
"""Epochs between two checkpoints: what a kill loses at most."""

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class Examples:
    """What a teacher learns from: training and validation waveforms (n, samples) and their labels (n,)."""

    train: np.ndarray
    train_targets: np.ndarray
    validation: np.ndarray
    validation_targets: np.ndarray
    classes: int
    sample_rate: int


@dataclass(frozen=True)
class Score:
    """A validation score; the larger one is better, ties go to the smaller loss.

    value: AUROC where there are two classes, otherwise accuracy
    """

    epoch: int
    value: float
    loss: float

    def beats(self, other: Score | None) -> bool:
        return other is None or (self.value, -self.loss) > (other.value, -other.loss)


def fit(
    module: nn.Module, examples: Examples, settings: Training, *, seed: int, checkpoint: Path
) -> tuple[dict[str, Tensor], Score]:
    """Train a module from where its checkpoint stands; return the best epoch's state and score.

    checkpoint: a file written every few epochs; the same call goes on from it and ends with the same weights
    raises:     TeacherError where the loss is no longer finite
    """
    with torch.random.fork_rng(devices=[]):
        return _fit(module, examples, settings, seed, checkpoint)


def _fit(
    module: nn.Module, examples: Examples, settings: Training, seed: int, checkpoint: Path
) -> tuple[dict[str, Tensor], Score]:
    module.to(memory_format=torch.channels_last)  # a fifth less time for 3 × 3 convolutions on a CPU
    optimiser = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    done, best, best_state = _resume(module, optimiser, checkpoint)
    if done:
        say(f"training the teacher: going on after epoch {done}")
    background = noises(draw_views(1, AUGMENT, examples.sample_rate, seed))
    measure = "AUROC" if examples.classes == 2 else "accuracy"
    for epoch in track(range(done + 1, settings.epochs + 1), "training the teacher"):
        loss = _epoch(module, examples, settings, background, optimiser, epoch, seed=seed * 10_007 + epoch)
        if not math.isfinite(loss):
            raise TeacherError(
                f"the loss is {loss} in epoch {epoch}",
                where="[teacher.train]",
                fix=f"lower learning_rate, which is {settings.learning_rate:g}",
            )
        score = Score(epoch, *_validate(module, examples))
        say(
            f"epoch {epoch}/{settings.epochs}: training loss {loss:.3f}, validation {measure} {score.value:.4f}, "
            f"loss {score.loss:.3f}"
        )
        if score.beats(best):
            best, best_state = score, {name: value.detach().clone() for name, value in module.state_dict().items()}
        if epoch % CHECKPOINT_EPOCHS == 0:
            _keep(module, optimiser, best_state, epoch, best, checkpoint)
    return best_state, best


def _epoch(
    module: nn.Module,
    examples: Examples,
    settings: Training,
    background: np.ndarray,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    *,
    seed: int,
) -> float:
    """Show a module one fresh view of every clip; return the mean loss."""
    clips = len(examples.train)
    views = draw_views(clips, AUGMENT, examples.sample_rate, seed)
    labels = views.soft_labels(examples.train_targets, examples.classes)
    torch.manual_seed(seed)
    order = clips + torch.randperm(clips).numpy()  # the second view of each clip: the first is the clip itself
    module.train()
    total, batches = 0.0, math.ceil(clips / settings.batch)
    for batch, rows in enumerate(np.array_split(order, batches)):  # even batches: batch norm needs company
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _rate((epoch - 1) * batches + batch, settings.epochs * batches)
        waves = torch.from_numpy(render(examples.train, views, rows, background))
        loss = nn.functional.cross_entropy(
            module(waves), torch.from_numpy(labels[rows]), label_smoothing=settings.label_smoothing
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimiser.step()
        total += loss.item() * len(rows)
    return total / clips


def _validate(module: nn.Module, examples: Examples) -> tuple[float, float]:
    """Return accuracy (AUROC where there are two classes) and the mean loss over the validation split."""
    module.eval()
    with torch.inference_mode():
        logits = torch.cat(
            [
                module(torch.from_numpy(np.array(examples.validation[start : start + 64])))
                for start in range(0, len(examples.validation), 64)
            ]
        )
    targets = torch.from_numpy(np.array(examples.validation_targets))
    loss = nn.functional.cross_entropy(logits, targets).item()
    if examples.classes == 2:
        return auroc(torch.softmax(logits, 1)[:, 1].numpy(), targets.numpy()).value, loss
    return (logits.argmax(1) == targets).float().mean().item(), loss


def _rate(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: up in a line, down along a cosine."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _keep(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    best_state: dict[str, Tensor],
    epoch: int,
    best: Score,
    file: Path,
) -> None:
    """Write a checkpoint: the module, the best state and the optimiser's moments, as tensors; the rest as text."""
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best_state.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    facts = {"epoch": str(epoch), "best": json.dumps([best.epoch, best.value, best.loss])}
    with clear_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, save({name: value.contiguous() for name, value in tensors.items()}, metadata=facts))


def _resume(
    module: nn.Module, optimiser: torch.optim.Optimizer, file: Path
) -> tuple[int, Score | None, dict[str, Tensor]]:
    """Put module and optimiser where a checkpoint left them; return its epoch and the best so far."""
    try:
        with safe_open(file, "pt") as kept:
            facts = kept.metadata()
            tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118, it is no mapping
    except (FileNotFoundError, SafetensorError):
        return 0, None, {}
    module.load_state_dict(_under("module.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        number, moment = name.split(".")
        state.setdefault(int(number), {})[moment] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    epoch, value, loss = json.loads(facts["best"])
    return int(facts["epoch"]), Score(epoch, value, loss), _under("best.", tensors)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
