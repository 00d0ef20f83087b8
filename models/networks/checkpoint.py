"""What a checkpoint says besides its weights: its tokenizer, and how texts are searched for."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.generation import Rules
from models.preprocessing.tokens import Tokens

if TYPE_CHECKING:
    from transformers import GenerationConfig

log = logging.getLogger(__name__)

# Settings of the search that a checkpoint may make and `models.generation` does not follow.
_NOT_FOLLOWED = ("encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "bad_words_ids", "forced_decoder_ids",
    "begin_suppress_tokens", "sequence_bias", "exponential_decay_length_penalty", "num_beam_groups",
    "diversity_penalty", "do_sample")  # fmt: skip
_KEPT = ("eos_token_id", "suppress_tokens")
# What means the same as leaving them out; old configs have them written out.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "encoder_repetition_penalty": (1.0,),
    "num_beam_groups": (1,),
    "encoder_no_repeat_ngram_size": (0,),
    "diversity_penalty": (0.0,),
    "do_sample": (False,),
}


def read_tokenizer(directory: Path) -> Tokens:
    """Return a checkpoint's tokenizer."""
    from transformers import AutoTokenizer

    return Tokens.of(AutoTokenizer.from_pretrained(directory, local_files_only=True))


def read_rules(directory: Path, config: "GenerationConfig | None", end_token: int | None = None) -> Rules:
    """Return how texts end and are searched for.

    transformers drops the settings of a search that stand in `config.json`, such as Kosmos-2's `no_repeat_ngram_size`,
    so the files themselves are read. One warning names those that are not followed.

    Args:
        directory: the checkpoint.
        config: what transformers has kept of its settings; None to take them from the files.
        end_token: the token that ends texts, where the family knows better.

    Raises:
        ValueError: the checkpoint does not say how they end.
    """
    settings = _settings(directory)
    kept = settings if config is None else {name: getattr(config, name, None) for name in _KEPT}
    end_tokens: Any = kept.get("eos_token_id") if end_token is None else end_token
    if end_tokens is None:
        raise ValueError("generation_config.json: no eos_token_id says how texts end")
    ignored = [name for name in _NOT_FOLLOWED if name in settings and settings[name] not in _NEUTRAL.get(name, ([],))]
    if ignored:
        log.warning("%s: these settings of its search are not followed: %s", directory, ", ".join(ignored))
    return Rules(
        _tokens(end_tokens),
        tuple(kept.get("suppress_tokens") or ()),
        settings.get("length_penalty", 1.0),
        settings.get("early_stopping", False),
        settings.get("no_repeat_ngram_size", 0),
        settings.get("num_beams", 1),
        settings.get("repetition_penalty", 1.0),
        settings.get("forced_bos_token_id"),
        # Of several, any ends the text.
        next(iter(_tokens(settings.get("forced_eos_token_id", []))), None),
    )


def _tokens(one_or_several: int | list[int]) -> tuple[int, ...]:
    return tuple(one_or_several) if isinstance(one_or_several, list) else (one_or_several,)


def _settings(directory: Path) -> dict[str, Any]:
    """Return what the files of a checkpoint say of the search: `generation_config.json` before `config.json`, and that
    before the configs of the decoder that are nested in it."""
    config = _read(directory / "config.json")
    nested = [config[name] for name in ("decoder", "text_config") if isinstance(config.get(name), dict)]
    settings: dict[str, Any] = {}
    for part in (*nested, config, _read(directory / "generation_config.json")):
        settings |= {name: value for name, value in part.items() if value is not None}
    return settings


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
