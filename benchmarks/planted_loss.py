"""Does the audit find a loss that was planted, and keep quiet where none was?

    python benchmarks/planted_loss.py > benchmarks/results/planted-loss-keywords.jsonl
    python benchmarks/planted_loss.py --first 100 --noise 6 --removed 6 --unharmed 6   # other seeds, to try something on
    python benchmarks/planted_loss.py --clips 80      # the same students, audited on four times as many clips

On `keywords`, one accent is harmed, another one for each seed: by leaving it out of the distillation (removed), or by weight
noise that is tuned to it (noise); see planted_students.py. The students are kept in the build folder, so the audit can be run
on them again in seconds; those that are not there are made, a minute each on one idle core.

The audit compares every student with the teacher on the test split, as a compile does; with --clips on as many new clips of
each label and accent, spoken by the same test voices: what an audit can tell apart is a matter of how many clips it hears.
A row says which slice it put first below "all clips", which value of a group column it put first, with which verdict; for
unharmed students, which slices it called lost, and which of those falsely: on other clips of the same voices their loss is
within the margin. Students are float, from the distil pass at the recipe's schedule.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from planted_lesson import COLUMN, RECIPE, Lesson, plan_of
from planted_students import KEEP, Wanted, harmed, learnt, weights_of


def main() -> None:
    """Print a row for every student, and the shares that the three questions ask for."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--first", type=int, default=0, help="the first seed")
    ask.add_argument("--noise", type=int, default=10, help="students that are harmed by noise")
    ask.add_argument("--removed", type=int, default=10, help="students that are harmed by leaving an accent out")
    ask.add_argument("--unharmed", type=int, default=20)
    ask.add_argument("--keep", type=float, default=KEEP, help="how strongly the noise spares the other accents")
    ask.add_argument("--epochs", type=int, default=None, help="as in the recipe")
    ask.add_argument(
        "--clips", type=int, help="new test clips of each label and accent; by default the test split, which has 20"
    )
    ask.add_argument("--build", type=Path, default=Path("build"))
    given = ask.parse_args()
    rows = []
    for row in _rows(given):
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(json.dumps(_told(rows)))


def _rows(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    task, config, learn = plan_of(given.build)
    lesson, fresh = Lesson.of(task, config), None
    heard = _spoken(task, given.clips, again=2) if given.clips else task
    epochs = given.epochs or learn.epochs
    for harm, count in (("removed", given.removed), ("noise", given.noise), ("none", given.unharmed)):
        for seed in range(given.first, given.first + count):
            wanted = Wanted(harm, seed, epochs, given.keep)
            folder = given.build / "planted-students"

            def answers(asked: Any, folder: Path = folder, wanted: Wanted = wanted) -> Any:
                return _answers(asked, folder, wanted, lambda: _student(folder, lesson, config, learn, wanted))

            row = {"harm": harm, "seed": seed, "epochs": epochs}
            row |= {"clips": len(heard.dataset.of("test").clips)}
            row |= _audited(_table(heard, answers(heard)), "" if harm == "none" else f"{COLUMN}: {lesson.accent(seed)}")
            if harm == "none":
                row |= {"on_fresh_clips": {}, "falsely_lost": []}
            if harm == "none" and row["lost"]:
                fresh = fresh or (_spoken(task, given.clips, again=3) if given.clips else _spoken(task))
                again = {one.slice: one.difference.value for one in _table(fresh, answers(fresh)).rows}
                row["on_fresh_clips"] = {name: again.get(name) for name in row["lost"]}
                margin = task.recipe.gates.max_slice_loss
                row["falsely_lost"] = [name for name in row["lost"] if not (again.get(name) or 0.0) < -margin]
            yield row


def _told(rows: list[dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"recipe": RECIPE}
    for harm in ("removed", "noise"):
        found = [row for row in rows if row["harm"] == harm]
        told[harm] = {
            "students": len(found),
            "named_first": sum(row["first"] == row["harmed"] for row in found),
            "first_of_the_groups": sum(row["first_group"] == row["harmed"] for row in found),
            "lost": sum(row["harmed"] in row["lost"] for row in found),
        }
    quiet = [row for row in rows if row["harm"] == "none"]
    told["unharmed"] = {
        "students": len(quiet),
        "with_a_lost_slice": sum(bool(row["lost"]) for row in quiet),
        "with_a_falsely_lost_slice": sum(bool(row["falsely_lost"]) for row in quiet),
    }
    return told


def _student(folder: Path, lesson: Lesson, config: Any, learn: Any, wanted: Wanted) -> Any:
    """Return a student from the build folder, made first where it is not there."""
    from edgecomp.students.student import Student

    student = Student(config)
    weights = weights_of(folder, wanted.name)
    if weights is None:
        from safetensors.torch import save_file

        if wanted.harm == "noise":
            plain = _student(folder, lesson, config, learn, replace(wanted, harm="none"))
            weights = harmed(lesson, plain, wanted)
        else:
            weights = learnt(lesson, config, learn, wanted)
        folder.mkdir(parents=True, exist_ok=True)
        named = {f"{wanted.name}/{key}": value for key, value in weights.items()}
        save_file(named, folder / f"{wanted.name}.safetensors")
    student.load_state_dict(weights)
    return student.eval()


def _answers(task: Any, folder: Path, wanted: Wanted, student: Callable[[], Any]) -> Any:
    """Return a student's probabilities on a task's test split, (n, classes), from the folder or asked now."""
    import numpy as np
    import torch

    from edgecomp.students.ending import PLAIN

    file = folder / f"{wanted.name}-{task.dataset.of('test').fingerprint[:12]}.npy"
    if not file.exists():
        made = student()
        features = torch.from_numpy(task.features("test", made.config.front_end))
        with torch.inference_mode():
            given, _ = PLAIN(made.body((features - made.front_end.mean) / made.front_end.std).numpy())
        np.save(file, given)
    return np.load(file)


def _audited(table: Any, planted: str) -> dict[str, Any]:
    below = [row for row in table.rows if row.kind != "all"]
    group = next(row for row in below if row.kind == "group")
    mine = next((row for row in below if row.slice == planted), None)
    return {
        "harmed": planted,
        "first": below[0].slice,
        "first_verdict": below[0].verdict,
        "first_group": group.slice,
        "lost": [row.slice for row in table.rows if row.verdict == "lost"],
        "difference": round(table.rows[0].difference.value, 4),
        "harmed_difference": round(mine.difference.value, 4) if mine else None,
        "harmed_beyond": [round(getattr(mine.beyond, end), 4) for end in ("value", "low", "high")] if mine else None,
    }


def _table(task: Any, probabilities: Any) -> Any:
    """Return the audit's slices on a task's test split."""
    import numpy as np

    from edgecomp.appraisal import TEACHER, Case, slice_table
    from edgecomp.cases import lengths
    from edgecomp.students.ending import PLAIN

    test = task.dataset.of("test")
    case = Case(
        labels=test.labels,
        clips=test.clips,
        targets=test.targets,
        waves=task.waveforms("test"),
        length_s=lengths(test, task),
        sample_rate=test.sample_rate,
        answers={TEACHER: task.answers("test"), "student": probabilities},
        shipped="student",
        uncertainty=1 - probabilities.max(axis=1),
        ending=PLAIN,
        train_counts=np.ones(len(test.labels)),  # all labels are equally frequent here
    )
    return slice_table(case, task.recipe.gates.max_slice_loss)


def _spoken(task: Any, count: int | None = None, again: int = 1) -> Any:
    """Return the task with other test clips, of the same voices: where a loss that was found must be found again.

    count: of each label and accent; None for as many as the test split has
    """
    from edgecomp.artifact import content_hash, text_hash
    from edgecomp.code import load_code
    from edgecomp.data.rows import Clip

    file = task.recipe.folder / "data.py"
    data, seed = load_code(file), task.recipe.seed
    count = count or data.CLIPS["test"]
    plan = data.plan_clips(seed, data.voices(), {"test": count}, again)

    def speak(folder: Path) -> None:
        (folder / "audio").mkdir()
        for shard in range(data.SHARDS):
            data.write_clips(folder, plan, seed, shard)

    key = text_hash(file.read_text(encoding="utf-8"), seed, count, again)
    folder = task.store.make("fresh-clips", key, speak)
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


if __name__ == "__main__":
    main()
