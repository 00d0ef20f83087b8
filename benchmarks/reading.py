"""Measure how well pages are read, beside RapidOCR as it comes: `python -m benchmarks.reading DATA`.

DATA holds `iam/valid` or `receipts` or both, as README.md in this folder describes. A Markdown table is printed.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from benchmarks.metrics import Count, Share, edits, found, found_without_spaces, in_order
from benchmarks.pages import STYLES, Forms, Page, make_pages, read_forms
from benchmarks.readers import Line, Reader, as_it_comes, as_served, by_service, networks
from benchmarks.receipts import read_receipts
from models.reading.reader import PageReader

COLUMNS = ("what", "measure", "this project", "RapidOCR as it comes")
NOT_MEASURED = "–"

Truth = TypeVar("Truth")
Scores = dict[str, Count]  # what is measured -> how many of how many, on one document


class Row(NamedTuple):
    """A row of the table."""

    what: str
    measure: str
    ours: str
    baseline: str = NOT_MEASURED


class Reading(NamedTuple):
    """A line that was recognised on its own."""

    form: str
    confidence: float
    edits: Count


def measure_lines(reader: PageReader, forms: Forms) -> Iterator[Row]:
    """Recognise single lines; compare the third with the lowest confidence with the rest."""
    readings = []
    for form, lines in forms.items():
        for image, written in lines:
            read = reader.recognise(np.repeat(image[..., None], 3, axis=2))
            readings.append(Reading(form, read.confidence, edits(read.text, written)))
    readings.sort(key=lambda reading: reading.confidence)
    third = len(readings) // 3
    parts = {"IAM lines alone": readings, "- least sure third": readings[:third], "- the rest": readings[third:]}
    rates = {}
    for what, part in parts.items():
        if part:
            rates[what] = share_over_forms(part)
            yield Row(what, f"CER, {rates[what].total:,} characters", str(rates[what]))
            yield Row(what, "mean confidence", f"{fmean(reading.confidence for reading in part):.3f}")
    if third and rates["- the rest"].value:
        ratio = rates["- least sure third"].value / rates["- the rest"].value
        yield Row("- least sure third", "CER over that of the rest", f"{ratio:.2f}")


def share_over_forms(readings: Iterable[Reading]) -> Share:
    """Return the character error rate of lines, with one count for each form: its lines are of one hand."""
    counts: dict[str, list[Count]] = defaultdict(list)
    for reading in readings:
        counts[reading.form].append(reading.edits)
    return Share([(sum(wrong for wrong, _ in form), sum(total for _, total in form)) for form in counts.values()])


def measure(
    what: str,
    readers: Sequence[Reader],
    documents: Iterable[tuple[Image.Image, Truth]],
    score: Callable[[list[Line], Truth], Scores],
) -> Iterator[Row]:
    """Let every reader read every document, one reader after the other on each, so that both meet the same load."""
    counts: dict[str, list[list[Count]]] = defaultdict(lambda: [[] for _ in readers])
    seconds: list[list[float]] = [[] for _ in readers]
    for image, truth in documents:
        for place, reader in enumerate(readers):
            start = time.perf_counter()
            lines = reader(image)
            seconds[place].append(time.perf_counter() - start)
            for name, count in score(lines, truth).items():
                counts[name][place].append(count)
    for name, columns in counts.items():
        shares = [Share(column) for column in columns]
        yield Row(what, name.format(shares[0].total), *map(str, shares))
    yield Row(what, "seconds, median", *(f"{median(column):.2f}" for column in seconds))


def score_page(lines: list[Line], page: Page) -> Scores:
    """Count the characters read wrongly on a page, end to end, and the lines in the right order."""
    return {
        "CER end to end, {:,} characters": edits(joined(lines), " ".join(page.texts)),
        "lines in the right order, of {:,}": in_order([line.polygon for line in lines], page.polygons),
    }


def score_receipt(lines: list[Line], written: Counter[str]) -> Scores:
    """Count the words found on a receipt."""
    return {
        "words found, of {:,}": found(joined(lines), written),
        "words found, ignoring spaces": found_without_spaces(joined(lines), written),
    }


def joined(lines: Iterable[Line]) -> str:
    """Return the text of lines, with a space between them."""
    return " ".join(line.text for line in lines)


def rows(data: Path, model: str, seed: int, limit: int | None) -> Iterator[Row]:
    """Measure all that the data folder allows."""
    readers = (as_served() if model == "rapidocr" else by_service(model), as_it_comes())
    if (data / "iam/valid").is_dir():
        forms = read_forms(data / "iam/valid", limit)
        if model == "rapidocr":
            yield from measure_lines(PageReader(networks()), forms)
        for name, style in STYLES.items():
            pages = ((Image.fromarray(page.image), page) for page in make_pages(forms, style, seed))
            yield from measure(f"IAM pages, {name}", readers, pages, score_page)
    if (data / "receipts").is_dir():
        yield from measure("receipts", readers, read_receipts(data / "receipts", limit), score_receipt)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with iam/valid or receipts or both")
    parser.add_argument("--model", default="rapidocr", help="what reads for this project (default: rapidocr)")
    parser.add_argument("--seed", type=int, default=0, help="of the stacking of lines into pages (default: 0)")
    parser.add_argument("--limit", type=int, help="read at most so many forms, and so many receipts")
    options = parser.parse_args(arguments)
    if not any((options.data / part).is_dir() for part in ("iam/valid", "receipts")):
        parser.error(f"{options.data} has neither iam/valid nor receipts")
    if options.limit is not None and options.limit < 1:
        parser.error("--limit must be at least 1")
    if options.seed < 0:
        parser.error("--seed must not be negative")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, row by row as it comes."""
    options = parse(arguments)
    print("|", " | ".join(COLUMNS), "|")
    print("|---" * len(COLUMNS) + "|", flush=True)
    for row in rows(options.data, options.model, options.seed, options.limit):
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
