"""Fine-tune RapidOCR's recogniser to read small and bad print: `python -m models.training.small_print --out DIR`.

Lines of receipts are drawn in the fonts of this machine and spoilt as printers, paper and scans spoil them
(`models.training.drawn_print`); their loss is CTC's. Beside them, lines of ordinary print in many languages and scripts
hold the network where it was: what it sees in them must stay what the package's network sees. The scores of the
characters stay the package's, too, so that all 18,709 of them can still be read. The output directory gets the network
in half precision, as `models/shipped/print` has it: only a part of the way from the package's weights to those learned,
which are in `whole` below it, to go on from. `log.csv` has the steps, seconds, loss and share of characters wrong.
"""

import argparse
import copy
import logging
import pydoc_data.topics
import random
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.networks.recogniser import Recogniser, read_network, write_own
from models.reading.scripts import KNOWN
from models.training import scripts
from models.training.command import Parser
from models.training.drawn_print import small_print
from models.training.handwriting import error_rates
from models.training.lines import Line, batches, stack
from models.training.receipt_texts import receipt_line
from models.training.tuning import LATIN, Plan, State, Tuning, ctc_loss, prepare

log = logging.getLogger(__name__)

NO_TEXT = ("Math", "GLYPH", "Amiri", "Lohit", "Purisa", "MplusCode", "BebasNeue-Thin", "Thin")  # fonts without, or odd
POOL = 24  # batches drawn together
ORDINARY = 0.4  # ordinary lines for each line of small print
OTHER_SCORES = 2000  # characters of other scripts that are scored in a step, besides those of Latin scripts
KEPT = 2.0  # the weight of the loss of ordinary lines
DEV = 200  # lines of each kind to measure with
CJK = 0x2E80  # from where characters are ideographs or kana
HAN = ("zh_Hans", "ja")
WAY = 0.6  # how far to go from the package's weights to what was learned
WHOLE = "whole"  # the folder, below that of the output, of the weights that were learned, to go on from
LONGEST = 1000  # pixels of a line, 48 high, that is trained on


class Batch(NamedTuple):
    """Lines of one step."""

    small: list[Line]
    ordinary: list[Line]


class Fonts:
    """Fonts by family, and the letters that they have."""

    def __init__(self, folders: Sequence[Path], chance: random.Random) -> None:
        self.folders = tuple(folders)
        self._families: dict[str, list[Path]] = {}
        for file in scripts.font_files(folders):
            if not any(name in file.name for name in NO_TEXT) and _has(file, "ABCXYZabcxyz0123456789.,:-/()"):
                self._families.setdefault(file.stem.split("-")[0], []).append(file)
        self._chance = chance
        if not self._families:
            raise ValueError("no folder has a font")

    def any_for(self, text: str) -> Path:
        """Return a font that can draw a text; each family is as likely as another."""
        for _ in range(50):
            font = self._chance.choice(self._families[self._chance.choice(list(self._families))])
            if _has(font, text):
                return font
        return next(font for family in self._families.values() for font in family if font.name.startswith("DejaVuSans"))


def _has(font: Path, text: str) -> bool:
    return scripts.letters_of(font) >= {ord(letter) for letter in text if letter != " "}


def small_lines(fonts: Fonts, chance: random.Random) -> Iterator[Line]:
    """Yield lines of small print without end."""
    above = below = np.zeros((8, 8), np.float32)
    while True:
        text = receipt_line(chance) if chance.random() < 0.8 else prose(chance)
        image, ink = small_print(text, fonts.any_for(text), (above, below), chance)
        above, below = below, ink
        if image.shape[1] * 48 / image.shape[0] <= LONGEST:
            yield Line(image, text, "small print")


def ordinary_lines(fonts: Fonts, characters: Sequence[str], chance: random.Random) -> Iterator[Line]:
    """Yield lines of clean print in many scripts, most of them in those that the recogniser knows; without texts."""
    known = scripts.LOCALES[KNOWN]
    locales = [locale for locales in scripts.LOCALES.values() for locale in locales]
    usable = {locale: files for locale in locales if (files := scripts.fonts(locale, fonts.folders))}
    ideographs = [character for character in characters[1:] if ord(character) > CJK]
    while True:
        draw = chance.random()
        if draw < 0.25:
            text = prose(chance)
            font = fonts.any_for(text)
        else:
            asked = HAN if draw < 0.65 else known if draw < 0.85 else usable
            locale = chance.choice([each for each in asked if each in usable] or list(usable))
            font = chance.choice(usable[locale])
            text = scripts.names(locale, chance)
            if locale in HAN and chance.random() < 0.5:
                text = "".join(letter for letter in chance.sample(ideographs, 24) if _has(font, letter))[:16] or text
        image = scripts.drawn_text(text, font, chance)
        if image.shape[1] * 48 / image.shape[0] <= LONGEST:
            yield Line(image, "", "ordinary")


@cache
def _prose() -> tuple[str, ...]:
    return tuple(" ".join(pydoc_data.topics.topics.values()).split())


def prose(chance: random.Random) -> str:
    """Return some words of the documentation of Python, which comes with it."""
    words = _prose()
    start = chance.randrange(len(words) - 8)
    text = " ".join(words[start : start + chance.randint(2, 8)])
    return "".join(letter for letter in text if ord(letter) in LATIN)[:48].strip() or "0"


class Training:
    """A recogniser that learns small print and keeps what it sees in ordinary print."""

    def __init__(self, network: Recogniser, teacher: Recogniser, characters: list[str], chance: random.Random) -> None:
        self.network, self._teacher, self._chance = network, teacher.eval(), chance
        latin = [number for number, character in enumerate(characters) if not character or ord(character) in LATIN]
        self._latin, self._numbers = latin, {characters[number]: place for place, number in enumerate(latin)}
        self._others = sorted(set(range(len(characters))) - set(latin))

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a step."""
        columns = torch.tensor([*self._latin, *self._chance.sample(self._others, OTHER_SCORES)])
        head = self.network.head
        with torch.autocast("cpu", torch.bfloat16):
            steps = self.network.steps(_pixels(batch.small))
            scores = torch.nn.functional.linear(steps, head.weight[columns], head.bias[columns])
        loss = ctc_loss(scores, [line.text for line in batch.small], self._numbers)
        if not batch.ordinary:
            return loss
        pixels = _pixels(batch.ordinary)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                wanted = self._teacher.steps(pixels).float()
            moved = self.network.steps(pixels).float() - wanted
        return loss + KEPT * moved.square().mean() / wanted.var()


def _pixels(lines: Sequence[Line]) -> Tensor:
    return torch.from_numpy(stack([line.image for line in lines])).to(memory_format=torch.channels_last)


def drawn_batches(size: int, fonts: Fonts, characters: Sequence[str], chance: random.Random) -> Iterator[Batch]:
    """Yield batches of lines without end, each of lines of like width."""
    small, ordinary = small_lines(fonts, chance), ordinary_lines(fonts, characters, chance)
    beside = max(round(size * ORDINARY), 1)
    while True:
        first = batches([next(small) for _ in range(size * POOL)], size, chance)
        second = batches([next(ordinary) for _ in range(beside * POOL)], beside, chance)
        yield from map(Batch, first, second)


def between(first: Recogniser, second: Recogniser, way: float) -> Recogniser:
    """Return the network a part of the way from one to another, 0..1: it reads as well as the second what that has
    learned, nearly, and forgets less (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903)."""
    found = copy.deepcopy(first)
    with torch.no_grad():
        for kept, learned in zip(found.parameters(), second.parameters(), strict=True):
            kept.lerp_(learned, way)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    prepare(options.seed, options.threads)
    whole = options.out / WHOLE
    whole.mkdir(parents=True, exist_ok=True)
    chance = random.Random(options.seed)
    teacher, characters = read_network(options.package)
    network = read_network(options.package, options.start)[0] if options.start else copy.deepcopy(teacher)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fonts = Fonts([scripts.FONTS, *options.fonts], chance)
    dev = [line for line, _ in zip(small_lines(fonts, random.Random(-1)), range(options.dev), strict=False)]

    def measure(state: State) -> None:
        kept = between(teacher, state.network, options.way)
        rate = error_rates(kept, characters, dev)["small print"]
        log.info(
            "%d steps, %.0f s: loss %.3f; characters wrong: %.2f %%", state.step, state.seconds, state.loss, 100 * rate
        )
        with (options.out / "log.csv").open("a", encoding="utf-8") as file:
            print(state.step, round(state.seconds), f"{state.loss:.4f}", rate, sep=",", file=file)
        if state.step:
            write_own(kept, None, options.package, options.out)
            write_own(state.network, None, options.package, whole)

    training = Training(network, teacher, characters, chance)
    tuning = Tuning(network, Plan(options.minutes, options.rate, options.batch, options.dev_every), head=False)
    measure(State(copy.deepcopy(network).eval(), 0, 0.0, 0.0))
    tuning.run(drawn_batches(options.batch, fonts, characters, chance), training.loss, measure)
    return 0


def _parser() -> argparse.ArgumentParser:
    from models.discovery import discover
    from models.reading.recogniser import FILE

    directory = discover()["rapidocr"].source.directory
    assert directory is not None
    parser = Parser(prog="python -m models.training.small_print", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--start", type=Path, help=f"a reader to go on from, such as OUT/{WHOLE}; else that of the package"
    )
    parser.add_argument("--package", type=Path, default=directory / FILE, help="the recogniser as ONNX")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="a folder with more fonts")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dev-every", type=int, default=100, help="steps between readings of the dev lines")
    parser.add_argument("--way", type=float, default=WAY, help="how far to go from the package's weights, 0..1")
    parser.add_argument("--dev", type=int, default=DEV, help="lines to measure with")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
