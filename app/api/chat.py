"""Shared by the front doors of chat protocols: turns a prompt with images into requests, and answers into a text."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from app import intent
from app.alt_text import shorten
from app.api.gateway import Gateway, names_none, tags_of, without_tag
from app.api.waiting import Steps, result_of, steps_of
from app.errors import InvalidOption, UnmetSchema
from app.pipelines import ALT_TEXT
from app.types import Answer, Request, RequestOptions, TagRequest, Tags, Timings
from models.base import CutWarning, Task
from models.registry import Entry
from models.roles import READER

MAX_TEXT = 100_000
MAX_INSTRUCTION = 20_000
_ANY_OBJECT = '{"type":"object"}'
_TITLE_LENGTH = 60
_QUOTED = re.compile(
    r"<(?P<tag>TEXT_CONTENT|chat_history)>(?P<within>.*?)</(?P=tag)>|^\s*Conversation:[ \t]*$(?P<rest>.*)", re.S | re.M
)
"""What a prompt is about, and no part of what it asks for."""
_SAID = re.compile(r"^\s*(?:assistant|ai):\s*(.+)$", re.I | re.M)


@dataclass(slots=True)
class Ask:
    """A question of a chat client. `images` are requests with the bytes or the URL of an image each; `said` is the
    previous answer of the assistant; `again` is true if the images come from an earlier turn."""

    model: str = ""
    prompt: str = ""
    images: list[Request] = field(default_factory=list)
    said: str = ""
    schema: dict[str, Any] | None = None
    as_json: bool = False
    max_tokens: int | None = None
    language: tuple[str, ...] | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The text that answers a chat client, the model that said it, and how long it took.

    `cut` is true where a text ended at the limit of tokens.
    """

    text: str
    model: str
    cut: bool = False
    timings: Timings = field(default_factory=Timings)


class Chat(Gateway):
    """Answers the prompts of chat clients."""

    def answer(self, ask: Ask) -> Reply:
        """Answer a client, and wait for it while the client is there."""
        return result_of(self.steps(ask))

    def steps(self, ask: Ask) -> Steps[Reply]:
        """Answer a client in steps, for streams."""
        # A front end asks for a title of the conversation when its first answer is there.
        if not ask.images or (ask.again and ask.said and re.search(r"\btitle\b", ask.prompt, re.I)):
            return (yield from self._of_text(ask))
        self.check_number(len(ask.images))
        if (entry := self._instructed(ask)) is not None:
            return (yield from self._follow(ask, entry.model.name))
        model, wish = self._plan(ask)
        reads = wish.text == "read"
        options = RequestOptions(
            model=model,
            task="read" if reads else None,
            tags=wish.tags,
            # A model that knows one length of caption ignores it.
            detail=wish.detail,
            max_new_tokens=self._limit(model, ask.max_tokens),
            # Only what reads has a language; a caption is in English.
            language=ask.language if reads else None,
        )
        answers, text = yield from self._answers(ask.images, options)
        if wish.text == "title":
            text = _title(text)
        names, scores = tags_of(answers) if wish.tags else ((), None)
        confidence = answers[0].pages[0].confidence if len(answers) == 1 else None
        said = intent.render(wish, text, names, scores, confidence) or "(no text found)"
        # A JSON list of tags is never cut off.
        return Reply(said, answers[0].model, not wish.tags and _is_cut(answers), _together(answers))

    def _instructed(self, ask: Ask) -> Entry | None:
        """Return the model that is asked, if it takes the client's own words."""
        if without_tag(ask.model) == ALT_TEXT:
            return None
        entry = self.entry(ask.model)
        return entry if entry.model.follows_instructions and entry.model.task is Task.CAPTION else None

    def _follow(self, ask: Ask, name: str) -> Steps[Reply]:
        """Pass a prompt, and the JSON schema of the answer, on to a model that takes them."""
        if len(ask.prompt) > MAX_INSTRUCTION:
            raise InvalidOption(f"the prompt has more than {MAX_INSTRUCTION} characters: shorten it")
        schema = json.dumps(ask.schema, separators=(",", ":")) if ask.schema is not None else None
        if schema is None and ask.as_json:
            schema = _ANY_OBJECT
        if schema is not None and len(ask.images) > 1:
            raise InvalidOption("an answer in JSON is about one image: send one at a time")
        options = RequestOptions(
            model=name,
            prompt=ask.prompt.strip() or None,
            schema=schema,
            max_new_tokens=self._limit(name, ask.max_tokens),
        )
        answers, text = yield from self._answers(ask.images, options)
        return Reply(text, answers[0].model, _is_cut(answers), _together(answers))

    def _answers(self, images: Sequence[Request], options: RequestOptions) -> Steps[tuple[list[Answer], str]]:
        """Ask the service about one image after the other; return the answers, and their texts as one."""
        answers: list[Answer] = []
        for image in images:
            answers += [(yield from self.generate_in_steps(image, options))]
        return answers, "\n\n".join(answer.text for answer in answers if answer.text)

    def _limit(self, model: str, asked: int | None) -> int | None:
        """Return the limit of tokens that a client asks for, where it is below the model's own; clients send thousands
        for models that write more."""
        entry = self._named(model)
        own = None if entry is None else entry.model.max_new_tokens
        return asked if asked is not None and own is not None and asked < own else None

    def _plan(self, ask: Ask) -> tuple[str, intent.Wish]:
        """Return the model to run and what the client wants. A model with a single task overrides the prompt."""
        if without_tag(ask.model) == ALT_TEXT:
            return self._alt_text(), _own("alt-text", ask)
        entry = self.entry(ask.model)
        if entry.model.task in (Task.READ_LINE, Task.READ_PAGE):
            return entry.model.name, _own("read", ask)
        wish = intent.wish_of(ask.prompt, ask.schema, ask.as_json)
        if wish.text == "read":
            reads = Task.READ_PAGE in entry.model.tasks and not names_none(ask.model)
            return (entry if reads else self.entry(READER)).model.name, wish
        if wish.text == "alt-text":
            return self._alt_text(), wish
        return entry.model.name, wish

    def _alt_text(self) -> str:
        # Refuse where its reader is missing; the captioner is any that is on the machine.
        self.entry(READER)
        return ALT_TEXT

    def _of_text(self, ask: Ask) -> Steps[Reply]:
        """Answer without an image: with tags of a text, or with a title for the previous answer."""
        asked, quoted = _QUOTED.sub("", ask.prompt), _QUOTED.search(ask.prompt)
        wish = intent.wish_of(asked, ask.schema, ask.as_json) if asked.strip() or ask.schema else None
        said = _SAID.findall(ask.prompt)
        within = quoted["within"] if quoted is not None and quoted["tag"] == "TEXT_CONTENT" else None
        text = (within or (said[-1] if said else ask.said)).strip()
        if wish is not None and text and wish.text == "tags":
            tagged = yield from self._tag(text[:MAX_TEXT])
            return Reply(intent.render(wish, text, tagged.names or (), tagged.scores), tagged.tagger or "")
        if wish is not None and text and wish.text == "title":
            return Reply(intent.render(wish, _title(text), (), None), self.service.default().model.name)
        raise InvalidOption(f"there is no image: send one; then {intent.ASKABLE}")

    def _tag(self, text: str) -> Steps[Tags]:
        asked = TagRequest(text, may_download=self.may_download)
        return steps_of(self.operations.submit(partial(self.service.tag, asked), asked.key))


def _own(kind: intent.Kind, ask: Ask) -> intent.Wish:
    """Return the wish for a model with a single task. A JSON schema may still determine the shape of the answer."""
    if ask.schema is not None:
        wish = intent.wish_of("", ask.schema)
        if wish.text != kind:
            raise UnmetSchema(f"the model {ask.model[:100]} does not provide what this JSON schema requires")
        return wish
    return intent.Wish(
        kind,
        False,
        intent.wish_of("transcribe" if kind == "read" else "alt text", None, True).fields if ask.as_json else None,
    )


def _is_cut(answers: Sequence[Answer]) -> bool:
    return any(isinstance(warning, CutWarning) for answer in answers for warning in answer.warnings)


def _title(text: str) -> str:
    return shorten(" ".join(text.split()).rstrip("."), _TITLE_LENGTH)


def _together(answers: Sequence[Answer]) -> Timings:
    """Return how long several answers took, one after the other."""
    names = [field.name for field in fields(Timings)]
    return Timings(**{name: sum(getattr(answer.timings, name) for answer in answers) for name in names})
