"""What the generating families share: batches of equal options, token limits, and how a text ended."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from models.base import InvalidJob, Job, ModelUnavailable, Options, Prediction

OPTIONS = frozenset({"min_new_tokens", "max_new_tokens", "num_beams"})
"""The fields of `Options` that `settings` understands."""


def in_batches_alike(jobs: Sequence[Job], predict: Callable[[Sequence[Job]], list[Prediction]]) -> list[Prediction]:
    """Predict jobs of equal options together, and return the predictions in the order of `jobs`.

    Raises:
        ModelUnavailable: the memory does not suffice; it may for fewer, or later.
    """
    alike: dict[Options, list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        alike[job.options].append(index)
    predictions: dict[int, Prediction] = {}
    for indices in alike.values():
        try:
            said = predict([jobs[i] for i in indices])
        except (MemoryError, RuntimeError) as error:
            # torch says so in a RuntimeError, with other words on every device.
            if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
                raise
            raise ModelUnavailable("the model ran out of memory") from error
        predictions.update(zip(indices, said, strict=True))
    return [predictions[index] for index in range(len(jobs))]


def settings(options: Options, max_new_tokens: int) -> dict[str, Any]:
    """Return the arguments for `generate`: the caller's, else one beam and the family's `max_new_tokens`."""
    return {
        "max_new_tokens": options.max_new_tokens or max_new_tokens,
        "min_new_tokens": options.min_new_tokens,
        "num_beams": options.num_beams or 1,
        "do_sample": False,
        "use_cache": True,
    }


def check_positions(prompt_tokens: int, new_tokens: int, positions: int) -> None:
    """Refuse a prompt and a length that together are more than a network has positions for.

    Raises:
        InvalidJob: with the three numbers.
    """
    if prompt_tokens + new_tokens > positions:
        raise InvalidJob(
            f"the prompt's {prompt_tokens} tokens and max_new_tokens {new_tokens} are more than the {positions} "
            "that the model has room for: shorten one of them"
        )


def cut_warning(tokens: Sequence[int], limit: int, ends: Collection[int]) -> tuple[str, ...]:
    """Return a warning when a text of `limit` new tokens was stopped there before its end.

    Args:
        tokens: the new tokens of one text, without the prompt's and the start token.
        limit: the most that were allowed.
        ends: the tokens with which a complete text ends.
    """
    if len(tokens) < limit or not set(ends).isdisjoint(tokens):
        return ()
    return (f"the text was cut after {limit} tokens; a larger max_new_tokens may complete it",)
