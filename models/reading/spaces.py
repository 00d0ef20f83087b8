"""Which characters of a line have a space between them: a small network that sees the paper between them.

A recogniser misses spaces that it has not learned, such as those around a colon, in small print and between numbers.
How wide the paper between two characters is, beside the others of its line, tells more. What is looked at: that paper,
the distance of the characters, what the recogniser says of a space there, and what kind of characters they are.
`python -m models.training.spaces` fits the network.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels
from models.reading.ctc import Reading
from models.reading.runs import EDGE, RULE
from models.reading.widths import has_ideographs

FILE = Path(__file__).with_name("spaces.npz")
INK = 0.4  # darkness of ink, as a share of the darkest
LEAST_INK = 16.0  # grey levels between paper and ink
USUAL_SPACE = 0.45  # width of a space in heights, where a line has none
GRID_LETTERS = 20  # least letters of a line of a monospaced font
USUALLY_OFF, OFF_GRID, ON_GRID = 0.1, 0.3, 0.95  # cells by which half and which share of them are off the grid at most
NARROW = "()[]{}:;.,'\"|!"
KINDS = ("digit", "capital", "small", ".,", ":;", "([", ")]", "-'/", "other")


def respaced(reading: Reading, crop: Pixels) -> Reading:
    """Return what was read in a crop (height, width, 3), with spaces where the network sees them.

    The places of the reading are shares of the crop's width.
    """
    letters = np.flatnonzero([not character.isspace() for character in reading.characters])
    # Ideographs stand apart, without spaces, and the network has seen none.
    # Two letters have no other gap to compare theirs with.
    if len(letters) < 3 or has_ideographs(reading.text):
        return reading
    # An underscore may lie below the crop's ink, and looks like paper: what the recogniser saw beside one counts.
    low = np.array([reading.characters[number] == "_" for number in letters])
    with_space = np.where(low[:-1] | low[1:], np.diff(letters) > 1, spaced(features(reading, letters, crop)))
    places = reading.places[letters]
    # Punctuation is narrow, and has more paper around it than letters where all have cells of one width.
    narrow = np.array([reading.characters[number] in NARROW for number in letters])
    cells, sure = on_grid(places)
    with_space &= ~(sure & (cells == 1) & (narrow[:-1] | narrow[1:]))
    at = np.flatnonzero(with_space) + 1
    return Reading(
        tuple(np.insert(np.array([reading.characters[number] for number in letters], object), at, " ")),
        np.insert(places, at, (places[at - 1] + places[at]) / 2),
        np.insert(reading.scores[letters], at, np.nan),
        reading.view,
        reading.spaces,
    )


def on_grid(places: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return by how many cells neighbours among letters, at places (n,), are apart, and of which that is sure (n - 1,):
    of those of a monospaced font, where all stand on a grid."""
    apart = np.diff(places)
    median = float(np.median(apart))
    close = apart[(apart > 0.5 * median) & (apart < 1.5 * median)]
    if len(places) < GRID_LETTERS or not len(close):
        return apart, np.zeros(len(apart), np.bool_)
    cells = np.append(0, np.cumsum(np.round(apart / close.mean())))
    for _ in range(2):
        width, first = np.polyfit(cells, places, 1)
        cells = np.round((places - first) / max(float(width), 1e-6))
    off = np.abs(places - first - width * cells) / max(float(width), 1e-6)
    is_grid = float(np.median(off)) <= USUALLY_OFF and float((off <= OFF_GRID).mean()) >= ON_GRID
    return np.diff(cells), (np.maximum(off[:-1], off[1:]) <= OFF_GRID) & is_grid


def spaced(rows: Floats) -> NDArray[np.bool_]:
    """Tell from the features (n, k) of pairs of neighbours which have a space between them (n,)."""
    mean, scale, first, first_bias, second, second_bias = _network()
    hidden = np.maximum((rows - mean) / scale @ first + first_bias, 0)
    return np.asarray(hidden @ second + second_bias > 0, np.bool_)


def features(reading: Reading, letters: NDArray[np.intp], crop: Pixels) -> Floats:
    """Return the features (n - 1, k) of each two neighbours among the n letters of a reading; lengths in heights."""
    height, width = crop.shape[:2]
    middles = reading.places[letters] * width / height
    paper = widest_blanks(inked_columns(crop), middles * height) / height
    apart = np.diff(middles)
    seen = np.diff(letters) > 1
    chances = np.array(
        [most_between(reading.spaces, reading.places[left], reading.places[right]) for left, right in pairwise(letters)]
    )
    close = ~seen if not seen.all() else seen
    usual, usual_apart = float(np.median(paper[close])), float(np.median(apart[close]))
    space = float(np.median(paper[seen])) if seen.any() else USUAL_SPACE
    numbers = np.stack(
        [
            paper,
            paper - usual,
            paper / max(space, 0.1),
            np.minimum(paper / (usual + 0.05), 8) / 8,
            apart,
            apart - usual_apart,
            apart / max(usual_apart, 0.1) / 4,
            np.log10(chances + 1e-6) / 6,
            seen,
            np.full(len(paper), usual),
            np.full(len(paper), usual_apart),
            np.full(len(paper), space),
        ],
        axis=1,
    )
    kinds = np.eye(len(KINDS))[[kind(reading.characters[number]) for number in letters]]
    return np.asarray(np.concatenate([numbers, kinds[:-1], kinds[1:]], axis=1), np.float64)


def most_between(chances: NDArray[np.float32], left: float, right: float) -> float:
    """Return the highest probability of a space between two places, from those of each step (steps,) of the crop."""
    first, last = (min(max(int(place * len(chances)), 0), len(chances) - 1) for place in (left, right))
    return float(chances[first : last + 1].max())


def inked_columns(crop: Pixels) -> NDArray[np.bool_]:
    """Tell which columns (width,) of a line's crop hold ink."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).astype(np.float32)
    dark = np.abs(grey - np.median(grey))
    dark /= max(float(np.percentile(dark, 97)), LEAST_INK)
    edge = int(EDGE * len(dark))
    dark[:edge] = dark[len(dark) - edge :] = 0
    dark[(dark > INK).mean(axis=1) >= RULE] = 0
    # A lone dark pixel in a column is grain.
    return np.asarray((dark > INK).sum(axis=0) >= 2, np.bool_)


def widest_blanks(ink: NDArray[np.bool_], middles: Floats) -> Floats:
    """Return for each pair of neighbouring places (n,) in pixels the widest run without ink whose middle lies between
    them (n - 1,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], ink, [True]])))
    starts, ends = edges[::2], edges[1::2]
    centres, widths = (starts + ends) / 2, ends - starts
    first, last = np.searchsorted(centres, middles[:-1]), np.searchsorted(centres, middles[1:], side="right")
    return np.array([widths[a:b].max() if b > a else 0.0 for a, b in zip(first, last, strict=True)], np.float64)


def kind(character: str) -> int:
    """Return the number in KINDS of what a character is."""
    if character.isdigit():
        return 0
    if character.isupper():
        return 1
    if character.islower():
        return 2
    return next((number for number in range(3, len(KINDS) - 1) if character in KINDS[number]), len(KINDS) - 1)


@cache
def _network() -> tuple[NDArray[np.float32], ...]:
    with np.load(FILE) as file:
        names = ("mean", "scale", "first", "first_bias", "second", "second_bias")
        return tuple(file[name].astype(np.float32) for name in names)
