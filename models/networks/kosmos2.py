"""Kosmos-2's networks: the image takes the place of words in the prompt."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Kosmos2ForConditionalGeneration, Kosmos2Processor

from models.backends.torch import read
from models.generation import IMAGE
from models.networks.checkpoint import rules
from models.networks.decoder import Decoder, Layer, Networks, SelfAttention
from models.networks.vision import image_examples
from models.preprocessing.tokens import Tokens


def load(directory: Path, dtype: torch.dtype) -> Networks:
    """Read a checkpoint of Kosmos-2.

    Raises:
        ValueError: the checkpoint does not hold all tensors.
    """
    network = read(Kosmos2ForConditionalGeneration, directory, dtype)
    text, config = network.text_model.model, network.config.text_config
    layers = [_layer(layer) for layer in text.layers]
    heads = config.attention_heads
    tokenizer = Kosmos2Processor.from_pretrained(directory, local_files_only=True).tokenizer
    return Networks(
        ImageEncoder(network),
        Decoder(
            Embedding(text, config),
            layers,
            nn.Sequential(text.layer_norm, network.text_model.lm_head),
            heads,
            config.embed_dim // heads,
        ),
        image_examples(network.config.vision_config.image_size, dtype),
        Tokens.of(tokenizer),
        rules(directory, network.text_model.generation_config),
        {
            "positions": config.max_position_embeddings,
            "image_tokens": network.config.latent_query_num,
            # The ids that the processor writes in the places of the image count up from here.
            "first_image_token": tokenizer.unk_token_id + 1,
        },
    )


def _layer(layer: Any) -> Layer:
    own = layer.self_attn
    attention = SelfAttention(
        [own.q_proj, own.k_proj, own.v_proj], own.out_proj, own.num_heads, own.scaling, own.inner_attn_ln
    )
    return Layer((attention, layer.self_attn_layer_norm), None, (layer.ffn, layer.final_layer_norm), norm_first=True)


class ImageEncoder(nn.Module):
    """The vision transformer, and its projection to as many parts as the prompt has room for."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision, self.projection = network.vision_model, network.image_to_text_projection

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the parts (images, parts, hidden) of normalised pixels (images, 3, height, width)."""
        encoded = self.vision.model.post_layernorm(self.vision(pixels)[0])
        return (self.projection(nn.functional.normalize(encoded, dim=-1))[0],)


class Embedding(nn.Module):
    """Words, or parts of the image, and positions (sines)."""

    def __init__(self, text: Any, config: Any) -> None:
        super().__init__()
        self.words, self.scale = text.embed_tokens, text.embed_scale
        # The first position is the one after that of padding.
        table = text.embed_positions.weights[config.pad_token_id + 1 :]
        self.positions = nn.Parameter(table.to(self.words.weight.dtype), requires_grad=False)

    def forward(self, tokens: Tensor, positions: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        """Return x of shape (rows, length, hidden). Where there are parts of images in `tokens`, row and image have
        the same number."""
        parts = memory[0]
        of_image = tokens == IMAGE
        count = torch.arange(tokens.shape[0], device=tokens.device)[:, None] * parts.shape[1]
        index = (count + of_image.long().cumsum(dim=1) - 1).clamp(min=0)
        images = parts.flatten(0, 1)
        pictured = images[index.clamp(max=images.shape[0] - 1)]
        x = torch.where(of_image[..., None], pictured, self.words(tokens.clamp(min=0)))
        embedded: Tensor = x * self.scale + self.positions[positions]
        return embedded
