"""The options of the native protocol, and their conversion to those of the service.

The same schemas validate requests and describe them in `/openapi.json`.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app import types
from app.errors import InvalidOption
from app.types import PageRanges, Wanted
from models import languages

MAX_PROMPT = 2_000
MAX_TOKENS = 4_096
MAX_TAG_TEXT = 100_000
_SHORT, _LONG = ("", "none", "false", "0", "no", "off"), ("true", "1", "yes", "on")


def _empty_is_absent(value: Any) -> Any:
    """Return None for an empty text, which a form sends for an empty field."""
    return None if value == "" else value


def _empty_is_false(value: Any) -> Any:
    return False if value in ("", None) else value


def _detail(value: Any) -> Any:
    """Return a length by its name; older clients send whether a text shall be long."""
    said = str(value).lower()
    return "brief" if said in _SHORT else "detailed" if said in _LONG else value


def _schema(value: Any) -> Any:
    """Return a JSON schema as a text, however it was sent."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError("should be a JSON schema: an object, or the text of one") from error
    if value in ("", None):
        return None
    if not isinstance(value, dict):
        raise ValueError("should be a JSON schema: an object, or the text of one")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


Text = Annotated[str | None, BeforeValidator(_empty_is_absent)]
Count = Annotated[int | None, BeforeValidator(_empty_is_absent)]
Chosen = TypeVar("Chosen")
Choice = Annotated[Chosen | None, BeforeValidator(_empty_is_absent)]
Flag = Annotated[bool, BeforeValidator(_empty_is_false)]
_SCHEMA = {"type": ["object", "string"]}
_LENGTHS = {"type": ["string", "boolean"], "enum": ["brief", "detailed", "full", False, True]}
Length = Annotated[Literal["brief", "detailed", "full"], BeforeValidator(_detail), WithJsonSchema(_LENGTHS)]


class GenerateOptions(BaseModel):
    """The options of `POST /generate-text`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Text = Field(
        None, max_length=100, description="Name of the model, or `alt-text`; the default model when absent."
    )
    task: Choice[Wanted] = Field(
        None,
        description="For models that do several things: describe, describe with boxes (`ground`), read, find "
        "objects (`detect`), tag, or write an alt text. Where no model is named, one that does it.",
    )
    prompt: Text = Field(
        None,
        max_length=MAX_PROMPT,
        description="Beginning that the text continues; with `task=ground`, the text whose phrases are looked for. For "
        "models that accept an `instruction`: what to do, or a question.",
    )
    tags: Flag = Field(False, description="Also make tags from the text; in JSON and events.")
    tagger: Text = Field(None, max_length=100, description="Name of the tagger, or `auto`.")
    detail: Length = Field("brief", description="How long a description is; `true` is `detailed`.")
    min_new_tokens: Count = Field(None, ge=1, le=MAX_TOKENS, description="Least number of tokens to generate.")
    max_new_tokens: Count = Field(None, ge=1, le=MAX_TOKENS, description="Most tokens to generate.")
    num_beams: Count = Field(None, ge=1, le=10, description="Beams of the search; 1 is greedy.")
    segment: Choice[Literal["auto", "lines", "none"]] = Field(
        None, description="For models that read one line: cut the page into lines or not; `auto` decides by its shape."
    )
    layout: Choice[Literal["auto", "rows", "columns", "plain"]] = Field(
        None,
        description="For models that read pages. `auto`: blocks and columns one after the other, texts of one row on "
        "one line, tables as such. `rows`: the page row by row, from edge to edge. `columns`: as `auto`, but texts "
        "that stand apart are lines of their own, and there are no tables. `plain`: neither columns nor whole rows.",
    )
    answer_schema: Annotated[str | None, BeforeValidator(_schema), WithJsonSchema(_SCHEMA)] = Field(
        None,
        alias="schema",
        description="JSON schema of the answer, as an object or its text, for models that accept an `instruction`: the "
        "`text` is then JSON that fits it.",
    )
    output_language: Text = Field(
        None,
        pattern=r"^[^\W\d_][\w .()-]*$",
        max_length=40,
        description="Language of the answer, as a name or a code such as `German` or `de`, for models that write "
        "several.",
    )
    ocr: Choice[Literal["auto", "always", "never"]] = Field(
        None,
        description="For models that read. `auto`: the text that a page of a PDF holds is taken where it says what is "
        "on the page, and other pages are read. `always`: every page is read. `never`: none is.",
    )
    language: Text = Field(
        None,
        max_length=100,
        description="Languages of the text, for models that read: tags such as `ru` or `zh-Hans`, or tesseract's names "
        "such as `rus`, several as `ru,en`; `auto` or absent: by its script. `GET /models` lists those of each model.",
    )
    pages: Text = Field(
        None,
        pattern=r"^\s*\d{1,6}(\s*-\s*\d{0,6})?(\s*,\s*\d{1,6}(\s*-\s*\d{0,6})?)*\s*$",
        max_length=500,
        description="Pages of a document, such as `1-3,7` or `5-`; all when absent.",
    )
    region: Text = Field(
        None,
        pattern=r"^\s*[01]?(\.\d{1,9})?\s*(,\s*[01]?(\.\d{1,9})?\s*){3}$",
        max_length=100,
        description="Part to look at, as `x0,y0,x1,y1` in fractions of the upright image's width and height.",
    )
    store: Annotated[bool, BeforeValidator(lambda value: True if value in ("", None) else value)] = Field(
        True, description="Whether the image may be kept."
    )
    max_length: Count = Field(None, ge=20, le=5_000, description="Most characters of an alt text; 250 when absent.")
    format: Choice[Literal["json", "text", "hocr", "alto", "tsv", "markdown", "pdf"]] = Field(
        None, description="Format of the answer; takes precedence over the Accept header."
    )

    def to_options(self) -> types.RequestOptions:
        """Return the options in the service's own type."""
        parsed = {"detail", "pages", "region", "language"}
        values = self.model_dump(exclude={"format", "store", *parsed}, by_alias=True)
        return types.RequestOptions(
            **values,
            detail=None if self.detail == "brief" else self.detail,
            pages=page_ranges(self.pages),
            region=_region(self.region),
            language=languages_of(self.language),
        )


NAMES = tuple(field.alias or name for name, field in GenerateOptions.model_fields.items())
"""The names of the options."""


def languages_of(text: object) -> tuple[str, ...] | None:
    """Return the languages that a client names, in a text or a list of texts; None for any.

    Raises:
        InvalidOption: one of them is no language.
    """
    names = ",".join(map(str, text)) if isinstance(text, list) else str(text or "")
    try:
        return languages.parse(names)
    except ValueError as error:
        raise InvalidOption(f"language: {error}") from None


def page_ranges(text: str | None) -> PageRanges | None:
    """Return the ranges of `1-3,7`: first and last pages.

    Raises:
        InvalidOption: a page is no number or 0, or a range ends before it begins.
    """
    if text is None:
        return None
    ranges = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        try:
            bounds = int(first), (int(last) if last else None) if dash else int(first)
        except ValueError:
            raise InvalidOption(f"pages: {part.strip()[:100]!r} is no page and no range, such as 1-3,7") from None
        if bounds[0] < 1 or (bounds[1] is not None and bounds[1] < bounds[0]):
            raise InvalidOption(f"pages: {part.strip()!r} is not a valid range; pages are counted from 1")
        ranges.append(bounds)
    return tuple(ranges)


def _region(text: str | None) -> tuple[float, float, float, float] | None:
    """Return the box of `x0,y0,x1,y1`.

    Raises:
        InvalidOption: it is empty or not within the image.
    """
    if text is None:
        return None
    x0, y0, x1, y1 = (float(part.strip() or 0) for part in text.split(","))
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise InvalidOption("region: x0,y0,x1,y1 should be fractions from 0 to 1, with x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


class TagOptions(BaseModel):
    """The body of `POST /generate-tags`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=MAX_TAG_TEXT, description="Text to tag.")
    tagger: Text = Field(None, max_length=100, description="Name of the tagger, or `auto`.")


def sentence_of(mistake: dict[str, Any], options: type[BaseModel]) -> str:
    """Return what is wrong with an option in words, from one of pydantic's errors."""
    name = ".".join(str(part) for part in mistake["loc"])
    known = {field.alias or name: field for name, field in options.model_fields.items()}
    if mistake["type"] == "extra_forbidden":
        return f"there is no option {name[:100]!r}; there are {', '.join(known)}"
    if mistake["type"] == "string_pattern_mismatch" and name in known:
        # A pattern tells people nothing.
        return f"{name}: {mistake['input'][:100]!r} does not fit. {known[name].description}"
    message = mistake["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"
