"""What a checkpoint says besides its weights: its tokenizer, and how texts are searched for."""

import logging
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from models.generation import Rules
from models.preprocessing.tokens import Tokens

log = logging.getLogger(__name__)

# Settings of the search that a checkpoint may make and `models.generation` does not follow.
_NOT_FOLLOWED = ("no_repeat_ngram_size", "repetition_penalty", "bad_words_ids", "forced_bos_token_id",
    "forced_eos_token_id", "begin_suppress_tokens", "encoder_no_repeat_ngram_size", "num_beam_groups")  # fmt: skip


def tokenizer_of(directory: Path) -> Tokens:
    """Return a checkpoint's tokenizer."""
    return Tokens.of(AutoTokenizer.from_pretrained(directory, local_files_only=True))


def rules(config: GenerationConfig, end: int | None = None) -> Rules:
    """Return how texts end (with `end`, where that is given) and are searched for.

    Raises:
        ValueError: the checkpoint does not say how they end.
    """
    ends: Any = config.eos_token_id if end is None else end
    if ends is None:
        raise ValueError("generation_config.json: no eos_token_id says how texts end")
    usual = GenerationConfig()
    for name in _NOT_FOLLOWED:
        if getattr(config, name, None) not in (None, getattr(usual, name, None)):
            log.warning("generation_config.json: %s is not followed", name)
    return Rules(
        tuple(ends) if isinstance(ends, list) else (ends,),
        tuple(config.suppress_tokens or ()),
        1.0 if config.length_penalty is None else config.length_penalty,
        config.early_stopping or False,
    )
