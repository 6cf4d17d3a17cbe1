"""The teacher as it is, in ONNX Runtime."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["onnxruntime==1.31.1"]
#
# [tool.peer]
# row = "float32 in ONNX Runtime"
# of = "teacher"
# environment = "onnxruntime-alone"
# order = 10
# ///

import shutil

import numpy as np
import onnxruntime

shutil.copy("teacher.onnx", "model.onnx")
session = onnxruntime.InferenceSession("model.onnx")
print(session.run(None, {"waveform": np.load("calibration.npy")[:1]}))
