"""Answers as they are kept in the journal and written as rows: the service's own, without what differs at each run."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from app.api import schemas
from app.types import AltTextParts, Answer, ImageInfo, Page, Tags, Timings
from models.found import Checkbox, Entity, Line, Part

COLUMNS = ("path", "text", "tags", "model", "confidence")
_ANSWER = TypeAdapter(Answer)
_VOLATILE: Any = {"id": True, "timings_ms": True, "cached": True, "image": {"saved_as"}}
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def packed(answer: Answer) -> str:
    """Return an answer as JSON from which `unpacked` makes the same answer."""
    return _ANSWER.dump_json(replace(answer, timings=Timings(), cached=False, export=None)).decode()


def unpacked(text: str) -> Answer:
    """Return the answer of `packed`."""
    return _ANSWER.validate_json(text)


def record(path: str, answer: Answer) -> dict[str, Any]:
    """Return an answer as the fields of `POST /generate-text`, without those that differ at each run, and its path."""
    fields = schemas.Answer.of(answer, "").model_dump(mode="json", exclude=_VOLATILE, exclude_none=True)
    return {"path": path, **fields}


def as_json(fields: Mapping[str, Any]) -> bytes:
    """Return a record as JSON on one line. Bytes of a path that are no UTF-8 become `\\udcXX`, as of `os.fsdecode`."""
    # A lone surrogate within a JSON string becomes its escape in JSON.
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")


def row(path: str, text: str, answer: Answer) -> list[str]:
    """Return the values of COLUMNS."""
    tags = ", ".join((answer.tags and answer.tags.names) or ())
    confidence = answer.pages[0].confidence if len(answer.pages) == 1 else None
    return [path, text, tags, answer.model, "" if confidence is None else f"{confidence:.4f}"]


def as_csv(values: list[str]) -> bytes:
    """Return a row of RFC 4180."""
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue().encode("utf-8", "backslashreplace")


def as_tsv(values: list[str]) -> bytes:
    """Return a row with tabs, in which a tab, a newline and a backslash are written `\\t`, `\\n` and `\\\\`."""
    return "\t".join(value.translate(_ESCAPES) for value in values).encode("utf-8", "backslashreplace") + b"\n"


def from_service(fields: Mapping[str, Any]) -> Answer:
    """Return the answer that a service has sent as JSON."""
    said = schemas.Answer.model_validate(fields)
    image = said.image
    pages = tuple(
        Page(
            page.width,
            page.height,
            page.text,
            None,
            _lines(page),
            number=page.page - 1,
            is_read=not page.text_layer,
        )
        for page in said.pages or ()
    )
    entities = said.entities and tuple(
        Entity(entity.phrase, entity.span, tuple(entity.boxes)) for entity in said.entities
    )
    tags = None
    if said.tags is not None or said.tagger is not None:
        names, scores = said.tags, said.tag_scores
        tags = Tags(_tupled(names), _tupled(scores), said.tagger)
    one = Page(
        image.width,
        image.height,
        said.text,
        said.confidence,
        _lines(said),
        entities or None,
        is_read=not said.text_layer,
    )
    return Answer(
        said.text,
        said.model,
        pages or (one,),
        tags=tags,
        parts=None if said.parts is None else AltTextParts(**said.parts.model_dump()),
        warnings=tuple(said.warnings),
        image=ImageInfo(image.width, image.height, image.format, image.sha256),
    )


def _tupled(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _lines(page: schemas.Answer | schemas.Page) -> tuple[Line, ...] | None:
    """Return the lines of a page; those of a table have its cells as parts."""
    if page.lines is None:
        return None
    rows: dict[int, list[list[Part]]] = {}
    for table in page.tables or ():
        rows[table.paragraph] = [[] for _ in range(table.rows)]
        for cell in table.cells:
            rows[table.paragraph][cell.row].append(Part(cell.text, cell.confidence, cell.polygon, cell.column))
    lines = []
    for line in page.lines:
        is_row = line.paragraph in rows
        parts = tuple(rows[line.paragraph].pop(0)) if is_row else ()
        boxes = tuple(Checkbox(box.state, box.polygon) for box in line.checkboxes or ())
        lines.append(Line(line.text, line.confidence, line.polygon, line.paragraph, parts, is_row, boxes))
    return tuple(lines)
