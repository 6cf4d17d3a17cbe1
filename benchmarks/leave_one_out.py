"""What does a new voice meet? Every subject in turn is the test, another one the validation; the others train.

    python benchmarks/leave_one_out.py models/digits/leave-one-speaker-out.toml

Each fold trains its own teacher and its own student. Rows go to stdout as JSON lines, one a subject; the last one is the
mean over subjects with its range: with a handful of subjects an interval would promise more than it knows.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

STAGES = ("labels only", "distilled", "finetuned", "int8")


def main() -> None:
    """Compile every fold and print what its stages reach on the subject that was left out."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("recipe")
    ask.add_argument("--target", default="redmi-7a")
    ask.add_argument("--build", type=Path, default=Path("build"))
    given = ask.parse_args()

    from edgecomp.cli import recipe_named
    from edgecomp.data.rows import read_table
    from edgecomp.plan import plan
    from edgecomp.runtimes import import_runtime
    from edgecomp.shipped import shipped
    from edgecomp.store import Store
    from edgecomp.target import read_target

    recipe, store = recipe_named(given.recipe), Store(given.build)
    target = read_target(given.target, shipped("targets"))
    column = recipe.data.subject
    _, table = read_table((recipe.folder / str(recipe.data.path)).resolve() / recipe.data.manifest)
    people = sorted({row[column] for _, row in table})
    chosen, form = plan(recipe, target), import_runtime(target.runtime.name).FORM
    rows = []
    for place, person in enumerate(people):
        other = people[(place + 1) % len(people)]
        rest = [name for name in people if name not in (person, other)]
        split = recipe.data.split.model_copy(
            update={"column": column, "train": rest, "validation": [other], "test": [person]}
        )
        fold = recipe.model_copy(update={"data": recipe.data.model_copy(update={"split": split})})
        rows.append(_fold(fold, store, chosen, form) | {"test": person, "validation": other})
        print(json.dumps(rows[-1]), flush=True)
    told: dict[str, object] = {
        "recipe": recipe.name,
        "subjects": len(people),
        "target": target.name,
        "seed": recipe.seed,
    }
    for stage in ("teacher", *STAGES):
        reached = [row[stage] for row in rows]
        told[stage] = {"mean": statistics.mean(reached), "lowest": min(reached), "highest": max(reached)}
    print(json.dumps(told))


def _fold(recipe, store, chosen, form: str) -> dict[str, float]:
    from edgecomp.compiler import run_plan
    from edgecomp.evaluate import answers_of
    from edgecomp.task import Task, load_task

    task: Task = load_task(recipe, store)
    stages, targets = run_plan(chosen, task, recipe.seed), task.targets("test")

    def right(answers) -> float:
        return float((answers.argmax(1) == targets).mean())

    found = {"clips": len(targets), "teacher": right(task.answers("test"))}
    return found | {name: right(answers_of(stages[name].files[form], task, "test")) for name in STAGES}


if __name__ == "__main__":
    main()
