"""Seconds and memory for a caption of a vision-language model on this processor, beside plain transformers.

    .venv/bin/python -m benchmarks.chat [--ways plain-float32,plain-bfloat16,...] [--runs 3]

The network has the shape of SmolVLM2-256M and random weights, and every text is made 20 tokens long. Each way runs in a
process of its own, one after the other.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.machine import about

_TOKENS = 20
_PHOTO = Path(__file__).parents[1] / "Input" / "scene.jpg"
WAYS = {
    "plain-float32": "transformers, float32, as its card has it",
    "plain-bfloat16": "transformers, bfloat16, as its card has it",
    "plain-int8": "transformers, linear layers in int8 (quantize_dynamic), as its card has it",
    "look-bfloat16": "this service, bfloat16, an instruction: all tiles",
    "glance-float32": "this service, float32, a caption: one tile",
    "glance-bfloat16": "this service, bfloat16, a caption: one tile",
}


def make(out: Path) -> None:
    """Write a checkpoint of SmolVLM2-256M's shape."""
    import torch

    from tests.chat_checkpoints import smolvlm

    torch.manual_seed(0)
    text = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    text |= {"num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49_280}
    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    smolvlm(out, 2, text, vision | {"image_size": 512, "patch_size": 16}, tile=512)


def _service(directory: Path, precision: str, prompt: str | None) -> Callable[[Image.Image], Any]:
    from models.base import Job, Options, Placement
    from models.discovery import discover

    loaded = discover()["smolvlm2-256m"].load(directory, Placement("cpu", precision))
    options = Options(prompt=prompt, min_new_tokens=_TOKENS, max_new_tokens=_TOKENS)
    return lambda picture: loaded.predict([Job(picture, options=options)])


def _plain(directory: Path, precision: str) -> Callable[[Image.Image], Any]:
    import torch
    import transformers

    from models.preprocessing.chat import Chat

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    chat = Chat(directory)
    network = transformers.AutoModelForImageTextToText.from_pretrained(directory, dtype=dtype).eval()
    if precision == "int8":
        network = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)

    @torch.inference_mode()
    def caption(picture: Image.Image) -> Any:
        inputs = chat.inputs([picture], ["Describe this image in one sentence."], {})
        moved = {key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()}
        return network.generate(**moved, min_new_tokens=_TOKENS, max_new_tokens=_TOKENS, do_sample=False)

    return caption


def measure(directory: Path, way: str, runs: int) -> dict[str, float]:
    """Return the seconds, the processor time and the memory of one way."""
    kind, _, precision = way.partition("-")
    prompt = {"look": "Describe this image in one sentence."}.get(kind)
    caption = _plain(directory, precision) if kind == "plain" else _service(directory, precision, prompt)
    picture = Image.open(_PHOTO).convert("RGB").resize((640, 480))
    if runs > 1:
        caption(picture)
    seconds, started = [], time.process_time()
    for _ in range(runs):
        begun = time.monotonic()
        caption(picture)
        seconds.append(time.monotonic() - begun)
    used = (time.process_time() - started) / runs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": statistics.median(seconds), "processor": used, "memory": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated names")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("DIR", "WAY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(Path(asked.one[0]), asked.one[1], asked.runs)))
        return
    print(about())
    print("\n| way | seconds | processor seconds | peak memory, MB |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        make(Path(directory))
        for way in asked.ways.split(","):
            command = [sys.executable, "-m", "benchmarks.chat", "--one", directory, way, "--runs", str(asked.runs)]
            said = json.loads(
                subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            )
            print(
                f"| {WAYS[way]} | {said['seconds']:.2f} | {said['processor']:.2f} | {said['memory']:,.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
