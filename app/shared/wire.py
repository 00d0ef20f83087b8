"""Answers, tags and errors as bytes that other copies read.

JSON, because whoever can write to Redis must not be able to run code here, as with pickles. What another version has
written may not be readable: it is then as if it were not there.
"""

from dataclasses import replace
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter

from app.errors import ServiceError, Unavailable
from app.types import Answer, Tags
from models.base import CutWarning
from models.errors import is_out_of_memory

FORMAT = 1
"""Part of each key. Increase it with each change of what answers hold."""


def dump(value: Answer | Tags) -> bytes:
    """Return an answer, without its export, or tags."""
    kind = type(value).__name__
    cut = [i for i, warning in enumerate(value.warnings) if isinstance(warning, CutWarning)]
    excluded = {"export"} if isinstance(value, Answer) else None
    body = _adapter(kind).dump_python(value, mode="json", exclude=excluded)
    return _JSON.dump_json({"kind": kind, "cut": cut, "value": body})


def load(data: bytes) -> Answer | Tags:
    """Return what `dump` was given.

    Raises:
        ValueError: another version wrote it.
    """
    stored = _JSON.validate_json(data)
    try:
        kind, cut, body = stored["kind"], stored["cut"], stored["value"]
        value = cast(Answer | Tags, _adapter(kind).validate_python(body))
    except (KeyError, TypeError) as error:
        raise ValueError("not what this version writes") from error
    warnings = tuple(CutWarning(text) if i in cut else text for i, text in enumerate(value.warnings))
    return replace(value, warnings=warnings)


def dump_error(error: BaseException) -> dict[str, Any]:
    """Return what clients may know of an error."""
    if isinstance(error, ServiceError):
        return {"code": error.code, "detail": error.detail, "retry_after": error.retry_after}
    known = Unavailable if is_out_of_memory(error) else ServiceError
    return {"code": known.code, "detail": _UNEXPECTED, "retry_after": None}


def load_error(stored: dict[str, Any]) -> ServiceError:
    """Return the error of which `dump_error` told, of the same class."""
    kinds = _kinds(ServiceError)
    return kinds.get(stored["code"], ServiceError)(stored["detail"], stored["retry_after"])


_UNEXPECTED = "an unexpected error occurred; the log of the copy that worked on it has the details"
_JSON: TypeAdapter[Any] = TypeAdapter(dict[str, Any])


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter({"Answer": Answer, "Tags": Tags}[kind])


def _kinds(base: type[ServiceError]) -> dict[str, type[ServiceError]]:
    found = {base.code: base}
    for kind in base.__subclasses__():
        found |= _kinds(kind)
    return found
