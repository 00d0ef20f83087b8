"""Fit the classifier of scripts: `python -m models.training.scripts --out FILE`.

Lines are drawn in the fonts of this machine with words of Unicode's CLDR (names of countries and languages, as Babel
has them), and the recogniser looks at them. Each fifth font is held back to measure with. Lines of folders given by
--known, such as handwriting, count as a known script: hard to read is not unknown.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from models.discovery import discover
from models.reading.recogniser import Recogniser
from models.reading.scripts import KNOWN

LOCALES = {
    KNOWN: ("en", "de", "fr", "es", "pl", "tr", "vi", "cs", "hu", "zh_Hans", "ja"),
    "Cyrl": ("ru", "uk", "bg", "sr", "kk"),
    "Grek": ("el",),
    "Arab": ("ar", "fa", "ur"),
    "Hebr": ("he",),
    "Deva": ("hi", "mr", "ne"),
    "Thai": ("th",),
    "Kore": ("ko",),
    "Geor": ("ka",),
    "Armn": ("hy",),
    "Beng": ("bn",),
    "Taml": ("ta",),
    "Telu": ("te",),
}
FONTS = Path("/usr/share/fonts")
SUFFIXES = (".ttf", ".otf", ".ttc")
HELD_BACK = 5  # one font of so many
STEPS = 400
DECAY = 1e-3


def drawn(locale: str, font: Path, chance: random.Random) -> NDArray[np.uint8]:
    """Return a line of some words of a locale, as a crop (height, width, 3)."""
    return drawn_text(names(locale, chance), font, chance)


def names(locale: str, chance: random.Random) -> str:
    """Return some names of countries and languages as a locale has them."""
    from babel import Locale

    words = [*Locale.parse(locale).territories.values(), *Locale.parse(locale).languages.values()]
    text = " ".join(str(word) for word in chance.sample(words, chance.randint(1, 5)))[: chance.randint(12, 60)]
    return text + (f" {chance.randint(1, 99999)}" if chance.random() < 0.3 else "")


def drawn_text(text: str, font: Path, chance: random.Random) -> NDArray[np.uint8]:
    """Return a line as a crop (height, width, 3)."""
    face = ImageFont.truetype(font, chance.randint(20, 56), layout_engine=ImageFont.Layout.RAQM)
    left, top, right, bottom = (round(value) for value in face.getbbox(text))
    margin = round((bottom - top) * chance.uniform(0.05, 0.3))
    size = (max(right - left, 8) + 2 * margin, max(bottom - top, 8) + 2 * margin)
    paper, ink = chance.randint(190, 255), chance.randint(0, 90)
    image = Image.new("L", size, paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=face)
    pixels = np.asarray(image)
    if chance.random() < 0.4:
        pixels = cv2.GaussianBlur(pixels, (0, 0), chance.uniform(0.5, 1.6)).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2)


@cache
def fonts(locale: str, folders: tuple[Path, ...] = (FONTS,)) -> tuple[Path, ...]:
    """Return the fonts of some folders that have the letters of a locale."""
    from babel import Locale

    letters = {ord(letter) for name in Locale.parse(locale).territories.values() for letter in str(name)}
    return tuple(file for file in font_files(folders) if letters <= letters_of(file))


def font_files(folders: Sequence[Path]) -> list[Path]:
    """Return the files of fonts in folders and below."""
    return [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES]


@cache
def letters_of(file: Path) -> frozenset[int]:
    """Return the characters that a font can draw."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    return frozenset(TTFont(file, fontNumber=0, lazy=True).getBestCmap() or ())


def examples(count: int, chance: random.Random) -> Iterator[tuple[str, bool, NDArray[np.uint8]]]:
    """Yield lines of each script: its name, whether it is for measuring, and the crop."""
    for script, locales in LOCALES.items():
        for number in range(count * (4 if script == KNOWN else 1)):
            locale = locales[number % len(locales)]
            known = fonts(locale)
            place = chance.randrange(len(known))
            yield script, place % HELD_BACK == 0, drawn(locale, known[place], chance)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, look, fit, and tell how many lines of the fonts held back are told right."""
    parser = argparse.ArgumentParser(prog="python -m models.training.scripts", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for the classifier, scripts.npz")
    parser.add_argument("--known", type=Path, action="append", default=[], help="a folder of lines in known scripts")
    parser.add_argument("--lines", type=int, default=150, help="to draw in each script")
    options = parser.parse_args(arguments)
    chance = random.Random(0)
    directory = discover()["rapidocr"].source.directory
    assert directory is not None
    recogniser = Recogniser(directory)
    rows = [(script, held, recogniser.read(crop).view) for script, held, crop in examples(options.lines, chance)]
    for folder in options.known:
        files = sorted(file for file in folder.rglob("*") if file.suffix in (".png", ".jpg"))
        for number, file in enumerate(chance.sample(files, min(options.lines, len(files)))):
            image = cv2.imread(str(file))
            assert image is not None
            rows.append((KNOWN, number % HELD_BACK == 0, recogniser.read(image.astype(np.uint8)).view))
    fit(rows, options.out)
    return 0


def fit(rows: Sequence[tuple[str, bool, NDArray[np.float32]]], out: Path) -> None:
    """Fit the classifier to lines (script, whether held back, view), and write it."""
    names = list(LOCALES)
    views = torch.from_numpy(np.stack([view for _, _, view in rows]))
    labels = torch.tensor([names.index(script) for script, _, _ in rows])
    held = torch.tensor([held for _, held, _ in rows])
    mean, scale = views[~held].mean(0), views[~held].std(0) + 1e-3
    inputs, layer = (views - mean) / scale, nn.Linear(views.shape[1], len(names))
    optimiser = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=DECAY * 10)
    for _ in range(STEPS):
        optimiser.zero_grad()
        nn.functional.cross_entropy(layer(inputs[~held]), labels[~held]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.inference_mode():
        said = layer(inputs).argmax(1)
    for number, name in enumerate(names):
        mine = held & (labels == number)
        wrong = sorted({names[int(other)] for other in said[mine] if int(other) != number})
        print(
            f"{name}: {(said[mine] == number).float().mean():.1%} of {int(mine.sum())} lines; else {', '.join(wrong)}"
        )
    half = {"mean": mean, "scale": scale, "weights": layer.weight.detach().T, "bias": layer.bias.detach()}
    np.savez(out, names=np.array(names), **{name: value.half().numpy() for name, value in half.items()})  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
