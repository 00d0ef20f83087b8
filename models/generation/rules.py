"""What a checkpoint's rules let come next, as the logits processors of `generate()` in transformers decide it."""

from collections.abc import Sequence

import numpy as np

from models.generation.types import Floats, Rules, TextRequest


def forced_token(length: int, request: TextRequest, rules: Rules) -> int | None:
    """Return the token that must follow after `length` new ones, or None."""
    if length == request.max_new_tokens - 1 and rules.forced_last_token is not None:
        return rules.forced_last_token
    # As in transformers, a text that begins with more than its start token has had its first token.
    return rules.forced_first_token if length == 0 and len(request.prompt) == 1 else None


def forbidden_tokens(length: int, request: TextRequest, rules: Rules) -> list[int]:
    """Return the tokens that may not follow after `length` new ones."""
    return [*rules.suppressed_tokens, *(rules.end_tokens if length < request.min_new_tokens else ())]


def repeating_tokens(written: Sequence[int], request: TextRequest, rules: Rules) -> list[int]:
    """Return the tokens that would complete a run of `no_repeat_ngram_size` tokens which prompt and text already have,
    as `NoRepeatNGramLogitsProcessor`."""
    size = rules.no_repeat_ngram_size
    if not size:
        return []
    text = [*request.counted_prompt, *written]
    last = text[len(text) - size + 1 :]
    return [text[i + size - 1] for i in range(len(text) - size + 1) if text[i : i + size - 1] == last]


def with_penalty(
    logits: Floats, zeros: Floats, written: Sequence[Sequence[int]], request: TextRequest, rules: Rules
) -> Floats:
    """Return logits in which the tokens that prompt and text already have are less likely, as
    `RepetitionPenaltyLogitsProcessor` does it.

    Args:
        logits: of shape (rows, vocabulary). They are not changed.
        zeros: what counts as zero in each row, of shape (rows,): the penalty takes what is below it further down.
        written: the new tokens of each row.
        request: of all rows.
        rules: of the checkpoint.
    """
    if rules.repetition_penalty == 1.0:
        return logits
    changed = logits.copy()
    for row, tokens in enumerate(written):
        seen = sorted({*request.counted_prompt, *tokens})
        values = logits[row, seen] - zeros[row]
        penalty = np.float32(rules.repetition_penalty)
        changed[row, seen] = np.where(values < 0, values * penalty, values / penalty) + zeros[row]
    return changed
