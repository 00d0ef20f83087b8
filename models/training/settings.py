"""What can be set in a training, and the command line for it."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from models.captioning.configuration import SHAPES
from models.captioning.encoder import NAMED, PACKAGED
from models.training.command import Parser

FILE = "settings.json"


class TrainingError(ValueError):
    """A training that cannot start or go on; the message says why, and names settings as on the command line."""


@dataclass(frozen=True)
class Range:
    """The range of a number."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        # No range contains infinity or NaN.
        return self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        ends = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{words} {end}" for words, end in ends.items() if math.isfinite(end)) or "finite"


@dataclass(frozen=True)
class Settings:
    """One training. Paths are absolute, so that a run can be resumed from any directory.

    The annotation of each has its type, its text in `--help`, and the allowed values if they are limited.

    Raises:
        TrainingError: a value is not allowed, or settings contradict one another.
    """

    out: Annotated[Path, "directory for the model, the checkpoints, the log and the curves"] = Path("trained")
    images: Annotated[Path | None, "directory of the photos"] = None
    captions: Annotated[Path | None, "captions file: Flickr8k's, Kaggle's, Flickr30k's or COCO's"] = None
    train_split: Annotated[Path | None, "file with the names of the photos to train on, one a line"] = None
    dev_split: Annotated[Path | None, "file with the names of the photos that decide when to stop, one a line"] = None
    dev_part: Annotated[
        float, "without split files: the fraction of the photos to hold out as dev, at random", Range(above=0, below=1)
    ] = 0.125
    limit: Annotated[int, "the most photos of each split that are used, for trials; 0 for all", Range(0)] = 0

    shape: Annotated[str, "what to train", SHAPES] = "cnn-gru"
    encoder: Annotated[
        str,
        f"{', '.join(NAMED)}: from scratch; {', '.join(PACKAGED)}: trained on ImageNet, with the package of that name "
        "and -pytorch-model; else a directory or hub id with the weights of a CNN",
    ] = "resnet-18-slim"
    freeze_encoder: Annotated[bool, "keep the encoder's weights as they are"] = False
    feature_stride: Annotated[int, "stride of the feature map, in pixels", (16, 32)] = 32
    init_from: Annotated[Path | None, "fine-tune this captioner; shape, encoder and words are then its own"] = None
    hidden: Annotated[int, "size of the recurrent layers", Range(1)] = 384
    embedding: Annotated[int, "size of the embedding of words; 0 for hidden", Range(0)] = 0
    heads: Annotated[int, "heads of the attention", Range(1)] = 4
    dropout: Annotated[float, "fraction of the activations that are dropped", Range(0, below=1)] = 0.3
    min_count: Annotated[int, "words found less often become unknown", Range(1)] = 4
    tags: Annotated[int, "number of content words that the auxiliary head predicts", Range(1)] = 500

    self_critical: Annotated[bool, "fine-tune the captioner of init_from on the CIDEr of sampled sentences"] = False
    bleu: Annotated[float, "weight of BLEU-4 beside CIDEr, with --self-critical", Range(0)] = 0.0
    drawn: Annotated[int, "sentences that are sampled for each photo, with --self-critical", Range(2)] = 5
    epochs: Annotated[int, "passes over the training photos", Range(1)] = 60
    word_epochs: Annotated[int, "the first epochs, which train only the encoder, on the auxiliary loss", Range(0)] = 0
    batch_size: Annotated[int, "photos in a batch", Range(1)] = 64
    captions_per_image: Annotated[int, "captions that each encoded photo is trained with", Range(1)] = 3
    lr: Annotated[float, "highest learning rate", Range(above=0)] = 1e-3
    encoder_lr: Annotated[float, "the encoder's learning rate, as a fraction of that", Range(0)] = 1.0
    warmup: Annotated[
        float, "epochs in which the learning rate rises to it; then it falls as a cosine does", Range(0)
    ] = 2.0
    weight_decay: Annotated[float, "AdamW's", Range(0)] = 0.05
    clip: Annotated[float, "longest gradient", Range(above=0)] = 5.0
    label_smoothing: Annotated[float, "probability that is spread over all words", Range(0, below=1)] = 0.1
    word_loss: Annotated[float, "weight of the auxiliary loss, which is summed over the words", Range(0)] = 0.1
    average: Annotated[
        float, "how much of the averaged weights stays at each step; 0 for no averaging", Range(0, below=1)
    ] = 0.999
    seed: Annotated[int, "seed of all random numbers", Range(0, 2**32 - 1)] = 0

    image_size: Annotated[int, "side of the squares that are trained on", Range(1)] = 128
    serve_size: Annotated[int, "side of the squares that are captioned; 0 for image_size", Range(0)] = 0
    late_size: Annotated[int, "another image_size for the last late_epochs", Range(0)] = 0
    late_epochs: Annotated[int, "see late_size", Range(0)] = 0
    smallest_crop: Annotated[float, "least part of a photo that a crop keeps", Range(above=0, most=1)] = 0.4
    colour: Annotated[float, "how much brightness, contrast and colour change at most", Range(0, 1)] = 0.4
    no_flip: Annotated[bool, "do not mirror photos"] = False

    beams: Annotated[int, "beams that the finished model searches with", Range(1, 10)] = 3
    length_penalty: Annotated[float, "exponent of the length by which a beam's score is divided", Range()] = 0.8
    dev_beams: Annotated[int, "beams for the scores while training", Range(1, 10)] = 1
    patience: Annotated[int, "stop after so many epochs without a better CIDEr on dev", Range(1)] = 15
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    precision: Annotated[
        str, "of the encoder; auto is bfloat16 where the device has it", ("auto", "float32", "bfloat16")
    ] = "auto"
    threads: Annotated[
        int, "threads for the network; 0 for one a core; 1 on a machine that is busy already", Range(0)
    ] = 0
    workers: Annotated[int, "processes that read photos; 0 to read them in the training process", Range(0)] = 1
    save_every: Annotated[int, "steps between checkpoints; there is one after each epoch in any case", Range(1)] = 100

    def __post_init__(self) -> None:
        for name, annotated in get_type_hints(Settings, include_extras=True).items():
            value, (kind, _, *allowed) = getattr(self, name), get_args(annotated)
            if not isinstance(value, kind | int if kind is float else kind):
                raise TrainingError(f"{_flag(name)} cannot be {value!r}")
            if allowed and value not in allowed[0]:
                values = allowed[0] if isinstance(allowed[0], Range) else " or ".join(map(str, allowed[0]))
                raise TrainingError(f"{_flag(name)} must be {values}, not {value}")
        self._check_together()

    def _check_together(self) -> None:
        stride, sizes = self.feature_stride, (self.image_size, self.serve_size, self.late_size)
        new = self.init_from is None
        for wrong, message in (
            ((self.train_split is None) != (self.dev_split is None), "--train-split and --dev-split go together"),
            (bool(self.late_size) != bool(self.late_epochs), "--late-size and --late-epochs go together"),
            (self.word_epochs > self.epochs, "--word-epochs cannot be more than --epochs"),
            (self.late_epochs > self.epochs, "--late-epochs cannot be more than --epochs"),
            (min(filter(None, sizes)) < stride, f"--image-size, --serve-size and --late-size are {stride} at least"),
            (
                new and self.shape == "cnn-gru" and self.hidden % self.heads,
                f"--hidden must be a multiple of --heads, and {self.hidden} is none of {self.heads}",
            ),
            (self.self_critical and new, "--self-critical finishes a captioner: --init-from says which"),
            (self.bleu and not self.self_critical, "--bleu counts with --self-critical only"),
        ):
            if wrong:
                raise TrainingError(message)

    def save(self) -> None:
        """Write the settings into the run's directory. If that fails, the previous file stays."""
        text = json.dumps(asdict(self), indent=2, default=str)
        new = self.out / f"{FILE}.new"
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(self.out / FILE)


_MAY_CHANGE = frozenset({"out", "workers", "save_every", "threads"})
"""Settings that a resumed run may change. The result does not depend on them, except that another number of threads
rounds differently."""


_PATHS = (Path, Path | None)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def parse(arguments: Sequence[str] | None = None) -> tuple[Settings, bool]:
    """Read the command line: the settings, and whether to resume the run in `out`."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    resume = given.pop("resume", False)
    given = {name: value.resolve() if isinstance(value, Path) else value for name, value in given.items()}
    try:
        settings = _resumed(given) if resume else Settings(**given)
    except TrainingError as error:
        parser.error(str(error))
    if settings.images is None or settings.captions is None:
        parser.error("--images and --captions say what to train on")
    return settings, resume


def _resumed(given: dict[str, Any]) -> Settings:
    file = given.get("out", Settings.out.resolve()) / FILE
    if not file.is_file():
        raise TrainingError(f"there is no run to resume: {file} is missing")
    types = get_type_hints(Settings)
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read: {error}") from error
    if not isinstance(stored, dict) or not stored.keys() <= types.keys():
        raise TrainingError(f"{file} does not hold the settings of a training")
    stored = {
        name: Path(value) if isinstance(value, str) and types[name] in _PATHS else value
        for name, value in stored.items()
    }
    for name, value in given.items():
        if name not in _MAY_CHANGE and stored.get(name) != value:
            raise TrainingError(
                f"the run in {file.parent} was started with {name} {stored.get(name)}, not {value}: leave that out, or "
                "start another run from its model with --init-from"
            )
    return Settings(**(stored | given))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "python -m models.training.train", description="Train a captioner.", argument_default=argparse.SUPPRESS
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, exactly where it was killed"
    )
    for name, annotated in get_type_hints(Settings, include_extras=True).items():
        kind, help, *allowed = get_args(annotated)
        flag, default = _flag(name), getattr(Settings, name)
        if kind is bool:
            parser.add_argument(flag, action="store_true", help=help)
            continue
        described = help if default is None else f"{help} (default: {default})"
        choices = allowed[0] if allowed and isinstance(allowed[0], tuple) else None
        parser.add_argument(flag, type=Path if kind in _PATHS else kind, help=described, choices=choices)
    return parser
