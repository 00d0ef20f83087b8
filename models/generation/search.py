"""Greedy and beam search: from the logits of a step to the next tokens of one request.

Both follow the rules of `generate()` in transformers exactly, including when a beam search stops.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.generation.rules import forbidden_tokens, forced_token, repeating_tokens, with_penalty
from models.generation.types import Array, Floats, Rules, Text, TextRequest

# The score that transformers gives to what cannot be chosen: below any sum of log-probabilities.
_EXCLUDED = np.float32(-1e9)

_GROUP_SIZE = 64
"""Logits whose maximum is compared first, to find the largest of all."""


class Step(NamedTuple):
    """The next token of each row, and the row of the step before that it continues."""

    tokens: Array
    parents: Array


def make_search(request: TextRequest, rules: Rules) -> "GreedySearch | BeamSearch":
    """Return the search that a request asks for."""
    return GreedySearch(request, rules) if request.num_beams == 1 else BeamSearch(request, rules)


class GreedySearch:
    """Chooses the most likely token at each step."""

    def __init__(self, request: TextRequest, rules: Rules) -> None:
        self._request, self._rules = request, rules
        self._tokens: list[int] = []
        self._scores: list[float] = []

    def advance(self, logits: Floats, log_sums: Floats) -> Step | None:
        """Choose the next token, from logits (1, vocabulary) and `log_sums` (1,). None means that the text ends.

        Raises:
            FloatingPointError: the logits are not numbers.
        """
        _check_finite(log_sums)
        token, score = self._choose(logits, log_sums)
        _check_finite(score)
        self._tokens.append(token)
        self._scores.append(float(score[0]))
        if token in self._rules.end_tokens or len(self._tokens) == self._request.max_new_tokens:
            return None
        return Step(np.array([token]), np.array([0]))

    def _choose(self, logits: Floats, log_sums: Floats) -> tuple[int, Floats]:
        forced = forced_token(len(self._tokens), self._request, self._rules)
        if forced is not None:
            return forced, np.zeros(1, np.float32)
        # transformers penalises logits here, and log-probabilities in a beam search.
        allowed = with_penalty(logits, np.zeros(1, np.float32), [self._tokens], self._request, self._rules)[0].copy()
        allowed[forbidden_tokens(len(self._tokens), self._request, self._rules)] = -np.inf
        allowed[repeating_tokens(self._tokens, self._request, self._rules)] = -np.inf
        token = int(allowed.argmax())
        return token, logits[0, token] - log_sums

    def text(self) -> Text:
        """Return the text so far."""
        return Text(tuple(self._tokens), tuple(self._scores))


class BeamSearch:
    """Follows several texts (beams) at a time and returns the best that ended.

    Equal to `_beam_search` in transformers, step by step. The score of a text is the sum of its tokens'
    log-probabilities, divided by its length to the power of the length penalty.
    """

    def __init__(self, request: TextRequest, rules: Rules) -> None:
        self._request, self._rules, beams = request, rules, request.num_beams
        self._candidates = max(2, 1 + len(rules.end_tokens)) * beams
        # All beams are equal before the first step, so only the first one counts.
        self._running = [Text((), ())] * beams
        self._running_scores = np.full(beams, _EXCLUDED)
        self._running_scores[0] = 0
        self._finished = [Text((), ())] * beams
        self._finished_scores = np.full(beams, _EXCLUDED)
        self._is_finished = np.zeros(beams, bool)
        self._length = 0

    def advance(self, logits: Floats, log_sums: Floats) -> Step | None:
        """Choose the next token of each beam. None means that the search ends.

        Args:
            logits: of shape (rows, vocabulary). The first step has one row, later ones a row for each beam.
            log_sums: of shape (rows,).

        Raises:
            FloatingPointError: the logits are not numbers.
        """
        _check_finite(log_sums)
        parents, tokens, scores = self._continuations(logits, log_sums)
        _check_finite(scores)
        sums = scores + self._running_scores[parents]
        best = _largest(sums, self._candidates)
        parents, tokens = parents[best], tokens[best]
        self._length += 1
        ended = _is_in(tokens, self._rules.end_tokens) | (self._length == self._request.max_new_tokens)
        texts = [
            Text((*self._running[parent].tokens, int(token)), (*self._running[parent].scores, float(score)))
            for parent, token, score in zip(parents, tokens, scores[best], strict=True)
        ]
        self._keep_finished(texts, sums[best], ended)
        running = np.where(ended, sums[best] + _EXCLUDED, sums[best])
        chosen = _largest(running, self._request.num_beams)
        self._running = [texts[i] for i in chosen]
        self._running_scores = running[chosen]
        return None if ended.all() or self._is_over() else Step(tokens[chosen], parents[chosen])

    def _continuations(self, logits: Floats, log_sums: Floats) -> tuple[Array, Array, Floats]:
        """Return the row, the token and the score of each continuation that may be among the best."""
        forced = forced_token(self._length, self._request, self._rules)
        if forced is not None:
            rows = len(logits)
            return np.arange(rows), np.full(rows, forced), np.zeros(rows, np.float32)
        # The first step has one row, because all beams are equal.
        written = [text.tokens for text in self._running[: len(logits)]]
        logits = with_penalty(logits, log_sums, written, self._request, self._rules)
        forbidden = forbidden_tokens(self._length, self._request, self._rules)
        repeating = [repeating_tokens(tokens, self._request, self._rules) for tokens in written]
        parents, tokens = _likeliest(logits, self._candidates + len(forbidden) + max(map(len, repeating)))
        allowed = ~_is_in(tokens, forbidden)
        for row, repeated in enumerate(repeating):
            allowed &= (parents != row) | ~_is_in(tokens, repeated)
        parents, tokens = parents[allowed], tokens[allowed]
        return parents, tokens, logits[parents, tokens] - log_sums[parents]

    def text(self) -> Text:
        """Return the best text that ended."""
        return self._finished[0]

    def _keep_finished(self, texts: Sequence[Text], sums: Floats, ended: Array) -> None:
        """Keep the best of the texts that ended in this step or before."""
        # Only as many candidates as there are beams may end. The others are there to continue.
        just_finished = ended & (np.arange(len(texts)) < self._request.num_beams)
        scores = sums / np.float32(self._length**self._rules.length_penalty)
        all_scores = np.concatenate([self._finished_scores, np.where(just_finished, scores, scores + _EXCLUDED)])
        best = _largest(all_scores, self._request.num_beams)
        self._finished = [[*self._finished, *texts][i] for i in best]
        self._finished_scores = all_scores[best]
        self._is_finished = np.concatenate([self._is_finished, just_finished])[best]

    def _is_over(self) -> bool:
        """Return True when no running beam can become better than the finished texts, by the estimate of
        transformers."""
        penalty, early_stopping = self._rules.length_penalty, self._rules.early_stopping
        if early_stopping is True and self._is_finished.all():
            return True
        length = self._request.max_new_tokens if early_stopping == "never" and penalty > 0 else self._length
        best_running = self._running_scores[0] / np.float32(length**penalty)
        worst_finished = np.where(self._is_finished, self._finished_scores.min(), _EXCLUDED)
        return not (best_running > worst_finished).any()


def _is_in(tokens: Array, few: Sequence[int]) -> Array:
    """Return True for each token that is one of `few`. For so few, this is faster than `np.isin`."""
    found: Array = (tokens[:, None] == np.array(few, np.int64)).any(axis=1)
    return found


def _likeliest(logits: Floats, count: int) -> tuple[Array, Array]:
    """Return rows and tokens, in order, of at least the `count` largest logits of each row (rows, vocabulary)."""
    # `count` groups have a maximum of at least `threshold`, so no smaller logit is among the `count` largest. Few
    # logits remain; partitioning the whole vocabulary takes six times as long.
    rows, groups = len(logits), logits.shape[1] // _GROUP_SIZE
    threshold = np.full((rows, 1), -np.inf, np.float32)
    if count < groups:
        maxima = logits[:, : groups * _GROUP_SIZE].reshape(rows, _GROUP_SIZE, groups).max(axis=1)
        threshold = np.partition(maxima, -count, axis=1)[:, -count, None]
    # `np.nonzero` takes ten times as long.
    return np.divmod(np.flatnonzero(logits >= threshold), logits.shape[1])


def _check_finite(scores: Floats) -> None:
    """Refuse scores that are missing, infinite or NaN, which overflows in float16 produce: the empty text that follows
    from them would look like a valid answer.

    Raises:
        FloatingPointError: a score is missing or not finite.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise FloatingPointError("the network's scores are no numbers; another PRECISION may help")


def _largest(values: Floats, count: int) -> Array:
    """Return the indices of the `count` largest values, the largest first."""
    return np.argsort(-values, kind="stable")[:count]
