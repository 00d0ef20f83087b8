"""How much a number format changes what a model says, token by token.

    python -m benchmarks.quality blip-base --model-paths blip-base=DIR --images DIR

float32 writes a text for each image. Every precision then reads that text and says at each place which token it would
have written (teacher forcing): so one difference does not make all that follows differ. Printed are the share of tokens
on which it agrees with float32, and the largest difference of a logit.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models import generation
from models.base import Job, Options, Placement
from models.generation import Floats, Request
from models.registry import discover, with_local_paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each precision."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("model", help="name of a model that writes: a captioner or TrOCR")
    parser.add_argument("--model-paths", default="", help="name=directory, as the setting MODEL_PATHS")
    parser.add_argument("--images", type=Path, required=True, help="directory of images")
    parser.add_argument("--count", type=int, default=16, help="how many of them")
    parser.add_argument("--tokens", type=int, default=20, help="how many tokens of each")
    parser.add_argument("--precisions", default="bfloat16", help="comma-separated")
    parser.add_argument("--network-cache", type=Path, help="as the setting NETWORK_CACHE")
    asked = parser.parse_args(arguments)
    name, _, directory = asked.model_paths.partition("=")
    model = with_local_paths(discover(), {name: Path(directory)} if directory else {})[asked.model]
    files = sorted(path for path in asked.images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    options = Options(num_beams=1, max_new_tokens=asked.tokens)
    if not files:
        raise SystemExit(f"{asked.images} holds no JPEG or PNG files")
    jobs = [Job(Image.open(path).convert("RGB"), options=options) for path in files[: asked.count]]

    def load(precision: str) -> Any:
        from models.hub import find

        path = find(model.source)
        if path is None:
            raise SystemExit(f"{asked.model} is not on this machine: name its directory with --model-paths")
        return model.load(path, Placement("cpu", precision, cache=asked.network_cache))

    exact = load("float32")
    work: list[tuple[Request, Floats]] = [exact.prepare(job).prepared for job in jobs]
    texts = [
        generation.write(exact.network, [pixels[None]], [request], exact.network.rules)[0][0].tokens
        for request, pixels in work
    ]
    truth = [logits_of(exact.network, *work[index], text) for index, text in enumerate(texts)]
    del exact
    print(f"{asked.model}: {len(work)} images, {sum(map(len, texts))} tokens")
    print(f"{'precision':12}{'equal tokens':>14}{'largest logit difference':>28}{'spread of logits':>20}")
    for precision in asked.precisions.split(","):
        other = load(precision)
        said = [logits_of(other.network, *work[index], text) for index, text in enumerate(texts)]
        equal, largest = compare(truth, said)
        spread = float(np.mean([logits.std() for logits in truth]))
        print(f"{precision:12}{equal:14.2%}{largest:28.4f}{spread:20.4f}")


def logits_of(network: Any, request: Request, pixels: Floats, text: Sequence[int]) -> Floats:
    """Return the logits (length, vocabulary) with which a network meets each token of a text about one image."""
    network.encode(pixels[None])
    tokens, total, told = list(request.prompt), 0, []
    one, nothing = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
    for following in text:
        positions = np.arange(total, total + len(tokens))[None]
        total += len(tokens)
        attended = np.ones((1, total), bool)
        told.append(network.step(np.array([tokens]), positions, attended, nothing, one, nothing)[0].copy())
        tokens = [following]
    return np.stack(told)


def compare(truth: Sequence[Floats], said: Sequence[Floats]) -> tuple[float, float]:
    """Return the share of places at which both would write the same token, and the largest difference of a logit."""
    same = [a.argmax(-1) == b.argmax(-1) for a, b in zip(truth, said, strict=True)]
    return float(np.concatenate(same).mean()), max(float(abs(a - b).max()) for a, b in zip(truth, said, strict=True))


if __name__ == "__main__":
    main()
