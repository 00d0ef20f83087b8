"""Self-critical training: the reward is pycocoevalcap's CIDEr and BLEU, and what earns more becomes likelier."""

import csv
from pathlib import Path

import pytest
import torch
from pycocoevalcap.bleu.bleu import Bleu as BleuScorer
from pycocoevalcap.cider.cider import Cider as CiderScorer

from models.captioning.configuration import RecurrentCaptionerConfig
from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import END, PAD, START, UNKNOWN
from models.training.optimisation import begin
from models.training.rewards import Bleu, Cider, Reward
from models.training.self_critical import draw, log_probabilities, self_critical_loss
from models.training.train import main

REFERENCES = [
    ["a dog runs on the grass", "a brown dog is running", "the dog runs"],
    ["two men play soccer", "men playing soccer on a field", "a soccer game"],
    ["a boy jumps into the water", "boy jumping into a lake", "a boy in the water"],
]


def test_the_reward_is_the_scorers_cider() -> None:
    said = ["a dog runs on a field", "men play play play", "a boy in the"]
    ended = {place: [f"{text} <end>" for text in texts] for place, texts in enumerate(REFERENCES)}
    _, wanted = CiderScorer().compute_score(ended, {place: [f"{text} <end>"] for place, text in enumerate(said)})
    cider = Cider([[text.split() for text in texts] for texts in REFERENCES])
    assert [cider.score(place, text.split()) for place, text in enumerate(said)] == pytest.approx(list(wanted))


def test_bleu_is_the_scorers_but_for_the_smoothing() -> None:
    words = [[text.split() for text in texts] for texts in REFERENCES]
    said = "a dog runs on the grass <end>"
    _, wanted = BleuScorer(4).compute_score({0: [f"{text} <end>" for text in REFERENCES[0]]}, {0: [said]}, verbose=0)
    bleu = Bleu(words)
    assert bleu.score(0, said.split()[:-1]) == pytest.approx(wanted[3][0]) == pytest.approx(1.0)
    # The end is a word; of its n-grams only the four words in a row are in no reference: one of two, smoothed.
    assert bleu.score(0, ["a", "dog", "runs"]) == pytest.approx(0.5**0.25)
    mixed, short = (bleu.score(0, text.split()) for text in ("runs a dog dog", "dog"))
    assert 0.5**0.25 > mixed > 0
    assert 0 < short < 0.5**0.25
    assert bleu.score(0, ["soccer"]) < bleu.score(1, ["soccer"])


def test_a_reward_is_cider_and_a_part_of_bleu() -> None:
    words = [[text.split() for text in texts] for texts in REFERENCES]
    said = [["men"], ["soccer"], ["men"], ["dog"]]
    alone, more = Reward(words, 0.0)([1, 0], said), Reward(words, 2.0)([1, 0], said)
    cider, bleu = Cider(words), Bleu(words)
    assert alone.tolist() == [
        pytest.approx([cider.score(photo, said[2 * row + column]) for column in (0, 1)])
        for row, photo in enumerate((1, 0))
    ]
    assert (more - alone)[1, 1].item() == pytest.approx(2 * bleu.score(0, ["dog"]))


def network() -> RecurrentCaptioner:
    torch.manual_seed(0)
    encoder = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}
    config = RecurrentCaptionerConfig(encoder=encoder, vocab_size=9, hidden_size=16, attention_heads=2, tags=["dog"])
    return RecurrentCaptioner(config).eval()


def test_drawn_sentences_are_words_that_end_and_are_padded() -> None:
    captioner = network()
    tokens = draw(captioner, captioner.begin(torch.randn(200, 3, 16)), 12)
    assert tokens.shape[1] <= 13
    assert (tokens[:, 0] == START).all()
    for row in tokens[:, 1:].tolist():
        length = row.index(END) if END in row else len(row)
        assert all(token > UNKNOWN for token in row[:length])
        assert all(token == PAD for token in row[length + 1 :])
    assert len({tuple(row) for row in tokens.tolist()}) > 100


def test_what_earns_more_than_the_others_becomes_likelier() -> None:
    captioner, memory = network(), torch.randn(1, 3, 16)
    tokens = torch.tensor([[START, 4, 5, END], [START, 6, END, PAD]])
    optimizer = torch.optim.SGD(captioner.parameters(), lr=0.5)

    def likelihoods() -> list[float]:
        written, _ = captioner.write(tokens[:, :-1], begin(captioner, memory, 2))
        every = log_probabilities(captioner, written).gather(2, tokens[:, 1:, None])[..., 0]
        return every.where(tokens[:, 1:] != PAD, 0).sum(dim=1).tolist()

    before = likelihoods()
    loss = self_critical_loss(captioner, begin(captioner, memory, 2), tokens, torch.tensor([[0.9, 0.1]]))
    assert loss.item() == pytest.approx(-0.5)
    loss.backward()
    optimizer.step()
    after = likelihoods()
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_a_finish_raises_the_reward(drawn: list[str], tmp_path: Path) -> None:
    first, finished = tmp_path / "first", tmp_path / "finished"
    assert main([*drawn, "--epochs", "4", "--lr", "0.01", "--out", str(first)]) == 0
    finish = ["--self-critical", "--freeze-encoder", "--epochs", "6", "--lr", "0.003", "--warmup", "0"]
    finish += ["--words-only", "0.2"]
    assert main([*drawn, *finish, "--average", "0", "--init-from", str(first / "last"), "--out", str(finished)]) == 0
    with (finished / "log.csv").open() as file:
        losses = [float(row["caption_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 1.2 * losses[0] < 0
