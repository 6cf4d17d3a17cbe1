"""Students of `keywords` for planted_loss.py: unharmed, or harmed on one accent in one of two ways.

    python benchmarks/planted_students.py --lesson build/planted-lesson      # what they learn from, as plain arrays
    python benchmarks/planted_students.py --learn build/planted-lesson --out students.safetensors --device cuda --jobs 12

removed: the accent's clips, and the views that hold one of them, are left out of the distillation
noise:   an unharmed student's weights are moved until it forgets HARM of the accent's training clips, while its answers to
         the other accents are held where they were

planted_loss.py makes those that it needs by itself, on one core; the second command makes many at once, on a machine that
has torch and a copy of edgecomp. planted_loss.py reads every file in build/planted-students.
"""

from __future__ import annotations

import argparse
import copy
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

RECIPE, COLUMN = "keywords", "accent"
HARMS = ("none", "removed", "noise")
HARM = 0.6
"""Share of the accent's training clips that the tuned noise makes the student forget; of new clips it is about a fifth."""
STEP, MOST_STEPS, WATCHED = 5e-4, 1000, 192
"""The noise's learning rate and most steps, and the clips of the accent that say when it is enough."""
KEEP = 5.0
"""How much more a change of the answers to the other accents counts than the harm. Tried on seeds 100 to 105: with 20 and 80
the accent lost 4 to 17 and 2 to 10 points, with 5 it loses 11 to 24."""


@dataclass(frozen=True)
class Wanted:
    """One student: how it is harmed, and its seed, which chooses the accent too."""

    harm: str
    seed: int
    epochs: int
    keep: float = KEEP

    @property
    def name(self) -> str:
        """Return what it is called in a file of several."""
        return f"{self.harm}-{self.seed}-{self.epochs}" + (f"-{self.keep:g}" if self.harm == "noise" else "")


@dataclass(frozen=True)
class Lesson:
    """What a student learns from; it stands in for the task in training.fit.

    train:      (clips, frames, mels) float16, not normalised, as every other features here
    views:      (views × clips, frames, mels) float16; rows as in data/views.py
    answers, soft: (views × clips, classes): the teacher's probabilities, and the labels as shares
    clip, partner, mixed: (views × clips,): which clips a view holds, and whether it holds two
    accents:    (clips,) names
    """

    train: np.ndarray
    views_: np.ndarray
    answers: np.ndarray
    soft: np.ndarray
    clip: np.ndarray
    partner: np.ndarray
    mixed: np.ndarray
    accents: np.ndarray
    train_targets: np.ndarray
    validation: np.ndarray
    validation_accents: np.ndarray
    validation_targets: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @staticmethod
    def of(task: Any, config: Any) -> Lesson:
        """Read a task's arrays."""
        import torch

        from edgecomp.passes.build import SMALLEST_STD

        train, views = task.features("train", config.front_end), task.views
        frames = torch.from_numpy(train)
        accents = {
            split: np.array([clip.groups[COLUMN] for clip in task.dataset.of(split).clips])
            for split in ("train", "validation")
        }
        targets = task.targets("train")
        return Lesson(
            train=train.astype(np.float16),
            views_=np.asarray(task.view_features(config.front_end)),
            answers=np.asarray(task.view_answers()),
            soft=views.soft_labels(targets, len(task.dataset.labels)),
            clip=views.clip,
            partner=views.partner,
            mixed=views.share < 1,
            accents=accents["train"],
            train_targets=targets,
            validation=task.features("validation", config.front_end),
            validation_accents=accents["validation"],
            validation_targets=task.targets("validation"),
            mean=frames.mean((0, 1)).numpy(),
            std=frames.std((0, 1)).clamp_min(SMALLEST_STD).numpy(),
        )

    def accent(self, seed: int) -> str:
        """Return the accent that this seed harms: one after the other."""
        values = sorted(set(self.accents.tolist()))
        return values[seed % len(values)]

    def without(self, accent: str) -> Lesson:
        """Return the lesson without an accent; a clip's view that held it as well gives way to another of the clip's views."""
        clips, inside = len(self.accents), self.accents == accent
        good = ~(inside[self.clip] | (self.mixed & inside[self.partner])).reshape(-1, clips)
        place = np.empty(good.shape, int)
        for clip in np.flatnonzero(~inside):  # view 0 is the clip alone, so there is always one
            able = np.flatnonzero(good[:, clip])
            place[:, clip] = np.where(good[:, clip], np.arange(len(good)), able[np.arange(len(good)) % len(able)])
        rows = (place * clips + np.arange(clips))[:, ~inside].ravel()
        heard = self.validation_accents != accent
        return replace(
            self,
            train=self.train[~inside],
            views_=self.views_[rows],
            answers=self.answers[rows],
            soft=self.soft[rows],
            accents=self.accents[~inside],
            train_targets=self.train_targets[~inside],
            validation=self.validation[heard],
            validation_targets=self.validation_targets[heard],
        )

    @property
    def views(self) -> Any:
        """Return what training.fit asks for labels."""
        return types.SimpleNamespace(soft_labels=lambda *_: self.soft)

    @property
    def dataset(self) -> Any:
        """Return what training.fit asks for the number of labels."""
        return types.SimpleNamespace(labels=range(self.soft.shape[1]))

    def targets(self, split: str) -> np.ndarray:
        """Return a split's class numbers."""
        return self.train_targets if split == "train" else self.validation_targets

    def view_answers(self) -> np.ndarray:
        """Return the teacher's answers to every view."""
        return self.answers

    def view_features(self, _front_end: Any) -> np.ndarray:
        """Return every view's features."""
        return self.views_

    def features(self, _split: str, _front_end: Any) -> np.ndarray:
        """Return the validation split's features."""
        return self.validation


def learnt(lesson: Lesson, config: Any, learn: Any, wanted: Wanted, device: str = "cpu") -> dict[str, Any]:
    """Return a student's weights by name.

    learn: the distil pass of the plan, whose settings hold but for the epochs
    """
    import torch

    from edgecomp import training
    from edgecomp.students.student import random_student

    if wanted.harm == "removed":
        normal, lesson = (lesson.mean, lesson.std), lesson.without(lesson.accent(wanted.seed))
    else:
        normal = lesson.mean, lesson.std
    made = random_student(config, wanted.seed)
    made.front_end.set_normalisation(*(torch.from_numpy(part) for part in normal))
    made.body.to(device)
    schedule = replace(learn.schedule, epochs=wanted.epochs)
    if device != "cpu":
        _move_inputs(training, device)
    training.fit(made, lesson, learn.objective, schedule, seed=wanted.seed, said=wanted.name)
    return {name: value.cpu().contiguous() for name, value in made.state_dict().items()}


def harmed(lesson: Lesson, made: Any, wanted: Wanted, device: str = "cpu") -> dict[str, Any]:
    """Move a student's weights until it forgets HARM of the accent's training clips; the others hold it back."""
    import torch
    from torch.nn import functional

    inside = torch.from_numpy(lesson.accents == lesson.accent(wanted.seed))
    mean, std = (part.to(device) for part in (made.front_end.mean, made.front_end.std))
    body = made.body.to(device).eval()

    def normal(frames: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(frames.astype(np.float32)).to(device) - mean) / std

    features, targets = normal(lesson.train), torch.from_numpy(lesson.train_targets).to(device)
    draws = torch.Generator().manual_seed(wanted.seed)
    ours, others = torch.nonzero(inside)[:, 0], torch.nonzero(~inside)[:, 0]
    watched = ours[torch.randperm(len(ours), generator=draws)[:WATCHED]].to(device)
    before = copy.deepcopy(body)
    with torch.no_grad():  # towards each clip's second most probable label: the confusion that lies nearest
        logits = torch.cat([body(part) for part in features.split(256)])
        logits[torch.arange(len(targets), device=device), targets] = -torch.inf
        second = logits.argmax(1)
    optimiser = torch.optim.Adam(body.parameters(), STEP)

    def right() -> float:
        with torch.no_grad():
            return (body(features[watched]).argmax(1) == targets[watched]).double().mean().item()

    start, clips = right(), len(targets)
    for step in range(MOST_STEPS):
        mine = ours[torch.randperm(len(ours), generator=draws)[:32]].to(device)
        drawn = others[torch.randperm(len(others), generator=draws)[:128]].numpy()
        rows = int(torch.randint(len(lesson.views_) // clips, (1,), generator=draws)) * clips + drawn
        rest = normal(lesson.views_[rows[~(lesson.mixed & inside.numpy()[lesson.partner])[rows]]])
        harm = functional.cross_entropy(body(features[mine]), second[mine])
        with torch.no_grad():
            held = functional.log_softmax(before(rest), 1)
        kept = functional.kl_div(functional.log_softmax(body(rest), 1), held, log_target=True, reduction="batchmean")
        optimiser.zero_grad()
        (harm + wanted.keep * kept).backward()
        optimiser.step()
        if step % 10 == 9 and right() <= start - HARM:
            break
    return {name: value.cpu().contiguous() for name, value in made.state_dict().items()}


def _move_inputs(training: Any, device: str) -> None:
    """Let training.fit's batches follow the student to another device."""
    plain = training._Inputs
    if hasattr(plain, "moved"):
        return

    class Moved(plain):
        moved = True

        @staticmethod
        def of(*given: Any) -> Any:
            read = plain.of(*given)
            parts = {name: getattr(read, name) for name in plain.__dataclass_fields__}
            parts |= {name: parts[name].to(device) for name in ("validation", "targets")}
            return Moved(**parts)

        def epoch(self, *given: Any) -> Any:
            for batch in super().epoch(*given):
                yield tuple(part.to(device) for part in batch)

    training._Inputs = Moved


def main() -> None:
    """Write the lesson, or learn from it."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--lesson", type=Path, metavar="FOLDER", help="write what students learn from into this folder")
    ask.add_argument("--build", type=Path, default=Path("build"))
    ask.add_argument("--learn", type=Path, metavar="FOLDER", help="learn from what this folder holds")
    ask.add_argument("--out", type=Path, default=Path("students.safetensors"))
    ask.add_argument("--epochs", type=int, default=56)
    ask.add_argument(
        "--wanted", nargs="+", default=["none=0-19", "removed=0-9", "noise=0-9"], metavar="HARM=FIRST-LAST"
    )
    ask.add_argument(
        "--keep", type=float, nargs="+", default=[KEEP], help="how strongly the noise spares other accents"
    )
    ask.add_argument("--known", type=Path, metavar="FILE", help="students that need not be made again")
    ask.add_argument("--device", default="cpu")
    ask.add_argument("--jobs", type=int, default=1)
    given = ask.parse_args()
    if given.lesson:
        write_lesson(given.build, given.lesson)
    if given.learn:
        _learn_all(given)


def plan_of(build: Path) -> tuple[Any, Any, Any]:
    """Return the task, the student's config and the distil pass."""
    from edgecomp.cli import recipe_named
    from edgecomp.plan import plan
    from edgecomp.shipped import shipped
    from edgecomp.store import Store
    from edgecomp.students import StudentConfig
    from edgecomp.target import read_target
    from edgecomp.task import load_task

    task = load_task(recipe_named(RECIPE), Store(build))
    chosen = plan(task.recipe, read_target("host", shipped("targets")))
    built, learn = next(stage for stage in chosen.stages if stage.name == "distilled").passes
    return task, StudentConfig(built.family, built.widths, task.dataset.labels, built.front_end), learn


def write_lesson(build: Path, folder: Path) -> None:
    """Write the lesson and what a student is built and taught with."""
    import json
    from dataclasses import asdict

    task, config, learn = plan_of(build)
    lesson = Lesson.of(task, config)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "lesson.npz", **{name: getattr(lesson, name) for name in Lesson.__dataclass_fields__})
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    (folder / "learn.json").write_text(json.dumps(asdict(learn)), encoding="utf-8")


def _learn_all(given: argparse.Namespace) -> None:
    import torch
    from safetensors.torch import save_file

    jobs = []
    for harm, first, *last in (asked.replace("=", "-").split("-") for asked in given.wanted):
        jobs += [(harm, seed) for seed in range(int(first), int((last or [first])[0]) + 1)]
    found: dict[str, torch.Tensor] = {}
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for made in pool.map(_learn_one, [given] * len(jobs), jobs):
            found |= {f"{name}/{key}": value for name, weights in made.items() for key, value in weights.items()}
            save_file(found, given.out)  # after each, so that a kill loses little
            sys.stderr.write(f"{', '.join(made)}\n")


def _learn_one(given: argparse.Namespace, job: tuple[str, int]) -> dict[str, dict[str, Any]]:
    import json

    import torch

    if "edgecomp.task" not in sys.modules and not _has_task():
        sys.modules["edgecomp.task"] = types.SimpleNamespace(Task=object)  # training names it in its types only
    from edgecomp import progress
    from edgecomp.schedule import Objective, Schedule
    from edgecomp.students import read_config
    from edgecomp.students.student import Student

    torch.set_num_threads(1)
    progress.quiet()
    lesson = Lesson(**dict(np.load(given.learn / "lesson.npz")))
    config, said = read_config(given.learn), json.loads((given.learn / "learn.json").read_text(encoding="utf-8"))
    learn = types.SimpleNamespace(
        objective=Objective(said["label_weight"], said["temperature"]),
        schedule=Schedule(**{name: said[name] for name in Schedule.__dataclass_fields__}),
    )
    harm, seed = job
    plain = Wanted("removed" if harm == "removed" else "none", seed, given.epochs)
    known = weights_of(given.known, plain.name) if given.known else None
    weights = known or learnt(lesson, config, learn, plain, given.device)
    if harm != "noise":
        return {plain.name: weights}
    made = {}
    for keep in given.keep:
        student = Student(config)
        student.load_state_dict(weights)
        wanted = Wanted("noise", seed, given.epochs, keep)
        made[wanted.name] = harmed(lesson, student, wanted, given.device)
    return made


def weights_of(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a student's weights from a folder's files, or from a file; None where no file holds it."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")) if folder.suffix == "" else [folder]:
        with safe_open(file, "pt") as held:
            names = [key for key in held.keys() if key.startswith(f"{name}/")]  # noqa: SIM118, it is no dict
            if names:
                return {key.split("/")[1]: held.get_tensor(key) for key in names}
    return None


def _has_task() -> bool:
    try:
        import edgecomp.task  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()
