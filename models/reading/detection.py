"""Where the text is: a detector network run at the scale that suits the text, in tiles where the page is long.

The page is looked at once at a coarse scale. Where the text found there is too small or too large for the detector,
it is looked at again at the scale that makes it `TEXT_HEIGHT` high. Long pages are cut into overlapping tiles; their
probability maps are laid over one another before fragments are made of them, so that no line is cut at a tile's edge.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels, paper_colour

Map = NDArray[np.float32]
Network = Callable[[NDArray[np.float32]], Map]  # (1, 3, height, width) in -1..1 -> (height, width) in 0..1
Postprocess = Callable[[Map, tuple[int, int]], Floats]  # a map and the size it is of -> polygons (n, 4, 2) in pixels

FIRST_SIDE = 1280  # pixels of the long side (or three short ones) at the first look
TEXT_HEIGHT = 32.0  # pixels that a fragment should be high
HEIGHTS = (20.0, 110.0)  # fragments of this median height need no second look
LARGEST_SCALE = 3.0
EMPTY_SCALE = 2.0  # of the second look at a small image on which nothing was found
LARGEST_PIXELS = 24e6  # of the map of one page: about 100 MB
PADDING = 32  # pixels of paper around the page: the detector misses text that touches the edge
TILE, OVERLAP = 1600, 160  # pixels
STEP = 32  # the network takes multiples of this


def find_fragments(image: Pixels, network: Network, postprocess: Postprocess) -> Floats:
    """Return the polygons (n, 4, 2) of text fragments, in pixels of the image (height, width, 3)."""
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    scale = min(1.0, FIRST_SIDE / min(long, 3 * short))
    fragments = look(image, bound_scale(scale, image), network, postprocess)
    better = bound_scale(second_scale(fragments, scale), image)
    if 0.8 < better / scale < 1.25:
        return fragments
    again = look(image, better, network, postprocess)
    return again if len(again) else fragments


def second_scale(fragments: Floats, scale: float) -> float:
    """Return the scale at which the fragments found at `scale` would have the best height."""
    if not len(fragments):
        return EMPTY_SCALE if scale == 1.0 else 1.0
    sides = np.linalg.norm(fragments - np.roll(fragments, 1, axis=1), axis=2)
    height = float(np.median(sides.min(axis=1))) * scale
    if HEIGHTS[0] <= height <= HEIGHTS[1]:
        return scale
    return scale * TEXT_HEIGHT / height


def bound_scale(scale: float, image: Pixels) -> float:
    """Keep a scale within what the memory allows and what enlarging can bring."""
    pixels = image.shape[0] * image.shape[1]
    return float(min(scale, LARGEST_SCALE, (LARGEST_PIXELS / pixels) ** 0.5))


def look(image: Pixels, scale: float, network: Network, postprocess: Postprocess) -> Floats:
    """Return the fragments (n, 4, 2), in pixels of the image, that the network finds at one scale."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (width, height), interpolation=method)
    bottom, right = (PADDING + -(side + 2 * PADDING) % STEP for side in (height, width))
    padded = cv2.copyMakeBorder(
        small, PADDING, bottom, PADDING, right, cv2.BORDER_CONSTANT, value=paper_colour(image)
    ).astype(np.uint8)
    polygons = postprocess(probability_map(padded, network), padded.shape[:2]) - PADDING
    fractions = np.clip(polygons / np.array([width, height]), 0, 1)
    return np.asarray(fractions * np.array([image.shape[1], image.shape[0]]), np.float64)


def probability_map(image: Pixels, network: Network) -> Map:
    """Return the network's map (height, width) of an image whose sides are multiples of STEP."""
    height, width = image.shape[:2]
    whole = np.zeros((height, width), np.float32)
    for top in tile_starts(height):
        for left in tile_starts(width):
            tile = image[top : top + TILE, left : left + TILE]
            tensor = np.ascontiguousarray(tile.transpose(2, 0, 1)[None], np.float32) / 127.5 - 1
            window = whole[top : top + TILE, left : left + TILE]
            np.maximum(window, network(tensor), out=window)
    return whole


def tile_starts(side: int) -> Iterator[int]:
    """Yield where the tiles along one side begin; each but the last is TILE long and shares OVERLAP with the next."""
    start = 0
    while start + TILE < side:
        yield start
        start += TILE - OVERLAP
    yield start
