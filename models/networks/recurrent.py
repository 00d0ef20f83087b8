"""The encoder and the step of a recurrent captioner, in the form that backends run."""

import torch
from torch import Tensor, nn

from models.captioning.network import RecurrentCaptioner


class Encoder(nn.Module):
    """The CNN and the first state of each caption."""

    def __init__(self, network: RecurrentCaptioner) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the first state of a caption for each image of normalised pixels (images, 3, height, width), and as
        the last output the probability of each tag and of each class, of shape (images, tags + classes)."""
        seen = self.network.encode(pixels)
        scores = torch.cat([seen.words.float().sigmoid(), seen.classes.float()], dim=1)
        return *self.network.begin(seen.memory), scores


class Decoder(nn.Module):
    """One step of a recurrent captioner, with the interface of `models.networks.decoder.Decoder`."""

    state_count = 2

    def __init__(self, network: RecurrentCaptioner) -> None:
        super().__init__()
        self.network, self.hidden = network, network.config.hidden_size

    def state_shapes(self, rows: int) -> list[tuple[int, ...]]:
        """Return the shapes of the states before the first step."""
        return [(rows, self.hidden)] * self.state_count

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        attention_mask: Tensor,
        image_rows: Tensor,
        slots: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take a step of one token for each row."""
        count = self.state_count
        first_states, keys_and_values, states = tensors[:count], tensors[count:-count], tensors[-count:]
        image = torch.div(slots, image_rows.shape[1], rounding_mode="floor")
        is_later_step = torch.arange(attention_mask.shape[1], device=tokens.device)[-1:] > 0
        current = (
            torch.where(is_later_step, state, first[image]) for first, state in zip(first_states, states, strict=True)
        )
        written, state = self.network.write(tokens, (*current, *(tensor[image] for tensor in keys_and_values)))
        return self.network.output(written[:, -1]), *state[:count]
