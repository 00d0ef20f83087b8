"""The recurrent captioners: a CNN reads the image, a recurrent network writes the sentence.

`cnn-gru`: two layers of GRU with attention over the feature map between them. The lower layer reads the previous words
and gives the query; the upper layer reads the query and the result of the attention. The attention is multi-head scaled
dot-product attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) over the positions of the map (Xu et al.
2015, "Show, Attend and Tell", https://arxiv.org/abs/1502.03044), the mean of the map, and the words that the auxiliary
head predicts (Fang et al. 2015, https://arxiv.org/abs/1411.4952). The two layers follow Anderson et al. 2018
(https://arxiv.org/abs/1707.07998), but the upper one does not feed the lower one, so that training computes a whole
sentence in one pass over each layer.

`cnn-lstm`: the merge architecture of Tanti et al. 2017 (https://arxiv.org/abs/1703.09137): an LSTM reads the words, and
the global feature of the image is added to its output.

Both share the auxiliary word head, and the output layer is the embedding's matrix (Press and Wolf 2017,
https://arxiv.org/abs/1608.05859). Training searches with transformers; the service with `models.generation`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from models.captioning.configuration import RecurrentCaptionerConfig
from models.captioning.encoder import Encoder

State = tuple[Tensor, ...]
"""The state of unfinished sentences: two tensors of shape (batch, hidden) of the recurrent layers, then the tensors of
the image, which do not change: for `cnn-gru` cross-attention keys and values of shape (batch, heads, slots,
hidden / heads), for `cnn-lstm` the global feature of shape (batch, hidden)."""


class Seen(NamedTuple):
    """What a captioner sees of images.

    memory: what sentences are written from, of shape (batch, slots, hidden), the first slot for the whole image.
    words: the word head's logits, of shape (batch, tags).
    classes: the probability of each of the encoder's classes, of shape (batch, classes); no classes, if it has none.
    """

    memory: Tensor
    words: Tensor
    classes: Tensor


class RecurrentCaptioner(PreTrainedModel, GenerationMixin):
    """A captioner of either shape."""

    config_class = RecurrentCaptionerConfig
    base_model_prefix = "captioner"
    main_input_name = "input_ids"
    _tied_weights_keys = {"output.weight": "embedding.weight"}  # noqa: RUF012

    def __init__(self, config: RecurrentCaptionerConfig) -> None:
        super().__init__(config)
        assert config.encoder is not None
        assert config.tags is not None
        hidden, dropout = config.hidden_size, nn.Dropout(config.dropout)
        self.encoder = Encoder(config.encoder, config.feature_stride)
        self.words = nn.Sequential(dropout, nn.Linear(self.encoder.channels, len(config.tags)))
        memory = AttendedMemory if config.shape == "cnn-gru" else GlobalMemory
        self.memory = memory(self.encoder.channels, len(config.tags), len(config.classes or ()), hidden)
        width = config.embedding_size or hidden
        self.embedding = nn.Embedding(config.vocab_size, width, config.pad_token_id)
        decoder = AttendingGRU if config.shape == "cnn-gru" else MergingLSTM
        self.decoder = decoder(width, hidden, config.attention_heads, config.dropout)
        self.dropout = dropout
        self.output = nn.Linear(width, config.vocab_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def encode(self, pixels: Tensor) -> Seen:
        """Look at images: normalised pixels of shape (batch, 3, height, width)."""
        return self.remember(self.look(pixels))

    def look(self, pixels: Tensor) -> Tensor:
        """Return the feature map (batch, channels, height, width) of normalised pixels, of all looks that the
        configuration asks for."""
        features = self._look(pixels)
        if self.config.second_size:
            again = self._look(_scaled(pixels, (self.config.second_size, self.config.second_size)))
            features = (features + _scaled(again, features.shape[2:])) / 2
        return features

    def remember(self, features: Tensor) -> Seen:
        """Return what sentences and tags are made from, of feature maps (batch, channels, height, width)."""
        # The recurrent part is small: half precision would lose accuracy and gain no time.
        features = features.to(self.embedding.weight.dtype)
        with torch.autocast(features.device.type, enabled=False):
            pooled = features.mean(dim=(2, 3))
            words, classes = self.words(pooled), self.encoder.classify(pooled)
            memory = self.memory(features.flatten(2).transpose(1, 2), pooled, words.sigmoid(), classes)
            return Seen(memory, words, classes)

    def imagine(self, words: Tensor, classes: Tensor) -> Tensor:
        """Return the memory (batch, slots, hidden) of images of which nothing is known but the probabilities of words
        (batch, tags) and of classes (batch, classes)."""
        features = words.new_zeros(len(words), 1, self.encoder.channels)
        memory: Tensor = self.memory(features, features[:, 0], words, classes)
        return memory

    def _look(self, pixels: Tensor) -> Tensor:
        """Return the feature map of images, or its mean with that of the mirror images."""
        features: Tensor = self.encoder(pixels)
        if self.config.mirrored:
            features = (features + self.encoder(pixels.flip(3)).flip(3)) / 2
        return features

    def forward(
        self, input_ids: Tensor, memory: Tensor, past_key_values: State | None = None, **_: Any
    ) -> CausalLMOutputWithPast:
        """Continue sentences.

        Args:
            input_ids: the tokens that the state does not contain yet, of shape (batch, length).
            memory: of shape (batch, slots, hidden), from `encode`; used only if there is no state yet.
            past_key_values: the state after the tokens before; the name is that of transformers' search.

        Returns:
            Logits of each next token, of shape (batch, length, vocabulary), and the new state.
        """
        written, state = self.write(input_ids, past_key_values or self.begin(memory))
        return CausalLMOutputWithPast(logits=self.output(written), past_key_values=state)  # type: ignore[arg-type]

    def begin(self, memory: Tensor) -> State:
        """Return the state before the first word."""
        state: State = self.decoder.begin(memory)
        return state

    def write(self, input_ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what `output` turns into logits, of shape (batch, length, width), and the new state."""
        written, state = self.decoder(self.dropout(self.embedding(input_ids)), state)
        return self.dropout(written), state

    # The interface of transformers' search

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, past_key_values: State | None = None, memory: Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        new = input_ids if past_key_values is None else input_ids[:, -1:]
        return {"input_ids": new, "past_key_values": past_key_values, "memory": memory}

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _reorder_cache(self, state: State, beams: Tensor) -> State:
        return tuple(tensor.index_select(0, beams) for tensor in state)

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def _init_weights(self, module: nn.Module) -> None:
        # The CNN initialises itself, and torch's defaults suit the rest except the embedding. It is also the output
        # layer, whose logits would start with a standard deviation of 20.
        if module is self.embedding:
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)


def _scaled(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return images or feature maps (batch, channels, height, width) at another height and width."""
    return nn.functional.interpolate(images, tuple(size), mode="bilinear", align_corners=False)


class AttendedMemory(nn.Module):
    """The image as slots: the whole, the words that are likely to be said of it, what the encoder's classifier takes it
    for, and each place of the map."""

    def __init__(self, channels: int, tags: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.places = nn.Linear(channels, hidden)
        self.words = nn.Linear(tags, hidden)
        self.classes = nn.Linear(classes, hidden) if classes else None
        self.norm = nn.LayerNorm(hidden)

    def forward(self, features: Tensor, pooled: Tensor, words: Tensor, classes: Tensor) -> Tensor:
        """Return the memory (batch, slots, hidden) of features (batch, places, channels), their mean, and the
        probabilities of words and classes."""
        slots = [self.places(pooled)[:, None], self.words(words)[:, None]]
        if self.classes is not None:
            slots.append(self.classes(classes)[:, None])
        memory: Tensor = self.norm(torch.cat([*slots, self.places(features)], dim=1))
        return memory


class GlobalMemory(nn.Module):
    """The image as one vector."""

    def __init__(self, channels: int, tags: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.whole = nn.Sequential(nn.Linear(channels, hidden), nn.LayerNorm(hidden))

    def forward(self, features: Tensor, pooled: Tensor, words: Tensor, classes: Tensor) -> Tensor:
        """Return the only slot, of shape (batch, 1, hidden)."""
        whole: Tensor = self.whole(pooled)
        return whole[:, None]


class AttendingGRU(nn.Module):
    """Two layers of GRU with attention between them."""

    def __init__(self, width: int, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.start = nn.Linear(hidden, 2 * hidden)
        self.lower = nn.GRU(width, hidden, batch_first=True)
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.upper = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.merge = nn.Sequential(nn.Linear(3 * hidden, width), nn.Tanh())
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what is written (batch, length, width) after words (batch, length, width), and the new state."""
        lower_state, upper_state, key, value = state
        asked, lower_state = self.lower(embedded, lower_state[None].contiguous())
        found = nn.functional.scaled_dot_product_attention(self._by_head(self.query(asked)), key, value)
        both = self.dropout(torch.cat([asked, found.transpose(1, 2).flatten(2)], dim=-1))
        told, upper_state = self.upper(both, upper_state[None].contiguous())
        return self.merge(torch.cat([told, both], dim=-1)), (lower_state[0], upper_state[0], key, value)

    def begin(self, memory: Tensor) -> State:
        """Return the state before the first word."""
        lower_state, upper_state = self.start(memory[:, 0]).tanh().chunk(2, dim=-1)
        return lower_state, upper_state, self._by_head(self.key(memory)), self._by_head(self.value(memory))

    def _by_head(self, tensor: Tensor) -> Tensor:
        return tensor.view(*tensor.shape[:2], self.heads, -1).transpose(1, 2)


class MergingLSTM(nn.Module):
    """An LSTM over the words alone, to whose output the image is added."""

    def __init__(self, width: int, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.merge = nn.Sequential(nn.Linear(hidden, width), nn.Tanh())
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what is written (batch, length, width) after words (batch, length, width), and the new state."""
        hidden, cell, memory = state
        told, (hidden, cell) = self.lstm(embedded, (hidden[None].contiguous(), cell[None].contiguous()))
        return self.merge(self.dropout(told) + memory), (hidden[0], cell[0], memory)

    def begin(self, memory: Tensor) -> State:
        """Return the state before the first word."""
        start = memory.new_zeros(memory.shape[0], self.hidden)
        return start, start, memory
