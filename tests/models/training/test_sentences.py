"""Sentences without photos: what a photo of each might have is drawn at random around what the sentence names."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from models.captioning.vocabulary import START, Vocabulary
from models.training.formats import DatasetError
from models.training.prepare import read_photos
from models.training.sentences import Sentences, read_sentences
from models.training.settings import parse
from models.training.train import main

CLASSES = ("dog", "dog", "ice cream", "fox", "")


def test_what_a_sentence_names_is_likelier_than_the_rest() -> None:
    sentence = ("two", "dogs", "eat", "ice", "cream")
    other = ("a", "man", "sits", "on", "a", "bench")
    vocabulary = Vocabulary({*sentence, *other})
    sentences = Sentences([sentence, other], vocabulary, ["dogs", "man", "bench"], CLASSES)
    tokens, words, classes = sentences.batch(2000, np.random.default_rng(1))
    assert (tokens[:, 0] == START).all()
    named = tokens[:, 1] == vocabulary.ids(["two"])[0]
    assert 800 < named.sum() < 1200
    assert words[named, 0].mean() > 1.5 * words[named, 1].mean()
    assert words[~named, 1].mean() > 1.5 * words[~named, 0].mean()
    torch.testing.assert_close(classes.sum(dim=1), torch.ones(2000))
    assert classes[named][:, :3].sum(dim=1).mean() > 2 * classes[named][:, 3:].sum(dim=1).mean()
    assert classes[~named].mean(dim=0).max() < 0.3
    again = sentences.batch(2000, np.random.default_rng(1))
    assert all(torch.equal(*pair) for pair in zip((tokens, words, classes), again, strict=True))


def test_files_of_sentences(tmp_path: Path) -> None:
    text = "A dog runs, fast!\nToo short .\n\n" + "long " * 25 + "\n"
    (tmp_path / "plain.txt").write_text(text)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text.encode()))
    assert read_sentences(tmp_path / "plain.txt") == [("a", "dog", "runs", "fast")]
    assert read_sentences(tmp_path / "packed.gz") == read_sentences(tmp_path / "plain.txt")
    (tmp_path / "broken.gz").write_bytes(gzip.compress(text.encode())[:-9])
    (tmp_path / "short.txt").write_text("Too short .\n")
    for name, message in (
        ("broken.gz", "cannot be read"),
        ("none", "cannot be read"),
        ("short.txt", "has no sentence of 4 to 24 words"),
    ):
        with pytest.raises(DatasetError, match=message):
            read_sentences(tmp_path / name)


def test_a_decoder_learns_language_before_it_sees_a_photo(drawn: list[str], tmp_path: Path) -> None:
    """The vocabulary has the sentences' words, and the captions of photos of dev are not learned from."""
    lines = ["a purple circle under a tree", "a red square, on white"] * 12
    (tmp_path / "sentences").write_text("\n".join(lines) + "\n")
    more = ["--sentences", str(tmp_path / "sentences"), "--sentence-epochs", "3", "--epochs", "4", "--lr", "0.01"]
    out = tmp_path / "run"
    assert {*read_photos(parse([*drawn, *more])[0]).sentences} == {tuple(lines[0].split())}
    assert main([*drawn, *more, "--out", str(out)]) == 0
    assert "purple" in Vocabulary.load(out / "last").tokens
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["caption_loss"]) > 0 for row in rows] == [False, False, False, True]
    losses = [float(row["sentence_loss"]) for row in rows]
    assert losses[2] < 0.7 * losses[0]
