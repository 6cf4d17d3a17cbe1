"""The teacher as it is, converted by litert-torch."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "litert-torch==0.10.0", "litert-quantizer==0.11.0"]
#
# [tool.peer]
# row = "float32 in LiteRT, by litert-torch"
# of = "teacher"
# environment = "litert"
# order = 11
# ///

import litert_torch
import torch

teacher = torch.export.load("teacher.pt2").module()
litert_torch.convert(teacher, (torch.zeros(1, 32000),)).export("model.tflite")
