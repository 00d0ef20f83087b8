"""What can be set in a training, and the command line for it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator
from pydantic_settings import BaseSettings, CliApp, CliSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from models.captioning.encoder import NAMED, PACKAGED
from models.training.command import Parser

FILE = "settings.json"


class TrainingError(ValueError):
    """A training that cannot start or go on; the message says why, and names settings as on the command line."""


class Settings(BaseSettings):
    """One training. Paths are absolute, so that a run can be resumed from any directory.

    Raises:
        ValidationError: a value is not allowed, or settings contradict one another.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        cli_kebab_case=True,
        cli_implicit_flags="toggle",
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    out: Path = Field(Path("trained"), description="directory for the model, the checkpoints, the log and the curves")
    images: Path | None = Field(None, description="directory of the photos")
    captions: Path | None = Field(None, description="captions file: Flickr8k's, Kaggle's, Flickr30k's or COCO's")
    sentences: Path | None = Field(
        None,
        description="text file with sentences about other photos, one a line, perhaps gzipped, to learn language from",
    )
    train_split: Path | None = Field(None, description="file with the names of the photos to train on, one a line")
    dev_split: Path | None = Field(
        None, description="file with the names of the photos that decide when to stop, one a line"
    )
    dev_part: float = Field(
        0.125, gt=0, lt=1, description="without split files: the fraction of the photos to hold out as dev, at random"
    )
    limit: int = Field(0, ge=0, description="the most photos of each split that are used, for trials; 0 for all")

    shape: Literal["cnn-gru", "cnn-lstm"] = Field("cnn-gru", description="what to train")
    encoder: str = Field(
        "resnet-18-slim",
        description=f"{', '.join(NAMED)}: from scratch; {', '.join(PACKAGED)}: trained on ImageNet, with the package "
        "of that name and -pytorch-model; else a directory or hub id with the weights of a CNN",
    )
    freeze_encoder: bool = Field(False, description="keep the encoder's weights as they are")
    encoder_blocks: int = Field(
        0, ge=0, description="learn only so many of the last blocks of an efficientnet, and what follows; 0 for all"
    )
    feature_stride: int = Field(
        32, ge=16, le=32, multiple_of=16, description="stride of the feature map, in pixels: 16 or 32"
    )
    init_from: Path | None = Field(
        None, description="fine-tune this captioner; shape, encoder and words are then its own"
    )
    hidden: PositiveInt = Field(384, description="size of the recurrent layers")
    embedding: int = Field(0, ge=0, description="size of the embedding of words; 0 for hidden")
    heads: PositiveInt = Field(4, description="heads of the attention")
    dropout: float = Field(0.3, ge=0, lt=1, description="fraction of the activations that are dropped")
    min_count: PositiveInt = Field(4, description="words found less often become unknown")
    tags: PositiveInt = Field(500, description="number of content words that the auxiliary head predicts")

    self_critical: bool = Field(
        False, description="fine-tune the captioner of init_from on the CIDEr of sampled sentences"
    )
    bleu: float = Field(0.0, ge=0, description="weight of BLEU-4 beside CIDEr, with --self-critical")
    drawn: int = Field(5, ge=2, description="sentences that are sampled for each photo, with --self-critical")
    epochs: PositiveInt = Field(60, description="passes over the training photos")
    word_epochs: int = Field(
        0, ge=0, description="the first epochs, which train only the encoder, on the auxiliary loss"
    )
    sentence_epochs: int = Field(
        0, ge=0, description="the first epochs, which train on --sentences alone, as many as captions in other epochs"
    )
    batch_size: PositiveInt = Field(64, description="photos in a batch")
    captions_per_image: PositiveInt = Field(3, description="captions that each encoded photo is trained with")
    lr: float = Field(1e-3, gt=0, description="highest learning rate")
    encoder_lr: float = Field(1.0, ge=0, description="the encoder's learning rate, as a fraction of that")
    warmup: float = Field(
        2.0, ge=0, description="epochs in which the learning rate rises to it; then it falls as a cosine does"
    )
    weight_decay: float = Field(0.05, ge=0, description="AdamW's")
    clip: float = Field(5.0, gt=0, description="longest gradient")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="probability that is spread over all words")
    word_loss: float = Field(0.1, ge=0, description="weight of the auxiliary loss, which is summed over the words")
    sentence_loss: float = Field(0.35, ge=0, description="weight of the loss of --sentences beside that of captions")
    class_loss: float = Field(
        0.0, ge=0, description="weight of how far the encoder's classes are from those before this training"
    )
    words_only: float = Field(
        0.0, ge=0, lt=1, description="part of the photos of which the decoder is told only words and classes, no places"
    )
    average: float = Field(
        0.999, ge=0, lt=1, description="how much of the averaged weights stays at each step; 0 for no averaging"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of all random numbers")

    image_size: PositiveInt = Field(128, description="side of the squares that are trained on")
    serve_size: int = Field(0, ge=0, description="side of the squares that are captioned; 0 for image_size")
    late_size: int = Field(0, ge=0, description="another image_size for the last late_epochs")
    late_epochs: int = Field(0, ge=0, description="see late_size")
    smallest_crop: float = Field(0.4, gt=0, le=1, description="least part of a photo that a crop keeps")
    colour: float = Field(0.4, ge=0, le=1, description="how much brightness, contrast and colour change at most")
    no_flip: bool = Field(False, description="do not mirror photos")

    beams: int = Field(3, ge=1, le=10, description="beams that the finished model searches with")
    length_penalty: float = Field(0.8, description="exponent of the length by which a beam's score is divided")
    dev_beams: int = Field(1, ge=1, le=10, description="beams for the scores while training")
    patience: PositiveInt = Field(15, description="stop after so many epochs without a better CIDEr on dev")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the encoder; auto is bfloat16 where the device has it"
    )
    threads: int = Field(
        0, ge=0, description="threads for the network; 0 for one a core; 1 on a machine that is busy already"
    )
    workers: int = Field(1, ge=0, description="processes that read photos; 0 to read them in the training process")
    save_every: PositiveInt = Field(
        100, description="steps between checkpoints; there is one after each epoch in any case"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing from the environment, where SEED or IMAGES may stand for something else."""
        return (init_settings,)

    @model_validator(mode="after")
    def _check_together(self) -> "Settings":
        stride, sizes = self.feature_stride, (self.image_size, self.serve_size, self.late_size)
        new = self.init_from is None
        for wrong, message in (
            ((self.train_split is None) != (self.dev_split is None), "--train-split and --dev-split go together"),
            (bool(self.late_size) != bool(self.late_epochs), "--late-size and --late-epochs go together"),
            (self.word_epochs > self.epochs, "--word-epochs cannot be more than --epochs"),
            (self.sentence_epochs > self.epochs, "--sentence-epochs cannot be more than --epochs"),
            (self.sentence_epochs and self.sentences is None, "--sentence-epochs needs --sentences"),
            (self.late_epochs > self.epochs, "--late-epochs cannot be more than --epochs"),
            (min(filter(None, sizes)) < stride, f"--image-size, --serve-size and --late-size are {stride} at least"),
            (
                new and self.shape == "cnn-gru" and self.hidden % self.heads,
                f"--hidden must be a multiple of --heads, and {self.hidden} is none of {self.heads}",
            ),
            (self.self_critical and new, "--self-critical finishes a captioner: --init-from says which"),
            (
                self.freeze_encoder and self.encoder_blocks,
                "--freeze-encoder keeps what --encoder-blocks would learn",
            ),
            (self.bleu and not self.self_critical, "--bleu counts with --self-critical only"),
        ):
            if wrong:
                raise ValueError(message)
        return self

    def save(self) -> None:
        """Write the settings into the run's directory. If that fails, the previous file stays."""
        new = self.out / f"{FILE}.new"
        new.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        new.replace(self.out / FILE)


_MAY_CHANGE = frozenset({"out", "workers", "save_every", "threads"})
"""Settings that a resumed run may change. The result does not depend on them, except that another number of threads
rounds differently."""


def parse(arguments: Sequence[str] | None = None) -> tuple[Settings, bool]:
    """Read the command line: the settings, and whether to resume the run in `out`."""
    parser = Parser("python -m models.training.train", description="Train a captioner.")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, exactly where it was killed"
    )
    source = CliSettingsSource[Parser](Settings, root_parser=parser)
    given = parser.parse_args(arguments)
    try:
        settings = CliApp.run(Settings, cli_args=given, cli_settings_source=source)
        settings = settings.model_copy(update=_absolute(settings))
        if given.resume:
            settings = _resumed(settings)
    except ValidationError as error:
        parser.error(_first(error))
    except TrainingError as error:
        parser.error(str(error))
    if settings.images is None or settings.captions is None:
        parser.error("--images and --captions say what to train on")
    return settings, given.resume


def _absolute(settings: Settings) -> dict[str, Path]:
    return {name: value.resolve() for name, value in settings if isinstance(value, Path)}


def _resumed(given: Settings) -> Settings:
    """Return the settings of the run in the directory, with those that are given now and may change."""
    file = given.out / FILE
    if not file.is_file():
        raise TrainingError(f"there is no run to resume: {file} is missing")
    try:
        stored = Settings(**json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise TrainingError(f"{file} does not hold the settings of a training: {_first(error)}") from error
    except (OSError, TypeError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read: {error}") from error
    changed: dict[str, Any] = {name: getattr(given, name) for name in given.model_fields_set}
    for name, value in changed.items():
        if name not in _MAY_CHANGE and getattr(stored, name) != value:
            raise TrainingError(
                f"the run in {file.parent} was started with {name} {getattr(stored, name)}, not {value}: leave that "
                "out, or start another run from its model with --init-from"
            )
    return stored.model_copy(update=changed)


def _first(error: ValidationError) -> str:
    """Return the first mistake, with the setting as it is written on the command line."""
    mistake = error.errors()[0]
    message = mistake["msg"].removeprefix("Value error, ")
    name = "".join(map(str, mistake["loc"][:1]))
    return f"--{name.replace('_', '-')}: {message}, not {mistake['input']}" if name else message
