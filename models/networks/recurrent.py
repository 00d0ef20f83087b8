"""The recurrent captioners' networks."""

from pathlib import Path

import torch
from torch import Tensor, nn

from models.backends.torch import read
from models.captioning.network import RecurrentCaptioner
from models.networks.checkpoint import rules
from models.networks.decoder import Networks
from models.networks.vision import image_examples


def load(directory: Path, dtype: torch.dtype) -> Networks:
    """Read a checkpoint.

    Raises:
        ValueError: the checkpoint does not hold all tensors.
    """
    network = read(RecurrentCaptioner, directory, dtype)
    config = network.config
    return Networks(
        Encoder(network),
        Decoder(network),
        image_examples(config.image_size, dtype),
        None,
        rules(directory, network.generation_config, config.eos_token_id),
        {
            "start": config.bos_token_id,
            "beams": network.generation_config.num_beams or 1,
            "words": config.vocab_size,
            "image_size": config.image_size,
            "image_mean": list(config.image_mean),
            "image_std": list(config.image_std),
            "tags": config.tags,
            "tag_threshold": config.tag_threshold,
            "max_tags": config.max_tags,
        },
        told=1,
    )


class Encoder(nn.Module):
    """The CNN, and what sentences start from."""

    def __init__(self, network: RecurrentCaptioner) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the state that sentences on normalised pixels (images, 3, height, width) begin with; and last the
        score of each tag, between 0 and 1, of shape (images, tags)."""
        memory, words = self.network.encode(pixels)
        return *self.network.begin(memory), words.float().sigmoid()


class Decoder(nn.Module):
    """The step of a recurrent captioner; see `models.networks.decoder.Decoder`."""

    states = 2

    def __init__(self, network: RecurrentCaptioner) -> None:
        super().__init__()
        self.network, self.hidden = network, network.config.hidden_size

    def start(self, rows: int) -> list[tuple[int, ...]]:
        """Return the shapes of the states before the first step."""
        return [(rows, self.hidden)] * self.states

    def forward(
        self, tokens: Tensor, positions: Tensor, attended: Tensor, rows: Tensor, places: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Take a step: of a single token for each row."""
        first, seen, past = tensors[: self.states], tensors[self.states : -self.states], tensors[-self.states :]
        image = torch.div(places, rows.shape[1], rounding_mode="floor")
        began = torch.arange(attended.shape[1], device=tokens.device)[-1:] > 0
        remembered = (torch.where(began, told, begin[image]) for begin, told in zip(first, past, strict=True))
        written, state = self.network.write(tokens, (*remembered, *(tensor[image] for tensor in seen)))
        return self.network.output(written[:, -1]), *state[: self.states]
