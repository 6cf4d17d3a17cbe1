# Dynamic int8 by Optimum's command line, as most guides say.

# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "optimum-onnx[onnxruntime]==0.1.0"]
#
# [tool.peer]
# row = "dynamic int8 by Optimum"
# of = "teacher"
# environment = "optimum"
# order = 20
# ///

mkdir float && cp teacher.onnx float/model.onnx
optimum-cli onnxruntime quantize --onnx_model float --avx2 --output int8
mv int8/model_quantized.onnx model.onnx
