"""The files of a checkpoint beside its weights: the tokenizer and the generation settings."""

import logging
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from models.generation import Rules
from models.preprocessing.tokens import Tokens

log = logging.getLogger(__name__)

# Settings that a checkpoint may have and `models.generation` does not implement.
_NOT_FOLLOWED = ("no_repeat_ngram_size", "repetition_penalty", "bad_words_ids", "forced_bos_token_id",
    "forced_eos_token_id", "begin_suppress_tokens", "encoder_no_repeat_ngram_size", "num_beam_groups")  # fmt: skip


def read_tokenizer(directory: Path) -> Tokens:
    """Return a checkpoint's tokenizer."""
    return Tokens.of(AutoTokenizer.from_pretrained(directory, local_files_only=True))


def read_rules(config: GenerationConfig, end_token: int | None = None) -> Rules:
    """Return a checkpoint's generation settings; `end_token` replaces its end tokens where given.

    Raises:
        ValueError: there is no end token.
    """
    end_tokens: Any = config.eos_token_id if end_token is None else end_token
    if end_tokens is None:
        raise ValueError("generation_config.json: no eos_token_id says how texts end")
    defaults = GenerationConfig()
    for name in _NOT_FOLLOWED:
        if getattr(config, name, None) not in (None, getattr(defaults, name, None)):
            log.warning("generation_config.json: %s is not followed", name)
    return Rules(
        tuple(end_tokens) if isinstance(end_tokens, list) else (end_tokens,),
        tuple(config.suppress_tokens or ()),
        1.0 if config.length_penalty is None else config.length_penalty,
        config.early_stopping or False,
    )
