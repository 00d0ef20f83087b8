"""The layers of BART's decoder (Lewis et al. 2019, https://arxiv.org/abs/1910.13461), for TrOCR and Florence-2."""

from typing import Any

from torch import nn

from models.networks.decoder import CrossAttention, Layer, SelfAttention


def layers_of(decoder: Any, heads: int) -> list[Layer]:
    """Return the layers of a decoder of transformers, with its weights: every norm comes after what it is for."""
    layers = []
    for layer in decoder.layers:
        own, cross = layer.self_attn, layer.encoder_attn
        attention = SelfAttention([own.q_proj, own.k_proj, own.v_proj], own.out_proj, heads, own.scaling)
        cross_attention = CrossAttention(cross.q_proj, cross.k_proj, cross.v_proj, cross.out_proj, heads, cross.scaling)
        layers.append(
            Layer(
                (attention, layer.self_attn_layer_norm),
                (cross_attention, layer.encoder_attn_layer_norm),
                (nn.Sequential(layer.fc1, layer.activation_fn, layer.fc2), layer.final_layer_norm),
                norm_first=False,
            )
        )
    return layers
