"""What every peer starts from: the teacher as ONNX and as a torch program, edgecomp's float student, and training clips.

The teacher's ONNX file is what torch.onnx.export writes by default, with the shapes that it notes of intermediate values
removed: some of them are stale after its optimiser, and ONNX's own shape inference, which two of the peers call, then fails.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgecomp.artifact import content_hash, text_hash
from edgecomp.store import Store
from edgecomp.task import Task

CALIBRATION_CLIPS = 200
LARGEST_GAP = 1e-4
"""Between the teacher that answers in a compile and the files that peers get of it."""


def prepare(task: Task, report: Mapping, folder: Path, *, fresh: bool = False) -> dict[str, str]:
    """Write the inputs that are not there yet, and return the hash of what each kind of peer starts from.

    report: report.json of the bundle, for its float student
    """
    student = float_student(report, task.store)
    teacher = text_hash(task.teacher.fingerprint, task.dataset.of("train").fingerprint, CALIBRATION_CLIPS)
    keys = {"teacher": teacher, "student": text_hash(teacher, content_hash(student)), "edgecomp": teacher}
    kept = folder / "keys.json"
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() and not fresh else {}
    folder.mkdir(parents=True, exist_ok=True)
    if before.get("teacher") != teacher:
        _teacher(task, folder)
        np.save(folder / "calibration.npy", calibration(task.waveforms("train"), task.recipe.seed))
    if before.get("student") != keys["student"]:
        _student(student, task.dataset.samples, folder / "student.pt2")
    kept.write_text(json.dumps(keys), encoding="utf-8")
    return keys


def calibration(clips: np.ndarray, seed: int) -> np.ndarray:
    """Return some training clips, drawn once for all peers."""
    rows = np.random.default_rng(seed).permutation(len(clips))[:CALIBRATION_CLIPS]
    return np.array(clips[np.sort(rows)], np.float32)


def float_stage(report: Mapping) -> Mapping:
    """Return the stage that int8 was made from."""
    return [stage for stage in report["stages"] if stage["name"] not in ("int8", "teacher")][-1]


def stored_file(stage: Mapping, form: str, store: Store) -> Path:
    """Return a stage's model file, which the store holds, by the hash that the report states."""
    wanted = next(file["hash"] for file in stage["files"] if file["format"] == form)
    for file in store.folder.glob(f"done/export-*/model.{form}"):
        if content_hash(file) == wanted:
            return file
    raise FileNotFoundError(f"the {stage['name']} {form} file of the bundle's report is not in {store.folder}")


def float_student(report: Mapping, store: Store) -> Path:
    """Return the folder of the calibrated float student, in torch, that int8 was made from."""
    stage = float_stage(report)
    exported = stored_file(stage, stage["files"][0]["format"], store).parent / "artifact.json"
    trail = json.loads(exported.read_text(encoding="utf-8"))["trail"]
    wanted = next(step["output_hash"] for step in reversed(trail) if step["name"] == "calibrate")
    for file in store.folder.glob("done/calibrate-*/artifact.json"):
        made = json.loads(file.read_text(encoding="utf-8"))
        if made["trail"][-1]["output_hash"] == wanted:
            return file.parent / made["path"]
    raise FileNotFoundError(f"the float student of the bundle's report is not in {store.folder}")


def _teacher(task: Task, folder: Path) -> None:
    """Write teacher.onnx and teacher.pt2, held against the teacher's own answers, and seed/ for edgecomp itself."""
    import contextlib
    import io

    import onnx
    import torch

    from edgecomp.teachers.asking import open_onnx

    weights = next(
        file
        for file in task.store.folder.glob("done/teacher-*/weights.safetensors")
        if content_hash(file) == task.teacher.facts["weights_hash"]
    )
    module = torch.nn.Sequential(_filled(task, weights), torch.nn.Softmax(dim=1)).eval()
    clip = torch.zeros(1, task.dataset.samples)
    torch.export.save(torch.export.export(module, (clip,)), folder / "teacher.pt2")
    names = {"input_names": ["waveform"], "output_names": ["probabilities"]}
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(module, (clip,), str(folder / "teacher.onnx"), dynamo=True, external_data=False, **names)
    model = onnx.load(folder / "teacher.onnx")
    model.graph.ClearField("value_info")
    onnx.save(model, folder / "teacher.onnx")
    session = open_onnx(folder / "teacher.onnx")
    heard = np.array(task.waveforms("validation")[:32], np.float32)
    answers = np.stack([session.run(None, {"waveform": wave[None]})[0][0] for wave in heard])
    gap = float(np.abs(answers - task.teacher.probabilities(heard)).max())
    if gap > LARGEST_GAP:
        raise ValueError(
            f"the peers' teacher differs from the compile's by {gap:.2g}; at most {LARGEST_GAP} is allowed"
        )
    shutil.rmtree(folder / "seed", ignore_errors=True)
    for made in (weights.parent, task.teacher.path.parent):
        shutil.copytree(made, folder / "seed" / "done" / made.name)


def _filled(task: Task, weights: Path):
    """Return the recipe's own module with its trained weights."""
    from safetensors.torch import load_file

    from edgecomp.teachers.torch import build

    module = build(task.recipe, task.dataset)
    module.load_state_dict({name: value.float() for name, value in load_file(weights).items()}, strict=True)
    return module


def _student(folder: Path, samples: int, file: Path) -> None:
    """Write the float student with its calibrated softmax as a torch program."""
    import torch

    from edgecomp.students.ending import read_ending
    from edgecomp.students.student import load_student

    ending = read_ending(folder)

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.student = load_student(folder)
            self.shift = torch.tensor(ending.shift or [0.0])

        def forward(self, waveforms):
            return torch.softmax(ending.scale * self.student(waveforms) + self.shift, dim=1)

    program = torch.export.export(Whole().eval(), (torch.zeros(1, samples),))
    torch.export.save(program, file)
