"""Runs a model on every sample, and scores its predictions."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from models.base import Job, Loaded, Options, Task
from models.registry import Entry
from models.training import metrics
from models.training.samples import Sample

CAPTIONERS = (Task.CAPTION, Task.GROUNDED_CAPTION)
READERS = (Task.READ_LINE, Task.READ_PAGE)


@dataclass(frozen=True)
class Outcome:
    """A model's text for a sample, and its own score: CIDEr, or the character error rate."""

    sample: Sample
    text: str
    score: float


@dataclass(frozen=True)
class Run:
    """A model, measured once with the same options for all samples.

    `seconds` are those of predicting, without reading files.
    """

    model: str
    task: Task
    options: Options
    device: str
    precision: str
    scores: Mapping[str, float]
    seconds: float
    outcomes: Sequence[Outcome]

    @property
    def reads(self) -> bool:
        """True for a model that reads: its scores are error rates, of which the least is the best."""
        return self.task in READERS

    @property
    def metric(self) -> str:
        """The score that every single image has."""
        return "CER" if self.reads else "CIDEr"

    def from_best(self) -> list[Outcome]:
        """Return the outcomes, the best one first."""
        return sorted(self.outcomes, key=lambda outcome: outcome.score, reverse=not self.reads)


def measure(
    entry: Entry, samples: Sequence[Sample], variants: Sequence[Options], batch: int | None = None
) -> list[Run]:
    """Load a model, measure it with each of the options, and unload it.

    Args:
        entry: the model.
        samples: what to predict; pictures with captions for a captioner, lines for a reader.
        variants: options; one run each.
        batch: images at once; None for as many as the service hands over.

    Raises:
        ModelError: it cannot be loaded, or refuses the options.
        DatasetError: an image cannot be read.
        ValueError: there is nothing to score by.
    """
    model, loaded, runs = entry.model, entry.load(), []
    for options in variants:
        texts, seconds = predict(loaded, samples, options, batch or model.batch_size, model.name)
        scores, each = score(texts, samples, model.task)
        outcomes = [Outcome(*values) for values in zip(samples, texts, each, strict=True)]
        runs.append(Run(model.name, model.task, options, loaded.device, loaded.precision, scores, seconds, outcomes))
    # Drop this reference, which would keep the model in memory.
    del loaded
    entry.unload()
    return runs


def predict(
    loaded: Loaded, samples: Sequence[Sample], options: Options, batch: int, label: str
) -> tuple[list[str], float]:
    """Return a model's text for every sample, and the seconds of predicting. Shows a progress bar on a terminal.

    Raises:
        InvalidJob: the model refuses the options.
        DatasetError: an image cannot be read.
    """
    texts: list[str] = []
    seconds = 0.0
    with tqdm(total=len(samples), desc=label, unit=" images", disable=None) as bar:
        for start in range(0, len(samples), batch):
            jobs = [Job(sample.open(), options=options) for sample in samples[start : start + batch]]
            began = time.perf_counter()
            texts += [prediction.text for prediction in loaded.predict(jobs)]
            seconds += time.perf_counter() - began
            bar.update(len(jobs))
    return texts, seconds


def score(texts: Sequence[str], samples: Sequence[Sample], task: Task) -> tuple[dict[str, float], list[float]]:
    """Return the scores of all texts together, and one for each text: CIDEr, or the character error rate.

    Raises:
        ValueError: there is nothing to score by.
    """
    if task in CAPTIONERS:
        found = metrics.score_captions(texts, [sample.texts for sample in samples])
        return found.corpus, list(found.cider)
    true = [sample.texts[0] for sample in samples]
    each = [metrics.reading_scores([read], [text])["CER"] for read, text in zip(texts, true, strict=True)]
    return metrics.reading_scores(texts, true), each
