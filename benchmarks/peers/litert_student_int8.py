"""edgecomp's float student, by litert-torch and litert-quantizer: static int8 of its body, front end and softmax in float."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "litert-torch==0.10.0", "litert-quantizer==0.11.0"]
#
# [tool.peer]
# row = "static int8 of the body by litert-quantizer"
# of = "student"
# environment = "litert"
# order = 70
# ///

import litert_torch
import numpy as np
import torch
from litert_quantizer import Quantizer

student = torch.export.load("student.pt2").module()
litert_torch.convert(student, (torch.zeros(1, 32000),)).export("float.tflite")
quantizer = Quantizer("float.tflite")
quantizer.add_static_config(".*Body_body.*", "*", activation_num_bits=8, weight_num_bits=8)
clips = [{"args_0": clip[None]} for clip in np.load("calibration.npy")]
ranges = quantizer.calibrate({"serving_default": clips})
quantizer.quantize(ranges).export_model("model.tflite")
