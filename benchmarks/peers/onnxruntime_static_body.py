"""Static int8 by ONNX Runtime alone, by somebody who knows to leave the front end and the softmax in float."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["onnxruntime==1.31.1", "onnx==1.23.2", "sympy==1.14.0"]
#
# [tool.peer]
# row = "static int8 by ONNX Runtime, front end and softmax in float"
# of = "teacher"
# environment = "onnxruntime"
# order = 31
# ///

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Clips(CalibrationDataReader):
    def __init__(self):
        self.clips = iter(np.load("calibration.npy"))

    def get_next(self):
        clip = next(self.clips, None)
        return None if clip is None else {"waveform": clip[None]}


quant_pre_process("teacher.onnx", "prepared.onnx")
model = onnx.load("prepared.onnx")
nodes = list(model.graph.node)
for number, node in enumerate(nodes):
    node.name = node.name or f"{node.op_type}_{number}"
onnx.save(model, "prepared.onnx")
first_conv = next(number for number, node in enumerate(nodes) if node.op_type == "Conv")
outside = [node.name for number, node in enumerate(nodes) if number < first_conv or node.op_type == "Softmax"]
quantize_static(
    "prepared.onnx",
    "model.onnx",
    Clips(),
    per_channel=True,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    nodes_to_exclude=outside,
)
