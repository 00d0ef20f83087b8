"""The models: what turns an image into text. Knows nothing of HTTP, queues or storage.

The libraries below read their switches when they are first imported, so these are set here, before any of them can be:
no telemetry, no thread that asks the hub to convert a `.bin` file, no advice about missing torchvision on a user's
terminal, and a hub that cannot be reached is found out in seconds.
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

# OpenVINO counts its imports at a web analytics service, and has no switch for it but a file in the user's home.
# Where the package that sends is not to be had, it takes its own stand-in that sends nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
