"""The generation loop. Requests with different prompts, lengths and numbers of beams share a batch.

Each request has a search of its own, which takes the logits of a step and returns the next tokens. A request that is
done leaves the batch. The texts are equal to those of `generate()` in transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.errors import ModelUnavailable, is_out_of_memory
from models.generation.search import BeamSearch, GreedySearch, make_search
from models.generation.types import Array, Floats, PreparedJob, Rules, Text, TextRequest


class Network(Protocol):
    """A network that encodes a batch of images (or input texts), then generates a text for each, token by token.

    A *row* is one text of the batch. An image has one row, or several: the beams of its search.
    """

    def encode(self, *inputs: Array) -> list[Floats]:
        """Encode a batch, whose size is the first dimension of each input. It replaces the previous batch.

        Returns:
            The outputs of the encoder that are not meant for the decoder, such as scores of tags.
        """

    def step(
        self, tokens: Array, positions: Array, attention_mask: Array, parents: Array, image_rows: Array, slots: Array
    ) -> tuple[Floats, Floats]:
        """Add tokens to each row and compute the logits of the token after them.

        Args:
            tokens: new tokens of shape (rows, length), padded on the left.
            positions: of each new token in its text, of the same shape.
            attention_mask: True for tokens and False for padding, since the first step, of shape (rows, total).
            parents: the row of the step before that each row continues, of shape (rows,).
            image_rows: the rows of each image, of shape (images, width). An image with fewer rows repeats one of them.
            slots: the index of each row in `image_rows.flatten()`, of shape (rows,).

        Returns:
            The logits (rows, vocabulary), and the logarithm of the sum of each row's exponentials (rows,), which
            subtracted from logits gives log-probabilities. Both arrays are valid until the next step.
        """

    def remove(self, image: int) -> None:
        """Remove an image from the batch. The last image takes its index."""


@dataclass
class _Image:
    """An image of the batch: the index of its request, its search, its rows of the last step, the next tokens, and
    the row that each of them continues."""

    index: int
    search: GreedySearch | BeamSearch
    rows: slice
    tokens: Array
    parents: Array


def generate(
    network: Network, inputs: Sequence[Array], requests: Sequence[TextRequest], rules: Rules
) -> tuple[list[Text], list[Floats]]:
    """Generate a text for each image or input text.

    Args:
        network: of the checkpoint.
        inputs: of the network's encoder.
        requests: one for each image.
        rules: of the checkpoint.

    Returns:
        The texts in the order of the requests, and what `encode` returns.

    Raises:
        ModelUnavailable: the memory does not suffice now.
    """
    try:
        extra_outputs = network.encode(*inputs)
        return _generate(network, requests, rules), extra_outputs
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ModelUnavailable("the model ran out of memory") from error


def generate_of_images(network: Network, jobs: Sequence[PreparedJob], rules: Rules) -> tuple[list[Text], list[Floats]]:
    """Generate a text for each job whose input is an image's pixels, as `generate` does."""
    pixels = np.stack([job.inputs for job in jobs])
    return generate(network, [pixels], [job.request for job in jobs], rules)


def _generate(network: Network, requests: Sequence[TextRequest], rules: Rules) -> list[Text]:
    texts: dict[int, Text] = {}
    images = [
        _Image(index, make_search(request, rules), slice(index, index + 1), np.zeros(1), np.zeros(1))
        for index, request in enumerate(requests)
    ]
    tokens, attention_mask = _pad([request.prompt for request in requests])
    positions = np.maximum(attention_mask.cumsum(axis=1) - 1, 0)
    parents, counts = np.arange(len(requests)), [1] * len(requests)
    grid = _row_grid(counts)
    while True:
        logits, log_sums = network.step(tokens, positions, attention_mask, parents, *grid)
        _advance(network, images, logits, log_sums, texts)
        if not images:
            return [texts[index] for index in range(len(requests))]
        before, counts = counts, [len(image.tokens) for image in images]
        if counts != before:
            grid = _row_grid(counts)
            for image, first in zip(images, np.cumsum([0, *counts]), strict=False):
                image.rows = slice(first, first + len(image.tokens))
        tokens = np.concatenate([image.tokens for image in images])[:, None]
        parents = np.concatenate([image.parents for image in images])
        positions = positions[parents, -1:] + 1
        attention_mask = np.concatenate([attention_mask[parents], np.ones_like(parents, bool)[:, None]], axis=1)


def _advance(network: Network, images: list[_Image], logits: Floats, log_sums: Floats, texts: dict[int, Text]) -> None:
    """Hand the logits of a step to each search. An image whose search ends moves from `images` to `texts`."""
    # From the last to the first: the image that takes the index of a removed one has been advanced already.
    for index in reversed(range(len(images))):
        image = images[index]
        step = image.search.advance(logits[image.rows], log_sums[image.rows])
        if step is None:
            texts[image.index] = image.search.text()
            images[index] = images[-1]
            images.pop()
            network.remove(index)
        else:
            image.tokens, image.parents = step.tokens, step.parents + image.rows.start


def _pad(prompts: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Return prompts padded on the left, (rows, length), and True where they are not padding."""
    length = max(map(len, prompts))
    mask = np.array([[False] * (length - len(prompt)) + [True] * len(prompt) for prompt in prompts])
    return np.array([[0] * (length - len(prompt)) + list(prompt) for prompt in prompts]), mask


def _row_grid(counts: Sequence[int]) -> tuple[Array, Array]:
    """Return `image_rows` and `slots` of a step, from the number of rows of each image, one image after the other."""
    width = max(counts)
    columns = np.arange(width)
    firsts = np.cumsum([0, *counts[:-1]])
    rows = np.stack([first + np.minimum(columns, count - 1) for first, count in zip(firsts, counts, strict=True)])
    slots = np.concatenate([image * width + columns[:count] for image, count in enumerate(counts)])
    return rows, slots
