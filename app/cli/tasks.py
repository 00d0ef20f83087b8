"""What each command asks the service, and which part of the answer it prints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.cli.inputs import DOCUMENTS, IMAGES
from app.types import Answer
from models.roles import READER


@dataclass(frozen=True, slots=True)
class Task:
    """One of the commands that turn images into text.

    Attributes:
        name: of the command.
        says: returns what is printed of an answer.
        asks: the options that a request of this command has anyway.
        suffixes: of the files that are taken from directories.
        is_text: whether texts have several lines, so that a heading stands above each.
    """

    name: str
    says: Callable[[Answer], str] = lambda answer: answer.text
    asks: Mapping[str, Any] = field(default_factory=dict)
    suffixes: frozenset[str] = IMAGES
    is_text: bool = False


def tags_of(answer: Answer) -> tuple[str, ...]:
    """Return the tags of an answer; none is as none found."""
    return (answer.tags and answer.tags.names) or ()


TASKS = {
    task.name: task
    for task in (
        Task("caption"),
        Task("read", asks={"model": READER}, suffixes=DOCUMENTS, is_text=True),
        Task("tags", lambda answer: ", ".join(tags_of(answer)), {"tags": True}),
        Task("alt", asks={"model": "alt-text"}),
        Task("run", suffixes=DOCUMENTS, is_text=True),
    )
}
