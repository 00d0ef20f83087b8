"""What vision-language models read: a picture and an instruction as a turn of a chat, in the checkpoint's own template.

transformers' processors do the work. Of those that also take videos, only the parts for pictures and texts are put
together: their video parts need torchvision, which is no dependency.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from models.errors import InvalidJob

_SAME_WITHOUT_VIDEO = {"SmolVLMProcessor": "Idefics3Processor"}
"""Processors that insist on packages for videos, and those that do the same with pictures."""
_ANSWER = "0"
"""Stands for an answer, to see what the template writes after one."""


class Chat:
    """A checkpoint's processor: makes inputs of pictures and instructions, and texts of tokens.

    Attributes:
        has_template: False for checkpoints that read the bare instruction, all of one batch the same.
        end_tokens: the tokens that the template writes after an answer.
    """

    def __init__(self, directory: Path) -> None:
        self.processor = load_processor(directory)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        template = getattr(self.processor, "chat_template", None) or self.tokenizer.chat_template
        self.processor.chat_template = template
        self.has_template = template is not None
        # Where a template lets a checkpoint think before it answers, it does not here.
        self._thinking = {"enable_thinking": False} if "enable_thinking" in (template or "") else {}
        self.end_tokens = self._end_tokens()
        added = {*self.tokenizer.get_added_vocab(), *self.tokenizer.all_special_tokens}
        # Some tokenizers add words and runs of spaces, which do no harm.
        self._added = {unicodedata.normalize("NFKC", token) for token in added if token[:1] in ("<", "[")}

    def check(self, instruction: str) -> None:
        """Check that an instruction is text alone.

        Raises:
            InvalidJob: it contains a special token.
        """
        # Tokenizers may normalise: a special token in full-width characters is a special token.
        text = unicodedata.normalize("NFKC", instruction)
        if found := next((token for token in self._added if token in text), None):
            raise InvalidJob(f"a prompt may not contain the special token {found}")

    def inputs(self, pictures: Sequence[Image.Image], instructions: Sequence[str], scaling: Mapping[str, Any]) -> Any:
        """Return the network's inputs for a batch, padded on the left.

        Args:
            pictures: upright RGB images.
            instructions: one for each picture, "" for none.
            scaling: options of the image processor that differ from the checkpoint's own.
        """
        options: dict[str, Any] = {"padding": True} | ({"images_kwargs": dict(scaling)} if scaling else {})
        if not self.has_template:
            return self.processor(images=list(pictures), text=list(instructions), return_tensors="pt", **options)
        turns = [[_turn(picture, said)] for picture, said in zip(pictures, instructions, strict=True)]
        return self.processor.apply_chat_template(
            turns,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=options,
            **self._thinking,
        )

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of new tokens, without special tokens and without what a checkpoint has thought aloud."""
        text = self.tagged(tokens, skip_special_tokens=True)
        thought, ended, answer = text.rpartition("</think>")
        return (answer if ended else thought + answer).removeprefix("<think>").strip()

    def tagged(self, tokens: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Return the text of new tokens with its special tokens, which are tags in the texts of some."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=skip_special_tokens)
        return text

    def _end_tokens(self) -> tuple[int, ...]:
        if not self.has_template:
            return ()
        from jinja2 import TemplateError

        asked = _turn(None, "1")
        said = {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}
        try:
            text = self.processor.apply_chat_template([asked, said], tokenize=False)
        except (TemplateError, TypeError):
            # A template for questions alone: the checkpoint's own settings say how answers end.
            return ()
        after = self.tokenizer.encode(text.rpartition(_ANSWER)[2], add_special_tokens=False)
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.get_added_vocab().values())
        return tuple(after[:1]) if after and after[0] in special else ()


def load_processor(directory: Path) -> Any:
    """Return a checkpoint's processor, with the image processor that needs Pillow alone.

    Raises:
        ValueError: transformers has none for it.
    """
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    named = _processor_class(directory)
    cls: Any = getattr(transformers, _SAME_WITHOUT_VIDEO.get(named, named), None)
    if cls is None:
        config = AutoConfig.from_pretrained(directory, local_files_only=True)
        if type(config) not in PROCESSOR_MAPPING:
            raise ValueError(f"{directory} names no processor, and transformers has none for a {config.model_type}")
        mapped: Any = PROCESSOR_MAPPING[type(config)]
        cls = getattr(transformers, _SAME_WITHOUT_VIDEO.get(mapped.__name__, mapped.__name__))
    return _of_pictures(cls).from_pretrained(directory, local_files_only=True)


def _of_pictures(cls: Any) -> Any:
    """Return a class of processors without its video part."""
    from transformers import AutoImageProcessor, AutoTokenizer

    class OfPictures(cls):  # type: ignore[misc]
        @classmethod
        def _get_arguments_from_pretrained(cls, path: Any, processor_dict: Any = None, **kwargs: Any) -> list[Any]:
            parts = {
                "tokenizer": AutoTokenizer.from_pretrained(path, local_files_only=True),
                "image_processor": AutoImageProcessor.from_pretrained(path, local_files_only=True, backend="pil"),
            }
            return [parts.get(name) for name in cls.get_attributes()]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    return OfPictures


def _processor_class(directory: Path) -> str:
    """Return the class that the checkpoint's files name, in the order in which transformers looks for it; or ""."""
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = directory / name
        if path.is_file() and (found := json.loads(path.read_text(encoding="utf-8")).get("processor_class")):
            return str(found)
    return ""


def _turn(picture: Image.Image | None, instruction: str) -> dict[str, Any]:
    """Return the turn of a user: the picture, then the instruction, if there is one."""
    content: list[dict[str, Any]] = [] if picture is None else [{"type": "image", "image": picture}]
    if instruction:
        content.append({"type": "text", "text": instruction})
    return {"role": "user", "content": content}
