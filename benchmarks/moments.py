"""What does a black box say of its training clips that their labels do not? Its own head against heads fitted apart.

    python benchmarks/moments.py sounds

A head that was fitted on a clip gives the clip's label back. The rows say how often each answer is the clip's label, how sure
it is, and its log loss: of clips and of their windows, by the teacher's own head and by heads that never saw the clip's
subject; and, for comparison, of the validation clips by the teacher's own head. The nearer the training rows are to the
validation row, the more they teach about clips that nobody has heard. Rows go to stdout as JSON lines.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np


def main() -> None:
    """Ask about every training clip as a whole and window by window, and print the rows."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("recipe")
    ask.add_argument("--build", type=Path, default=Path("build"))
    given = ask.parse_args()

    from edgecomp.cli import recipe_named
    from edgecomp.store import Store
    from edgecomp.task import load_task

    task = load_task(recipe_named(given.recipe), Store(given.build))
    windows = task.moments.answers
    for name, answers, split in (
        ("training clips, own head", task.answers("train")[:, None], "train"),
        ("training clips, mean over windows, heads apart", windows.mean(axis=1, keepdims=True), "train"),
        ("training windows, heads apart", windows, "train"),
        ("validation clips, own head", task.answers("validation")[:, None], "validation"),
    ):
        print(json.dumps({"answers": name, **told(answers, task.targets(split))}), flush=True)


def told(answers: np.ndarray, targets: np.ndarray) -> dict:
    """Return what answers are worth, (clips, windows, classes) probabilities against (clips,) labels; -1 is left out."""
    answers, targets = answers[targets >= 0], targets[targets >= 0]
    of_label = np.take_along_axis(answers, targets[:, None, None], axis=2)
    return {
        "clips": len(targets),
        "right": float((answers.argmax(axis=2) == targets[:, None]).mean()),
        "confidence": float(answers.max(axis=2).mean()),
        "log_loss": float(-np.log(np.maximum(of_label, 1e-7)).mean()),
    }


if __name__ == "__main__":
    main()
