"""LitServe with transformers in bfloat16 and its batching on: `python -m benchmarks.speed.lit DIRECTORY PORT`."""

import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import litserve
import torch
from PIL import Image

from benchmarks.speed.plain import load, opened

BATCH = 8
"""As many at once as this service takes."""
_WAIT = 0.05
"""Seconds in which it gathers a batch."""


class Captioner(litserve.LitAPI):  # type: ignore[misc]
    """A captioner behind LitServe. The image comes in base64, in JSON."""

    def __init__(self, directory: Path) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=_WAIT)
        self._directory = directory

    def setup(self, device: str) -> None:
        """Load the model, in the worker's process."""
        self._predict = load(self._directory, torch.bfloat16)

    def decode_request(self, request: dict[str, str]) -> Image.Image:
        """Return the image of a request."""
        return opened(base64.b64decode(request["image"]))

    def predict(self, images: Any) -> list[str]:
        """Caption a batch."""
        return self._predict(images if isinstance(images, Sequence) else [images])

    def encode_response(self, output: Any) -> dict[str, str]:
        """Return the answer to one request."""
        return {"text": output}


def main() -> None:
    """Serve. The time that a request may wait is as long as it takes."""
    server = litserve.LitServer(Captioner(Path(sys.argv[1])), accelerator="cpu", timeout=False)
    server.run("127.0.0.1", int(sys.argv[2]), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
