"""Shared by the front doors of other programs' protocols: finds the models that they name and the images that they
send, and asks the service."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from app.api.bodies import source_of
from app.api.downloads import Downloads
from app.api.waiting import Steps, result_of, steps_of
from app.errors import InvalidOption, ModelNotFound, Unavailable
from app.operations import Operations
from app.service import Service
from app.types import Answer, Request, RequestOptions, Tags, Wanted
from models.registry import Entry

_DEFAULTS = ("", "auto", "default", "dummy", "tgi", "image-to-text")
"""Model names that clients send when the user has chosen none."""
MAX_IMAGES = 16


class Gateway:
    """Asks the service for programs that speak another protocol."""

    def __init__(self, service: Service, operations: Operations, downloads: Downloads, max_bytes: int) -> None:
        self.service = service
        self.operations = operations
        self.may_download = downloads.named
        self.max_bytes = max_bytes

    def image(self, source: Any) -> Request:
        """Return the image that a URL, a `data:` URL or plain base64 stands for, without options.

        Raises:
            BadRequest, TooLarge: as `source_of` does.
        """
        return source_of(source, self.max_bytes)

    def check_number(self, count: int) -> None:
        """Refuse more images at once than a request may have.

        Raises:
            InvalidOption: there are more than MAX_IMAGES.
        """
        if count > MAX_IMAGES:
            raise InvalidOption(f"send at most {MAX_IMAGES} images at once")

    def entry(self, name: str) -> Entry:
        """Return the model that a client names, with or without a tag such as `:latest`.

        Raises:
            ModelNotFound: there is none, or it is not on this machine and MODELS_ALLOWED does not name it.
        """
        if names_none(name):
            return self._checked(self.service.default())
        entry = self._named(name) or self._named(without_tag(name))
        if entry is None:
            raise ModelNotFound(f"model {name[:100]!r} not found: GET /models lists those that there are")
        return self._checked(entry)

    def offered(self) -> list[Entry]:
        """Return the models that clients may choose from: those on this machine that turn an image into text."""
        return [entry for entry in self.service.models() if entry.on_machine and entry.model.turns_image_into_text]

    def load(self, entry: Entry) -> None:
        """Start loading a model."""
        self.service.load(entry.model.name, self.may_download)

    def _named(self, name: str) -> Entry | None:
        models = self.service.models()
        return next((entry for entry in models if name in (entry.model.name, *entry.model.aliases)), None)

    def _checked(self, entry: Entry) -> Entry:
        """Return an entry whose model is on this machine, or may be downloaded: chat clients name models that nobody
        here has chosen."""
        name = entry.model.name
        if not entry.on_machine and name not in self.may_download:
            raise ModelNotFound(f"model {name!r} is not on this machine: POST /models/{name}/load fetches it")
        return entry

    def generate(
        self, image: Request, model: str, tags: bool = False, tagger: str | None = None, task: Wanted | None = None
    ) -> Answer:
        """Ask the service about one image.

        Raises:
            Unavailable: tags are wanted, and none can be made.
        """
        options = RequestOptions(model=model, task=task, tags=tags, tagger=tagger)
        return result_of(self.generate_in_steps(image, options))

    def generate_in_steps(self, image: Request, options: RequestOptions) -> Steps[Answer]:
        """As `generate`, in steps, for streams."""
        asked = replace(image, options=options, may_download=self.may_download)
        answer = yield from steps_of(self.operations.submit(partial(self.service.generate, asked), asked.key))
        if options.tags and (answer.tags is None or answer.tags.names is None):
            raise Unavailable("; ".join(answer.tags.warnings) if answer.tags else "no tags could be made")
        return answer


def names_none(name: str) -> bool:
    """Return whether a client's user has chosen no model."""
    return without_tag(name) in _DEFAULTS or re.match(r"https?://", name) is not None


def without_tag(name: str) -> str:
    """Return a model's name without a tag such as `:latest`."""
    return name.partition(":")[0]


def tags_of(answers: Sequence[Answer]) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """Return the tags of all answers, each once; with scores where all have them."""
    found: dict[str, float | None] = {}
    for answer in answers:
        tags = answer.tags or Tags()
        names = tags.names or ()
        for name, score in zip(names, tags.scores or [None] * len(names), strict=True):
            found.setdefault(name, score)
    scores = [score for score in found.values() if score is not None]
    return tuple(found), tuple(scores) if found and len(scores) == len(found) else None
