"""Static int8 by ONNX Runtime alone, of everything, as its guide has it."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["onnxruntime==1.31.1", "onnx==1.23.2", "sympy==1.14.0"]
#
# [tool.peer]
# row = "static int8 by ONNX Runtime, everything"
# of = "teacher"
# environment = "onnxruntime"
# order = 30
# ///

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Clips(CalibrationDataReader):
    def __init__(self):
        self.clips = iter(np.load("calibration.npy"))

    def get_next(self):
        clip = next(self.clips, None)
        return None if clip is None else {"waveform": clip[None]}


quant_pre_process("teacher.onnx", "prepared.onnx")
quantize_static(
    "prepared.onnx",
    "model.onnx",
    Clips(),
    per_channel=True,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
)
