"""Receipts of SROIE with the words that are on them."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchmarks.metrics import words

COORDINATES = 8  # numbers before the text: the four corners of the box that it stands in


def read_receipts(folder: Path, limit: int | None = None) -> Iterator[tuple[Image.Image, Counter[str]]]:
    """Yield receipts as RGB images, with their words."""
    for path in sorted(folder.glob("*.jpg"))[:limit]:
        with Image.open(path) as image, path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, quoting=csv.QUOTE_NONE)
            yield image.convert("RGB"), words(" ".join(",".join(row[COORDINATES:]) for row in rows))
