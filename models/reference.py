"""What plain transformers says with the same weights, images and parameters: the truth that the service must tell.

Tests compare the two with tiny checkpoints, and `i2t doctor MODEL` with the real ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from models.base import Options
from models.discovery import discover
from models.families.vision_language import VisionLanguage

Caption = Callable[..., list[str]]


def reference(family: str, directory: Path) -> Caption:
    """Return a function from images (one batch) and parameters to texts, for a checkpoint.

    Args:
        family: the name of a model, or the `model_type` of its checkpoint.
        directory: where the checkpoint lies.

    Raises:
        LookupError: transformers does not know the family, or it takes no images.
    """
    if isinstance(model := discover().get(family), VisionLanguage):
        return _chat(model, directory)
    known = {"blip": _blip, "kosmos": _kosmos2, "trocr": _trocr, "vision": _trocr}
    known |= {"florence": _florence2, "florence2": _florence2}
    return known[family.partition("-")[0]](directory)


def _blip(directory: Path) -> Caption:
    import torch
    import transformers

    processor = transformers.BlipProcessor.from_pretrained(directory)
    network = transformers.BlipForConditionalGeneration.from_pretrained(directory).eval()

    @torch.inference_mode()
    def caption(images: list[Image.Image], prompt: str | None = None, **parameters: Any) -> list[str]:
        text = [prompt] * len(images) if prompt else None
        inputs = processor(images=images, text=text, return_tensors="pt")
        texts: list[str] = processor.batch_decode(network.generate(**inputs, **parameters), skip_special_tokens=True)
        return texts

    return caption


def _kosmos2(directory: Path) -> Caption:
    import torch
    import transformers

    processor = transformers.Kosmos2Processor.from_pretrained(directory)
    network = transformers.Kosmos2ForConditionalGeneration.from_pretrained(directory).eval()

    @torch.inference_mode()
    def caption(images: list[Image.Image], prompt: str = "An image of", **parameters: Any) -> list[str]:
        inputs = processor(text=[f"<grounding>{prompt}"] * len(images), images=images, return_tensors="pt")
        inputs["image_embeds"] = None
        output = network.generate(
            **inputs, use_cache=True, **({"max_new_tokens": 128, "no_repeat_ngram_size": 3} | parameters)
        )
        texts = processor.batch_decode(output, skip_special_tokens=True)
        return [processor.post_process_generation(text)[0] for text in texts]

    return caption


def _trocr(directory: Path) -> Caption:
    import torch
    import transformers

    processor = transformers.TrOCRProcessor.from_pretrained(directory)
    network = transformers.VisionEncoderDecoderModel.from_pretrained(directory).eval()

    @torch.inference_mode()
    def read(images: list[Image.Image], **parameters: Any) -> list[str]:
        pixels = processor(images=images, return_tensors="pt").pixel_values
        output = network.generate(pixels, **({"max_new_tokens": 64, "use_cache": True} | parameters))
        texts: list[str] = processor.batch_decode(output, skip_special_tokens=True)
        return texts

    return read


def _chat(model: VisionLanguage, directory: Path) -> Caption:
    import torch
    import transformers

    from models.preprocessing.chat import Chat

    chat = Chat(directory)
    network = transformers.AutoModelForImageTextToText.from_pretrained(directory, dtype="float32").eval()

    @torch.inference_mode()
    def answer(images: list[Image.Image], prompt: str | None = None, **parameters: Any) -> list[str]:
        options = Options(prompt=prompt)
        said = [model.style.instruction(options, model.task)] * len(images)
        inputs = chat.inputs(images, said, model.style.scaling(options, model.task))
        usual = {"max_new_tokens": model.max_new_tokens, "do_sample": False, "num_beams": 1}
        output = network.generate(**inputs, **(usual | parameters))
        return [chat.decode(row) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]

    return answer


def _florence2(directory: Path) -> Caption:
    import torch
    import transformers

    processor = transformers.Florence2Processor.from_pretrained(directory)
    # The published weights are in float16, and so would the network be.
    network = transformers.Florence2ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    prompts = {None: "<CAPTION>", "detailed": "<DETAILED_CAPTION>", "full": "<MORE_DETAILED_CAPTION>"}

    @torch.inference_mode()
    def caption(images: list[Image.Image], detail: str | None = None, **parameters: Any) -> list[str]:
        inputs = processor(text=[prompts[detail]] * len(images), images=images, return_tensors="pt")
        output = network.generate(**inputs, **({"max_new_tokens": 256} | parameters))
        texts: list[str] = processor.batch_decode(output, skip_special_tokens=True)
        return texts

    return caption
