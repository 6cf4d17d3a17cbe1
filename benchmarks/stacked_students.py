"""Which way of teaching is best, when every way has many students? Hundreds of them at once, on one GPU.

    python benchmarks/stacked_students.py --lesson sounds --out build/sounds.npz          # what they learn from; here
    python benchmarks/stacked_students.py --learn build/sounds.npz --widths 32 48 48 64 64 --epochs 150 --seeds 12 \
        --arms 1 0.5:4 0.2:8 0:4:both 0:4:plain:0.3                                       # on a machine with a GPU

An arm is LABEL_WEIGHT[:TEMPERATURE[:POOL[:OTHER]]]; 1 is labels alone. POOL says which views are heard: plain, those of the
recipe; heavy, as many that are faster or slower by up to 30 %, noisier, and mixed with another clip three times in five; both.
OTHER is the share of each batch that is other tasks' audio, which only the teacher can name.

One student is too small for a GPU. So students are stacked: their channels lie side by side in one network whose
convolutions are grouped, every student with its own weights, batches, stripes and loss. The loop is training.fit's (AdamW,
one cosine, clipped gradients) in bfloat16, and a test holds the network against the product's. A row is an arm: accuracy on
the validation and the test split, of the last epoch and of the best one by validation, each with its standard error.
Settings are chosen by the validation columns.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

GRADIENT_NORM, RATE, DECAY, MASK = 5.0, 4e-3, 2e-3, 0.2


@dataclass(frozen=True)
class Arm:
    """One way of teaching."""

    label_weight: float
    temperature: float = 1.0
    pool: str = "plain"
    other: float = 0.0

    @staticmethod
    def of(text: str) -> Arm:
        """Read an arm from the command line."""
        weight, *more = text.split(":")
        temperature, pool, other = (*more, *("1", "plain", "0")[len(more) :])
        if pool not in ("plain", "heavy", "both"):
            raise argparse.ArgumentTypeError(f"{pool!r} is no pool; allowed: plain, heavy, both")
        return Arm(float(weight), float(temperature), pool, float(other))


def main() -> None:
    """Write a lesson, or learn from one."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--lesson", metavar="TASK", help="write what this task's students learn from")
    ask.add_argument("--build", type=Path, default=Path("build"))
    ask.add_argument("--out", type=Path, help="where the lesson is written")
    ask.add_argument("--learn", type=Path, metavar="FILE", help="learn from this lesson")
    ask.add_argument("--widths", type=int, nargs="+", default=(32, 48, 48, 64, 64))
    ask.add_argument("--epochs", type=int, default=60)
    ask.add_argument("--batch", type=int, default=64)
    ask.add_argument("--seeds", type=int, default=12)
    ask.add_argument("--every", type=int, default=1, help="epochs from one look at the validation split to the next")
    ask.add_argument("--arms", type=Arm.of, nargs="+", default=(Arm(1.0), Arm(0.5, 4.0)))
    ask.add_argument("--device", default="cuda")
    given = ask.parse_args()
    if given.lesson:
        from stacked_lesson import lesson_of

        np.savez_compressed(given.out, **lesson_of(given.lesson, given.build))
        return
    members = [(arm, seed) for arm in given.arms for seed in range(given.seeds)]
    found = learn(
        Lesson.read(given.learn, given.device), tuple(given.widths), members, given.epochs, given.batch, given.every
    )
    for arm in given.arms:
        mine = [row for (one, _), row in zip(members, found, strict=True) if one == arm]
        asked = {"task": given.learn.stem, "widths": list(given.widths), "epochs": given.epochs, "students": len(mine)}
        print(json.dumps(asked | vars(arm) | {key: _mean([row[key] for row in mine]) for key in mine[0]}), flush=True)


def _mean(values: list[float]) -> dict[str, float]:
    spread = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "standard_error": round(spread, 4)}


@dataclass(frozen=True)
class Lesson:
    """A lesson on the device that learns: tensors; counts of clips and of the rows of each pool."""

    tensors: dict[str, Any]
    low: float
    step: float
    clips: int
    plain: int
    heavy: int
    other: int

    @staticmethod
    def read(file: Path, device: str) -> Lesson:
        """Read what lesson_of gave."""
        import torch

        with np.load(file) as kept:
            arrays = {name: kept[name] for name in kept.files}
        low, step = float(arrays.pop("low")), float(arrays.pop("step"))
        counts = (int(count) for count in arrays.pop("counts"))
        tensors = {name: torch.from_numpy(one).to(device) for name, one in arrays.items()}
        return Lesson(tensors, low, step, *counts)

    def normal(self, coded: Any) -> Any:
        """Return frames as the student meets them."""
        return (coded.float() * self.step + self.low - self.tensors["mean"]) / self.tensors["std"]

    def rows(self, arms: list[Arm], order: Any, epoch: int) -> Any:
        """Return the rows of one epoch, (students, clips): every clip once, as a view that the last epochs did not show."""
        import torch

        views, more = self.plain // self.clips, self.heavy // self.clips
        first = torch.tensor([views if arm.pool == "heavy" else 0 for arm in arms], device=order.device)
        count = torch.tensor(
            [{"plain": views, "heavy": more, "both": views + more}[arm.pool] for arm in arms], device=order.device
        )
        return order + self.clips * (first[:, None] + (order + epoch) % count[:, None])


class Stack:
    """DS-CNNs of one shape side by side: features (batch, students, frames, mels) to logits (batch, students, classes)."""

    def __init__(self, bodies: list[Any], device: str) -> None:
        """Take the weights of one body (students/net.py) for each student."""
        import torch

        self.layers = bodies[0].layers
        states = [dict(body.named_parameters()) | dict(body.named_buffers()) for body in bodies]
        kept = {name: torch.stack([state[name].detach() for state in states]).to(device) for name in states[0]}
        self.buffers = {name: value for name, value in kept.items() if "running" in name}
        self.weights = {name: kept[name].requires_grad_() for name, _ in bodies[0].named_parameters()}
        self.students = len(bodies)

    def __call__(self, features: Any, train: bool) -> Any:
        """Run all students."""
        import torch
        from torch.nn import functional

        from edgecomp.students.layers import same_padding

        x, students = features, self.students
        for layer in self.layers:
            name = f"blocks.{layer.name}"
            if layer.op == "mean":
                x = x.float().mean((2, 3)).view(len(x), students, -1)
                continue
            if layer.op == "dense":
                with torch.autocast(x.device.type, enabled=False):
                    return (
                        torch.einsum("bsc,skc->bsk", x, self.weights[f"{name}.dense.weight"])
                        + self.weights[f"{name}.dense.bias"]
                    )
            weight = self.weights[f"{name}.conv.weight"]
            if layer.kernel == (1, 1):
                batch, _, height, width = x.shape
                x = torch.matmul(weight[..., 0, 0], x.view(batch, students, -1, height * width)).reshape(
                    batch, -1, height, width
                )
            else:
                pads = [
                    same_padding(size, k, s) for size, k, s in zip(x.shape[2:], layer.kernel, layer.stride, strict=True)
                ]
                x = functional.pad(x, (*pads[1], *pads[0]))
                x = functional.conv2d(x, weight.flatten(0, 1), None, layer.stride, groups=x.shape[1])
            norm = [self.buffers[f"{name}.norm.running_{one}"].view(-1) for one in ("mean", "var")]
            scale = [self.weights[f"{name}.norm.{one}"].view(-1) for one in ("weight", "bias")]
            x = torch.relu(functional.batch_norm(x, *norm, *scale, train))
        raise ValueError("the last layer is not dense")


def learn(
    lesson: Lesson, widths: tuple[int, ...], members: list[tuple[Arm, int]], epochs: int, batch: int, every: int = 1
) -> list[dict[str, float]]:
    """Train a student for each arm and seed, and return what each reached."""
    import torch
    from torch.nn import functional

    from edgecomp.students.families.ds_cnn import layers
    from edgecomp.students.net import Body

    device, classes = lesson.tensors["frames"].device, lesson.tensors["answers"].shape[1]
    bodies = []
    for _, seed in members:
        torch.manual_seed(seed)
        bodies.append(Body(layers(widths, classes)))
    stack, arms, students = Stack(bodies, device.type), [arm for arm, _ in members], len(members)
    parameters = list(stack.weights.values())
    first, second = ([torch.zeros_like(one) for one in parameters] for _ in range(2))
    label_weight, temperature, other = (
        torch.tensor([getattr(arm, name) for arm in arms], device=device)
        for name in ("label_weight", "temperature", "other")
    )
    splits = {
        split: (lesson.normal(lesson.tensors[split]), lesson.tensors[f"{split}_targets"])
        for split in ("validation", "test")
    }
    best = torch.full((students, 2), -math.inf, device=device)
    kept, last = torch.zeros(students, device=device), {}
    parts, step, start = max(1, lesson.clips // batch), 0, time.perf_counter()
    for epoch in range(1, epochs + 1):
        rows = lesson.rows(arms, torch.rand(students, lesson.clips, device=device).argsort(1), epoch)
        for part in torch.tensor_split(rows.T, parts):
            if lesson.other and other.any():
                elsewhere = lesson.plain + lesson.heavy + torch.randint(0, lesson.other, part.shape, device=device)
                part = torch.where(torch.rand(part.shape, device=device) < other, elsewhere, part)
            features = _striped(lesson.normal(lesson.tensors["frames"][part]))
            with torch.autocast(device.type, dtype=torch.bfloat16):
                logits = stack(features, train=True)
            labels, answers = lesson.tensors["labels"][part], lesson.tensors["answers"][part]
            softer = temperature[:, None]
            wanted = torch.softmax(torch.log(answers.clamp_min(1e-8)) / softer, 2)
            by_labels = -(labels * functional.log_softmax(logits, 2)).sum(2).mean(0)
            apart = (
                functional.kl_div(functional.log_softmax(logits / softer, 2), wanted, reduction="none").sum(2).mean(0)
            )
            loss = (label_weight * by_labels + (1 - label_weight) * apart * temperature**2).sum()
            gradients = torch.autograd.grad(loss, parameters)
            norms = torch.stack([one.flatten(1).norm(dim=1) for one in gradients]).norm(dim=0)
            cut = (GRADIENT_NORM / (norms + 1e-6)).clamp_max(1)
            step += 1
            with torch.no_grad():
                clipped = [one * cut.view(-1, *[1] * (one.dim() - 1)) for one in gradients]
                _adam_step(parameters, clipped, first, second, step, _rate((step - 1) / (epochs * parts)))
        if epoch % every and epoch < epochs:
            continue
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
            found = {split: _score(stack, *given, 2 * batch) for split, given in splits.items()}
        now = found["validation"]
        better = (now[:, 0] > best[:, 0]) | ((now[:, 0] == best[:, 0]) & (now[:, 1] > best[:, 1]))
        best = torch.where(better[:, None], now, best)
        kept = torch.where(better, found["test"][:, 0], kept)
        last = found
    seconds = (time.perf_counter() - start) / step
    columns = {
        "validation_last": last["validation"][:, 0],
        "test_last": last["test"][:, 0],
        "validation_best": best[:, 0],
        "test_best": kept,
        "step_ms": torch.full((students,), 1000 * seconds),
    }
    return [{name: float(column[at]) for name, column in columns.items()} for at in range(students)]


def _rate(progress: float) -> float:
    return RATE * (min(progress / 0.05, 0.5 * (1 + math.cos(math.pi * progress))) if progress > 0 else 1e-3)


def _adam_step(parameters: list, gradients: list, first: list, second: list, step: int, rate: float) -> None:
    """Take a step of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), all tensors at once."""
    import torch

    torch._foreach_mul_(parameters, 1 - rate * DECAY)
    torch._foreach_lerp_(first, gradients, 0.1)
    torch._foreach_mul_(second, 0.999)
    torch._foreach_addcmul_(second, gradients, gradients, 0.001)
    roots = torch._foreach_sqrt(second)
    torch._foreach_div_(roots, math.sqrt(1 - 0.999**step))
    torch._foreach_add_(roots, 1e-8)
    torch._foreach_addcdiv_(parameters, first, roots, -rate / (1 - 0.9**step))


def _striped(features: Any) -> Any:
    """Hide one stripe of time and one of frequency, each student its own."""
    import torch

    for axis in (2, 3):
        size, shape = features.shape[axis], features.shape[:2]
        width = torch.randint(0, max(1, round(MASK * size)) + 1, shape, device=features.device)
        start = (torch.rand(shape, device=features.device) * (size - width + 1)).long()
        place = torch.arange(size, device=features.device)
        shown = (place < start[..., None]) | (place >= (start + width)[..., None])
        features = features * (shown[..., None] if axis == 2 else shown[:, :, None])
    return features


def _score(stack: Stack, features: Any, targets: Any, batch: int) -> Any:
    """Return accuracy and minus the log loss of every student, (students, 2) float64."""
    import torch
    from torch.nn import functional

    shown = (part[:, None].expand(-1, stack.students, -1, -1) for part in features.split(batch))
    logits = torch.cat([stack(part, train=False) for part in shown])
    right = (logits.argmax(2) == targets[:, None]).double().mean(0)
    loss = functional.log_softmax(logits, 2).gather(2, targets[:, None, None].expand(-1, stack.students, 1))
    return torch.stack([right, loss.squeeze(2).double().mean(0)], 1)


if __name__ == "__main__":
    main()
