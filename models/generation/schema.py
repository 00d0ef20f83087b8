"""Answers as JSON of a schema: each token is chosen so that the text stays valid, and is closed within its limit.

llguidance says which tokens a schema allows. Between those, the network chooses, unless its choice would leave too few
tokens to close all that is open: then the text is closed instead. So even a network that writes noise answers JSON.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from models.errors import InvalidJob
from models.generation.types import Array, Floats

MAX_SCHEMA = 20_000
"""The most characters of a schema."""
MAX_CHARACTERS, MAX_ITEMS = 1_000, 50
"""Bounds of strings and lists whose schema has none."""
_SUBSCHEMAS = ("items", "additionalProperties", "contains", "not", "if", "then", "else")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_COMPOSED = ("allOf", "anyOf", "oneOf", "$ref", "if")
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}
"""One way to write each JSON, as Python does, and keywords that llguidance lacks are left out, with a warning."""


@lru_cache(maxsize=64)
def grammar_of(schema: str) -> tuple[str, tuple[str, ...]]:
    """Return llguidance's grammar of a JSON schema with bounds, and warnings of keywords that have no effect.

    Raises:
        InvalidJob: the schema is no schema, or one that cannot be followed.
    """
    from llguidance import LLMatcher

    if len(schema) > MAX_SCHEMA:
        raise InvalidJob(f"the JSON schema has more than {MAX_SCHEMA} characters")
    try:
        parsed = json.loads(schema)
        if not isinstance(parsed, dict):
            raise ValueError("it is no object")
        grammar: str = LLMatcher.grammar_from_json_schema(bounded(parsed), overrides=_STYLE)  # type: ignore[arg-type]
        failed, messages = LLMatcher.validate_grammar_with_warnings(grammar)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidJob(f"the JSON schema cannot be followed: {str(error)[:200]}") from error
    if failed:
        raise InvalidJob(f"the JSON schema cannot be followed: {messages[0][:200]}")
    return grammar, tuple(f"the JSON schema was followed without {message[:200]}" for message in messages)


def bounded(schema: Any, whole: bool = True) -> Any:
    """Return a schema whose strings and lists end, and whose objects have only the properties that it names.

    Args:
        schema: the schema, or what stands in the place of one.
        whole: False for one that describes a part of an object that others describe as well.
    """
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = dict(schema)
    for name in _SUBSCHEMAS:
        if name in result:
            result[name] = bounded(result[name])
    for name in _LISTS:
        if isinstance(result.get(name), list):
            result[name] = [bounded(part, whole=name != "allOf") for part in result[name]]
    for name in _NAMED:
        if isinstance(result.get(name), Mapping):
            result[name] = {key: bounded(part) for key, part in result[name].items()}
    kinds = result.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and not {"enum", "const", "pattern", "format"} & result.keys():
        result.setdefault("maxLength", max(MAX_CHARACTERS, int(result.get("minLength") or 0)))
    if "array" in kinds and not {"enum", "const"} & result.keys():
        result.setdefault("maxItems", max(MAX_ITEMS, int(result.get("minItems") or 0)))
    if whole and "properties" in result and not any(name in result for name in _COMPOSED):
        result.setdefault("additionalProperties", False)
    return result


class Vocabulary:
    """The tokens of a checkpoint as bytes, for all schemas."""

    def __init__(self, tokenizer: Any, size: int, end_tokens: Sequence[int]) -> None:
        """Read the tokens of one of transformers' tokenizers.

        Args:
            tokenizer: a fast one.
            size: of the network's output.
            end_tokens: with which texts end.

        Raises:
            InvalidJob: llguidance cannot read it.
        """
        from llguidance.hf import from_tokenizer

        try:
            self.tokenizer = from_tokenizer(tokenizer, n_vocab=size, eos_token=list(end_tokens))
        except Exception as error:
            raise InvalidJob("this model cannot be held to a JSON schema: ask without one") from error
        self.end_tokens = tuple(end_tokens)
        words = [self.tokenizer.decode_bytes([token]) for token in range(size)]
        special = [self.tokenizer.is_special_token(token) for token in range(size)]
        self.lengths: Array = np.array(
            [0 if hidden else len(word) for word, hidden in zip(words, special, strict=True)], dtype=np.int32
        )
        closing = [token for token, word in enumerate(words) if word and set(word) <= set(b'"]}')]
        closing.sort(key=lambda token: -len(words[token]))
        quotes = [token for token in closing if words[token].startswith(b'"')]
        self.in_string = quotes
        """Tokens that close a string, the longest first."""
        self.between = [token for token in closing if token not in quotes] + quotes
        """Tokens that close a list or an object, and then those that write an empty string."""
        plain = [token for token, word in enumerate(words) if word == b" "]
        self.space = plain[0] if plain else None

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, to the byte."""
        return self.tokenizer.decode_bytes(list(tokens)).decode("utf-8", errors="replace")


class Writer:
    """Chooses the tokens of one text."""

    def __init__(self, vocabulary: Vocabulary, schema: str, max_new_tokens: int) -> None:
        """Begin a text of at most `max_new_tokens` tokens.

        Raises:
            InvalidJob: they are too few for the shortest JSON of the schema.
        """
        from llguidance import LLMatcher

        self._vocabulary = vocabulary
        self._matcher = LLMatcher(vocabulary.tokenizer, grammar_of(schema)[0], log_level=0)
        self._left = max_new_tokens
        self._done = False
        closing = self._closing(self._matcher, max_new_tokens)
        if self._matcher.is_error():
            raise InvalidJob("the JSON schema is too complex to be followed")
        if closing is None:
            raise InvalidJob(f"the JSON schema needs more than {max_new_tokens} tokens: raise max_new_tokens")
        self._plan: list[int] = closing
        """Tokens that close the text from where it is, never more than are left."""

    def choose(self, scores: Floats) -> int | None:
        """Return the next token, from the scores of all tokens; None after the end."""
        if self._done:
            return None
        token = self._best(scores)
        if token in self._vocabulary.end_tokens:
            self._done = True
            return token
        self._matcher.consume_token(token)
        self._left -= 1
        return token

    def _best(self, scores: Floats) -> int:
        """Return the likeliest token if the text can be closed after it, else the next that closes it."""
        allowed = _allowed(self._matcher)
        best = int(np.where(allowed[: len(scores)], scores, -np.inf).argmax())
        if not allowed.any() or not np.isfinite(scores[best]):
            best = self._plan[0] if self._plan else self._vocabulary.end_tokens[0]
        if self._plan and best == self._plan[0]:
            self._plan = self._plan[1:]
            return best
        if best in self._vocabulary.end_tokens:
            return best
        after = self._matcher.deep_copy()
        after.consume_token(best)
        plan = None if after.is_error() else self._closing(after, self._left - 1)
        if plan is not None:
            self._plan = plan
            return best
        if not self._plan:
            return self._vocabulary.end_tokens[0]
        best, *self._plan = self._plan
        return best

    def _closing(self, matcher: Any, most: int) -> list[int] | None:
        """Return at most `most` tokens that make of the text so far a whole JSON, or None."""
        matcher = matcher.deep_copy()
        plan: list[int] = []
        while not matcher.is_accepting():
            if len(plan) >= most or matcher.is_error():
                return None
            token = self._closer(matcher)
            if token is None or not matcher.consume_token(token):
                return None
            plan.append(token)
        return plan

    def _closer(self, matcher: Any) -> int | None:
        """Return a token that brings the end of the JSON nearer."""
        vocabulary, allowed = self._vocabulary, _allowed(matcher)
        in_string = vocabulary.space is not None and bool(allowed[vocabulary.space])
        for token in vocabulary.in_string if in_string else vocabulary.between:
            if allowed[token]:
                return token
        lengths = vocabulary.lengths[: len(allowed)]
        usable = allowed & (lengths > 0)
        if not usable.any():
            return None
        if matcher.compute_ff_bytes():
            # What must come, in as few tokens as possible.
            return int(np.where(usable, lengths, 0).argmax())
        return int(np.where(usable, lengths, np.iinfo(np.int32).max).argmin())


def _allowed(matcher: Any) -> Array:
    """Return for each token whether it may come next."""
    return np.frombuffer(matcher.compute_logit_bias(), dtype=np.uint8) > 0
