"""Interprets a client's prompt or JSON schema as a request to the service, and renders the answer as the client wants.

Chat protocols send prompts; the models here have tasks. docs/clients.md lists what is recognised.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import InvalidOption
from models.base import Detail

Kind = Literal["caption", "read", "tags", "alt-text", "title"]

_WORDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("alt-text", re.compile(r"\balt(?:ernative)?[- ]?text\b", re.I)),
    (
        "read",
        re.compile(r"\bocr\b|\btranscri\w+|\btext recognition\b|\b(?:extract|read)\b[^.?!\n]{,60}\btext\b", re.I),
    ),
    ("tags", re.compile(r"\b(?:hash)?tag(?:s|ging)?\b|\blabels?\b|\bkeywords?\b", re.I)),
    ("title", re.compile(r"\btitle\b|\bheadline\b", re.I)),
    (
        "caption",
        re.compile(
            r"\bdescri\w+|\bcaption\w*|\banaly[sz]e\b|\bwhat(?:'s| is| do you see)\b[^.?!\n]{,20}"
            r"\b(?:in|on) (?:the|this|these) (?:image|picture|photo)s?\b|\bwhat do you see\b",
            re.I,
        ),
    ),
)
_DETAILS: tuple[tuple[Detail, re.Pattern[str]], ...] = (
    ("full", re.compile(r"\bparagraph\b|\b(?:all|every|full|as much|maximum|greatest) (?:the )?details?\b", re.I)),
    ("detailed", re.compile(r"\bdetail(?:s|ed)?\b", re.I)),
)
_KINDS: dict[str, Kind] = {
    "tags": "tags",
    "keywords": "tags",
    "labels": "tags",
    "caption": "caption",
    "description": "caption",
    "title": "title",
    "text": "read",
    "alt_text": "alt-text",
}
_KEYS: dict[Kind, str] = {
    "caption": "caption",
    "read": "text",
    "tags": "tags",
    "alt-text": "alt_text",
    "title": "title",
}
ASKABLE = (
    "ask for a description or caption, a title, alt text, tags, or a transcription of the text; or leave the prompt out"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants.

    Attributes:
        text: the kind of the text; `tags` where tags alone are wanted.
        tags: whether tags are wanted.
        fields: the properties of the JSON object to answer with, by name; None for plain text.
        detail: how much a caption should say; None for a sentence.
    """

    text: Kind
    tags: bool
    fields: Mapping[str, Any] | None = None
    detail: Detail | None = None


def wish_of(prompt: str, schema: Mapping[str, Any] | None = None, as_json: bool = False) -> Wish:
    """Return what a prompt and a JSON schema ask for; the schema wins.

    Raises:
        InvalidOption: neither asks for something that the service does.
    """
    if schema is not None:
        return _of_schema(schema)
    kind = _kind_of(prompt)
    fields = None
    if as_json or re.search(r"\bjson\b", prompt, re.I):
        key = "labels" if kind == "tags" and re.search(r"\blabels?\b", prompt, re.I) else _KEYS[kind]
        fields = {key: {"type": "array", "items": {"type": "object"}} if key == "labels" else {}}
    detail = next((detail for detail, words in _DETAILS if words.search(prompt)), None) if kind == "caption" else None
    return Wish(kind, kind == "tags", fields, detail)


def _kind_of(prompt: str) -> Kind:
    if not prompt.strip():
        return "caption"
    for kind, words in _WORDS:
        if words.search(prompt):
            return kind
    raise InvalidOption(
        f"this model does not follow free instructions or answer questions, as smolvlm2-256m does: {ASKABLE}"
    )


def _of_schema(schema: Mapping[str, Any]) -> Wish:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise InvalidOption("the JSON schema must be an object with properties")
    known = {name: part for name, part in properties.items() if name in _KINDS and _fits(name, part)}
    required = schema.get("required")
    needed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    if not known or (missing := [name for name in needed if name not in known]):
        which = ", ".join(map(repr, missing)) if known else "its properties"
        raise InvalidOption(f"the JSON schema cannot be filled: {which[:200]}; known are {', '.join(_KINDS)}")
    texts = {_KINDS[name] for name in known} - {"tags"}
    if len(texts) > 1:
        raise InvalidOption(
            f"the JSON schema asks for several texts ({', '.join(sorted(texts))}): ask for one at a time"
        )
    return Wish(next(iter(texts), "tags"), any(_KINDS[name] == "tags" for name in known), known)


def _fits(name: str, part: Any) -> bool:
    """Return True if the values of a known name have the type that a schema gives."""
    if not isinstance(part, Mapping):
        return False
    kind = part.get("type")
    if _KINDS[name] == "tags":
        items = part.get("items")
        inner = items.get("type") if isinstance(items, Mapping) else None
        return kind == "array" and (inner in (None, "string") or (inner == "object" and name == "labels"))
    return kind in (None, "string") or (kind == "object" and name == "caption")


def render(
    wish: Wish, text: str, tags: tuple[str, ...], scores: tuple[float, ...] | None, confidence: float | None = None
) -> str:
    """Return an answer as plain text, or as the JSON that is wanted. Scores that no model gave are left out."""
    if wish.fields is None:
        return ", ".join(tags) if wish.text == "tags" else text
    filled: dict[str, Any] = {}
    for name, part in wish.fields.items():
        if _KINDS[name] == "tags":
            objects = (part.get("items") or {}).get("type") == "object"
            filled[name] = labels(tags, scores) if objects else list(tags)
        elif part.get("type") == "object":
            filled[name] = {"text": text} | ({} if confidence is None else {"confidence": confidence})
        else:
            filled[name] = text
    return json.dumps(filled, ensure_ascii=False)


def labels(tags: tuple[str, ...], scores: tuple[float, ...] | None) -> list[dict[str, Any]]:
    """Return tags as objects with `name` and, where the tagger gives scores, `confidence`."""
    if scores is None:
        return [{"name": name} for name in tags]
    return [{"name": name, "confidence": score} for name, score in zip(tags, scores, strict=True)]
