"""Measure whether pages are read in order: `python -m benchmarks.order [--count N] [--kind KIND] [--cases FOLDER]`.

Pages of each kind of `benchmarks.layouts` are drawn and read; with `--layout`, the order alone is measured, from the
fragments that a detector would find. A page is right at a character error rate of at most 2 %
in its reading order, white space folded. FOLDER may hold cases of your own: images or PDFs, each beside a
`NAME.expected.txt` with its text; lines that begin with `# ` are remarks, and check boxes are `[ ]` and `[x]`.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pypdfium2
from PIL import Image

from benchmarks.fragments import read_in_order
from benchmarks.layouts import KINDS, make, sheet_of
from benchmarks.metrics import edits
from benchmarks.readers import Reader, as_served

RIGHT = 0.02  # character error rate of a page that counts as right
DPI, LARGEST = 200, 4e7  # resolution and pixels of a PDF's pages
SAME = str.maketrans({"☐": "[ ]", "☑": "[x]", **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))}) | str.maketrans(
    "₀₁₂₃₄₅₆₇₈₉", "0123456789"
)


def folded(text: str) -> str:
    """Return a text with white space folded, check boxes in ASCII, and raised and lowered digits as digits."""
    return " ".join(text.translate(SAME).split())


def error_rate(read: str, written: str) -> float:
    """Return the character error rate of a text read, in the order written."""
    wrong, total = edits(folded(read) or " ", folded(written))
    return wrong / max(total, 1)


def read_whole(reader: Reader, kind: str, seed: int) -> float:
    """Return the character error rate of a page that is read."""
    page = make(kind, seed)
    return error_rate("\n".join(line.text for line in reader(page.image)), page.text)


def read_layout(kind: str, seed: int) -> float:
    """Return the character error rate of a page whose characters are known: of its order."""
    sheet, skew = sheet_of(kind, seed)
    return error_rate(read_in_order(sheet, skew, random.Random(seed)), "\n".join(sheet.lines))


def measure_kind(rate: Callable[[str, int], float], kind: str, seeds: range) -> str:
    """Measure pages of a kind; return a row of the table."""
    start, count = time.perf_counter(), len(seeds)
    wrong = [seed for seed in seeds if rate(kind, seed) > RIGHT]
    seconds = (time.perf_counter() - start) / count
    return f"| {kind} | {1 - len(wrong) / count:.1%} of {count} | {seconds:.2f} | {', '.join(map(str, wrong))} |"


def measure_case(reader: Reader, path: Path, written: str) -> str:
    """Read a case; return a row of the table."""
    start = time.perf_counter()
    try:
        read = "\n".join(line.text for image in images(path) for line in reader(image))
    except (OSError, pypdfium2.PdfiumError) as error:
        # A case of another kind: the service mends some files, and refuses others.
        return f"| {path.name} | not opened | | {error} |"
    rate = error_rate(read, written)
    verdict = "right" if rate <= RIGHT else "wrong"
    return f"| {path.name} | {verdict} | {time.perf_counter() - start:.2f} | CER {rate:.1%} |"


def cases(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the cases of a folder, each with its text."""
    for expected in sorted(folder.glob("*.expected.txt")):
        name = expected.name.removesuffix(".expected.txt")
        lines = expected.read_text(encoding="utf-8").splitlines()
        for path in folder.glob(f"{name}.*"):
            if path.suffix in (".png", ".jpg", ".tif", ".pdf"):
                yield path, "\n".join(line for line in lines if not line.startswith("# "))


def images(path: Path) -> Iterator[Image.Image]:
    """Yield the pages of a file as RGB images."""
    if path.suffix != ".pdf":
        with Image.open(path) as image:
            yield image.convert("RGB")
        return
    for page in pypdfium2.PdfDocument(path):
        width, height = page.get_size()
        scale = min(DPI / 72, (LARGEST / (width * height)) ** 0.5)
        yield page.render(scale=scale).to_pil().convert("RGB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, row by row as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="pages of each kind (default: 20)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be repeated")
    parser.add_argument("--cases", type=Path, metavar="FOLDER", help="read these instead of drawn pages")
    parser.add_argument("--first", type=int, default=0, help="seed of the first page (default: 0)")
    parser.add_argument("--layout", action="store_true", help="measure the order alone, without networks")
    options = parser.parse_args(arguments)
    print("| what | right | seconds a page | remarks |\n|---|---|---|---|", flush=True)
    if options.cases:
        reader = as_served()
        for path, written in cases(options.cases):
            print(measure_case(reader, path, written), flush=True)
        return
    rate = read_layout if options.layout else partial(read_whole, as_served())
    for kind in options.kind or KINDS:
        print(measure_kind(rate, kind, range(options.first, options.first + options.count)), flush=True)


if __name__ == "__main__":
    main()
