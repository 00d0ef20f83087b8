"""The configuration of a recurrent captioner, which is its `config.json`."""

from typing import Any

from transformers import PreTrainedConfig

MODEL_TYPE = "recurrent-captioner"
SHAPES = ("cnn-gru", "cnn-lstm")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class RecurrentCaptionerConfig(PreTrainedConfig):
    """The configuration of a recurrent captioner.

    encoder: the CNN's own configuration, as its `config.json` holds it; any that transformers builds and whose
        `last_hidden_state` is a feature map.
    feature_stride: the stride of the feature map in pixels. With 16 instead of the usual 32, the last stage of a ResNet
        does not reduce the map.
    image_size: the side in pixels of the square that images are scaled to.
    mirrored: whether the mirror image is encoded too. The features are the mean of both, and take twice the time.
    second_size: the side in pixels at which the square is encoded a second time, 0 for once only. The features are the
        mean of both.
    embedding_size: the size of the words' embedding, 0 for that of the recurrent layers.
    classes: what the encoder's own classifier names, each as a tag, "" for what is no tag; empty without a classifier.
    tags: the content words that the auxiliary head scores.
    word_calibration, class_calibration: slope and offset that turn the logits of words and classes into the chance
        that they are right, [1, 0] to leave them as they are; see `models.captioning.tags`.
    caption_calibration: likewise, two slopes, of the mean log-probability of a caption's words and of the likeliest
        class that it does not name, and an offset; None for no confidence.
    tag_threshold: the score from which a word counts as a tag; no more than max_tags are given.
    """

    model_type = MODEL_TYPE

    shape: str = "cnn-gru"
    encoder: dict[str, Any] | None = None
    feature_stride: int = 32
    vocab_size: int = 4
    hidden_size: int = 384
    embedding_size: int = 0
    attention_heads: int = 4
    dropout: float = 0.3
    mirrored: bool = False
    second_size: int = 0
    classes: list[str] | None = None
    tags: list[str] | None = None
    word_calibration: list[float] | tuple[float, ...] = (1.0, 0.0)
    class_calibration: list[float] | tuple[float, ...] = (1.0, 0.0)
    caption_calibration: list[float] | None = None
    tag_threshold: float = 0.3
    max_tags: int = 10
    image_size: int = 128
    image_mean: list[float] | tuple[float, ...] = IMAGENET_MEAN
    image_std: list[float] | tuple[float, ...] = IMAGENET_STD
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        if self.shape not in SHAPES:
            raise ValueError(f"the shape of a recurrent captioner is {' or '.join(SHAPES)}, not {self.shape}")
        self.encoder = self.encoder or {"model_type": "resnet"}
        self.classes, self.tags = list(self.classes or ()), list(self.tags or ())
