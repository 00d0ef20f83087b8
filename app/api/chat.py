"""What the doors of chat protocols share: a prompt with images becomes requests of the service, and one text."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app import intent
from app.alt_text import shorten
from app.api.downloads import Downloads
from app.api.waiting import result_of
from app.errors import BadRequest, InvalidOption, TooLarge, Unavailable, UnknownModel
from app.fetching.data_url import decode_data_url
from app.operations import Operations
from app.pipelines import ALT_TEXT
from app.service import Service
from app.types import Answer, Request, RequestOptions, Tags
from models.base import Task
from models.registry import Entry

MAX_TEXT = 100_000
_READER = "rapidocr"
_TITLE_LENGTH = 60
_DEFAULTS = ("", "auto", "default", "dummy", "tgi", "image-to-text")
"""Names that clients send when nobody chose a model."""
_CONTENT = re.compile(r"<TEXT_CONTENT>(.*?)</TEXT_CONTENT>", re.S)
_SAID = re.compile(r"^\s*(?:assistant|ai):\s*(.+)$", re.I | re.M)


@dataclass(slots=True)
class Ask:
    """What a chat client sends. `images` are the bytes or the URL of each; `said` is what was answered before;
    `again` says that the images are those of an earlier turn."""

    model: str = ""
    prompt: str = ""
    images: list[Request] = field(default_factory=list)
    said: str = ""
    schema: dict[str, Any] | None = None
    as_json: bool = False
    max_tokens: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The text that answers a chat client, and the model that said it."""

    text: str
    model: str


class Chat:
    """Answers what chat clients ask, with the service."""

    MAX_IMAGES = 16

    def __init__(self, service: Service, operations: Operations, downloads: Downloads, max_bytes: int) -> None:
        self.service = service
        self._may_download = downloads.named
        self._operations = operations
        self._max_bytes = max_bytes

    def image(self, source: Any) -> Request:
        """Return the image that a URL, a `data:` URL or plain base64 stands for, without options.

        Raises:
            BadRequest: it is none of these.
            TooLarge: the image is.
        """
        if not isinstance(source, str) or not source:
            raise BadRequest("an image must be an address, a data: URL or base64")
        if source[:5].lower() == "data:":
            return Request(decode_data_url(source, self._max_bytes))
        if re.match(r"https?://", source, re.I):
            return Request(image_url=source)
        if len(source) // 4 * 3 > self._max_bytes + 3:
            raise TooLarge.image(self._max_bytes)
        try:
            return Request(base64.b64decode(source, validate=True))
        except (binascii.Error, ValueError) as error:
            raise BadRequest("the image is not valid base64") from error

    def entry(self, name: str) -> Entry:
        """Return the model that a client names, with or without a tag such as `:latest`.

        Raises:
            UnknownModel: there is none, or it is not on this machine and MODELS_ALLOWED does not name it.
        """
        entries = {entry.model.name: entry for entry in self.service.models()}
        if name in _DEFAULTS or re.match(r"https?://", name):
            return self._checked(self.service.default())
        entry = entries.get(name) or entries.get(name.partition(":")[0])
        if entry is None:
            raise UnknownModel(f"model {name[:100]!r} not found: GET /models lists those that there are")
        return self._checked(entry)

    def load(self, entry: Entry) -> None:
        """Start loading a model."""
        self.service.load(entry.model.name, self._may_download)

    def _checked(self, entry: Entry) -> Entry:
        """Return an entry whose model is on this machine, or may be downloaded: chat clients name models that nobody
        here has chosen."""
        name = entry.model.name
        if not entry.on_machine and name not in self._may_download:
            raise UnknownModel(f"model {name!r} is not on this machine: POST /models/{name}/load fetches it")
        return entry

    def answer(self, ask: Ask) -> Reply:
        """Answer a client, and wait for it while the client is there."""
        # A front end asks for a title of the conversation when its first answer is there.
        if not ask.images or (ask.again and ask.said and re.search(r"\btitle\b", ask.prompt, re.I)):
            return self._of_text(ask)
        if len(ask.images) > self.MAX_IMAGES:
            raise InvalidOption(f"send at most {self.MAX_IMAGES} images at once")
        model, wish = self._plan(ask)
        answers = [self.generate(image, model, wish.tags, ask.max_tokens) for image in ask.images]
        text = "\n\n".join(answer.text for answer in answers if answer.text)
        if wish.text == "title":
            text = _title(text)
        names, scores = _merged(answers) if wish.tags else ((), None)
        confidence = answers[0].pages[0].confidence if len(answers) == 1 else None
        return Reply(intent.render(wish, text, names, scores, confidence) or "(no text found)", answers[0].model)

    def generate(self, image: Request, model: str | None, tags: bool = False, max_tokens: int | None = None) -> Answer:
        """Ask the service about one image.

        Raises:
            Unavailable: tags are wanted, and none can be made.
        """
        most = None if max_tokens is None else min(max_tokens, 512)
        options = RequestOptions(model=model, tags=tags, max_new_tokens=most)
        asked = Request(image.image, image.image_url, options, may_download=self._may_download)
        answer = result_of(self._operations.submit(partial(self.service.generate, asked), asked.key))
        if tags and (answer.tags is None or answer.tags.names is None):
            raise Unavailable("; ".join(answer.tags.warnings) if answer.tags else "no tags could be made")
        return answer

    @staticmethod
    def labels(answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return the tags of some answers as objects."""
        return intent.labels(*_merged(answers))

    def _plan(self, ask: Ask) -> tuple[str, intent.Wish]:
        """Return the model to ask, and what is wanted of it. A model of one task beats the prompt."""
        name = ask.model.partition(":")[0]
        if name == ALT_TEXT:
            self._alt_text_on_machine()
            return ALT_TEXT, _own("alt-text", ask)
        entry = self.entry(ask.model)
        if entry.model.task in (Task.READ_LINE, Task.READ_PAGE):
            return entry.model.name, _own("read", ask)
        wish = intent.wish_of(ask.prompt, ask.schema, ask.as_json)
        if wish.text == "read":
            return self.entry(_READER).model.name, wish
        if wish.text == "alt-text":
            self._alt_text_on_machine()
            return ALT_TEXT, wish
        return entry.model.name, wish

    def _alt_text_on_machine(self) -> None:
        self.entry(_READER)

    def _of_text(self, ask: Ask) -> Reply:
        """Answer without an image: tags of a text, or a title for what was said before."""
        wish = intent.wish_of(ask.prompt, ask.schema, ask.as_json) if ask.prompt or ask.schema else None
        within = _CONTENT.search(ask.prompt)
        said = _SAID.findall(ask.prompt)
        text = within[1].strip() if within else (said[-1] if said else ask.said).strip()
        if wish is not None and text and wish.text == "tags":
            tagged = self._tag(text[:MAX_TEXT])
            return Reply(intent.render(wish, text, tagged.names or (), tagged.scores), tagged.tagger or "")
        if wish is not None and text and wish.text == "title":
            return Reply(intent.render(wish, _title(text), (), None), self.service.default().model.name)
        raise InvalidOption(f"there is no image: send one; then {intent.ASKABLE}")

    def _tag(self, text: str) -> Tags:
        work = partial(self.service.tag, text, may_download=self._may_download)
        return result_of(self._operations.submit(work, ("tags", text, None, self._may_download)))


def _own(kind: intent.Kind, ask: Ask) -> intent.Wish:
    """Return the wish for a model of one task. A schema still says in which shape."""
    if ask.schema is not None:
        wish = intent.wish_of("", ask.schema)
        if wish.text != kind:
            raise InvalidOption(f"the model {ask.model[:100]} cannot fill this JSON schema")
        return wish
    return intent.Wish(
        kind,
        False,
        intent.wish_of("transcribe" if kind == "read" else "alt text", None, True).fields if ask.as_json else None,
    )


def _title(text: str) -> str:
    return shorten(" ".join(text.split()).rstrip("."), _TITLE_LENGTH)


def _merged(answers: Sequence[Answer]) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """Return the tags of all answers, each once; with scores where all have them."""
    found: dict[str, float | None] = {}
    for answer in answers:
        tags = answer.tags or Tags()
        names = tags.names or ()
        for name, score in zip(names, tags.scores or [None] * len(names), strict=True):
            found.setdefault(name, score)
    scores = [score for score in found.values() if score is not None]
    return tuple(found), tuple(scores) if found and len(scores) == len(found) else None
