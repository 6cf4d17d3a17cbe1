"""Read a TFLite file as a graph of named tensors, and copy parts of it into another one."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecomp.errors import BundleError
from edgecomp.lowering.flatbuffer import Tensor, TfliteGraph

KINDS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
TYPES = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32, "INT8": np.int8}


class TfliteFile:
    """The only subgraph of a TFLite file.

    raises: BundleError wherever the file does not have what is asked for
    """

    def __init__(self, content: bytes):
        try:
            if content[4:8] != b"TFL3":
                raise ValueError("it does not begin as a TFLite file")
            self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
            self.graph = self.model.subgraphs[0]
        except Exception as why:  # the schema's reader meets damaged bytes with whatever they lead to
            raise foreign(f"it cannot be read: {why}") from None
        self.tensors, self.operators = self.graph.tensors, self.graph.operators
        self.names = {tensor.name.decode(): index for index, tensor in enumerate(self.tensors)}

    def kind(self, operator: Any) -> str:
        """Return an operator's name in the schema, such as "CONV_2D"."""
        return KINDS[self.model.operatorCodes[operator.opcodeIndex].builtinCode]

    def index(self, name: str) -> int:
        """Return a tensor's index."""
        if name not in self.names:
            raise foreign(f"it has no tensor {name!r}")
        return self.names[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return _shape(self.tensors[self.index(name)])

    def maker(self, name: str) -> int:
        """Return the position of the operator that gives a tensor."""
        index = self.index(name)
        for position, operator in enumerate(self.operators):
            if index in operator.outputs:
                return position
        raise foreign(f"nothing makes its tensor {name!r}")

    def constant(self, name: str) -> np.ndarray:
        """Return a constant's values by its name."""
        return self.values(self.index(name))

    def values(self, index: int) -> np.ndarray:
        """Return a constant's values by its index."""
        tensor = self.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None:
            raise foreign(f"its tensor {tensor.name.decode()!r} is no constant")
        return np.frombuffer(bytes(bytearray(data)), DTYPES[TYPES[tensor.type]]).reshape(_shape(tensor))

    def copy(self, index: int, graph: TfliteGraph, made: dict[int, Tensor]) -> Tensor:
        """Return a tensor's copy in another graph.

        made: the copies that are there already, by index; a new one is added
        """
        if index not in made:
            tensor, held = self.tensors[index], self.tensors[index].quantization
            is_scaled = held is not None and held.scale is not None
            made[index] = graph.tensor(
                tensor.name.decode(),
                _shape(tensor),
                TYPES[tensor.type],
                scale=np.asarray(held.scale) if is_scaled else None,
                zero=int(held.zeroPoint[0]) if is_scaled else 0,
                axis=held.quantizedDimension if is_scaled else 0,
                data=None if self.model.buffers[tensor.buffer].data is None else self.values(index),
            )
        return made[index]

    def copy_operator(
        self, operator: Any, graph: TfliteGraph, made: dict[int, Tensor], inputs: list[Tensor] | None = None
    ) -> Tensor:
        """Add an operator to another graph and return its output.

        inputs: those it reads there; None for the copies of its own
        """
        inputs = inputs or [self.copy(index, graph, made) for index in operator.inputs]
        options = operator.builtinOptions
        named = type(options).__name__.removesuffix("T") if options is not None else None
        output = self.copy(operator.outputs[0], graph, made)
        return graph.op(self.kind(operator), inputs, output, named, **(vars(options) if named else {}))


def foreign(why: str) -> BundleError:
    """Return the error of a file that edgecomp did not write like this."""
    return BundleError(
        f"no body can be cut out of this file: {why}",
        where="model.tflite",
        fix="compile the bundle again with this edgecomp",
    )


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(side) for side in tensor.shape)
