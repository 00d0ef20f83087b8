"""The answers of the native protocol, and their conversion from the service's own."""

from collections.abc import Iterable
from itertools import groupby
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app import types
from models import found

Fraction = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda value: round(value, 6))]
Point = tuple[Fraction, Fraction]


class _Converted(BaseModel):
    """A schema that can be filled from the attributes of the service's own type."""

    model_config = ConfigDict(from_attributes=True)


class Entity(_Converted):
    """A phrase of the text and where it is on the image."""

    phrase: str
    span: tuple[int, int] = Field(description="Start and end of the phrase in `text`, in code points.")
    boxes: list[tuple[Fraction, Fraction, Fraction, Fraction]] = Field(
        description="`[x0, y0, x1, y1]` in fractions of the upright image's width and height."
    )


class Checkbox(_Converted):
    """A check box, ☐ or ☑ in the text."""

    state: Literal["selected", "unselected"] = Field(description="Whether it is ticked.")
    polygon: tuple[Point, Point, Point, Point] = Field(description="As that of a line.")


class Line(_Converted):
    """A run of text on the image."""

    text: str
    confidence: Fraction
    polygon: tuple[Point, Point, Point, Point] = Field(
        description="Four points, clockwise from the text's top left, in fractions of the upright image's size."
    )
    paragraph: int = Field(description="Which paragraph of the page it belongs to, counted from 0 in reading order.")
    checkboxes: Annotated[list[Checkbox] | None, BeforeValidator(lambda boxes: boxes or None)] = Field(
        None, description="Those on the line, where there are any."
    )


class Cell(BaseModel):
    """A cell of a table; one without text is left out."""

    row: int = Field(description="Counted from 0.")
    column: int = Field(description="Counted from 0.")
    text: str
    confidence: Fraction
    polygon: tuple[Point, Point, Point, Point] = Field(description="As that of a line.")


class Table(BaseModel):
    """A table. Its rows are also `lines`, all of one paragraph."""

    paragraph: int = Field(description="The `paragraph` of its lines.")
    rows: int
    columns: int
    cells: list[Cell]


class Page(BaseModel):
    """The text of one page of several."""

    page: int = Field(description="Counted from 1.")
    width: int = Field(description="Pixels of the upright page.")
    height: int
    text: str
    text_layer: Literal[True] | None = Field(None, description="The text is that which the file holds.")
    lines: list[Line] | None = None
    tables: list[Table] | None = None


class AltTextParts(_Converted):
    """The parts of an alt text."""

    caption: str | None = Field(None, description="Text of the captioner.")
    captioner: str | None = None
    words: str | None = Field(None, description="Text that the reader found on the picture.")
    reader: str | None = None


class ImageInfo(_Converted):
    """The image as it was decoded."""

    width: int = Field(description="Pixels of the upright image.")
    height: int
    format: str
    sha256: str = Field(description="Of the bytes that were uploaded.")
    saved_as: str | None = Field(None, description="Path on this service under which the image can be fetched.")


class Timings(_Converted):
    """Where the time went, in milliseconds."""

    fetch: int
    decode: int
    load: int = Field(description="Waiting until the model was in memory.")
    queue: int = Field(description="Waiting for a model that was busy.")
    inference: int
    total: int


class Answer(BaseModel):
    """The answer of `POST /generate-text`. Fields that the model does not provide are left out."""

    id: str
    text: str
    model: str
    confidence: Fraction | None = None
    tags: list[str] | None = None
    tag_scores: list[Fraction] | None = None
    tagger: str | None = None
    entities: list[Entity] | None = None
    lines: list[Line] | None = None
    text_layer: Literal[True] | None = Field(None, description="The text is that which the file holds; none was read.")
    tables: list[Table] | None = Field(None, description="With `layout=auto`, where there are any.")
    pages: list[Page] | None = Field(None, description="Of a document of several pages.")
    parts: AltTextParts | None = Field(None, description="Of an alt text.")
    cached: Literal[True] | None = Field(None, description="Known from an earlier request: nothing was computed.")
    image: ImageInfo
    timings_ms: Timings
    warnings: list[str]
    export: str | None = Field(
        None, description="In a `result` event, with `format`: the address of the export, kept for ten minutes."
    )

    @classmethod
    def of(cls, answer: types.Answer, request_id: str, export: str | None = None) -> Self:
        """Make the answer of a request. One page's fields stand in the answer itself; several pages are a list.

        Args:
            answer: the service's.
            request_id: of the request.
            export: the address of the answer in another format, if it was made.
        """
        tags = answer.tags or types.Tags()
        fields: dict[str, Any]
        if len(answer.pages) == 1:
            (page,) = answer.pages
            fields = {"confidence": page.confidence, "entities": page.entities, **_read(page)}
        else:
            fields = {
                "pages": [
                    Page(page=page.number + 1, width=page.width, height=page.height, text=page.text, **_read(page))
                    for page in answer.pages
                ]
            }
        assert answer.image is not None
        return cls(
            id=request_id,
            text=answer.text,
            model=answer.model,
            tags=_listed(tags.names),
            tag_scores=_listed(tags.scores),
            tagger=tags.tagger,
            parts=None if answer.parts is None else AltTextParts.model_validate(answer.parts),
            cached=answer.cached or None,
            image=ImageInfo.model_validate(answer.image),
            timings_ms=Timings.model_validate(answer.timings),
            warnings=list(answer.warnings),
            export=export,
            **fields,
        )


class Queued(BaseModel):
    """An event: the request waits for a model."""

    position: int | None = Field(
        description="Position in the queue, counted from 1; 0 while it runs; absent while the queue is full."
    )


class Progress(BaseModel):
    """An event: the progress of the request."""

    stage: Literal["downloading", "loading", "lines", "pages"]
    done: int
    found: int = Field(description="How many there are; 100 percent of a download.")


class TagTimings(_Converted):
    """Where the time went, in milliseconds."""

    load: int
    queue: int
    inference: int
    total: int


class TagAnswer(BaseModel):
    """The answer of `POST /generate-tags`."""

    id: str
    tags: list[str]
    tag_scores: list[Fraction] | None = None
    tagger: str
    cached: Literal[True] | None = Field(None, description="Known from an earlier request: nothing was computed.")
    timings_ms: TagTimings
    warnings: list[str]

    @classmethod
    def of(cls, tags: types.Tags, request_id: str) -> Self:
        """Make the answer of a request."""
        return cls(
            id=request_id,
            tags=list(tags.names or ()),
            tag_scores=_listed(tags.scores),
            tagger=tags.tagger or "",
            cached=tags.cached or None,
            timings_ms=TagTimings.model_validate(tags.timings),
            warnings=list(tags.warnings),
        )


class Health(BaseModel):
    """The answer of `GET /healthz` and `GET /readyz`."""

    status: str
    model: str | None = Field(None, description="The default model.")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Short name of the kind of error; stable.")
    request_id: str = Field(description="Identifies the request in the service's log.")


def event_of(progress: types.Progress) -> Queued | Progress:
    """Return progress as the data of an event."""
    if progress.stage == "queued":
        return Queued(position=progress.position)
    return Progress(stage=progress.stage, done=progress.done, found=progress.found)


def _listed(values: Iterable[Any] | None) -> Any:
    return None if values is None else list(values)


def _read(page: types.Page) -> dict[str, Any]:
    """Return the fields of what was read on a page."""
    return {"lines": page.lines, "tables": _tables(page), "text_layer": not page.is_read or None}


def _tables(page: types.Page) -> list[Table] | None:
    """Return the tables among the lines of a page; None where there are none."""
    rows = [line for line in page.lines or () if line.is_row]
    return [_table(number, list(lines)) for number, lines in groupby(rows, lambda line: line.paragraph)] or None


def _table(paragraph: int, lines: list[found.Line]) -> Table:
    cells = [
        Cell(row=row, column=cell.column, text=cell.text, confidence=cell.confidence, polygon=cell.polygon)
        for row, line in enumerate(lines)
        for cell in line.cells()
    ]
    return Table(paragraph=paragraph, rows=len(lines), columns=1 + max(cell.column for cell in cells), cells=cells)
