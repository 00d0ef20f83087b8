"""Measure how well pages are read: character error rate and order on IAM forms, words found on receipts.

Run: python benchmark_reading.py [data folder]
"""

import csv
import string
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

import cv2
import numpy as np
import shapely
from rapidfuzz.distance import Levenshtein

from benchmarks.pages import CROWDED, TIDY, Page, Stacking, make_pages, read_forms
from models.reading.crops import Floats, Pixels
from models.reading.reader import PageReader
from models.registry import discover

DATA = Path("/work/shared/data")
SAME_LINE = 0.4  # least intersection over union of a line read with the line written

Result = TypeVar("Result")


def error_rate(read: Sequence[str], written: Sequence[str]) -> float:
    """Return the character error rate over all pairs of texts."""
    return sum(map(Levenshtein.distance, read, written)) / sum(map(len, written))


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what `work` returns and how many seconds it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def in_order(polygons: Sequence[Floats], page: Page) -> int:
    """Count the lines of a page that were found as one line and in their place among the others."""
    truth = [shapely.convex_hull(shapely.MultiPoint(polygon)) for polygon in page.polygons]
    places: list[int] = []
    for polygon in polygons:
        shape = shapely.convex_hull(shapely.MultiPoint(polygon))
        shares = [shape.intersection(line).area / shape.union(line).area for line in truth]
        place = int(np.argmax(shares))
        if shares[place] >= SAME_LINE and place not in places:
            places.append(place)
    return longest_increasing(places)


def longest_increasing(values: Sequence[int]) -> int:
    """Return the length of the longest increasing subsequence."""
    tails: list[int] = []
    for value in values:
        place = bisect_left(tails, value)
        tails[place : place + 1] = [value]
    return len(tails)


def measure_pages(reader: PageReader, folder: Path, style: Stacking, label: str) -> None:
    """Print error rate, order and time over pages stacked from IAM forms."""
    pages, read, seconds, ordered = make_pages(folder, style), [], [], 0
    for page in pages:
        lines, took = timed(lambda page=page: reader.read(page.image))  # type: ignore[misc]
        size = np.array([page.image.shape[1], page.image.shape[0]])
        ordered += in_order([line.polygon * size for line in lines], page)
        read.append(" ".join(line.text for line in lines))
        seconds.append(took)
    written = [" ".join(page.texts) for page in pages]
    rates = [error_rate([a], [b]) for a, b in zip(read, written, strict=True)]
    share = ordered / sum(len(page.texts) for page in pages)
    print(
        f"| IAM pages, {label} | CER {error_rate(read, written):.2%} (median page {median(rates):.2%}), "
        f"{share:.2%} of lines in order, {median(seconds):.2f} s a page |",
        flush=True,
    )


def measure_lines(reader: PageReader, folder: Path) -> None:
    """Print the error rate of single lines, and of the least sure third against the rest."""
    pairs = [pair for lines in read_forms(folder).values() for pair in lines]
    readings = [reader.recognise(np.repeat(image[..., None], 3, axis=2)) for image, _ in pairs]
    order = np.argsort([confidence for _, confidence in readings], kind="stable")
    third = len(order) // 3

    def rate(indices: Sequence[int]) -> float:
        return error_rate([readings[i][0] for i in indices], [pairs[i][1] for i in indices])

    print(f"| IAM lines alone | CER {rate(order.tolist()):.2%} |")
    low, rest = rate(order[:third].tolist()), rate(order[third:].tolist())
    print(f"| confidence | least sure third {low:.2%}, the rest {rest:.2%}: {low / rest:.2f} times |", flush=True)


def words(text: str) -> Counter[str]:
    """Return the words of a text: lower-cased, without outer punctuation, with multiplicity."""
    stripped = (word.strip(string.punctuation) for word in text.lower().split())
    return Counter(word for word in stripped if word)


def found_without_spaces(wanted: Counter[str], text: str) -> int:
    """Count the words that occur in a text once all spaces are taken out of it."""
    run = "".join(text.lower().split())
    return sum(min(count, run.count(word)) for word, count in wanted.items())


def measure_receipts(reader: PageReader, folder: Path) -> None:
    """Print the share of the ground truth's words found on receipts."""
    found = found_closed = total = 0
    seconds = []
    for path in sorted(folder.glob("*.jpg")):
        with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, quoting=csv.QUOTE_NONE)
            wanted = words(" ".join(",".join(row[8:]) for row in rows))
        lines, took = timed(lambda path=path: reader.read(load(path)))  # type: ignore[misc]
        text = " ".join(line.text for line in lines)
        found += sum((wanted & words(text)).values())
        found_closed += found_without_spaces(wanted, text)
        total += sum(wanted.values())
        seconds.append(took)
    print(
        f"| receipts | {found / total:.2%} of {total} words found, {found_closed / total:.2%} ignoring spaces, "
        f"{median(seconds):.2f} s a receipt |",
        flush=True,
    )


def load(path: Path) -> Pixels:
    """Return an image file as RGB (height, width, 3)."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)


def main() -> None:
    """Print the table."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    directory = discover()["rapidocr"].source.directory
    assert directory is not None
    reader = PageReader(directory)
    measure_lines(reader, data / "iam/valid")
    measure_receipts(reader, data / "receipts")
    measure_pages(reader, data / "iam/valid", TIDY, "tidy")
    measure_pages(reader, data / "iam/valid", CROWDED, "crowded")


if __name__ == "__main__":
    main()
