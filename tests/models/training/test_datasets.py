"""Captions files of every format, what is wrong with them by file and line, and splits."""

import itertools
import json
from pathlib import Path

import pytest

from models.training.datasets import BadRow, DatasetError, image_paths, read_captions, read_split, split, words

TOKENS = "1.jpg#0\tA dog , brown , runs .\n1.jpg#1\tThe dog 's ball\n2.jpg#0\tTwo men\n"
KAGGLE = 'image,caption\n1.jpg,"A dog , brown , runs ."\n1.jpg,The dog \'s ball\n2.jpg,Two men\n'
FLICKR30K = (
    "image_name| comment_number| comment\n"
    "1.jpg| 0| A dog , brown , runs .\n1.jpg| 1| The dog 's ball\n2.jpg| 0| Two men\n"
)
COCO = json.dumps(
    {
        "images": [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "2.jpg"}],
        "annotations": [
            {"image_id": 7, "caption": "A dog , brown , runs ."},
            {"image_id": 7, "caption": "The dog 's ball"},
            {"image_id": 8, "caption": "Two men"},
        ],
    }
)
NAMED = json.dumps({"1.jpg": {"captions": ["A dog , brown , runs .", "The dog 's ball"]}, "2.jpg": ["Two men"]})
WANTED = {"1.jpg": ["A dog , brown , runs .", "The dog 's ball"], "2.jpg": ["Two men"]}


def read(directory: Path, content: str | bytes) -> tuple[dict[str, list[str]], list[BadRow]]:
    file = directory / "captions"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    bad: list[BadRow] = []
    return read_captions(file, bad.append), bad


@pytest.mark.parametrize("content", [TOKENS, KAGGLE, FLICKR30K, COCO, NAMED], ids=str.split)
@pytest.mark.parametrize("change", [lambda text: text, lambda text: "\ufeff" + text.replace("\n", "\r\n") + "\r\n\r\n"])
def test_formats_are_told_apart_by_content(tmp_path: Path, content: str, change: object) -> None:
    assert callable(change)
    assert read(tmp_path, change(content)) == (WANTED, [])


@pytest.mark.parametrize(
    ("row", "caption"),
    [
        ('1.jpg,"A shirt that reads , "" Mambo "" , here ."', 'A shirt that reads , " Mambo " , here .'),
        ("1.jpg,A dog, not in quotes, runs", "A dog, not in quotes, runs"),
        ('1.jpg,"Hello" says a man', '"Hello" says a man'),
        ("1.jpg,A sign | with a bar", "A sign | with a bar"),
        ("1.jpg,number#1\tand a tab", "number#1\tand a tab"),
    ],
)
def test_nothing_of_a_caption_is_lost(tmp_path: Path, row: str, caption: str) -> None:
    assert read(tmp_path, f"image,caption\n{row}\n")[0] == {"1.jpg": [caption]}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (TOKENS + "3.jpg A dog\n3.jpg#0\t .\n", [4, 5]),
        (KAGGLE + "3.jpg\n\n,A dog\n3.jpg,!\n", [5, 7, 8]),
        (FLICKR30K + "2199200615.jpg| 4   A dog runs across the grass .\n3.jpg| 0|\n", [5, 6]),
        (KAGGLE.encode() + b"3.jpg,\xff\xfe\n", [5]),
    ],
)
def test_bad_rows_are_skipped_and_reported(tmp_path: Path, content: str | bytes, lines: list[int]) -> None:
    captions, bad = read(tmp_path, content)
    assert captions == WANTED
    assert [row.line for row in bad] == lines
    assert str(bad[0]).startswith(f"{tmp_path / 'captions'}:{lines[0]}: ")


def test_bad_entries_of_json(tmp_path: Path) -> None:
    content = json.loads(COCO)
    content["annotations"] += [{"image_id": 9, "caption": "Lost"}, {"image_id": 8}, "no entry"]
    captions, bad = read(tmp_path, json.dumps(content))
    assert captions == WANTED
    assert [row.line for row in bad] == [4, 5, 6]
    captions, bad = read(tmp_path, json.dumps(json.loads(NAMED) | {"3.jpg": "A dog"}))
    assert (captions, [row.line for row in bad]) == (WANTED, [3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("image,caption\n", "no caption"),
        ("image,caption\n1.jpg,...\n", "no caption"),
        ("Once upon a time\nthere was a dog\n", "no known format"),
        ("{", "not JSON"),
        ("[]", "JSON list"),
        ("{}", "no caption"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as wrong:
        read(tmp_path, content)
    assert str(tmp_path / "captions") in str(wrong.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        read_captions(tmp_path / "none")


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A Man , in a T-shirt ; runs .", "a man in a t-shirt runs"),
        ("The dog 's ball isn 't \"red\"", "the dog's ball isn't red"),
        ("the dog’s ball", "the dog's ball"),
        ("before,after", "before after"),
        ("A_B -- c' 'd' 3rd café", "a b c d 3rd café"),
        (". , !", ""),
    ],
)
def test_words(caption: str, expected: str) -> None:
    assert " ".join(words(caption)) == expected


def test_split_files(tmp_path: Path) -> None:
    file = tmp_path / "train.txt"
    file.write_text("2.jpg\n\n1.jpg\n2.jpg\n")
    assert read_split(file, WANTED) == ["2.jpg", "1.jpg"]
    file.write_text("2.jpg\n3.jpg\n4.jpg\n")
    with pytest.raises(DatasetError, match=r"3\.jpg, which has no caption \(1 more"):
        read_split(file, WANTED)
    file.write_text("\n")
    with pytest.raises(DatasetError, match="empty"):
        read_split(file, WANTED)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_split(tmp_path / "none", WANTED)


def test_a_split_by_chance_is_the_same_for_the_same_seed() -> None:
    names = [f"{i}.jpg" for i in range(100)]
    parts = split(names, seed=3, dev=0.1, test=0.2)
    assert parts == split(reversed(names), seed=3, dev=0.1, test=0.2) != split(names, seed=4, dev=0.1, test=0.2)
    assert {part: len(chosen) for part, chosen in parts.items()} == {"dev": 10, "test": 20, "train": 70}
    assert sorted(itertools.chain(*parts.values())) == sorted(names)
    with pytest.raises(DatasetError, match="empty"):
        split(["1.jpg"])


def test_a_missing_image(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    assert image_paths(tmp_path, ["1.jpg"]) == [tmp_path / "1.jpg"]
    with pytest.raises(DatasetError, match=r"2\.jpg is not there"):
        image_paths(tmp_path, ["1.jpg", "2.jpg"])
