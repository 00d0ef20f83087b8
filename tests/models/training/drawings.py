"""Pictures that tests draw, with captions that are true of them."""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_SMALL = "--image-size 48 --hidden 32 --batch-size 8 --min-count 1 --tags 8 --warmup 0.5 --workers 0"
SMALL = _SMALL.split()
COLOURS = ("red", "green", "blue", "yellow")
HEIGHTS = {"square": 28, "line": 6}


def draw_all(directory: Path, each: int = 8) -> dict[str, list[str]]:
    """Draw shapes of all colours at places of their own, and return the captions of each file."""
    random = np.random.default_rng(0)
    directory.mkdir()
    captions = {}
    for (colour, shape), number in itertools.product(itertools.product(COLOURS, HEIGHTS), range(each)):
        image = Image.new("RGB", (48, 48), "white")
        left, top = (int(place) for place in random.integers(2, 16, size=2))
        ImageDraw.Draw(image).rectangle((left, top, left + 28, top + HEIGHTS[shape]), fill=colour)
        name = f"{colour}-{shape}-{number}.png"
        image.save(directory / name)
        captions[name] = [f"A {colour} {shape} .", f"a {colour} {shape}, on white"]
    return captions


def dataset(directory: Path, each: int = 8) -> list[str]:
    """Write pictures, captions and splits, and return the arguments that name them."""
    captions = draw_all(directory / "images", each)
    rows = [f'{name},"{text}"' for name, texts in captions.items() for text in texts]
    (directory / "captions.txt").write_text("\n".join(["image,caption", *rows]) + "\n")
    (directory / "train.txt").write_text("\n".join(captions))
    (directory / "dev.txt").write_text("\n".join(name for name in captions if name.endswith("-0.png")))
    names = {"images": "images", "captions": "captions.txt", "train-split": "train.txt", "dev-split": "dev.txt"}
    return [argument for flag, name in names.items() for argument in (f"--{flag}", str(directory / name))]


def tiny_cnn(directory: Path) -> Path:
    """Write a small ResNet with random weights, as if it were pretrained."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        layer_type="basic", embedding_size=16, hidden_sizes=[16, 32, 32], depths=[1, 1, 1]
    )
    transformers.ResNetModel(config).save_pretrained(directory)
    return directory
