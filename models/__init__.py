"""The models, which turn images into text. They know nothing of HTTP, queues or storage.

The libraries read these environment variables when they are imported, so they are set here, before that. They turn off
telemetry, a thread that asks the hub to convert `.bin` files, and advice about missing torchvision; and shorten the
time until a hub counts as unreachable to seconds.
"""

import os
import sys

for _name, _value in {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_ETAG_TIMEOUT": "5",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(_name, _value)

# OpenVINO reports its imports to a web analytics service; only a file in the user's home turns that off. If the package
# that reports cannot be imported, OpenVINO uses a replacement that sends nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
