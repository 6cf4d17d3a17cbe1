"""edgecomp: a compiler that takes a large audio model and gives a tiny, verified one for a named device."""

import os

__version__ = "0.1.0"

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # read by ONNX Runtime when it is first imported; a clinic's data stay there
