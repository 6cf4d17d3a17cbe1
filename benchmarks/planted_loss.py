"""Does the audit find a loss that was planted, and keep quiet where none was?

    python benchmarks/planted_loss.py --seeds 10 --removed 4 --unharmed 20

On `keywords`, one accent is harmed, another one for each seed: by leaving its clips out of the distillation (removed), and by
weight noise tuned until the student forgets a share of that accent's training clips while it keeps the others (noise). The
audit then compares the student with the teacher on the test split. A row says which slice the audit put first below "all
clips", with which verdict; for unharmed students, which slices it called lost, and which of those falsely: on other
clips of the same voices their loss is within the margin. Students are float, from the distil pass.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

RECIPE = "keywords"
HARM = 0.6
"""Share of the accent's training clips that the tuned noise makes the student forget."""
STEP, MOST_STEPS, WATCHED = 5e-4, 500, 192
"""The noise's learning rate and most steps, and the clips of the accent that say when it is enough."""
KEEP = 5.0
"""How much more a change of the answers to the other accents counts than the harm."""


def main() -> None:
    """Print a row for every student, and the shares that the three questions ask for."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--column", default="accent")
    ask.add_argument("--seeds", type=int, default=10, help="students that are harmed by noise")
    ask.add_argument("--removed", type=int, default=4, help="students that are harmed by leaving an accent out: slow")
    ask.add_argument("--unharmed", type=int, default=20)
    ask.add_argument("--epochs", type=int, default=40)
    ask.add_argument("--build", type=Path, default=Path("build"))
    ask.add_argument("--jobs", type=int, default=1)
    given = ask.parse_args()
    _task(given).view_answers()
    noisy = [(seed, "unharmed and noise") for seed in range(given.seeds)]
    removed = [(seed, "removed") for seed in range(given.removed)]
    unharmed = [(seed, "unharmed") for seed in range(given.seeds, given.unharmed)]
    work = [one for pair in zip_longest(noisy, removed) for one in pair if one is not None] + unharmed
    rows = []
    with ProcessPoolExecutor(given.jobs) as pool:
        for made in pool.map(_students, [given] * len(work), work):
            for row in made:
                rows.append(row)
                print(json.dumps(row), flush=True)
    told: dict[str, object] = {"recipe": RECIPE, "epochs": given.epochs}
    for harm in ("removed", "noise"):
        found = [row for row in rows if row["harm"] == harm]
        told[harm] = {
            "students": len(found),
            "named_first": sum(row["first"] == row["harmed"] for row in found),
            "lost": sum(row["harmed"] in row["lost"] for row in found),
        }
    quiet = [row for row in rows if row["harm"] == "none"]
    told["unharmed"] = {
        "students": len(quiet),
        "with_a_lost_slice": sum(bool(row["lost"]) for row in quiet),
        "with_a_falsely_lost_slice": sum(bool(row["falsely_lost"]) for row in quiet),
    }
    print(json.dumps(told))


def _task(given: argparse.Namespace):
    from edgecomp.cli import recipe_named
    from edgecomp.store import Store
    from edgecomp.task import load_task

    return load_task(recipe_named(RECIPE), Store(given.build))


def _fresh(task):
    """Return the task with other test clips, of the same voices: where a loss that was found must be found again."""
    from edgecomp.artifact import content_hash, text_hash
    from edgecomp.code import load_code
    from edgecomp.data.rows import Clip

    file = task.recipe.folder / "data.py"
    data, seed = load_code(file), task.recipe.seed
    plan = [clip for clip in data.plan_clips(seed, data.voices(), again=1) if clip.split == "test"]

    def speak(folder: Path) -> None:
        (folder / "audio").mkdir()
        for shard in range(data.SHARDS):
            data.write_clips(folder, plan, seed, shard)

    folder = task.store.make("fresh-clips", text_hash(file.read_text(encoding="utf-8"), seed), speak)
    clips = tuple(
        Clip(
            clip.path,
            clip.label,
            "test",
            clip.voice,
            {column: getattr(clip, column) for column in task.recipe.data.groups},
            content_hash(folder / clip.path),
        )
        for clip in plan
    )
    return replace(task, dataset=replace(task.dataset, folder=folder, clips=clips), known=task.teacher)


def _students(given: argparse.Namespace, work: tuple[int, str]) -> list[dict]:
    import torch

    torch.set_num_threads(1)
    seed, harm = work
    task = _task(given)
    values = sorted({clip.groups[given.column] for clip in task.dataset.clips})
    value = values[seed % len(values)]
    name = f"{given.column}: {value}"
    if harm == "removed":
        clips = tuple(c for c in task.dataset.clips if c.split == "test" or c.groups[given.column] != value)
        student = _distilled(replace(task, dataset=replace(task.dataset, clips=clips), known=task.teacher), given, seed)
        return [_audited(task, student, seed, harm, name)]
    student = _distilled(task, given, seed)
    rows = [_held_against_fresh_clips(_audited(task, student, seed, "none", ""), task, student)]
    if "noise" in harm:
        inside = [clip.groups[given.column] == value for clip in task.dataset.of("train").clips]
        _add_noise(student, task, torch.tensor(inside), seed)
        rows.append(_audited(task, student, seed, "noise", name))
    return rows


def _distilled(task, given: argparse.Namespace, seed: int):
    """Return a student in torch, taught with the seed."""
    from edgecomp.passes import Run
    from edgecomp.plan import plan
    from edgecomp.shipped import shipped
    from edgecomp.students.student import load_student
    from edgecomp.target import read_target

    chosen = plan(task.recipe, read_target("host", shipped("targets")))
    build, learn = next(stage for stage in chosen.stages if stage.name == "distilled").passes
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("built", "learnt")]
        for place in places:
            place.mkdir()
        learn = replace(learn, epochs=given.epochs)
        return load_student(learn(build(None, Run(task, seed, places[0])), Run(task, seed, places[1])).path)


def _normal(student, task, split: str):
    import torch

    features = torch.from_numpy(task.features(split, student.config.front_end))
    return (features - student.front_end.mean) / student.front_end.std


def _add_noise(student, task, inside, seed: int) -> None:
    """Move the weights until the student forgets HARM of the accent's training clips; the other clips hold it back."""
    import torch
    from torch.nn import functional

    features, targets = _normal(student, task, "train"), torch.from_numpy(task.targets("train").copy())
    draws = torch.Generator().manual_seed(seed)
    ours, others = torch.nonzero(inside)[:, 0], torch.nonzero(~inside)[:, 0]
    watched = ours[torch.randperm(len(ours), generator=draws)[:WATCHED]]
    before = copy.deepcopy(student.body)
    views, mean, std = task.view_features(student.config.front_end), student.front_end.mean, student.front_end.std
    with torch.no_grad():  # towards each clip's second most probable label: the confusion that lies nearest
        logits = torch.cat([student.body(part) for part in features.split(256)])
        logits[torch.arange(len(targets)), targets] = -torch.inf
        second = logits.argmax(1)
    optimiser = torch.optim.Adam(student.body.parameters(), STEP)

    def right() -> float:
        with torch.no_grad():
            return (student.body(features[watched]).argmax(1) == targets[watched]).double().mean().item()

    start = right()
    for step in range(MOST_STEPS):
        mine = ours[torch.randperm(len(ours), generator=draws)[:32]]
        drawn = others[torch.randperm(len(others), generator=draws)[:128]]
        view = int(torch.randint(len(views) // len(targets), (1,), generator=draws))
        rest = (torch.from_numpy(views[(view * len(targets) + drawn).numpy()].astype("float32")) - mean) / std
        harm = functional.cross_entropy(student.body(features[mine]), second[mine])
        with torch.no_grad():
            wanted = functional.log_softmax(before(rest), 1)
        given = functional.log_softmax(student.body(rest), 1)
        kept = functional.kl_div(given, wanted, log_target=True, reduction="batchmean")
        optimiser.zero_grad()
        (harm + KEEP * kept).backward()
        optimiser.step()
        if step % 10 == 9 and right() <= start - HARM:
            break


def _held_against_fresh_clips(row: dict, task, student) -> dict:
    """Say which of the slices that were called lost did not lose more than the margin on other clips of the same voices."""
    found = {}
    if row["lost"]:
        table = _table(_fresh(task), student)
        found = {one.slice: one.difference.value for one in table.rows if one.slice in row["lost"]}
    margin = task.recipe.gates.max_slice_loss
    return row | {
        "on_fresh_clips": found,
        "falsely_lost": [name for name in row["lost"] if not found.get(name, 0.0) < -margin],
    }


def _audited(task, student, seed: int, harm: str, harmed: str) -> dict:
    table = _table(task, student)
    below = [row for row in table.rows if row.kind != "all"]
    whole, planted = table.rows[0], next((row for row in below if row.slice == harmed), None)
    return {
        "harm": harm,
        "seed": seed,
        "harmed": harmed,
        "first": below[0].slice,
        "first_verdict": below[0].verdict,
        "lost": [row.slice for row in table.rows if row.verdict == "lost"],
        "difference": whole.difference.value,
        "harmed_difference": planted.difference.value if planted else None,
    }


def _table(task, student):
    """Return the audit's slices on a task's test split."""
    import numpy as np
    import torch

    from edgecomp.appraisal import TEACHER, Case, slice_table
    from edgecomp.cases import lengths
    from edgecomp.students.ending import PLAIN

    test = task.dataset.of("test")
    with torch.inference_mode():
        probabilities, unsure = PLAIN(student.body(_normal(student, task, "test")).numpy())
    case = Case(
        labels=test.labels,
        clips=test.clips,
        targets=test.targets,
        waves=task.waveforms("test"),
        length_s=lengths(test, task),
        sample_rate=test.sample_rate,
        answers={TEACHER: task.answers("test"), "student": probabilities},
        shipped="student",
        uncertainty=unsure,
        ending=PLAIN,
        train_counts=np.bincount(task.targets("train"), minlength=len(test.labels)),
    )
    return slice_table(case, task.recipe.gates.max_slice_loss)


if __name__ == "__main__":
    main()
