"""How much a number format changes what a model says: `python -m benchmarks.quality --images DIR NAME ...`.

float32 writes a text for each image. Every precision then reads that text and says at each place which token it would
have written (teacher forcing): so one difference does not make all that follows differ. A model is a captioner or
TrOCR; NAME=DIRECTORY says where its checkpoint is, NAME alone takes the weights that are on this machine. Markdown is
printed; `--write` puts it into README.md in this folder.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import report
from benchmarks.machine import about
from models import generation
from models.base import Job, Model, Options, Placement
from models.discovery import discover, with_local_paths
from models.generation import Floats, TextRequest
from models.weights import find

_SUFFIXES = (".jpg", ".jpeg", ".png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table with a row for each model and precision."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").partition(":")[0] + "."
    )
    parser.add_argument("models", nargs="+", metavar="NAME[=DIRECTORY]", help="a model, and its checkpoint")
    parser.add_argument("--images", type=Path, required=True, help="directory of images, looked for in its folders too")
    parser.add_argument("--count", type=int, default=16, help="how many of them (default: 16)")
    parser.add_argument("--tokens", type=int, default=20, help="how many tokens of each at most (default: 20)")
    parser.add_argument("--precisions", default="bfloat16,int8", help="comma-separated (default: bfloat16,int8)")
    parser.add_argument("--network-cache", type=Path, help="as the setting NETWORK_CACHE")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    asked = parser.parse_args(arguments)
    files = sorted(path for path in asked.images.rglob("*") if path.suffix.lower() in _SUFFIXES)[: asked.count]
    if not files:
        parser.error(f"{asked.images} holds no JPEG or PNG files")
    named = {name: path for name, _, path in (one.partition("=") for one in asked.models)}
    known = with_local_paths(discover(), {name: Path(path) for name, path in named.items() if path})
    if unknown := named.keys() - known.keys():
        parser.error(f"no model {', '.join(sorted(unknown))}")
    jobs = [Job(Image.open(path).convert("RGB"), options=_options(asked.tokens)) for path in files]
    rows = [
        row for name in named for row in measure(known[name], jobs, asked.precisions.split(","), asked.network_cache)
    ]
    header = ("model", "precision", "images", "tokens", "equal", "largest logit difference", "spread of logits")
    measured = f"{about()}\n\n{report.table(header, rows)}"
    print(measured)
    if asked.write:
        report.write("quality", measured)


def _options(tokens: int) -> Options:
    return Options(num_beams=1, max_new_tokens=tokens)


def measure(
    model: Model, jobs: Sequence[Job], precisions: Sequence[str], cache: Path | None
) -> Iterator[tuple[object, ...]]:
    """Yield a row for each precision: the share of tokens on which it agrees with float32, and the largest difference
    of a logit, beside the standard deviation of the logits.

    Raises:
        SystemExit: the model's weights are not on this machine.
    """
    directory = find(model.source)
    if directory is None:
        raise SystemExit(f"{model.name} is not on this machine: name its directory, {model.name}=DIRECTORY")

    def load(precision: str) -> Any:
        return model.load(directory, Placement("cpu", precision, "openvino", cache))

    exact = load("float32")
    work: list[tuple[TextRequest, Floats]] = [(job.request, job.inputs) for job in map(exact.prepare, jobs)]
    texts = [_written(exact, *one) for one in work]
    truth = [logits_of(exact.network, *one, text) for one, text in zip(work, texts, strict=True)]
    del exact
    spread = float(np.mean([logits.std() for logits in truth]))
    for precision in precisions:
        network = load(precision).network
        said = [logits_of(network, *one, text) for one, text in zip(work, texts, strict=True)]
        equal, largest = compare(truth, said)
        yield (
            model.name,
            precision,
            len(jobs),
            sum(map(len, texts)),
            f"{equal:.2%}",
            f"{largest:.3f}",
            f"{spread:.3f}",
        )


def _written(loaded: Any, request: TextRequest, pixels: Floats) -> Sequence[int]:
    texts, _ = generation.generate(loaded.network, [pixels[None]], [request], loaded.network.rules)
    return texts[0].tokens


def logits_of(network: Any, request: TextRequest, pixels: Floats, text: Sequence[int]) -> Floats:
    """Return the logits (length, vocabulary) with which a network meets each token of a text about one image."""
    network.encode(pixels[None])
    tokens, total, told = list(request.prompt), 0, []
    one, nothing = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
    for following in text:
        positions = np.arange(total, total + len(tokens))[None]
        total += len(tokens)
        attended = np.ones((1, total), bool)
        logits, _ = network.step(np.array([tokens]), positions, attended, nothing, one, nothing)
        told.append(logits[0].copy())
        tokens = [following]
    return np.stack(told)


def compare(truth: Sequence[Floats], said: Sequence[Floats]) -> tuple[float, float]:
    """Return the share of places at which both would write the same token, and the largest difference of a logit."""
    same = [a.argmax(-1) == b.argmax(-1) for a, b in zip(truth, said, strict=True)]
    return float(np.concatenate(same).mean()), max(float(abs(a - b).max()) for a, b in zip(truth, said, strict=True))


if __name__ == "__main__":
    main()
