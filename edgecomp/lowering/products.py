"""One large matrix product as a model file: what a runtime's own kernels reach at best is measured with it."""

from __future__ import annotations

import numpy as np

SIDE = 256
"""Of square matrices: small enough for the second cache of a small core, large enough that calling a runtime costs nothing."""
MACS = SIDE**3
NUMERICS = ("float32", "int8")


def product(form: str, numerics: str) -> bytes:
    """Return a model file that multiplies what it is given, (SIDE, SIDE), by a constant.

    form:     "onnx" or "tflite"
    numerics: "float32", or "int8": bytes in, as that format's int8 layers read them; seeded weights, int8
    """
    random = np.random.default_rng(0)
    if numerics == "int8":
        weight = random.integers(-127, 127, (SIDE, SIDE), endpoint=True).astype(np.int8)
    else:
        weight = random.standard_normal((SIDE, SIDE)).astype(np.float32)
    return {"onnx": _onnx, "tflite": _tflite}[form](weight)


def _onnx(weight: np.ndarray) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    from edgecomp.lowering.onnx import IR_VERSION, OPSET

    is_float = weight.dtype == np.float32
    kind, given, made = (
        ("MatMul", TensorProto.FLOAT, TensorProto.FLOAT)
        if is_float
        else ("MatMulInteger", TensorProto.UINT8, TensorProto.INT32)
    )
    ends = [
        helper.make_tensor_value_info(name, type_, (SIDE, SIDE)) for name, type_ in (("x", given), ("product", made))
    ]
    node = helper.make_node(kind, ["x", "weight"], ["product"])
    model = helper.make_model(
        helper.make_graph([node], "main", ends[:1], ends[1:], [numpy_helper.from_array(weight, "weight")]),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgecomp",
    )
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _tflite(weight: np.ndarray) -> bytes:
    from edgecomp.lowering.flatbuffer import TfliteGraph

    graph, shape = TfliteGraph("edgecomp product"), (SIDE, SIDE)
    if weight.dtype == np.float32:
        x, made = graph.tensor("x", shape), graph.tensor("product", shape)
        constants = [graph.constant("weight", weight)]
    else:
        step, steps = 1 / 128, np.full(SIDE, 1 / 128, np.float32)
        x = graph.tensor("x", shape, "INT8", scale=step)
        made = graph.tensor("product", shape, "INT8", scale=SIDE * step)
        bias = np.zeros(SIDE, np.int32)
        constants = [graph.constant("weight", weight, scale=steps), graph.constant("bias", bias, scale=step * steps)]
    graph.op("FULLY_CONNECTED", [x, *constants], made, "FullyConnectedOptions")
    return graph.to_bytes({"x": x}, {"product": made}, {})
