"""The loop's texts are those of transformers' `generate`, on both runtimes: whatever the search, alone and mixed."""

import importlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from models import backends
from models.backends import ALIGNMENT
from models.base import Placement
from models.families.trocr import Facts, read_checkpoint
from models.generation import IMAGE_TOKEN, Rules, Text, TextRequest, cut_warning, generate
from models.generation.rules import repeating_tokens
from models.generation.search import BeamSearch, GreedySearch, _largest, _likeliest
from models.networks.checkpoint import read_rules
from tests.server import NETWORKS

IMAGES = 6
START, END = 2, 2
SEARCHES = [
    TextRequest((START,), 0, 20),
    TextRequest((START,), 7, 15, 3),
    TextRequest((START,), 0, 12, 5),
    TextRequest((START,), 12, 12),
    TextRequest((START,), 0, 25, 2),
    TextRequest((START,), 3, 9, 4),
]
RULES = [
    {},
    {"length_penalty": 0.0},
    {"length_penalty": 2.0, "early_stopping": True},
    {"length_penalty": -1.5, "early_stopping": "never"},
    {"length_penalty": 0.7, "early_stopping": "never", "suppress_tokens": [5, 9, 20]},
    {"eos_token_id": [2, 11, 30]},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2, "length_penalty": 0.7},
    {"no_repeat_ngram_size": 3, "suppress_tokens": [5, 9, 20]},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.9, "no_repeat_ngram_size": 2, "length_penalty": 2.0},
    {"forced_bos_token_id": 7, "forced_eos_token_id": 2},
    {"forced_eos_token_id": 11, "eos_token_id": [2, 11], "repetition_penalty": 1.2},
]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).standard_normal((IMAGES, 3, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def plain(checkpoints: dict[str, Path]) -> Any:
    return transformers.VisionEncoderDecoderModel.from_pretrained(checkpoints["trocr-base-handwritten"]).eval()


@pytest.fixture(scope="module", params=["openvino", "torch"])
def network(request: pytest.FixtureRequest, checkpoints: dict[str, Path]) -> backends.Network[Facts]:
    placement = Placement("cpu", "float32", request.param, NETWORKS)
    return backends.load(read_checkpoint, Facts, checkpoints["trocr-base-handwritten"], placement)


@pytest.fixture(scope="module")
def wanted(plain: Any, pixels: np.ndarray[Any, Any]) -> Callable[[int], list[tuple[int, ...]]]:
    """What plain transformers says of each picture with the search of the same place and the rules of a number."""

    @cache
    def wanted(number: int) -> list[tuple[int, ...]]:
        texts = [generated(plain, *pair, RULES[number]) for pair in zip(pixels, SEARCHES, strict=True)]
        assert len(set(texts)) == IMAGES
        return texts

    return wanted


def generated(plain: Any, pixels: np.ndarray[Any, Any], search: TextRequest, rules: dict[str, Any]) -> tuple[int, ...]:
    with torch.inference_mode():
        output = plain.generate(
            torch.from_numpy(pixels[None]),
            max_new_tokens=search.max_new_tokens,
            min_new_tokens=search.min_new_tokens or None,
            num_beams=search.num_beams,
            use_cache=True,
            **rules,
        )
    return tuple(output[0, 1:].tolist())


def ours(rules: dict[str, Any]) -> Rules:
    return Rules(
        tuple(rules.get("eos_token_id", [END])),
        tuple(rules.get("suppress_tokens", ())),
        rules.get("length_penalty", 1.0),
        rules.get("early_stopping", False),
        rules.get("no_repeat_ngram_size", 0),
        1,
        rules.get("repetition_penalty", 1.0),
        rules.get("forced_bos_token_id"),
        rules.get("forced_eos_token_id"),
    )


@pytest.mark.parametrize("rules", range(len(RULES)), ids=lambda number: str(RULES[number]))
def test_mixed_searches_in_one_batch(
    network: backends.Network[Facts],
    wanted: Callable[[int], list[tuple[int, ...]]],
    pixels: np.ndarray[Any, Any],
    rules: int,
) -> None:
    texts, extra_outputs = generate(network, [pixels], SEARCHES, ours(RULES[rules]))
    assert [text.tokens for text in texts] == wanted(rules)
    assert extra_outputs == []


def test_alone_as_in_a_batch(network: backends.Network[Facts], pixels: np.ndarray[Any, Any]) -> None:
    together, _ = generate(network, [pixels], SEARCHES, Rules((END,)))
    for index in reversed(range(IMAGES)):
        (alone,), _ = generate(network, [pixels[index : index + 1]], [SEARCHES[index]], Rules((END,)))
        assert alone.tokens == together[index].tokens
        assert alone.scores == pytest.approx(together[index].scores, abs=1e-4)


@pytest.mark.parametrize("size", [5, 640, 1000, 64 * 24, 32_128])
def test_the_likeliest_of_many_words(size: int) -> None:
    logits = np.random.default_rng(size).integers(0, size, (3, size)).astype(np.float32)
    logits[1, ::3] = -np.inf
    for count in (2, 24):
        rows, tokens = _likeliest(logits, count)
        assert len(tokens) < 3 * size or size <= 64 * count
        for row, values in enumerate(logits):
            found = tokens[rows == row]
            expected = sorted(range(size), key=lambda index: (-values[index], index))[:count]
            assert found[_largest(values[found], count)].tolist() == expected


def test_of_many_words_those_that_may_come_are_found() -> None:
    """As if all words' probabilities were sorted. What is barred is the likeliest."""
    vocabulary, beams = 32_128, 4
    logits = np.random.default_rng(1).standard_normal((1 + beams, vocabulary)).astype(np.float32)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    likeliest = np.argsort(-logits[0])
    ends, suppressed = (int(likeliest[0]),), tuple(likeliest[1:30].tolist())
    logits[1:, [*ends, *suppressed]] = 9.0
    search = BeamSearch(TextRequest((START,), 5, 9, beams), Rules(ends, suppressed))
    first = search.advance(logits[:1], log_sums[:1])
    assert first is not None
    assert first[0].tolist() == likeliest[30 : 30 + beams].tolist()
    running = logits[0, first[0]] - log_sums[0]
    second = search.advance(logits[1:], log_sums[1:])
    assert second is not None
    sums = logits[1:] - log_sums[1:, None] + running[:, None]
    sums[:, [*ends, *suppressed]] = -np.inf
    parents, tokens = np.divmod(np.argsort(-sums.ravel())[:beams], vocabulary)
    assert (second[0].tolist(), second[1].tolist()) == (tokens.tolist(), parents.tolist())


def test_a_step_tells_the_sums_of_its_logits(network: backends.Network[Facts], pixels: np.ndarray[Any, Any]) -> None:
    network.encode(pixels[:2])
    tokens, rows = np.full((2, 1), START), np.arange(2)
    logits, log_sums = network.step(tokens, tokens * 0, tokens > 0, rows, rows[:, None], rows)
    np.testing.assert_allclose(log_sums, np.log(np.exp(logits.astype(np.float64)).sum(axis=1)), rtol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("search", [GreedySearch, BeamSearch])
@pytest.mark.parametrize("count", [1, 200])
def test_scores_that_are_no_numbers_are_no_text(
    search: type[GreedySearch | BeamSearch], wrong: float, count: int
) -> None:
    logits = np.zeros((1, 200), np.float32)
    logits[0, :count] = wrong
    given = search(TextRequest((START,), 0, 5, 4), Rules((END,)))
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match="no numbers"):
        given.advance(logits, np.full(1, wrong, np.float32))


def test_a_beam_whose_scores_are_no_numbers_is_not_passed_over() -> None:
    search = BeamSearch(TextRequest((START,), 0, 5, 2), Rules((END,)))
    assert search.advance(np.zeros((1, 200), np.float32), np.zeros(1, np.float32))
    logits = np.zeros((2, 200), np.float32)
    logits[0] = np.nan
    with pytest.raises(FloatingPointError, match="no numbers"):
        search.advance(logits, np.array([np.nan, 0], np.float32))


def test_a_checkpoint_that_does_not_say_how_texts_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eos_token_id"):
        read_rules(tmp_path, transformers.GenerationConfig())
    assert read_rules(tmp_path, transformers.GenerationConfig(), END).end_tokens == (END,)


def test_settings_of_the_search_are_read_from_the_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nested = {"no_repeat_ngram_size": 3, "max_length": 20, "length_penalty": 0.5, "repetition_penalty": 1.0}
    (tmp_path / "config.json").write_text(json.dumps({"num_beams": 2, "decoder": nested}))
    kept = transformers.GenerationConfig()
    assert read_rules(tmp_path, kept, END) == Rules((END,), (), 0.5, no_repeat_ngram_size=3, num_beams=2)
    assert not caplog.records
    own = {"num_beams": 4, "early_stopping": True, "no_repeat_ngram_size": None, "length_penalty": 2.0}
    more = {"repetition_penalty": 1.3, "forced_bos_token_id": 0, "forced_eos_token_id": [2]}
    not_followed = {"do_sample": True, "bad_words_ids": [[7]], "encoder_no_repeat_ngram_size": 0}
    (tmp_path / "generation_config.json").write_text(json.dumps(own | more | not_followed))
    assert read_rules(tmp_path, kept, END) == Rules((END,), (), 2.0, True, 3, 4, 1.3, 0, 2)
    (record,) = caplog.records
    assert record.getMessage().endswith("not followed: bad_words_ids, do_sample")


def test_repeated_ngrams_are_looked_for_where_generate_sees_ids_of_images() -> None:
    rules = Rules((END,), no_repeat_ngram_size=2)
    request = TextRequest((START, IMAGE_TOKEN, IMAGE_TOKEN, 7), 0, 5, counted=(START, 4, 5, 7))
    assert repeating_tokens([4], request, rules) == [5]
    assert repeating_tokens([7], request, rules) == [7]
    assert repeating_tokens([7, 3, 7], request, rules) == [7, 3]
    assert repeating_tokens([], TextRequest((START,), 0, 5), Rules((END,), no_repeat_ngram_size=5)) == []


def test_a_cut_text_is_warned_of() -> None:
    search, rules = TextRequest((START,), 0, 3), Rules((END,))
    assert cut_warning(Text((4, 5, 6), ()), search, rules)
    assert not cut_warning(Text((4, 5, END), ()), search, rules)
    assert not cut_warning(Text((4, END), ()), search, rules)
    assert cut_warning(Text((4, 5, END), ()), search, Rules((END,), forced_last_token=END))


@pytest.mark.parametrize(("name", "family", "places"), [("blip-base", "blip", 17), ("t5-tags", "t5_tags", 5)])
def test_places_that_are_padding_are_not_looked_at(
    checkpoints: dict[str, Path], name: str, family: str, places: int
) -> None:
    checkpoint = importlib.import_module(f"models.families.{family}").read_checkpoint(checkpoints[name], torch.float32)
    example = torch.rand(1, 3, 64, 64) if family == "blip" else torch.ones(1, places, dtype=torch.long)
    given = [example] if family == "blip" else [nn.functional.pad(example, (0, -places % ALIGNMENT))] * 2
    one = torch.ones(1, 1, dtype=torch.long)
    with torch.inference_mode():
        *keys_and_values, mask = checkpoint.encoder(*given)
        assert mask.tolist() == [[1.0] * places + [0.0] * (-places % ALIGNMENT)]
        assert all(tensor.shape[2] == mask.shape[1] for tensor in keys_and_values)
        states = [torch.zeros(shape) for shape in checkpoint.decoder.state_shapes(1)]

        def logits() -> torch.Tensor:
            found: torch.Tensor = checkpoint.decoder(
                one, one, one, one - 1, one[0] - 1, *keys_and_values, mask, *states
            )[0]
            return found

        before = logits()
        for tensor in keys_and_values:
            tensor[:, :, places:] = 3.0
        torch.testing.assert_close(logits(), before)
        for tensor in keys_and_values:
            tensor[:, :, :places] = 3.0
        assert not torch.allclose(logits(), before)
