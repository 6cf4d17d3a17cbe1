"""Does the teacher earn its place? The same student and the same CPU time: labels alone against the teacher's answers.

    python benchmarks/distillation.py wakewords --labelled 0.1
    python benchmarks/distillation.py sounds --widths 16 24 24 32 32 --epochs 50 --seeds 10

Of the training clips, a share has labels; the teacher can be asked about all of them. The labels' arm learns from the
labelled clips alone, for as long as the teacher's arm takes to ask about every view and to train; the teacher's arm learns
from the answers alone where labels are scarce, and as the recipe says where every clip has one. Both arms see the same
seeded views, keep their last epoch, and are judged once on the test split: by accuracy, and by log loss at a
temperature fitted on validation. Time is CPU time of one thread, so that a busy machine favours neither; what both arms
read and compute once (the views' log-mel frames) is no arm's time. Rows go to stdout as JSON lines; the last one is the
difference with its 95 % interval (Student's t over seeds: each seed draws the labelled clips anew and trains both arms).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from distillation_telling import T_95, summary

INVERSE_TEMPERATURES = tuple(1.05**power for power in range(-40, 41))
"""What logits are multiplied by: the one with the least log loss on validation is taken."""
ASKED = 64
"""Training clips that the teacher is asked to find out its CPU time for one answer."""


def main() -> None:
    """Run both arms for every seed and print what they reached."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("recipe")
    ask.add_argument(
        "--labelled", type=float, default=1.0, help="share of the training clips of each label that has one"
    )
    ask.add_argument("--epochs", type=int, help="of the teacher's arm; the recipe's by default")
    ask.add_argument("--views", type=int, help="of each clip; the recipe's by default")
    ask.add_argument(
        "--mix", type=float, help="share of the views that are mixed with another clip; the recipe's by default"
    )
    ask.add_argument("--label-weight", type=float, help="of the teacher's arm; the recipe's by default")
    ask.add_argument("--temperature", type=float, help="of the teacher's arm; the recipe's by default")
    ask.add_argument("--widths", type=int, nargs="+", help="of the student; the recipe's by default")
    ask.add_argument("--seeds", type=int, default=5, choices=sorted(T_95))
    ask.add_argument("--first-seed", type=int, default=0, help="seeds are counted from here")
    ask.add_argument("--build", type=Path, default=Path("build"))
    ask.add_argument("--jobs", type=int, default=1)
    given = ask.parse_args()
    task = _task(given)
    asking_s = _asking_s(given, task)
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        rows = []
        for row in pool.map(_both_arms, [given] * given.seeds, [asking_s] * given.seeds, _seeds(given)):
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(json.dumps(summary(rows)))


def _task(given: argparse.Namespace):
    from edgecomp.cli import recipe_named
    from edgecomp.store import Store
    from edgecomp.task import load_task

    recipe = recipe_named(given.recipe)
    changed = {"views": given.views, "mix_share": given.mix}
    changed = {name: value for name, value in changed.items() if value is not None}
    recipe = recipe.model_copy(update={"augment": recipe.augment.model_copy(update=changed)})
    return load_task(recipe, Store(given.build))


def _seeds(given: argparse.Namespace) -> range:
    return range(given.first_seed, given.first_seed + given.seeds)


def _passes(given: argparse.Namespace, task):
    """Return the passes that build and teach the student."""
    from edgecomp.plan import plan
    from edgecomp.shipped import shipped
    from edgecomp.target import read_target

    chosen = plan(task.recipe, read_target("host", shipped("targets")))
    build_pass, learn = next(stage for stage in chosen.stages if stage.name == "distilled").passes
    build_pass = replace(build_pass, widths=tuple(given.widths or build_pass.widths))
    changed = {name: getattr(given, name) for name in ("epochs", "label_weight", "temperature")}
    return build_pass, replace(learn, **{name: value for name, value in changed.items() if value is not None})


def _asking_s(given: argparse.Namespace, task) -> float:
    """Return the CPU seconds that all of the teacher's answers cost, and leave them in the store for both arms to share."""
    task.view_answers()
    clips = task.waveforms("train")[:ASKED]
    start = time.process_time()
    task.teacher.probabilities(clips)
    return (time.process_time() - start) / len(clips) * len(task.views)


def _labelled(task, share: float, seed: int):
    """Return a task whose training split is the labelled clips alone: a share of each label's, at least one."""
    import numpy as np

    if share == 1:
        return task
    rng, train = np.random.default_rng([seed, 13]), task.dataset.of("train")
    kept = set()
    for label in range(len(train.labels)):
        rows = np.flatnonzero(train.targets == label)
        kept |= {train.clips[row].path for row in rng.permutation(rows)[: max(1, round(share * len(rows)))]}
    clips = tuple(clip for clip in task.dataset.clips if clip.split != "train" or clip.path in kept)
    return replace(task, dataset=replace(task.dataset, clips=clips), known=task.teacher)


def _both_arms(given: argparse.Namespace, asking_s: float, seed: int) -> dict:
    import torch

    torch.set_num_threads(1)
    task = _task(given)
    build_pass, learn = _passes(given, task)
    _train(build_pass, replace(learn, epochs=1, label_weight=1.0), task, seed)  # what is computed once is no arm's time
    taught, training_s = _train(
        build_pass, learn if given.labelled == 1 else replace(learn, label_weight=0.0), task, seed
    )
    few = _labelled(task, given.labelled, seed)
    rarer = len(task.targets("train")) / len(few.targets("train"))
    longer = replace(learn, label_weight=1.0, epochs=round(learn.epochs * rarer * (asking_s + training_s) / training_s))
    labels, labels_s = _train(build_pass, longer, few, seed)
    return {
        "recipe": given.recipe,
        "labelled": given.labelled,
        "labelled_clips": len(few.targets("train")),
        "clips": len(task.targets("train")),
        "seed": seed,
        "views": len(task.views),
        "widths": build_pass.widths,
        "label_weight": learn.label_weight,
        "temperature": learn.temperature,
        "teacher": {
            **taught,
            "epochs": learn.epochs,
            "asking_cpu_s": round(asking_s, 1),
            "training_cpu_s": round(training_s, 1),
        },
        "labels": {**labels, "epochs": longer.epochs, "training_cpu_s": round(labels_s, 1)},
    }


def _train(build_pass, learn, task, seed: int) -> tuple[dict, float]:
    import numpy as np
    import torch

    from edgecomp.passes import Run
    from edgecomp.students.student import load_student

    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("built", "learnt")]
        for place in places:
            place.mkdir()
        start = time.process_time()
        model = learn(build_pass(None, Run(task, seed, places[0])), Run(task, seed, places[1]))
        seconds = time.process_time() - start
        student = load_student(model.path)
    logits = {split: _logits(student, task, split) for split in ("validation", "test")}
    losses = {split: _loss_at(logits[split], torch.from_numpy(np.array(task.targets(split)))) for split in logits}
    inverse = min(INVERSE_TEMPERATURES, key=losses["validation"])
    return {
        "test_accuracy": float((logits["test"].argmax(1).numpy() == task.targets("test")).mean()),
        "test_log_loss": losses["test"](inverse),
        "validation_accuracy": model.trail[-1].facts["validation_accuracy"],
    }, seconds


def _logits(student, task, split: str):
    import torch

    features = torch.from_numpy(task.features(split, student.config.front_end))
    with torch.inference_mode():
        return student.body((features - student.front_end.mean) / student.front_end.std)


def _loss_at(logits, targets):
    """Return a function from an inverse temperature to the mean log loss in nats."""
    from torch.nn.functional import cross_entropy

    return lambda inverse: cross_entropy(logits * inverse, targets).item()


if __name__ == "__main__":
    main()
