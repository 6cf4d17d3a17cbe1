"""Static int8 by Olive, with its defaults, as a workflow."""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "olive-ai==0.13.0", "onnxruntime==1.31.1",
#   "requests==2.34.2"]  # which it needs and does not name
#
# [tool.peer]
# row = "static int8 by Olive"
# of = "teacher"
# environment = "olive"
# order = 40
# ///

import shutil

import numpy as np
from olive.data.registry import Registry
from olive.workflows import run


@Registry.register_dataset()
def clips(**_):
    return [({"waveform": clip}, 0) for clip in np.load("calibration.npy")]


run(
    {
        "input_model": {"type": "ONNXModel", "model_path": "teacher.onnx"},
        "data_configs": [{"name": "clips", "load_dataset_config": {"type": "clips"}}],
        "passes": {"quantise": {"type": "OnnxStaticQuantization", "data_config": "clips"}},
        "output_dir": "out",
    }
)
shutil.copy("out/model.onnx", "model.onnx")
