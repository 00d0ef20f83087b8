"""Text detection: runs the detector network at a scale that suits the text, and in tiles on long pages.

The first pass runs at a coarse scale. If the text that it finds is too small or too large for the detector, a second
pass runs at the scale at which the text is `TEXT_HEIGHT` high. Long pages are cut into overlapping tiles, whose
probability maps are merged before fragments are extracted, so that no line is cut at the edge of a tile.

The detector reports diffuse text (haze) on blank paper, the more the emptier the page is, and around faint ink. Text
within haze is lost. So faint ink is strengthened before detection, and haze is removed from blank paper afterwards.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reading.crops import Floats, Pixels, paper_colour

Map = NDArray[np.float32]
Network = Callable[[NDArray[np.float32]], Map]  # (1, 3, height, width) in -1..1 -> (height, width) in 0..1
Postprocess = Callable[[Map, tuple[int, int]], Floats]  # a map and the size it is of -> polygons (n, 4, 2) in pixels

FIRST_SIDE = 1280  # pixels of the long side, or of three times the short side if that is less, in the first pass
TEXT_HEIGHT = 32.0  # pixels: the height that fragments should have
HEIGHTS = (20.0, 110.0)  # pixels: fragments with a median height in this range need no second pass
LARGEST_SCALE = 3.0
EMPTY_SCALE = 2.0  # of the second pass on a small image on which the first pass finds nothing
LARGEST_PIXELS = 24e6  # of the map of one page: about 100 MB
PADDING = 32  # pixels of paper around the page: the detector misses text that touches the edge
TILE, OVERLAP = 1600, 160  # pixels
STEP = 32  # the network takes multiples of this
NEAR = np.ones((25, 25), np.uint8)  # the neighbourhood of a pixel in which ink counts, wider than gaps between words
INK = 8  # grey levels, of 255, by which the faintest ink differs from the paper around it
HAZE = 0.3  # probability from which the postprocessing joins pixels into one text
MOSTLY = 0.7  # least share of a text's pixels near ink: writing with wide gaps has more, haze around a line has less
FAINT, STRONG = 60, 150  # grey levels: if the strongest ink is fainter than FAINT, it is amplified to STRONG
ABOVE_GRAIN = 2.5  # least contrast of ink, as a multiple of the grain's: fainter images are not amplified
PAPER_WIDTH = 101  # pixels over which the paper's colour is averaged, wider than a line of text is high


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
    return np.concatenate([again, unseen(fragments, again)])


def unseen(first: Floats, again: Floats) -> Floats:
    """Return the fragments (n, 4, 2) of the first pass that touch none of the second, which may have lost them."""
    starts, ends = again.min(axis=1), again.max(axis=1)
    lost = [
        bool(((polygon.min(axis=0) > ends) | (polygon.max(axis=0) < starts)).any(axis=1).all()) for polygon in first
    ]
    return np.asarray(first[np.array(lost, bool)], np.float64)


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
    """Limit a scale to what memory allows, and to what enlarging can improve."""
    height, width = image.shape[:2]
    # A thin image is mostly padding, which takes memory too.
    longest = LARGEST_PIXELS / (2 * PADDING + STEP)
    return float(min(scale, LARGEST_SCALE, (LARGEST_PIXELS / (height * width)) ** 0.5, longest / max(height, width)))


def look(image: Pixels, scale: float, network: Network, postprocess: Postprocess) -> Floats:
    """Return the fragments (n, 4, 2), in pixels of the image, that the network finds at one scale."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (width, height), interpolation=method)
    bottom, right = (PADDING + -(side + 2 * PADDING) % STEP for side in (height, width))
    padded = cv2.copyMakeBorder(
        small, PADDING, bottom, PADDING, right, cv2.BORDER_CONSTANT, value=paper_colour(image)
    ).astype(np.uint8)
    contrast = local_contrast(padded)
    inside = contrast[PADDING : PADDING + height, PADDING : PADDING + width]
    if int(inside.max()) < INK:  # Blank paper, of which the network would see nothing that counts.
        return np.zeros((0, 4, 2))
    probabilities = probability_map(strengthen(padded, inside), network)
    polygons = postprocess(without_haze(probabilities, contrast >= INK), padded.shape[:2]) - PADDING
    fractions = np.clip(polygons / np.array([width, height]), 0, 1)
    return np.asarray(fractions * np.array([image.shape[1], image.shape[0]]), np.float64)


def local_contrast(image: Pixels) -> Pixels:
    """Return the local contrast (height, width): the range of grey levels near each pixel."""
    # Blurring makes fine grain fainter than ink. Separate channels show a red letter on green of the same brightness.
    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    ranges = [cv2.subtract(cv2.dilate(channel, NEAR), cv2.erode(channel, NEAR)) for channel in cv2.split(smooth)]
    return np.asarray(np.maximum.reduce(ranges), np.uint8)


def without_haze(probabilities: Map, inked: NDArray[np.bool_]) -> Map:
    """Return a map (height, width) in which hazy components keep only their pixels near ink.

    A component is a set of pixels that the postprocessing joins into one text. It is hazy if most of it is not near
    ink: its mean probability is then low, and the postprocessing would drop it with the text in it. Other components
    stay whole, because crops without the gaps within a line are read worse.
    """
    count, labels = cv2.connectedComponents((probabilities > HAZE).astype(np.uint8))
    seen = labels > 0
    of, ink = labels[seen], inked[seen]
    hazy = np.bincount(of[ink], minlength=count) < MOSTLY * np.bincount(of, minlength=count)
    return np.where(hazy[labels] & ~inked, np.float32(0), probabilities)


def strengthen(image: Pixels, contrast: Pixels) -> Pixels:
    """Return an image (height, width, 3) with stronger ink, if its local contrast shows only faint ink."""
    most = int(contrast.max())
    # A fifth of almost any page is blank, and has the contrast of its grain.
    if not INK <= most < FAINT or most < ABOVE_GRAIN * np.percentile(contrast[::4, ::4], 20):
        return image
    gain = STRONG / most
    paper = cv2.blur(image, (PAPER_WIDTH, PAPER_WIDTH))
    return cv2.addWeighted(image, gain, paper, 1 - gain, 0).astype(np.uint8)


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
