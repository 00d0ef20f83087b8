"""The benchmark of reading runs on a made-up data folder, and its measures count what they say."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from benchmarks.metrics import Share, edits, found, found_without_spaces, in_order, words
from benchmarks.pages import CROWDED, make_pages, read_forms
from benchmarks.reading import main

FORMS = {
    "a01-000u": ["The ferry leaves", "at seven o'clock", "from the old pier"],
    "b02-001": ["Bring", "warm clothes"],
}
RECEIPT = ["LARKFIELD PAPER", "Envelopes 12.50", "TOTAL, CASH 12.50"]


def drawn(lines: list[str], margin: int = 6) -> Image.Image:
    """Return lines of text as a grey image, cropped like a line of IAM when the margin is small."""
    font = ImageFont.load_default(size=48)
    width = max(int(font.getlength(line)) for line in lines) + 2 * margin
    image = Image.new("L", (width, 72 * len(lines) + 2 * margin), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((margin, margin + 72 * number), line, "black", font)
    return image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two forms and one receipt."""
    lines, receipts = tmp_path / "iam" / "valid" / "lines", tmp_path / "receipts"
    lines.mkdir(parents=True)
    receipts.mkdir()
    rows = []
    for form, texts in FORMS.items():
        for number, text in enumerate(texts):
            name = f"{form}-{number:02}.png"
            drawn([text]).save(lines / name)
            rows.append(f"{name}\t{text}\n")
    (lines.parent / "lines.tsv").write_text("".join(rows), encoding="utf-8")
    drawn(RECEIPT, margin=60).save(receipts / "000.jpg")
    (receipts / "000.csv").write_text("".join(f"0,0,9,0,9,9,0,9,{line}\r\n" for line in RECEIPT), encoding="utf-8")
    return tmp_path


def test_the_table_is_printed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(data)])
    header, rule, *lines = capsys.readouterr().out.splitlines()
    assert header == "| what | measure | this project | RapidOCR as it comes |"
    assert rule == "|---|---|---|---|"
    rows = {tuple(cells[:2]): cells[2:] for cells in (line.strip("| ").split(" | ") for line in lines)}
    assert {what for what, _ in rows} >= {"IAM lines alone", "IAM pages, tidy", "IAM pages, crowded", "receipts"}
    # Print is read without a fault, and one receipt has no spread.
    assert rows["receipts", "words found, of 7"][0] == "100.00% (100.0 to 100.0)"
    assert rows["IAM pages, tidy", "lines in the right order, of 5"][0] == "100.00% (100.0 to 100.0)"
    assert all(len(cells) == 2 for cells in rows.values())


def test_the_limit_and_one_half_of_the_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "receipts").rename(data / "elsewhere")
    main([str(data), "--limit", "1", "--seed", "3"])
    output = capsys.readouterr().out
    assert "lines in the right order, of 3 |" in output
    assert "receipts" not in output


@pytest.mark.parametrize("options", [[], ["--limit", "0"], ["--seed", "-1"]])
def test_what_cannot_be_measured_is_refused(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "receipts").mkdir()
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path if options else tmp_path / "receipts"), *options])


def test_a_seed_gives_the_same_pages(data: Path) -> None:
    forms = read_forms(data / "iam" / "valid")
    first, again, other = (list(make_pages(forms, CROWDED, seed)) for seed in (1, 1, 2))
    assert [page.texts for page in first] == list(FORMS.values())
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(first, other, strict=True))


def test_measures() -> None:
    assert edits("kitten", "sitting") == (3, 7)
    assert edits("", "ab") == (2, 2)
    assert words('"Total", total - (RM)') == Counter({"total": 2, "rm": 1})
    assert found("Total RM5", words("total total rm 5")) == (1, 4)
    assert found_without_spaces("Total RM5", words("total total rm 5")) == (3, 4)
    lines = [np.array([[0, top], [90, top], [90, top + 10], [0, top + 10]], float) for top in (0, 20, 40)]
    assert in_order(lines, lines) == (3, 3)
    assert in_order([lines[1], lines[0], lines[2]], lines) == (2, 3)
    assert in_order([], lines) == (0, 3)
    assert in_order([lines[0], lines[0] + 15], lines) == (1, 3)
    share = Share([(1, 10), (3, 10)])
    assert (share.value, share.total) == (0.2, 20)
    assert share.interval() == pytest.approx((0.1, 0.3))
