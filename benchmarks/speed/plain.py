"""The plain way to serve a model, as it is mostly done: Flask's own server, transformers in float32, loaded once.

`python -m benchmarks.speed.plain DIRECTORY PORT`. What is here of transformers LitServe's benchmark uses too.
"""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from flask import Flask, jsonify, request
from PIL import Image

from benchmarks.speed import NEW_TOKENS
from models.preprocessing.chat import Chat

_LENGTH = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS, "do_sample": False, "use_cache": True}

Predict = Callable[[Sequence[Any]], list[str]]
"""Images, or for T5 texts, in one batch, to texts."""


def load(directory: Path, dtype: torch.dtype) -> Predict:
    """Return a checkpoint's model, generating as many tokens as this service is asked for in the benchmark."""
    families = {"blip": _blip, "kosmos-2": _kosmos2, "vision-encoder-decoder": _trocr, "t5": _t5}
    families["florence2"] = _florence2
    kind = json.loads((directory / "config.json").read_text(encoding="utf-8"))["model_type"]
    return torch.inference_mode()(families.get(kind, _chat)(directory, dtype))


def _blip(directory: Path, dtype: torch.dtype) -> Predict:
    processor = transformers.BlipProcessor.from_pretrained(directory)
    network = transformers.BlipForConditionalGeneration.from_pretrained(directory, dtype=dtype).eval()

    def predict(images: Sequence[Any]) -> list[str]:
        inputs = processor(images=list(images), return_tensors="pt").to(dtype)
        return list(processor.batch_decode(network.generate(**inputs, **_LENGTH), skip_special_tokens=True))

    return predict


def _kosmos2(directory: Path, dtype: torch.dtype) -> Predict:
    processor = transformers.Kosmos2Processor.from_pretrained(directory)
    network = transformers.Kosmos2ForConditionalGeneration.from_pretrained(directory, dtype=dtype).eval()

    def predict(images: Sequence[Any]) -> list[str]:
        prompts = ["<grounding>An image of"] * len(images)
        inputs = processor(text=prompts, images=list(images), return_tensors="pt").to(dtype)
        output = network.generate(**inputs, image_embeds=None, no_repeat_ngram_size=3, **_LENGTH)
        texts = processor.batch_decode(output, skip_special_tokens=True)
        return [processor.post_process_generation(text)[0] for text in texts]

    return predict


def _florence2(directory: Path, dtype: torch.dtype) -> Predict:
    processor = transformers.Florence2Processor.from_pretrained(directory)
    network = transformers.Florence2ForConditionalGeneration.from_pretrained(directory, dtype=dtype).eval()

    def predict(images: Sequence[Any]) -> list[str]:
        inputs = processor(text=["<CAPTION>"] * len(images), images=list(images), return_tensors="pt").to(dtype)
        return list(processor.batch_decode(network.generate(**inputs, **_LENGTH), skip_special_tokens=True))

    return predict


def _chat(directory: Path, dtype: torch.dtype) -> Predict:
    """Any vision-language model, with pictures as large as its own settings have them."""
    chat = Chat(directory)
    network = transformers.AutoModelForImageTextToText.from_pretrained(directory, dtype=dtype).eval()

    def predict(images: Sequence[Any]) -> list[str]:
        inputs = chat.inputs(images, ["Describe this image in one sentence."] * len(images), {}).to(dtype)
        output = network.generate(**inputs, **_LENGTH)
        return list(map(chat.decode, output[:, inputs["input_ids"].shape[1] :].tolist()))

    return predict


def _trocr(directory: Path, dtype: torch.dtype) -> Predict:
    processor = transformers.TrOCRProcessor.from_pretrained(directory)
    network = transformers.VisionEncoderDecoderModel.from_pretrained(directory, dtype=dtype).eval()

    def predict(images: Sequence[Any]) -> list[str]:
        pixels = processor(images=list(images), return_tensors="pt").pixel_values.to(dtype)
        return list(processor.batch_decode(network.generate(pixels, **_LENGTH), skip_special_tokens=True))

    return predict


def _t5(directory: Path, dtype: torch.dtype) -> Predict:
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    network = transformers.T5ForConditionalGeneration.from_pretrained(directory, dtype=dtype).eval()

    def predict(texts: Sequence[Any]) -> list[str]:
        inputs = tokenizer(list(texts), max_length=512, truncation=True, padding=True, return_tensors="pt")
        # As the model's page has it, but for the sampling.
        output = network.generate(**inputs, num_beams=8, min_length=10, max_length=64, do_sample=False)
        return list(tokenizer.batch_decode(output, skip_special_tokens=True))

    return predict


def opened(image: bytes) -> Image.Image:
    """Return an image as such services open it."""
    return Image.open(io.BytesIO(image)).convert("RGB")


def main() -> None:
    """Serve."""
    predict = load(Path(sys.argv[1]), torch.float32)
    app = Flask(__name__)

    @app.get("/healthz")
    def healthz() -> Any:
        return jsonify(status="alive")

    @app.post("/generate-text")
    def generate_text() -> Any:
        (text,) = predict([opened(request.files["image_file"].read())])
        return jsonify(text=text)

    @app.post("/generate-tags")
    def generate_tags() -> Any:
        (text,) = predict([request.get_json()["text"]])
        return jsonify(tags=[tag.strip() for tag in text.split(",")])

    app.run("127.0.0.1", int(sys.argv[2]), threaded=True)


if __name__ == "__main__":
    main()
