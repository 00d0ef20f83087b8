"""TSV, read by the csv module as readers of tesseract's read it."""

import csv
import io

from app.exports import EXPORTS, Document
from app.exports.base import printable
from tests.app.exports.documents import DOCUMENTS, HEIGHT, HOSTILE, PROSE, WIDTH, every_document

HEADER = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n"
NUMBERS = ("page_num", "block_num", "par_num", "line_num", "word_num")


def rows(document: Document) -> list[dict[str, str]]:
    text = EXPORTS["tsv"].render(document).decode()
    assert text.startswith(HEADER)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))


def box(row: dict[str, str]) -> tuple[int, int, int, int]:
    left, top, width, height = (int(row[name]) for name in ("left", "top", "width", "height"))
    return left, top, left + width, top + height


@every_document
def test_rows_are_a_tree_and_each_lies_within_its_parent(sample: Document) -> None:
    open_rows: dict[int, dict[str, str]] = {}
    for row in rows(sample):
        level, numbers = int(row["level"]), [int(row[name]) for name in NUMBERS]
        assert all(number > 0 for number in numbers[:level])
        assert not any(numbers[level:])
        if level > 1:
            parent = open_rows[level - 1]
            assert [int(parent[name]) for name in NUMBERS[: level - 1]] == numbers[: level - 1]
            left, top, right, bottom = box(row)
            outer = box(parent)
            assert outer[0] <= left < right <= outer[2]
            assert outer[1] <= top < bottom <= outer[3]
        assert (row["text"] != "") == (level == 5)
        assert row["conf"] == "-1" or (level == 5 and 0 <= float(row["conf"]) <= 100)
        open_rows[level] = row
    assert sum(row["level"] == "1" for row in rows(sample)) == len(sample.pages)


def test_words() -> None:
    found = [row for row in rows(DOCUMENTS["prose"]) if row["level"] == "5"]
    assert [row["text"] for row in found] == " ".join(PROSE).split()
    assert {row["conf"] for row in found} == {"87.500000"}
    found = [row for row in rows(DOCUMENTS["hostile"]) if row["level"] == "5"]
    assert [row["text"] for row in found] == [*printable(HOSTILE).split(), "plain"]


def test_the_words_of_a_caption_lie_on_the_whole_image() -> None:
    found = [row for row in rows(DOCUMENTS["caption"]) if row["level"] == "5"]
    assert [row["text"] for row in found] == ["a", "dog", "with", "a", "<ball>", "in", "its", "mouth"]
    assert {(box(row), row["conf"]) for row in found} == {((0, 0, WIDTH, HEIGHT), "-1")}
