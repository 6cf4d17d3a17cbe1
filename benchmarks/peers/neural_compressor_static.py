"""Static int8 by Intel Neural Compressor, in the last version that quantises ONNX files (3.x takes torch, TensorFlow and JAX)."""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "neural-compressor==2.6", "onnx==1.16.2", "onnxruntime==1.18.1", "numpy==1.26.4",
#   "six==1.17.0"]  # which it needs and does not name
#
# [tool.peer]
# row = "static int8 by Intel Neural Compressor 2.6"
# of = "teacher"
# environment = "neural-compressor"
# order = 60
# ///

import numpy as np
from neural_compressor import PostTrainingQuantConfig, quantization


class Clips:
    batch_size = 1

    def __iter__(self):
        for clip in np.load("calibration.npy"):
            yield {"waveform": clip[None]}, 0


settings = PostTrainingQuantConfig(approach="static", quant_format="QDQ", calibration_sampling_size=[200])
quantization.fit("teacher.onnx", settings, calib_dataloader=Clips()).save("model.onnx")
