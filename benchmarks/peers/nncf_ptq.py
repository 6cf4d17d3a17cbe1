"""Post-training quantisation by NNCF of the ONNX file, with its defaults."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.31.1"]
#
# [tool.peer]
# row = "int8 by NNCF's post-training quantisation"
# of = "teacher"
# environment = "nncf"
# order = 50
# ///

import nncf
import numpy as np
import onnx

clips = nncf.Dataset(np.load("calibration.npy"), lambda clip: {"waveform": clip[None]})
onnx.save(nncf.quantize(onnx.load("teacher.onnx"), clips, subset_size=200), "model.onnx")
