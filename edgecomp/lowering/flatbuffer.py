"""Write a TFLite file operator by operator, without a converter.

The schema's classes come with the LiteRT package. Options are given by their schema names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

ALIGNMENT = 16
"""Bytes; the schema forces it on buffers, and XNNPACK reads weights in place from a mapped file."""
DTYPES = {
    np.dtype(np.float32): "FLOAT32",
    np.dtype(np.float16): "FLOAT16",
    np.dtype(np.int32): "INT32",
    np.dtype(np.int8): "INT8",
}
VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 6,
    "DEQUANTIZE": 3,
    "ADD": 2,
    "MEAN": 2,
    "QUANTIZE": 2,
    "REVERSE_V2": 1,
    "SUB": 2,
    "SOFTMAX": 2,
}
"""Operator versions that int8, float16 constants or a missing bias ask for (lite/tools/versioning/op_version.cc); 1 elsewhere."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph under construction."""

    index: int
    shape: tuple[int, ...]


@dataclass
class TfliteGraph:
    """A TFLite graph that is being written; `to_bytes` ends it."""

    description: str
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "FLOAT32",
        *,
        scale: float | np.ndarray | None = None,
        zero: int = 0,
        axis: int = 0,
        data: np.ndarray | None = None,
    ) -> Tensor:
        """Add a tensor; with `data` it is a constant.

        scale: real value of one step; an array gives one for every index along `axis`
        """
        made = schema.TensorT()
        made.name, made.shape, made.type = name.encode(), list(shape), getattr(schema.TensorType, dtype)
        made.buffer = 0 if data is None else self._buffer(np.ascontiguousarray(data).tobytes())
        if scale is not None:
            steps = np.atleast_1d(np.asarray(scale, np.float32))
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = steps
            made.quantization.zeroPoint = np.full(len(steps), zero, np.int64)
            made.quantization.quantizedDimension = axis
        self.tensors.append(made)
        return Tensor(len(self.tensors) - 1, tuple(shape))

    def constant(
        self, name: str, data: np.ndarray, *, scale: float | np.ndarray | None = None, axis: int = 0
    ) -> Tensor:
        """Add a constant tensor."""
        return self.tensor(name, data.shape, DTYPES[data.dtype], scale=scale, axis=axis, data=data)

    def op(
        self,
        kind: str,
        inputs: list[Tensor],
        output: Tensor,
        options: str | None = None,
        *,
        version: int = 1,
        **settings: Any,
    ) -> Tensor:
        """Add an operator and return its output.

        kind:     name in BuiltinOperator, such as "CONV_2D"
        options:  name in BuiltinOptions, such as "Conv2DOptions", with its fields as settings
        version:  what this use of the operator asks for, where that is more than VERSIONS says
        """
        made = schema.OperatorT()
        made.opcodeIndex = self._code(kind, version)
        made.inputs, made.outputs = [t.index for t in inputs], [output.index]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, options + "T")()
            for name, value in settings.items():
                if not hasattr(made.builtinOptions, name):
                    raise TypeError(f"{options} has no field {name!r}")
                setattr(made.builtinOptions, name, value)
        self.operators.append(made)
        return output

    def to_bytes(self, inputs: dict[str, Tensor], outputs: dict[str, Tensor], metadata: dict[str, bytes]) -> bytes:
        """End the graph: name its ends in a signature, add metadata, and return the file's bytes."""
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"main", self.tensors, self.operators
        graph.inputs, graph.outputs = [t.index for t in inputs.values()], [t.index for t in outputs.values()]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = _named(inputs), _named(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, self.description.encode()
        model.operatorCodes, model.subgraphs, model.signatureDefs = self.codes, [graph], [signature]
        model.metadata = []
        for name, content in metadata.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name.encode(), self._buffer(content)
            model.metadata.append(entry)
        model.buffers = self.buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, content: bytes) -> int:
        for index, known in enumerate(self.buffers[1:], 1):  # equal constants are stored once
            if known.content == content:
                return index
        self.buffers.append(_AlignedBuffer(content))
        return len(self.buffers) - 1

    def _code(self, kind: str, version: int) -> int:
        number = getattr(schema.BuiltinOperator, kind)
        for index, code in enumerate(self.codes):
            if code.builtinCode == number:
                code.version = max(code.version, version)
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = max(VERSIONS.get(kind, 1), version)
        self.codes.append(code)
        return len(self.codes) - 1


class _AlignedBuffer(schema.BufferT):
    """A buffer whose bytes start at a multiple of ALIGNMENT; the generated class would not see to it."""

    def __init__(self, content: bytes):
        super().__init__()
        self.content = content

    def Pack(self, builder: flatbuffers.Builder) -> int:
        size = len(self.content)
        builder.StartVector(1, size, ALIGNMENT)
        builder.head -= size
        builder.Bytes[builder.head : builder.head + size] = self.content
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _named(ends: dict[str, Tensor]) -> list[Any]:
    made = []
    for name, tensor in ends.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), tensor.index
        made.append(entry)
    return made


def metadata_of(content: bytes, name: str) -> bytes | None:
    """Return the bytes that a TFLite file holds under a metadata name, or None."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for entry in model.metadata or []:
        if entry.name == name.encode():
            return bytes(bytearray(model.buffers[entry.buffer].data))
    return None
