"""Teachers of kind litert: a TFLite file as a black box, in LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.errors import TeacherError
from edgecomp.store import Store
from edgecomp.teachers.asking import FileTeacher
from edgecomp.teachers.black_box import black_box, model_file, one_input

if TYPE_CHECKING:
    from edgecomp.data.manifest import Dataset
    from edgecomp.recipe import Recipe


def load(recipe: Recipe, dataset: Dataset, store: Store) -> FileTeacher:
    """Open the TFLite file of teacher.path; its first output is taken as scores.

    raises: TeacherError if it is no model of one waveform
    """
    path = model_file(recipe, ".tflite")
    found = _interpreter(path).get_input_details()
    inputs = [(i["name"], _shape(i), np.dtype(i["dtype"]).name) for i in found]
    fixed = one_input(inputs, path)
    rank, index = len(inputs[0][1]), found[0]["index"]
    window_s = recipe.teacher.window_s
    wanted = fixed or (round(window_s * dataset.sample_rate) if window_s else dataset.samples)

    def open_model():
        interpreter = _interpreter(path)
        shape = [1] * (rank - 1) + [wanted]
        if fixed is None:
            interpreter.resize_tensor_input(index, shape)
        interpreter.allocate_tensors()
        output = interpreter.get_output_details()[0]["index"]

        def answer(clip: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(index, np.ascontiguousarray(clip, np.float32).reshape(shape))
            interpreter.invoke()
            return interpreter.get_tensor(output).reshape(-1)

        return answer

    return black_box(recipe, dataset, store, path=path, form="tflite", window=fixed, open_model=open_model)


def _interpreter(path: Path):
    from ai_edge_litert.interpreter import Interpreter

    try:
        return Interpreter(model_path=str(path), num_threads=1)
    except (ValueError, RuntimeError) as why:
        raise TeacherError(
            f"LiteRT cannot open it: {str(why).splitlines()[0]}",
            where=path,
            fix="check that it is a whole .tflite file",
        ) from why


def _shape(details: dict) -> tuple[int | None, ...]:
    """Return an input's shape, None where it is free."""
    signature = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    return tuple(None if size < 0 else int(size) for size in signature)
