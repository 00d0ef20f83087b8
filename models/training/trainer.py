"""The loop: epochs of steps, scores on dev after each, checkpoints in between."""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.backends import torch as runtime
from models.base import Placement
from models.captioning.network import RecurrentCaptioner, Seen
from models.captioning.pixels import normalise
from models.captioning.vocabulary import START, Vocabulary
from models.training.batches import Batch, TrainingPhotos, squashed_batches, steps_in_epoch, training_batches
from models.training.checkpoints import BEST, LAST, STATE, export, load_state, save_state
from models.training.interrupt import Interrupt
from models.training.optimisation import (
    average,
    begin,
    caption_loss,
    class_loss,
    learning_rate,
    make_optimizer,
    word_loss,
)
from models.training.prepare import Photos
from models.training.record import Record
from models.training.rewards import Reward
from models.training.self_critical import draw, self_critical_loss
from models.training.sentences import Sentences, Words
from models.training.settings import Settings, TrainingError

_MOST_TOKENS = 30
Number = TypeVar("Number", float, Tensor)


class Trainer:
    """One training, new or resumed.

    Its whole state is the network, the average, the optimizer, torch's random state and `progress`. The order of the
    photos and their augmentation follow from the seed and the epoch.
    """

    def __init__(self, settings: Settings, photos: Photos, network: RecurrentCaptioner, vocabulary: Vocabulary) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.device, _ = runtime.place(Placement(settings.device, "float32"))
        self.half = _half(settings, self.device)
        self.network = network.to(self.device)  # type: ignore[arg-type]
        # The fast layout of convolutions on CPUs, and in half precision on GPUs.
        self.network.encoder.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        # Not part of the state: what a training starts from is the same when it is resumed.
        self.before = copy.deepcopy(self.average) if settings.class_loss else None
        self.optimizer = make_optimizer(self.network, settings)
        self.dev = photos.dev
        words = [photo.words for photo in photos.train]
        self.reward = Reward(words, settings.bleu) if settings.self_critical else None
        self.data = TrainingPhotos(photos.train, vocabulary, network.config.tags, settings)
        self.sentences = _sentences(photos.sentences, vocabulary, network)
        self.steps = steps_in_epoch(self.data, settings)
        self.progress: dict[str, Any] = {"epoch": 0, "step": 0, "best": -1.0, "best_epoch": 0, "sums": [0.0, 0.0, 0.0]}
        self.interrupt = Interrupt()
        torch.manual_seed(settings.seed)

    @property
    def finished(self) -> bool:
        """True after the last epoch, or if the score on dev has not risen for `patience` epochs."""
        since = max(self.progress["best_epoch"], self.settings.word_epochs, self.settings.sentence_epochs)
        epoch = self.progress["epoch"]
        return bool(epoch >= self.settings.epochs or epoch - since >= self.settings.patience)

    def resume(self) -> None:
        """Restore the last saved state of the run in the directory. If there is none, stay at the start.

        Raises:
            TrainingError: the state cannot be read, or is of another network.
        """
        state = load_state(self.settings.out)
        if state is None:
            return
        try:
            self.network.load_state_dict(state["network"])
        except (KeyError, RuntimeError) as error:
            file = self.settings.out / STATE
            raise TrainingError(
                f"{file} is of another network, because the captions have changed: use another --out for a new run"
            ) from error
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = state["progress"]
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self.device)

    def run(self) -> None:
        """Train until it is finished.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM came. After the first, all that was learned is saved.
        """
        record = Record(self.settings.out, self.progress["epoch"])
        total, done = self.settings.epochs * self.steps, self.progress["epoch"] * self.steps + self.progress["step"]
        bar = tqdm(total=total, initial=done, unit="batch", smoothing=0.05, disable=self.finished)
        with bar, self.interrupt:
            while not self.finished:
                started, first = time.monotonic(), self.progress["step"]
                try:
                    self._epoch(bar)
                except RuntimeError:
                    if self.interrupt.asked:
                        # The signal also ended a reading process: SIGTERM any, Ctrl-C one that had just started.
                        raise KeyboardInterrupt from None
                    raise
                # Save before anything else of this epoch is written: without a state, the run could not be resumed.
                self._save()
                seconds = time.monotonic() - started
                row = self._judge()
                record.add(row | {"images_per_second": self._images(first) / seconds, "seconds": seconds})
                bar.write(", ".join(f"{name} {row[name]:.4g}" for name in ("epoch", "loss", "BLEU-4", "CIDEr")))
                self._save()
        export(self.average, self.vocabulary, self.settings.out / LAST)

    def _images(self, first_step: int) -> int:
        return max(0, len(self.data) - first_step * self.settings.batch_size)

    def _epoch(self, bar: "tqdm[Any]") -> None:
        """Take the steps of an epoch that are still to be taken."""
        # Self-critical training runs without dropout, so that sentences are sampled from the trained distribution.
        self.network.train(self.reward is None)
        if self.settings.freeze_encoder or self.settings.encoder_blocks:
            # In evaluation mode, batch normalisation keeps its statistics too.
            self.network.encoder.eval()
        progress = self.progress
        for batch in self._batches():
            losses = self._step(batch)
            progress["sums"] = [total + loss for total, loss in zip(progress["sums"], losses, strict=True)]
            progress["step"] += 1
            bar.update()
            bar.set_postfix(epoch=progress["epoch"] + 1, loss=f"{self._loss(*losses):.3f}", refresh=False)
            if progress["step"] % self.settings.save_every == 0:
                self._save()
            self._stop_if_asked()

    def _batches(self) -> Iterator[Batch | None]:
        """Yield the batches of photos that are left of the epoch, or None for each in an epoch of sentences alone."""
        epoch, first = self.progress["epoch"], self.progress["step"]
        if epoch < self.settings.sentence_epochs:
            return iter([None] * (self.steps - first))
        return training_batches(self.data, self.settings, epoch, first)

    def _step(self, batch: Batch | None) -> tuple[float, float, float]:
        """Train on a batch and on sentences, and return the loss of its captions, of its words, and of the
        sentences."""
        step = self.progress["epoch"] * self.steps + self.progress["step"]
        for group in self.optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate(self.settings, step, self.steps)
        of_captions = of_words = of_classes = of_sentences = torch.zeros((), device=self.device)
        if batch is not None:
            seen = self._encode(self.network, batch.pixels)
            of_words = word_loss(seen.words, batch.words.to(self.device))
            if self.progress["epoch"] >= self.settings.word_epochs:
                of_captions = self._captions_loss(seen, batch)
            if self.before is not None:
                with torch.no_grad():
                    before = self._encode(self.before, batch.pixels).classes
                of_classes = class_loss(seen.classes, before)
        if self.sentences is not None:
            of_sentences = self._sentence_loss(self.sentences, batch is None)
        self.optimizer.zero_grad()
        loss = self._loss(of_captions, of_words, of_sentences) + self.settings.class_loss * of_classes
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimizer.step()
        average(self.average, self.network, self.settings.average, step)
        return of_captions.item(), of_words.item(), of_sentences.item()

    def _encode(self, network: RecurrentCaptioner, pixels: Tensor) -> Seen:
        config = network.config
        pixels = normalise(pixels.to(self.device), config.image_mean, config.image_std)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return network.encode(pixels.contiguous(memory_format=torch.channels_last))

    def _captions_loss(self, seen: Seen, batch: Batch) -> Tensor:
        """Return the mean loss of the captions of photos, of some of which the decoder is not told the places."""
        settings, progress, network = self.settings, self.progress, self.network
        random = np.random.default_rng((settings.seed, progress["epoch"], progress["step"], 1))
        told = torch.from_numpy(random.random(len(batch.photos)) >= settings.words_only)
        words, classes = seen.words.sigmoid(), seen.classes
        loss = torch.zeros((), device=self.device)
        for kept in (told, ~told):
            photos = kept.nonzero()[:, 0].tolist()
            if photos:
                memory = seen.memory[photos] if kept is told else network.imagine(words[photos], classes[photos])
                loss = loss + len(photos) / len(batch.photos) * self._caption_loss(memory, batch, photos)
        return loss

    def _caption_loss(self, memory: Tensor, batch: Batch, photos: Sequence[int]) -> Tensor:
        """Return the loss of the captions, or of sampled sentences, of those photos of a batch that `memory` (photos,
        slots, hidden) is of."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if self.reward is None:
                tokens = batch.tokens.view(len(batch.photos), -1, batch.tokens.shape[1])[photos].flatten(0, 1)
                return caption_loss(self.network, memory, tokens.to(self.device), self.settings.label_smoothing)
            state = begin(self.network, memory, len(memory) * self.settings.drawn)
            tokens = draw(self.network, state, _MOST_TOKENS)
            sentences = [self.vocabulary.text(row).split() for row in tokens[:, 1:].tolist()]
            earned = self.reward([batch.photos[place] for place in photos], sentences).to(self.device)
            return self_critical_loss(self.network, state, tokens, earned)

    def _sentence_loss(self, sentences: Sentences, alone: bool) -> Tensor:
        """Return the loss of sentences: as many as photos, or as captions in an epoch without photos."""
        settings, progress = self.settings, self.progress
        random = np.random.default_rng((settings.seed, progress["epoch"], progress["step"]))
        number = settings.batch_size * (settings.captions_per_image if alone else 1)
        tokens, words, classes = (part.to(self.device) for part in sentences.batch(number, random))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            memory = self.network.imagine(words, classes)
            return caption_loss(self.network, memory, tokens, settings.label_smoothing)

    def _loss(self, of_captions: Number, of_words: Number, of_sentences: Number) -> Number:
        return of_captions + self.settings.word_loss * of_words + self.settings.sentence_loss * of_sentences

    def _judge(self) -> dict[str, float]:
        """Finish the epoch: score the averaged network on dev, and export it if it is the best so far."""
        from models.training.metrics import caption_scores

        losses = [total / self.steps for total in self.progress["sums"]]
        epoch = self.progress["epoch"] + 1
        scores = caption_scores(self.captions(), [photo.captions for photo in self.dev])
        self.progress |= {"epoch": epoch, "step": 0, "sums": [0.0, 0.0, 0.0]}
        if scores["CIDEr"] > self.progress["best"]:
            self.progress |= {"best": scores["CIDEr"], "best_epoch": epoch}
            export(self.average, self.vocabulary, self.settings.out / BEST)
        return {
            "epoch": epoch,
            "steps": epoch * self.steps,
            "lr": learning_rate(self.settings, epoch * self.steps, self.steps),
            "loss": self._loss(*losses),
            **dict(zip(("caption_loss", "word_loss", "sentence_loss"), losses, strict=True)),
        } | scores

    @torch.inference_mode()
    def captions(self) -> list[str]:
        """Return the averaged network's captions of the photos of dev."""
        said: list[str] = []
        for pixels in squashed_batches(self.dev, self.average.config.image_size):
            self._stop_if_asked()
            memory = self._encode(self.average, pixels).memory
            start = torch.full((len(pixels), 1), START, device=self.device)
            tokens = self.average.generate(
                start, memory=memory, num_beams=self.settings.dev_beams, max_new_tokens=_MOST_TOKENS, do_sample=False
            )
            said += [self.vocabulary.text(row) for row in tokens[:, 1:].tolist()]
        return said

    def _stop_if_asked(self) -> None:
        """Save and stop if a signal asked for it. A resumed run repeats an evaluation that was not complete."""
        if self.interrupt.asked:
            self._save()
            raise KeyboardInterrupt

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": self.progress,
            "random": torch.get_rng_state(),
            "settings": {name: str(value) for name, value in self.settings},
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        save_state(self.settings.out, state)


def _sentences(sentences: Sequence[Words], vocabulary: Vocabulary, network: RecurrentCaptioner) -> Sentences | None:
    if not sentences:
        return None
    return Sentences(sentences, vocabulary, network.config.tags or (), network.config.classes or ())


def _half(settings: Settings, device: torch.device) -> bool:
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if device.type == "cpu":
        # Emulated, it is slower than float32.
        return bool(torch.cpu._is_avx512_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
