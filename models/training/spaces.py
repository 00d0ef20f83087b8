"""Fit the network of spaces: `python -m models.training.spaces --out FILE`.

Lines of print are drawn in the fonts of this machine, small, blurred and grainy as scans are, and the recogniser reads
them. Where it reads two neighbours rightly, the text tells whether a space is between them. Folders given by --lines,
such as of handwriting (`lines.tsv`, as `models.training.lines` reads them), count as well.
"""

import argparse
import difflib
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from models.discovery import discover
from models.reading.crops import Pixels
from models.reading.recogniser import Recogniser
from models.reading.recognition import scaled
from models.reading.spaces import features
from models.training.lines import read_lines

FONTS = Path("/usr/share/fonts")
LATIN = ("DejaVu", "Free", "Loma", "Norasi", "Garuda", "Kinnari", "Laksaman", "Tlwg", "Umpush", "Waree", "Nanum")
HIDDEN, EPOCHS, RATE, BATCH, SLOWER = 24, 30, 1e-2, 512, 0.88
HELD_BACK = 10  # one line of so many is measured with
HEIGHTS = (0, 12, 16, 20, 24, 32)  # pixels of a scan; 0 leaves a line as it is drawn
_WORDS = """
total cash change date time number item price amount tax invoice receipt thank you please come again goods sold are not
returnable street road phone fax the old mill stands where river bends and road from north comes down to ford nobody
company limited service table order member card discount rounding summary code name page of with in at for
"""
WORDS = _WORDS.split()
OTHERS = (":", " :", ": ", " : ", ".", ". ", "#", "# ", " (", "(", "/", " / ", "-", " - ", ", ", ",", " & ", "&", " x ")


def text(chance: random.Random) -> str:
    """Return a line as forms, receipts and letters have them."""
    drawn = [_part(chance)]
    for _ in range(chance.randint(0, 5)):
        drawn += [chance.choice(OTHERS) if chance.random() < 0.4 else " ", _part(chance)]
    return " ".join("".join(drawn).split())[:60].strip()


def _part(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return _number(chance)
    word = chance.choice(WORDS)
    word = chance.choice((word.upper, word.title, word.lower))()
    return chance.choice((word, word, word, f"({word})", f"{word},", f"{word}."))


def _number(chance: random.Random) -> str:
    whole, part = chance.randint(0, 10 ** chance.randint(1, 6)), chance.randint(0, 99)
    shapes: Sequence[Callable[[], str]] = (
        lambda: f"{whole}",
        lambda: f"{whole}.{part:02d}",
        lambda: f"{whole},{part:02d}",
        lambda: f"{part % 28 + 1:02d}/{part % 12 + 1:02d}/20{part:02d}",
        lambda: f"{part % 24:02d}:{part % 60:02d}",
        lambda: f"0{part}-{whole}",
        lambda: f"{part}%",
        lambda: chance.choice(("RM", "$", "EUR", "@")) + chance.choice(("", " ")) + f"{whole}.{part:02d}",
        lambda: f"{whole}" + chance.choice(("", " ")) + chance.choice(("kg", "ML", "pcs", "PC", "mm")),
    )
    return chance.choice(shapes)()


def drawn(written: str, font: Path, chance: random.Random) -> Pixels:
    """Return a line as a crop (height, width, 3)."""
    size = chance.randint(28, 60)
    face = ImageFont.truetype(font, size)
    track = chance.uniform(-0.04, 0.08) * size if chance.random() < 0.25 else 0.0
    wider = chance.uniform(0.8, 2.0) if chance.random() < 0.25 else 1.0
    lengths = [face.getlength(letter) * (wider if letter == " " else 1) + track for letter in written]
    image = Image.new("L", (round(sum(lengths)) + size, 2 * size), 255)
    draw, x = ImageDraw.Draw(image), size / 2
    if not track and wider == 1.0:
        draw.text((x, size / 3), written, font=face, fill=0)
    else:
        for letter, length in zip(written, lengths, strict=True):
            draw.text((x, size / 3), letter, font=face, fill=0)
            x += length
    return _scanned(_cropped(np.asarray(image), size, chance), chance)


def _cropped(image: Pixels, size: int, chance: random.Random) -> Pixels:
    """Return what a detector would cut out: the ink and a margin, and not less than the height of letters."""
    left, top, wide, high = cv2.boundingRect(255 - image)
    ink = image[top : top + high, left : left + wide]
    above = round(high * chance.uniform(0.05, 0.3)) + max(round(size * 0.75) - high, 0) // 2
    beside = round(high * chance.uniform(0.05, 0.3))
    return cv2.copyMakeBorder(ink, above, above, beside, beside, cv2.BORDER_CONSTANT, value=(255.0,)).astype(np.uint8)


def _scanned(image: Pixels, chance: random.Random) -> Pixels:
    height = chance.choice(HEIGHTS)
    line: NDArray[np.float64] = image.astype(np.float64)
    if 0 < height < len(line):
        width = max(round(line.shape[1] * height / len(line)), 4)
        line = cv2.resize(line, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    if chance.random() < 0.4:
        line = cv2.GaussianBlur(line, (0, 0), chance.uniform(0.3, 0.7 if height else 1.8)).astype(np.float64)
    ink, paper = chance.uniform(0, 110), chance.uniform(180, 255)
    line = ink + (paper - ink) * line / 255
    grain = np.random.default_rng(chance.getrandbits(32)).normal(0, 1, line.shape)
    if chance.random() < 0.15:
        line = np.where(line + 25 * grain < (ink + paper) / 2, 0.0, 255.0)
    elif chance.random() < 0.5:
        line = line + chance.uniform(1, 14) * grain
    return np.repeat(np.clip(line, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def spaces_of(read: Sequence[str], written: str) -> list[bool | None]:
    """Tell of each two neighbours among the letters read whether the text has a space between them; None where they are
    not both read rightly, one after the other."""
    words = written.lower().split()
    letters = "".join(words)
    ends = set(np.cumsum([len(word) for word in words]).tolist())
    places: dict[int, int] = {}
    found = difflib.SequenceMatcher(None, [letter.lower() for letter in read], list(letters), autojunk=False)
    for first, second, length in found.get_matching_blocks():
        places.update({first + step: second + step for step in range(length)})
    pairs = ((places.get(number), places.get(number + 1)) for number in range(len(read) - 1))
    return [after in ends if after is not None and after - 1 == before else None for before, after in pairs]


def examples(count: int, folders: Sequence[Path], chance: random.Random) -> Iterator[tuple[Pixels, str]]:
    """Yield crops with their texts."""
    fonts = sorted(file for file in FONTS.rglob("*.ttf") if file.name.startswith(LATIN) and "Math" not in file.name)
    for _ in range(count):
        written = text(chance)
        yield drawn(written, chance.choice(fonts), chance), written
    for folder in folders:
        lines = read_lines(folder, "train", {"hooker": 0.0}, chance)
        for line in chance.sample(lines, min(len(lines), count // 4)):
            yield np.repeat(line.image[..., None], 3, axis=2), line.text


def fit(rows: NDArray[np.float32], spaces: NDArray[np.bool_], held: NDArray[np.bool_], out: Path) -> None:
    """Fit the network to pairs (n, k), write it, and tell how many of those held back it gets wrong."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    inputs, wanted = torch.from_numpy((rows - mean) / scale), torch.from_numpy(spaces.astype(np.float32))
    first, second = nn.Linear(rows.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    network = nn.Sequential(first, nn.ReLU(), second)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, SLOWER)
    kept = torch.from_numpy(np.flatnonzero(~held))
    for _ in range(EPOCHS):
        for batch in kept[torch.randperm(len(kept))].split(BATCH):  # type: ignore[no-untyped-call]
            loss = nn.functional.binary_cross_entropy_with_logits(network(inputs[batch])[:, 0], wanted[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        schedule.step()
    with torch.inference_mode():
        told = network(inputs)[:, 0].numpy() > 0
    arrays = [parameter.detach().numpy().T for parameter in network.parameters()]
    names = ("first", "first_bias", "second", "second_bias")
    weights: dict[str, Any] = {name: np.squeeze(array) for name, array in zip(names, arrays, strict=True)}
    np.savez_compressed(out, mean=mean, scale=scale, **weights)
    missed, invented = (spaces & ~told)[held].sum(), (~spaces & told)[held].sum()
    print(f"held back: {held.sum()} pairs, {spaces[held].sum()} spaces; {missed} missed, {invented} invented")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, read, fit, and tell how many spaces of the lines held back are missed and invented."""
    parser = argparse.ArgumentParser(prog="python -m models.training.spaces", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for the network, spaces.npz")
    parser.add_argument("--lines", type=Path, action="append", default=[], help="a folder of lines, read as well")
    parser.add_argument("--count", type=int, default=3000, help="lines to draw")
    options = parser.parse_args(arguments)
    chance = random.Random(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    directory = discover()["rapidocr"].source.directory
    assert directory is not None
    recogniser = Recogniser(directory, respace=False)
    rows: list[NDArray[np.float64]] = []
    spaces: list[bool] = []
    held: list[bool] = []
    for number, (crop, written) in enumerate(examples(options.count, options.lines, chance)):
        reading, small = recogniser.read(crop), scaled(crop)
        letters = np.flatnonzero([not character.isspace() for character in reading.characters])
        if len(letters) < 2:
            continue
        for row, space in zip(
            features(reading, letters, small),
            spaces_of([reading.characters[letter] for letter in letters], written),
            strict=True,
        ):
            if space is not None:
                rows.append(row)
                spaces.append(space)
                held.append(number % HELD_BACK == 0)
    fit(np.array(rows, np.float32), np.array(spaces), np.array(held), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
