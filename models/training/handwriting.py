"""Fine-tune RapidOCR's recogniser to read handwriting: `python -m models.training.handwriting --lines DIR --out DIR`.

DIR holds `lines.tsv` (file, source, writer, text, split) and the images; of it, `train` is trained on, and `dev` says
which state of the network is the best. The loss is CTC's. The output directory gets the best network in half
precision, as `models/shipped/handwriting` has it, and `log.csv`.
"""

import argparse
import logging
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jiwer
import torch
from torch import Tensor

from models.networks.recogniser import Recogniser, keep_characters, read_network, write_own
from models.reading.ctc import decode
from models.training.command import Parser
from models.training.line_changes import changed
from models.training.lines import Line, batches, read_lines, stack
from models.training.tuning import LATIN, Plan, State, Tuning, ctc_loss, prepare

log = logging.getLogger(__name__)


class Training:
    """A recogniser that learns from lines, and is kept where it reads the dev lines best."""

    def __init__(self, network: Recogniser, characters: Sequence[str], plan: Plan, package: Path, out: Path) -> None:
        self._network, self._characters, self._plan = network, characters, plan
        self._package, self._out = package, out
        self._numbers = {character: number for number, character in enumerate(characters)}
        self._best = math.inf

    def run(self, lines: Sequence[Line], dev: Sequence[Line], chance: random.Random) -> None:
        """Train until the time is up, and keep the best."""

        def loss(batch: list[Line]) -> Tensor:
            images = [
                changed(line.image, (chance.choice(lines).image, chance.choice(lines).image), chance) for line in batch
            ]
            with torch.autocast("cpu", torch.bfloat16):
                scores = self._network(torch.from_numpy(stack(images)).to(memory_format=torch.channels_last))
            return ctc_loss(scores, [line.text for line in batch], self._numbers)

        tuning = Tuning(self._network, self._plan)
        tuning.run(self._forever(lines, chance), loss, lambda state: self._measure(dev, state))

    def _forever(self, lines: Sequence[Line], chance: random.Random) -> Iterator[list[Line]]:
        while True:
            yield from batches(lines, self._plan.batch, chance)

    def _measure(self, dev: Sequence[Line], state: State) -> None:
        """Read the dev lines with the average, tell how well, and keep it if it is the best."""
        rates = error_rates(state.network, self._characters, dev)
        told = ", ".join(f"{source} {rate:.2%}" for source, rate in rates.items())
        log.info("%d steps, %.0f s: loss %.3f; characters wrong: %s", state.step, state.seconds, state.loss, told)
        with (self._out / "log.csv").open("a", encoding="utf-8") as file:
            print(state.step, round(state.seconds), f"{state.loss:.4f}", *rates.values(), sep=",", file=file)
        first = next(iter(rates.values()))
        if first < self._best:
            self._best = first
            write_own(state.network, self._characters, self._package, self._out)


def error_rates(network: Recogniser, characters: Sequence[str], lines: Sequence[Line]) -> dict[str, float]:
    """Return the character error rate of each source, in the order of the lines."""
    found: dict[str, list[tuple[str, str]]] = {}
    for start in range(0, len(lines), 8):
        some = sorted(lines, key=lambda line: line.ratio)[start : start + 8]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            scores = network(torch.from_numpy(stack([line.image for line in some])))
        for line, probabilities in zip(some, scores.float().softmax(-1).numpy(), strict=True):
            found.setdefault(line.source, []).append((line.text, decode(probabilities, characters).text))
    sources = dict.fromkeys(line.source for line in lines)
    return {
        source: float(jiwer.cer([written for written, _ in found[source]], [read for _, read in found[source]]))
        for source in sources
    }


def start(package: Path, lines: Sequence[Line]) -> tuple[Recogniser, list[str]]:
    """Return the package's recogniser, with only the Latin characters and those of the lines."""
    network, characters = read_network(package)
    wanted = {chr(code) for code in LATIN} | {character for line in lines for character in line.text}
    kept = [0, *(number for number, character in enumerate(characters) if number and character in wanted)]
    keep_characters(network, kept)
    return network, [characters[number] for number in kept]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    prepare(options.seed, options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    chance = random.Random(options.seed)
    shares = {name: float(share) for name, _, share in (pair.partition("=") for pair in options.share)}
    lines = read_lines(options.lines, "train", shares, chance)
    dev = read_lines(options.lines, "dev", dict.fromkeys(("iam", "hooker"), options.dev_share), chance)
    network, characters = (
        read_network(options.package, options.start) if options.start else start(options.package, [*lines, *dev])
    )
    log.info("%d lines to train on, %d of dev; %d characters", len(lines), len(dev), len(characters))
    plan = Plan(options.minutes, options.rate, options.batch, options.dev_every)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    Training(network, characters, plan, options.package, options.out).run(lines, dev, chance)
    return 0


def _parser() -> argparse.ArgumentParser:
    from models.discovery import discover
    from models.reading.recogniser import FILE

    directory = discover()["rapidocr"].source.directory
    assert directory is not None
    parser = Parser(prog="python -m models.training.handwriting", description=__doc__)
    parser.add_argument("--lines", type=Path, required=True, help="the folder with lines.tsv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a reader to go on from; else that of the package")
    parser.add_argument("--package", type=Path, default=directory / FILE, help="the recogniser as ONNX")
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="SOURCE=SHARE",
        help="how much of a source's lines an epoch takes, 0..1",
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dev-every", type=int, default=400, help="steps between readings of the dev lines")
    parser.add_argument("--dev-share", type=float, default=1.0, help="how much of the dev lines to read, 0..1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
