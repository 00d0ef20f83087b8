"""Runs any vision-language network that transformers loads, with transformers' own `generate`, on torch."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, LogitsProcessor, StoppingCriteria

from models.backends.threads import cores, turn_of
from models.backends.torch import name, place, read_weights
from models.base import Placement
from models.errors import InvalidJob
from models.generation.repetition import loop_start, repeats_a_line
from models.generation.schema import Vocabulary, Writer

_LOOK_EVERY = 8
"""Tokens between two looks whether a text goes round in circles."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How the texts of a batch are generated. With `schema`, the text of a JSON schema, they are JSON."""

    max_new_tokens: int
    min_new_tokens: int | None = None
    num_beams: int = 1
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """The new tokens of a text, without its end token; whether it has one; and whether it was ended because it repeated
    itself."""

    tokens: tuple[int, ...]
    ended: bool
    repeats: bool


class ChatNetwork:
    """A network of `AutoModelForImageTextToText`."""

    def __init__(self, directory: Path, placement: Placement) -> None:
        device, dtype = _place(placement)
        if device.type == "cpu":
            # torch does not read a container's limit.
            torch.set_num_threads(cores())
        self.device, self.precision = str(device), name(dtype)
        self._network = read_weights(AutoModelForImageTextToText, directory, dtype).to(device)
        self._device, self._dtype = device, dtype
        text = self._network.config.get_text_config()
        self.positions: int | None = getattr(text, "max_position_embeddings", None)
        self._vocabulary: Vocabulary | None = None
        # Other models may run between two tokens.
        turn = turn_of(f"cuda:{device.index or 0}" if device.type == "cuda" else device.type)
        self._network.register_forward_pre_hook(lambda *_: turn.acquire() and None)
        self._network.register_forward_hook(lambda *_: turn.release(), always_call=True)

    @torch.inference_mode()
    def generate(self, inputs: Mapping[str, Any], tokenizer: Any, ends: Sequence[int], limits: Limits) -> list[Text]:
        """Write a text for each row of a batch.

        Args:
            inputs: as the processor makes them, padded on the left.
            tokenizer: of the checkpoint.
            ends: tokens with which texts end, besides the checkpoint's own.
            limits: of all rows.

        Raises:
            InvalidJob: the inputs and the new tokens are more than the network has positions for, or the schema cannot
                be followed.
        """
        length = inputs["input_ids"].shape[1]
        if self.positions is not None and length + limits.max_new_tokens > self.positions:
            raise InvalidJob(
                f"the picture and the prompt take {length} tokens: with max_new_tokens {limits.max_new_tokens} they "
                f"are more than the {self.positions} positions of the model: shorten one of them"
            )
        config = self._config(tokenizer, ends, limits)
        rows = len(inputs["input_ids"])
        # A text that must be long cannot be ended, and an answer in JSON is ended by its schema.
        guards = [] if limits.schema or limits.min_new_tokens else [_Guard(length, tokenizer)]
        output = self._network.generate(
            **{key: self._moved(value) for key, value in inputs.items()},
            generation_config=config,
            logits_processor=self._constraints(rows, tokenizer, config.eos_token_id, limits),
            stopping_criteria=guards,
        )
        stop = set(config.eos_token_id)
        return [_text(row, stop, config.pad_token_id, bool(guards)) for row in output[:, length:].tolist()]

    def json_text(self, tokens: Sequence[int]) -> str:
        """Return the text of an answer in JSON."""
        assert self._vocabulary is not None
        return self._vocabulary.text(tokens)

    def _config(self, tokenizer: Any, ends: Sequence[int], limits: Limits) -> Any:
        """Return the checkpoint's settings of the search, without chance."""
        config = copy.deepcopy(self._network.generation_config)
        own = config.eos_token_id
        stop = dict.fromkeys([*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id, *ends])
        config.update(
            do_sample=False,
            temperature=None,
            top_k=None,
            top_p=None,
            min_p=None,
            max_length=None,
            max_new_tokens=limits.max_new_tokens,
            min_new_tokens=limits.min_new_tokens,
            num_beams=limits.num_beams,
            use_cache=True,
            eos_token_id=[token for token in stop if token is not None],
        )
        if config.pad_token_id is None:
            config.pad_token_id = tokenizer.pad_token_id
        return config

    def _constraints(self, rows: int, tokenizer: Any, ends: Sequence[int], limits: Limits) -> list[Any]:
        if limits.schema is None:
            return []
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(tokenizer, self._network.get_output_embeddings().weight.shape[0], ends)
        return [_AsJson([Writer(self._vocabulary, limits.schema, limits.max_new_tokens) for _ in range(rows)])]

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.to(self._device, self._dtype if value.is_floating_point() else None)


class _AsJson(LogitsProcessor):
    """Leaves each row the one token that its writer chooses."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        for row, writer in enumerate(self._writers):
            token = writer.choose(np.asarray(scores[row].float().cpu().numpy()))
            if token is not None:
                scores[row] = -torch.inf
                scores[row, token] = 0
        return scores


class _Guard(StoppingCriteria):
    """Ends the rows whose text goes round in circles."""

    def __init__(self, prompt_length: int, tokenizer: Any) -> None:
        self._prompt_length = prompt_length
        self._decode: Callable[[list[int]], str] = tokenizer.decode

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        length = input_ids.shape[1] - self._prompt_length
        found = [False] * len(input_ids)
        if length % _LOOK_EVERY == 0:
            found = [self._loops(row) for row in input_ids[:, self._prompt_length :].tolist()]
        return torch.tensor(found, device=input_ids.device)

    def _loops(self, tokens: list[int]) -> bool:
        return loop_start(tokens) is not None or repeats_a_line(self._decode(tokens))


def _text(row: list[int], stop: set[int], pad: int | None, guarded: bool) -> Text:
    end = next((place for place, token in enumerate(row) if token in stop), None)
    tokens = row if end is None else row[:end]
    while end is None and tokens and tokens[-1] == pad:
        # A row that was ended by the guard is filled up while others go on.
        tokens = tokens[:-1]
    start = loop_start(tokens) if guarded else None
    return Text(tuple(tokens[:start]), end is not None, start is not None)


def _place(placement: Placement) -> tuple[torch.device, torch.dtype]:
    """Return the device and the number format. `auto` on a CPU is bfloat16 where the processor multiplies in it."""
    if placement.precision == "int8":
        placement = Placement(placement.device, "auto", placement.runtime, placement.cache)
    device, dtype = place(placement)
    if device.type == "cpu" and placement.precision == "auto" and _has_bfloat16():
        return device, torch.bfloat16
    return device, dtype


def _has_bfloat16() -> bool:
    # Other processors only emulate it, slower than float32.
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))
