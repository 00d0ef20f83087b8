"""The formats of results: tables with a row for each input, and files of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.cli import records, xmp
from app.cli.inputs import Item
from app.cli.tasks import Task
from app.types import Answer

RENDERED = {"hocr": "hocr", "alto": "alto", "markdown": "markdown", "pdf": "pdf", "words-tsv": "tsv"}
"""Formats that the service renders, by their names here, with the names that they have there."""
_ESCAPES = str.maketrans({"\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True, slots=True)
class Result:
    """What is written of one input: the answer, and the files that the service has rendered of it, by format."""

    item: Item
    key: str
    answer: Answer
    rendered: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A format with a row for each input.

    Attributes:
        row: returns that of a result, with its end.
        head, between, foot: what stands before the first row, between two, and after the last.
        first_byte: with which each row begins, by which a file in another format is told apart; empty for any.
    """

    row: Callable[[Task, Result], bytes]
    head: bytes = b""
    between: bytes = b""
    foot: bytes = b""
    first_byte: bytes = b""


def _jsonl(task: Task, result: Result) -> bytes:
    return _json(task, result) + b"\n"


def _json(task: Task, result: Result) -> bytes:
    return records.as_json(records.record(result.item.path, result.answer))


def _values(task: Task, result: Result) -> list[str]:
    return records.row(result.item.path, task.says(result.answer), result.answer)


def _lines(task: Task, result: Result) -> bytes:
    """The path and the text: on one line, as grep has them; for pages of text, below a heading, as of head."""
    path, text = result.item.path.translate(_ESCAPES), task.says(result.answer)
    whole = f"==> {path} <==\n{text}\n\n" if task.is_text else f"{path}: {text.translate(_ESCAPES)}\n"
    return whole.encode("utf-8", "surrogateescape")


def only_text(task: Task, result: Result) -> bytes:
    """Return the text of the one input that there is."""
    return task.says(result.answer).encode() + b"\n"


TABLES = {
    "text": Table(_lines),
    "jsonl": Table(_jsonl, first_byte=b"{"),
    "json": Table(_json, b"[\n", b",\n", b"\n]\n"),
    "csv": Table(lambda task, result: records.as_csv(_values(task, result)), records.as_csv([*records.COLUMNS])),
    "tsv": Table(lambda task, result: records.as_tsv(_values(task, result)), records.as_tsv([*records.COLUMNS])),
}


def _rendered(name: str) -> Callable[[Task, Result], bytes]:
    return lambda task, result: result.rendered[name]


def _xmp(task: Task, result: Result) -> bytes:
    return xmp.packet(xmp.Words.of(task, result.answer))


FILES: dict[str, tuple[str, Callable[[Task, Result], bytes]]] = {
    "text": (".txt", only_text),
    "json": (".json", _jsonl),
    "xmp": (".xmp", _xmp),
    "hocr": (".hocr", _rendered("hocr")),
    "alto": (".xml", _rendered("alto")),
    "markdown": (".md", _rendered("markdown")),
    "pdf": (".pdf", _rendered("pdf")),
    "words-tsv": (".tsv", _rendered("words-tsv")),
}
"""Formats of files that hold one result, with their extensions."""

BY_EXTENSION = {extension: name for name, (extension, _) in FILES.items()} | {
    f".{name}": name for name in ("jsonl", "json", "csv", "tsv")
}


def extension(name: str) -> str:
    """Return how files of a format end."""
    return FILES[name][0] if name in FILES else f".{name}"
