"""The parts of a training: batches, augmentation, losses, vocabulary, learning rate."""

import numpy as np
import pytest
import torch
from PIL import Image

from models.captioning.vocabulary import END, START
from models.training.augment import augment, crop_box
from models.training.batches import TrainingPhotos, training_batches
from models.training.optimisation import caption_loss, learning_rate
from models.training.prepare import make_network, read_photos
from models.training.settings import Settings, parse
from models.training.vocabulary import build, content_words


def test_batches_depend_on_seed_and_epoch_alone(drawn: list[str]) -> None:
    settings, _ = parse(drawn)
    photos = read_photos(settings)
    network, vocabulary = make_network(settings, photos)
    data = TrainingPhotos(photos.train, vocabulary, network.config.tags, settings)
    first, again, later = (list(training_batches(data, settings, epoch, 0)) for epoch in (0, 0, 1))
    rest = list(training_batches(data, settings, 0, 3))
    assert len(first) == 8
    for ours, theirs in zip([*first, *first[3:]], [*again, *rest], strict=True):
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.equal(ours.tokens, theirs.tokens)
    assert not torch.equal(first[0].pixels, later[0].pixels)
    assert first[0].pixels.shape == (8, 3, 48, 48)
    assert first[0].tokens.shape[0] == 24
    for row in first[0].tokens.tolist():
        assert row[0] == START
        assert row.count(END) == 1
    assert (first[0].words.sum(dim=1) >= 2).all()


def test_the_loss_is_that_of_plain_cross_entropy(drawn: list[str]) -> None:
    settings, _ = parse(drawn)
    photos = read_photos(settings)
    network, vocabulary = make_network(settings, photos)
    data = TrainingPhotos(photos.train, vocabulary, network.config.tags, settings)
    tokens = next(iter(training_batches(data, settings, 0, 0))).tokens
    memory = torch.randn(len(tokens) // 3, 5, 32)
    network.eval()
    logits = network(tokens[:, :-1], memory.repeat_interleave(3, dim=0)).logits
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0, label_smoothing=0.1
    )
    torch.testing.assert_close(caption_loss(network, memory, tokens, 0.1), wanted)


def test_words_by_count() -> None:
    captions = [["a", "dog", "runs"], ["a", "dog"], ["a", "cat"]]
    assert build(captions, 2).tokens[4:] == ("a", "dog")
    assert build(captions, 2).ids(["a", "cat"]) == [4, 3]
    assert content_words({"1": captions[:2], "2": captions[2:]}, 2) == {"cat": 0.5, "dog": 0.5}


def test_learning_rate_rises_and_falls() -> None:
    settings = Settings(lr=1.0, warmup=2, epochs=10)
    rates = [learning_rate(settings, step, 5) for step in range(51)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] == pytest.approx(1.0)
    assert rates[50] == pytest.approx(0.01)


def test_crops_stay_inside_and_chance_is_the_generators() -> None:
    for seed in range(200):
        left, top, right, bottom = crop_box(60, 40, 0.3, np.random.default_rng(seed))
        assert 0 <= left < right <= 60 + 1e-9
        assert 0 <= top < bottom <= 40 + 1e-9
        assert 0.25 < (right - left) * (bottom - top) / 2400 <= 1 + 1e-9
    image = Image.effect_noise((60, 40), 50).convert("RGB")
    results = [augment(image, 32, 0.4, 0.4, True, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert results[0].size == (32, 32)
    assert results[0].tobytes() == results[1].tobytes() != results[2].tobytes()
