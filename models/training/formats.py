"""The formats of captions files, recognised by their content.

- Flickr8k's token file: `1000.jpg#0<tab>A dog runs .`
- Kaggle's `captions.txt`: a header `image,caption`, then `1000.jpg,A dog runs .`, in quotes where it holds a comma
- Flickr30k's `results.csv`: a header, then `1000.jpg| 0| A dog runs .`
- JSON: COCO's `{"images": [...], "annotations": [...]}`, or `{"1000.jpg": {"captions": ["A dog runs."]}}`
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_EXAMINED_LINES = 50


class DatasetError(ValueError):
    """A dataset that cannot be used; the message names the file."""


Row = tuple[int, str | None, str]
"""Number of the line (in JSON, of the entry) from 1, name of the image, caption. Without a name, why there is none."""


def rows(file: Path, data: bytes) -> Iterator[Row]:
    """Return the rows of a captions file.

    Args:
        file: the path, for errors.
        data: the content.

    Raises:
        DatasetError: it is in none of the formats.
    """
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return _json_rows(file, data)
    lines = [line.rstrip(b"\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    return _text_rows(lines, _format(file, lines))


@dataclass(frozen=True, slots=True)
class _LineFormat:
    """A format of lines: the patterns of a row and of a header, and the form of a row in words."""

    row: re.Pattern[str]
    header: re.Pattern[str]
    shape: str


_LINE_FORMATS = (
    _LineFormat(re.compile(r"([^\t]+?)#\d+\t(.*)"), re.compile(r"(?!)"), "name#number, a tab, the caption"),
    _LineFormat(re.compile(r"([^|]+)\|\s*\d+\s*\|(.*)"), re.compile(r"(?i)image\w*\s*\|.*"), "name| number| caption"),
    _LineFormat(re.compile(r'"?([^,"|\t]+)"?,(.+)'), re.compile(r"(?i)image\w*\s*,.*"), "name,caption"),
)


def _format(file: Path, lines: Sequence[bytes]) -> _LineFormat:
    """Return the format whose header the first line is, else the one that most of the first lines are in."""
    first = [line.decode("utf-8", "replace") for line in lines[:_MAX_EXAMINED_LINES]]
    for known in _LINE_FORMATS:
        if known.header.fullmatch(first[0]):
            return known
    # Any line may have a comma, so the format with commas is recognised only by its header.
    for known in _LINE_FORMATS[:2]:
        if 2 * sum(known.row.fullmatch(line) is not None for line in first) > len([line for line in first if line]) - 1:
            return known
    raise DatasetError(
        f"{file} is in no known format: Flickr8k's token file, Kaggle's captions.txt with its header image,caption, "
        "Flickr30k's results.csv with its |, or JSON"
    )


def _text_rows(lines: Iterable[bytes], known: _LineFormat) -> Iterator[Row]:
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            yield number, None, "not UTF-8"
            continue
        if not line.strip() or (number == 1 and known.header.fullmatch(line)):
            continue
        found = known.row.fullmatch(line)
        if found:
            yield number, found[1].strip(), _unquoted(found[2].strip())
        else:
            yield number, None, f"not of the form {known.shape}"


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


def _json_rows(file: Path, data: bytes) -> Iterator[Row]:
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise DatasetError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{file} holds a JSON list; COCO's captions are an object with images and annotations")
    if isinstance(content.get("annotations"), list) and isinstance(content.get("images"), list):
        return _coco_rows(content["images"], content["annotations"])
    return _named_rows(content)


def _coco_rows(images: Sequence[Any], annotations: Sequence[Any]) -> Iterator[Row]:
    names = {image.get("id"): image.get("file_name") for image in images if isinstance(image, dict)}
    for number, annotation in enumerate(annotations, 1):
        entry = annotation if isinstance(annotation, dict) else {}
        name, caption = names.get(entry.get("image_id")), entry.get("caption")
        if not isinstance(name, str):
            yield number, None, f"its image_id {entry.get('image_id')!r} is that of no image"
        elif not isinstance(caption, str):
            yield number, None, f"{name} has no caption"
        else:
            yield number, name, caption


def _named_rows(content: Mapping[str, Any]) -> Iterator[Row]:
    for number, (name, entry) in enumerate(content.items(), 1):
        found = entry.get("captions") if isinstance(entry, dict) else entry
        if not isinstance(found, list) or not all(isinstance(caption, str) for caption in found):
            yield number, None, f"{name} has no list of captions"
            continue
        yield from ((number, name, caption) for caption in found)
