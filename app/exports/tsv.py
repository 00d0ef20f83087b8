"""Tab-separated values with the columns and levels of tesseract's TSV.

https://github.com/tesseract-ocr/tesseract/blob/main/src/api/baseapi.cpp, GetTSVText.  Levels are page 1, block 2,
paragraph 3, line 4 and word 5.  Values are never quoted: no word contains a tab or a newline.
"""

from collections.abc import Iterator

from app.exports.base import Document, Page
from app.exports.layout import Block, Box, blocks

COLUMNS = (
    *("level", "page_num", "block_num", "par_num", "line_num", "word_num"),
    *("left", "top", "width", "height", "conf", "text"),
)
# Tesseract's value for a row without a confidence.
_NO_CONFIDENCE = "-1"


def render(document: Document) -> bytes:
    """Write one row for each page, paragraph, line and word."""
    rows = ["\t".join(COLUMNS)]
    for number, page in enumerate(document.pages, 1):
        rows.append(_row(number, (), _whole(page)))
        for position, block in enumerate(blocks(page), 1):
            rows += _block(number, position, block)
        if number == 1 and document.caption:
            rows += _caption(page, document.caption)
    return ("\n".join(rows) + "\n").encode()


def _block(page: int, number: int, block: Block) -> Iterator[str]:
    """A paragraph is a block of its own: what tesseract's layout analysis calls a block is not known here."""
    yield _row(page, (number,), block.box)
    yield _row(page, (number, 1), block.box)
    for position, line in enumerate(block.lines, 1):
        yield _row(page, (number, 1, position), line.box)
        for index, word in enumerate(line.words, 1):
            yield _row(page, (number, 1, position, index), word.box, f"{100 * line.confidence:.6f}", word.text)


def _caption(page: Page, caption: str) -> Iterator[str]:
    """Yield the rows of a caption: one line without confidence, whose words have the box of the whole page."""
    box = _whole(page)
    for number in ((1,), (1, 1), (1, 1, 1)):
        yield _row(1, number, box)
    for index, word in enumerate(caption.split(), 1):
        yield _row(1, (1, 1, 1, index), box, text=word)


def _row(page: int, number: tuple[int, ...], box: Box, confidence: str = _NO_CONFIDENCE, text: str = "") -> str:
    """Return a row. `number` is the numbers of the block, paragraph, line and word, down to the level of the row."""
    missing = (0,) * (4 - len(number))
    values = (len(number) + 1, page, *number, *missing, box.left, box.top, box.width, box.height, confidence, text)
    return "\t".join(map(str, values))


def _whole(page: Page) -> Box:
    return Box(0, 0, page.width, page.height)
