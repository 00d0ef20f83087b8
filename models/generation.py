"""The one loop that writes texts, for every generating family and on every runtime: greedy and beam search.

Requests of different prompts, lengths and widths of search share a batch. Each has its own `Greedy` or `Beams`, which
take a step's logits and say how to go on; a request that is done leaves the batch. The texts are those of
`generate()` in transformers: its rules are followed to the letter, down to when a beam search stops.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.base import InvalidJob, Job, ModelUnavailable, Options, is_out_of_memory

Array = NDArray[Any]
Floats = NDArray[np.float32]

OPTIONS = frozenset({"min_new_tokens", "max_new_tokens", "num_beams"})
"""The fields of `Options` that `request` understands."""

IMAGE = -1
"""Stands in a prompt, in place of a token, for the next part of the image; for the families that read it there."""

# transformers' marks for what cannot be chosen: larger than any sum of log-probabilities.
_NEVER = np.float32(-1e9)

_GROUP = 64
"""Logits whose maximum is looked at first, to find the largest of all."""


class Network(Protocol):
    """A network that looks at a batch of images, or reads a batch of texts, and then writes about them.

    Rows are texts in the making; several may belong to one image.
    """

    def encode(self, *inputs: Array) -> list[Floats]:
        """Look at images, whose number is the first dimension of each input. Those of before are forgotten.

        Returns:
            What the network tells of the images without being asked to write, where it does.
        """

    def step(
        self, tokens: Array, positions: Array, attended: Array, parents: Array, rows: Array, places: Array
    ) -> tuple[Floats, Floats]:
        """Return the logits (rows, vocabulary) of the tokens that come next, and the logarithm of the sum of each row's
        exponentials (rows,): what is to be subtracted to have log-probabilities. Both hold until the next step.

        Args:
            tokens: new tokens of shape (rows, length), padded on the left.
            positions: of each new token in its text, of the same shape.
            attended: True for tokens and False for padding, since the first step, of shape (rows, total).
            parents: which row of the step before each row continues, of shape (rows,).
            rows: the rows of each image, of shape (images, width); any of its rows again where it has fewer.
            places: where each row stands in `rows` when that is flattened, of shape (rows,).
        """

    def leave(self, image: int) -> None:
        """Forget an image; the last one takes its number."""


@dataclass(frozen=True)
class Rules:
    """How a checkpoint's texts end, and how they are searched for: what its files say.

    `no_repeat_ngram` is the length of the runs of tokens that a text, prompt included, may have only once; 0 for none.
    `beams` is the width of the search where the caller does not say.
    """

    ends: tuple[int, ...]
    suppressed: tuple[int, ...] = ()
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram: int = 0
    beams: int = 1


@dataclass(frozen=True)
class Request:
    """A text to write: its beginning, fewest and most new tokens, and the number of beams.

    `counted` is the beginning in which repeated n-grams are looked for, where it is not `prompt`: as `generate()` is
    given it, with ids in the places of the image.
    """

    prompt: tuple[int, ...]
    least: int
    most: int
    beams: int = 1
    counted: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Text:
    """The new tokens of a text, its end included where it was reached, and the log-probability of each."""

    tokens: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return float(np.exp(np.mean(self.scores))) if self.scores else 0.0


def write(
    network: Network, inputs: Sequence[Array], requests: Sequence[Request], rules: Rules
) -> tuple[list[Text], list[Floats]]:
    """Write a text for each image, or for whatever the network looks at.

    Args:
        network: of the checkpoint.
        inputs: what it looks at.
        requests: one for each image.
        rules: of the checkpoint.

    Returns:
        The texts in the order of the requests, and what the network tells besides.

    Raises:
        ModelUnavailable: the memory does not suffice; it may for fewer, or later.
    """
    try:
        told = network.encode(*inputs)
        return _write(network, requests, rules), told
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ModelUnavailable("the model ran out of memory") from error


def _write(network: Network, requests: Sequence[Request], rules: Rules) -> list[Text]:
    texts: list[Text | None] = [None] * len(requests)
    searches = [(number, _search(request, rules)) for number, request in enumerate(requests)]
    tokens, attended = _pad([request.prompt for request in requests])
    positions = np.maximum(attended.cumsum(axis=1) - 1, 0)
    parents, counts = np.arange(len(requests)), [1] * len(requests)
    grid = _grid(counts)
    while True:
        logits, log_sums = network.step(tokens, positions, attended, parents, *grid)
        firsts = [0, *accumulate(counts)]
        steps = [
            search.take(logits[a:b], log_sums[a:b])
            for (_, search), a, b in zip(searches, firsts, firsts[1:], strict=False)
        ]
        # From the last on, so that the one that takes a number has been seen.
        going = list(zip(searches, steps, firsts[:-1], strict=True))
        for image in reversed(range(len(going))):
            (number, search), step, _ = going[image]
            if step is None:
                texts[number] = search.text()
                going[image] = going[-1]
                going.pop()
                network.leave(image)
        if not going:
            return [text for text in texts if text is not None]
        searches = [found for found, _, _ in going]
        before, counts = counts, [len(step[0]) for _, step, _ in going if step]
        if counts != before:
            grid = _grid(counts)
        tokens = np.concatenate([step[0] for _, step, _ in going if step])[:, None]
        parents = np.concatenate([step[1] + first for _, step, first in going if step])
        positions = positions[parents, -1:] + 1
        attended = np.concatenate([attended[parents], np.ones_like(parents, bool)[:, None]], axis=1)


def _pad(prompts: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Return prompts padded on the left, (rows, length), and True where they are not padding."""
    length = max(map(len, prompts))
    attended = np.array([[False] * (length - len(prompt)) + [True] * len(prompt) for prompt in prompts])
    return np.array([[0] * (length - len(prompt)) + list(prompt) for prompt in prompts]), attended


def _grid(counts: Sequence[int]) -> tuple[Array, Array]:
    """Return `rows` and `places` of a step in which images have so many rows each, one image after the other."""
    width = max(counts)
    columns = np.arange(width)
    firsts = np.cumsum([0, *counts[:-1]])
    rows = np.stack([first + np.minimum(columns, count - 1) for first, count in zip(firsts, counts, strict=True)])
    places = np.concatenate([image * width + columns[:count] for image, count in enumerate(counts)])
    return rows, places


def _search(request: Request, rules: Rules) -> "Greedy | Beams":
    return Greedy(request, rules) if request.beams == 1 else Beams(request, rules)


class Greedy:
    """The likeliest token, each time."""

    def __init__(self, request: Request, rules: Rules) -> None:
        self._request, self._rules = request, rules
        self._tokens: list[int] = []
        self._scores: list[float] = []

    def take(self, logits: Floats, log_sums: Floats) -> tuple[Array, Array] | None:
        """Take what a step says, logits (1, vocabulary) and `log_sums` (1,). Return the next token and the row that it
        continues, or None at the end."""
        _check(log_sums)
        allowed = logits[0].copy()
        allowed[_barred(len(self._tokens), self._request, self._rules)] = -np.inf
        allowed[_repeating(self._tokens, self._request, self._rules)] = -np.inf
        token = int(allowed.argmax())
        score = logits[0, token] - log_sums
        _check(score)
        self._tokens.append(token)
        self._scores.append(float(score[0]))
        if token in self._rules.ends or len(self._tokens) == self._request.most:
            return None
        return np.array([token]), np.array([0])

    def text(self) -> Text:
        """Return what was written."""
        return Text(tuple(self._tokens), tuple(self._scores))


class Beams:
    """Several continuations at a time; the best of those that ended.

    As `_beam_search` in transformers, step by step. A text's score is the sum of its tokens' log-probabilities, divided
    by its length to the power of the length penalty.
    """

    def __init__(self, request: Request, rules: Rules) -> None:
        self._request, self._rules, beams = request, rules, request.beams
        self._kept = max(2, 1 + len(rules.ends)) * beams
        # At first all beams are the same, and only the first counts.
        self._running = [Text((), ())] * beams
        self._running_scores = np.full(beams, _NEVER)
        self._running_scores[0] = 0
        self._finished = [Text((), ())] * beams
        self._finished_scores = np.full(beams, _NEVER)
        self._is_finished = np.zeros(beams, bool)
        self._length = 0

    def take(self, logits: Floats, log_sums: Floats) -> tuple[Array, Array] | None:
        """Take what a step says, logits (rows, vocabulary) and `log_sums` (rows,), of one row at first, then one for
        each beam. Return the beams' next tokens and the rows that they continue, or None at the end."""
        _check(log_sums)
        barred = _barred(self._length, self._request, self._rules)
        # At first there is one row, and all beams are the same.
        repeating = [_repeating(text.tokens, self._request, self._rules) for text in self._running[: len(logits)]]
        parents, tokens = _likeliest(logits, self._kept + len(barred) + max(map(len, repeating)))
        may_come = ~_is_one_of(tokens, barred)
        for row, repeated in enumerate(repeating):
            may_come &= (parents != row) | ~_is_one_of(tokens, repeated)
        parents, tokens = parents[may_come], tokens[may_come]
        scores = logits[parents, tokens] - log_sums[parents]
        _check(scores)
        sums = scores + self._running_scores[parents]
        best = _largest(sums, self._kept)
        parents, tokens = parents[best], tokens[best]
        self._length += 1
        ended = _is_one_of(tokens, self._rules.ends) | (self._length == self._request.most)
        texts = [
            Text((*self._running[parent].tokens, int(token)), (*self._running[parent].scores, float(score)))
            for parent, token, score in zip(parents, tokens, scores[best], strict=True)
        ]
        self._finish(texts, sums[best], ended)
        running = np.where(ended, sums[best] + _NEVER, sums[best])
        going = _largest(running, self._request.beams)
        self._running = [texts[i] for i in going]
        self._running_scores = running[going]
        return None if ended.all() or self._is_over() else (tokens[going], parents[going])

    def text(self) -> Text:
        """Return the best text that ended."""
        return self._finished[0]

    def _finish(self, texts: Sequence[Text], sums: Floats, ended: Array) -> None:
        """Keep the best of the texts that ended now or before."""
        # Only the likeliest count, as many as there are beams: the others are there to go on with.
        just_finished = ended & (np.arange(len(texts)) < self._request.beams)
        scores = sums / np.float32(self._length**self._rules.length_penalty)
        all_scores = np.concatenate([self._finished_scores, np.where(just_finished, scores, scores + _NEVER)])
        best = _largest(all_scores, self._request.beams)
        self._finished = [[*self._finished, *texts][i] for i in best]
        self._finished_scores = all_scores[best]
        self._is_finished = np.concatenate([self._is_finished, just_finished])[best]

    def _is_over(self) -> bool:
        """True when no beam that runs can become better than those that ended, as far as transformers looks."""
        penalty, stopping = self._rules.length_penalty, self._rules.early_stopping
        if stopping is True and self._is_finished.all():
            return True
        length = self._request.most if stopping == "never" and penalty > 0 else self._length
        best = self._running_scores[0] / np.float32(length**penalty)
        worst = np.where(self._is_finished, self._finished_scores.min(), _NEVER)
        return not (best > worst).any()


def _barred(length: int, request: Request, rules: Rules) -> list[int]:
    """Return the tokens that may not come after `length` new ones."""
    return [*rules.suppressed, *(rules.ends if length < request.least else ())]


def _repeating(written: Sequence[int], request: Request, rules: Rules) -> list[int]:
    """Return the tokens that would complete a run of `rules.no_repeat_ngram` tokens which the text, `written` after its
    prompt, has already; as `NoRepeatNGramLogitsProcessor` in transformers."""
    size = rules.no_repeat_ngram
    if not size:
        return []
    text = [*(request.prompt if request.counted is None else request.counted), *written]
    last = text[len(text) - size + 1 :]
    return [text[i + size - 1] for i in range(len(text) - size + 1) if text[i : i + size - 1] == last]


def _is_one_of(tokens: Array, few: Sequence[int]) -> Array:
    """Return True for each token that is one of a few; `isin` is made for many, and slow to begin."""
    found: Array = (tokens[:, None] == np.array(few, np.int64)).any(axis=1)
    return found


def _likeliest(logits: Floats, count: int) -> tuple[Array, Array]:
    """Return the rows and tokens of at least the `count` largest logits of each row (rows, vocabulary), in order."""
    # As many groups as are asked for have a maximum of at least `least`, so nothing smaller is among the largest. That
    # leaves a handful; to partition the logits of all words of all beams takes six times as long.
    rows, groups = len(logits), logits.shape[1] // _GROUP
    least = np.full((rows, 1), -np.inf, np.float32)
    if count < groups:
        maxima = logits[:, : groups * _GROUP].reshape(rows, _GROUP, groups).max(axis=1)
        least = np.partition(maxima, -count, axis=1)[:, -count, None]
    # A tenth of the time of `nonzero`.
    return np.divmod(np.flatnonzero(logits >= least), logits.shape[1])


def _check(scores: Floats) -> None:
    """Refuse the scores of tokens that may come next when there are none, or one is no number.

    Raises:
        FloatingPointError: it is so. In float16 they may have become too large; an empty text would be an answer.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise FloatingPointError("the network's scores are no numbers; another PRECISION may help")


def _largest(values: Floats, count: int) -> Array:
    """Return where the largest values are, the largest first."""
    return np.argsort(-values, kind="stable")[:count]


def request(
    options: Options, prompt: Sequence[int], most: int, positions: int | None = None, beams: int = 1
) -> Request:
    """Return what a caller asks for, with the family's `most` new tokens and `beams` where the caller does not say.

    Args:
        options: the caller's.
        prompt: the tokens that the text begins with.
        most: the family's limit of new tokens.
        positions: how many tokens the network has positions for, where that is limited.
        beams: the width of the search.

    Raises:
        InvalidJob: prompt and length together are more than that.
    """
    most = options.max_new_tokens or most
    if positions is not None and len(prompt) + most > positions:
        raise InvalidJob(
            f"the prompt's {len(prompt)} tokens and max_new_tokens {most} are more than the {positions} "
            "that the model has room for: shorten one of them"
        )
    return Request(tuple(prompt), options.min_new_tokens or 0, most, options.num_beams or beams)


def prepared(jobs: Sequence[Job], prepare: Callable[[Job], Job]) -> tuple[list[Request], list[Any]]:
    """Return the requests and the inputs of jobs, prepared now where they have not been."""
    pairs = [job.prepared or prepare(job).prepared for job in jobs]
    return [request for request, _ in pairs], [given for _, given in pairs]


def cut_warning(text: Text, request: Request, ends: Collection[int]) -> tuple[str, ...]:
    """Return a warning when a text was stopped at its limit, before its end."""
    if len(text.tokens) < request.most or not set(ends).isdisjoint(text.tokens):
        return ()
    return (f"the text was cut after {request.most} tokens; a larger max_new_tokens may complete it",)
