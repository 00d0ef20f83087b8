"""What the generation loop takes and returns: requests, rules and texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import CutWarning, Job, Options
from models.errors import InvalidJob

Array = NDArray[Any]
Floats = NDArray[np.float32]

OPTIONS = frozenset({"min_new_tokens", "max_new_tokens", "num_beams"})
"""The fields of `Options` that `make_request` reads."""

IMAGE_TOKEN = -1
"""Stands in a prompt for the next embedding of the image, in families that read the image as part of the prompt."""


@dataclass(frozen=True)
class Rules:
    """The generation settings of a checkpoint.

    end_tokens: a text ends with any of them.
    suppressed_tokens: never generated.
    length_penalty, early_stopping: of beam search, as transformers defines them.
    no_repeat_ngram_size: the length of the runs of tokens that prompt and text may have only once; 0 for no such ban.
    repetition_penalty: how much less likely tokens become that prompt or text already have; 1 for no less.
    forced_first_token: what a text begins with after its start token; None for anything.
    forced_last_token: what a text ends with that reaches its limit; None for anything.
    num_beams: for requests that give none.
    """

    end_tokens: tuple[int, ...]
    suppressed_tokens: tuple[int, ...] = ()
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram_size: int = 0
    num_beams: int = 1
    repetition_penalty: float = 1.0
    forced_first_token: int | None = None
    forced_last_token: int | None = None


@dataclass(frozen=True)
class TextRequest:
    """A text to generate: the tokens that it begins with, limits on the number of new tokens, and the beams.

    `counted` is the prompt in which repeated tokens are looked for, where it is not `prompt`: as `generate()` is given
    it, with ids in the places of the image.
    """

    prompt: tuple[int, ...]
    min_new_tokens: int
    max_new_tokens: int
    num_beams: int = 1
    counted: tuple[int, ...] | None = None

    @property
    def counted_prompt(self) -> tuple[int, ...]:
        """The prompt in which repeated tokens are looked for."""
        return self.prompt if self.counted is None else self.counted


@dataclass(frozen=True)
class Text:
    """The new tokens of a text, with its end token if it has one, and the log-probability of each."""

    tokens: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return float(np.exp(np.mean(self.scores))) if self.scores else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedJob(Job):
    """A job with its request and the network's input for it: pixels, or the tokens of an input text."""

    request: TextRequest
    inputs: Array

    @classmethod
    def of(cls, job: Job, request: TextRequest, inputs: Array) -> "PreparedJob":
        """Add `request` and `inputs` to a job."""
        return cls(image=job.image, text=job.text, options=job.options, request=request, inputs=inputs)


def prepare_all(jobs: Sequence[Job], prepare: Callable[[Job], PreparedJob]) -> list[PreparedJob]:
    """Return all jobs prepared. Only those that are not prepared yet go through `prepare`."""
    return [job if isinstance(job, PreparedJob) else prepare(job) for job in jobs]


def make_request(
    options: Options, prompt: Sequence[int], max_new_tokens: int, positions: int | None = None, num_beams: int = 1
) -> TextRequest:
    """Return the request that a caller's options describe.

    Args:
        options: of the caller.
        prompt: the tokens that the text begins with.
        max_new_tokens: the family's limit, for callers that give none.
        positions: the number of tokens that the network has positions for, None for no limit.
        num_beams: the checkpoint's number of beams, for callers that give none.

    Raises:
        InvalidJob: prompt and new tokens together are more than `positions`.
    """
    max_new_tokens = options.max_new_tokens or max_new_tokens
    if positions is not None and len(prompt) + max_new_tokens > positions:
        raise InvalidJob(
            f"the prompt's {len(prompt)} tokens and max_new_tokens {max_new_tokens} are more than the {positions} "
            "positions of the model: shorten one of them"
        )
    return TextRequest(tuple(prompt), options.min_new_tokens or 0, max_new_tokens, options.num_beams or num_beams)


def is_cut(text: Text, request: TextRequest, rules: Rules) -> bool:
    """Return True if a text reached its limit of tokens before its end."""
    if len(text.tokens) < request.max_new_tokens:
        return False
    return rules.forced_last_token is not None or set(rules.end_tokens).isdisjoint(text.tokens)


def cut_warning(text: Text, request: TextRequest, rules: Rules) -> tuple[CutWarning, ...]:
    """Return a warning if a text is cut."""
    if not is_cut(text, request, rules):
        return ()
    return (cut_after(request.max_new_tokens),)


def cut_after(tokens: int) -> CutWarning:
    """Return the warning of a text that is cut."""
    return CutWarning(f"the text was cut after {tokens} tokens; a larger max_new_tokens may complete it")
