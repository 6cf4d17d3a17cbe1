"""Teachers of kind onnx: a model file as a black box, in ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecomp.errors import TeacherError
from edgecomp.store import Store
from edgecomp.teachers.asking import FileTeacher, open_onnx
from edgecomp.teachers.black_box import black_box, model_file, one_input

if TYPE_CHECKING:
    import numpy as np

    from edgecomp.data.manifest import Dataset
    from edgecomp.recipe import Recipe


def load(recipe: Recipe, dataset: Dataset, store: Store) -> FileTeacher:
    """Open the ONNX file of teacher.path; its first output is taken as scores.

    raises: TeacherError if it is no model of one waveform
    """
    path = model_file(recipe, ".onnx")
    found = open_onnx(path).get_inputs()
    inputs = [
        (i.name, tuple(size if isinstance(size, int) else None for size in i.shape), _dtype(i.type)) for i in found
    ]
    window = one_input(inputs, path)
    name, rank = inputs[0][0], len(inputs[0][1])

    def open_model():
        session = open_onnx(path)
        output = session.get_outputs()[0].name

        def answer(clip: np.ndarray) -> np.ndarray:
            try:
                return session.run([output], {name: clip.reshape((1,) * (rank - 1) + (-1,))})[0].reshape(-1)
            except Exception as why:  # onnxruntime's errors share no base but Exception
                raise TeacherError(
                    f"the model cannot take {len(clip)} samples: {str(why).splitlines()[0]}",
                    where=path,
                    fix="set window_s under [teacher] to the length that it takes",
                ) from why

        return answer

    return black_box(recipe, dataset, store, path=path, form="onnx", window=window, open_model=open_model)


def _dtype(kind: str) -> str:
    """Return a tensor's type as numpy calls it: "tensor(float)" → "float32"."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
