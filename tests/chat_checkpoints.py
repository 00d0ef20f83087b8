"""Tiny vision-language checkpoints with seeded random weights.

smolvlm and qwen3-vl are laid out as the published repositories are: which files there are, where the chat template
stands, and the classes and settings that the configs name. The others are what transformers' `save_pretrained` writes
of their classes, with a chat template in the words of their model cards.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tests.checkpoints import _enliven, _write

SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
    "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
QWEN_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}{%- if message.content is string %}"
    "{{- message.content }}{%- else %}{%- for item in message.content %}{%- if item.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{%- elif 'text' in item %}{{- item.text }}{%- endif %}{%- endfor %}"
    "{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
_QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>"]  # fmt: skip
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
_SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}


def make_chat(directory: Path, seed: int = 0, only: Sequence[str] = ()) -> dict[str, Path]:
    """Write a checkpoint of every kind, or of `only` some, and return its directory by its name."""
    paths = {}
    for number, (name, make) in enumerate(MAKERS.items()):
        if only and name not in only:
            continue
        torch.manual_seed(seed + number)
        paths[name] = directory / name
        paths[name].mkdir(parents=True)
        make(paths[name])
    return paths


def byte_tokenizer(special: list[str], others: Sequence[str] = (), **named: Any) -> Any:
    """Return a byte-level tokenizer of 256 bytes, some pairs of letters, and special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    vocabulary = {token: number for number, token in enumerate([*letters, *pairs, *(f"Ġ{pair}" for pair in pairs)])}
    merges = [(pair[0], pair[1]) for pair in pairs] + [("Ġ", pair) for pair in pairs]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in others])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def smolvlm(
    out: Path, version: int, text: Mapping[str, Any] = _LLAMA, vision: Mapping[str, Any] = _SIGLIP, tile: int = 32
) -> None:
    """Write a checkpoint of SmolVLM, version 1 or 2, of another shape than the tiny one if that is given."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<global-img>", *tiles, "<fake_token_around_image>",
        "<image>", "<end_of_utterance>"]  # fmt: skip
    tokenizer = byte_tokenizer(
        special, eos_token="<end_of_utterance>", pad_token="<|im_end|>", bos_token="<|im_start|>"
    )
    size = len(tokenizer)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in special}
    places = (vision["image_size"] // vision["patch_size"]) ** 2
    factor = 4 if places > 256 else 2
    kind = "SmolVLM" if version == 2 else "Idefics3"
    config = getattr(transformers, f"{kind}Config")(
        image_token_id=ids["<image>"],
        scale_factor=factor,
        pad_token_id=ids["<|im_end|>"],
        vision_config=dict(vision),
        text_config={"vocab_size": size, **text, "model_type": "llama", "max_position_embeddings": 8192},
    )
    _save(getattr(transformers, f"{kind}ForConditionalGeneration")(config), out)
    end = {"bos_token_id": 0, "eos_token_id": ids["<end_of_utterance>"], "pad_token_id": ids["<|im_end|>"]}
    _write(out / "generation_config.json", end | {"_from_model_config": True})
    tokenizer.save_pretrained(out)
    _edit(
        out / "tokenizer_config.json",
        {
            "chat_template": SMOLVLM_TEMPLATE,
            "processor_class": f"{kind}Processor",
            "tokenizer_class": "GPT2Tokenizer",
        },
    )
    _write(out / "processor_config.json", {"image_seq_len": places // factor**2, "processor_class": f"{kind}Processor"})
    scaled = {"do_convert_rgb": True, "do_image_splitting": True, "do_normalize": True, "do_pad": True}
    scaled |= {"do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 1}
    scaled |= {"max_image_size": {"longest_edge": tile}, "rescale_factor": 1 / 255}
    scaled |= {"size": {"longest_edge": tile * (3 if tile < 512 else 4)}}
    named = {"image_processor_type": f"{kind}ImageProcessor", "processor_class": f"{kind}Processor"}
    video = (
        {"video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": tile}}} if version == 2 else {}
    )
    _write(out / "preprocessor_config.json", scaled | named | video)


def _qwen(out: Path, kind: str) -> None:
    special = _QWEN_TOKENS
    # As published, what frames a thought is no special token.
    tokenizer = byte_tokenizer(special, ["<think>", "</think>"], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in special}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32}
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64}
    text = _LLAMA | {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    if kind == "Qwen3_5":
        text |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
        text |= {"linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"], "head_dim": 16}
        text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 0],
            "mrope_interleaved": True, "partial_rotary_factor": 0.25}}  # fmt: skip
    else:
        vision |= {"deepstack_visual_indexes": [0, 1]}
        text |= {"rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}}
        text |= {"rope_theta": 5000000}
    config = getattr(transformers, f"{kind}Config")(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    _save(getattr(transformers, f"{kind}ForConditionalGeneration")(config), out)
    # As published: it samples, unless it is told not to.
    sampling = {"do_sample": True, "top_k": 20, "top_p": 0.8, "temperature": 0.7, "repetition_penalty": 1.0}
    ends = {"eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]], "pad_token_id": ids["<|endoftext|>"]}
    _write(out / "generation_config.json", sampling | ends | {"bos_token_id": ids["<|endoftext|>"]})
    tokenizer.save_pretrained(out)
    _edit(out / "tokenizer_config.json", {"chat_template": QWEN_TEMPLATE, "tokenizer_class": "Qwen2Tokenizer"})
    # No processor_config.json, and a video processor that needs torchvision.
    scaled = {"size": {"longest_edge": 4096, "shortest_edge": 64}, "patch_size": 4, "temporal_patch_size": 2}
    scaled |= {"merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "processor_class": "Qwen3VLProcessor"}
    _write(out / "preprocessor_config.json", scaled | {"image_processor_type": "Qwen2VLImageProcessorFast"})
    _write(out / "video_preprocessor_config.json", scaled | {"video_processor_type": "Qwen3VLVideoProcessor"})


def _lighton_ocr(out: Path) -> None:
    special = [*_QWEN_TOKENS]
    tokenizer = byte_tokenizer(special, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in special}
    named = {"image_token": "<|image_pad|>", "image_break_token": "<|vision_pad|>", "image_end_token": "<|vision_end|>"}
    tokenizer = byte_tokenizer(
        special,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=named,
    )
    vision = {"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 4, "head_dim": 8, "image_size": 64, "patch_size": 4}
    text = _LLAMA | {"model_type": "qwen3", "vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    config = transformers.LightOnOcrConfig(
        image_token_id=ids["<|image_pad|>"], spatial_merge_size=2, vision_config=vision, text_config=text
    )
    network = transformers.LightOnOcrForConditionalGeneration(config)
    network.generation_config.eos_token_id = ids["<|im_end|>"]
    network.generation_config.pad_token_id = ids["<|endoftext|>"]
    _save(network, out)
    pixels = transformers.PixtralImageProcessorPil(size={"longest_edge": 64}, patch_size=8)
    processor = transformers.LightOnOcrProcessor(
        pixels, tokenizer, patch_size=4, spatial_merge_size=2, chat_template=QWEN_TEMPLATE
    )
    processor.save_pretrained(out)


def _granite_docling(out: Path) -> None:
    """Granite-Docling has the classes of SmolVLM, and its tags for the parts of a page are special tokens."""
    smolvlm(out, 1)
    processor = transformers.Idefics3Processor.from_pretrained(out)
    tags = ["<doctag>", "</doctag>", "<text>", "</text>", "<otsl>", "</otsl>", "<fcel>", "<nl>", "<loc_1>", "<loc_9>"]
    processor.tokenizer.add_tokens([AddedToken(tag, normalized=False, special=True) for tag in tags])
    network = transformers.Idefics3ForConditionalGeneration.from_pretrained(out)
    network.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    for path in out.iterdir():
        path.unlink()
    network.save_pretrained(out)
    processor.save_pretrained(out)


def _paddleocr_vl(out: Path) -> None:
    special = ["<unk>", "<s>", "</s>", "<|IMAGE_START|>", "<|IMAGE_PLACEHOLDER|>", "<|IMAGE_END|>"]
    tokenizer = byte_tokenizer(
        special,
        eos_token="</s>",
        pad_token="<unk>",
        bos_token="<s>",
        extra_special_tokens={"image_token": "<|IMAGE_PLACEHOLDER|>"},
    )
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in special}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision |= {"image_size": 32, "patch_size": 4}
    rope = {"rope_type": "default", "rope_theta": 500_000.0, "mrope_section": [2, 1, 1]}
    config = transformers.PaddleOCRVLConfig(
        text_config=_LLAMA | {"vocab_size": len(tokenizer), "rope_parameters": rope, "max_position_embeddings": 4096},
        vision_config=vision,
        image_token_id=ids["<|IMAGE_PLACEHOLDER|>"],
        vision_start_token_id=ids["<|IMAGE_START|>"],
        vision_end_token_id=ids["<|IMAGE_END|>"],
    )
    network = transformers.PaddleOCRVLForConditionalGeneration(config)
    network.generation_config.eos_token_id, network.generation_config.pad_token_id = ids["</s>"], ids["<unk>"]
    _save(network, out)
    pixels = transformers.PaddleOCRVLImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 4096}, patch_size=4, merge_size=2
    )
    template = (
        "{{- '<s>' }}{%- for message in messages %}{{- 'User: ' if message.role == 'user' else 'Assistant: ' }}"
        "{%- for item in message.content %}{%- if item.type == 'image' %}"
        "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>{%- else %}{{- item.text }}{%- endif %}{%- endfor %}"
        "{{- '\n' if message.role == 'user' else '</s>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- 'Assistant: ' }}{%- endif %}"
    )
    transformers.PaddleOCRVLProcessor(pixels, tokenizer, chat_template=template).save_pretrained(out)


def _kosmos2_5(out: Path) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>", "</image>", "<md>", "<ocr>"]
    named = {"image_token": "<s>", "boi_token": "<image>", "eoi_token": "</image>"}
    tokenizer = byte_tokenizer(
        special, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>", extra_special_tokens=named
    )
    text = {"vocab_size": len(tokenizer), "embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 4}
    ends = {name: tokenizer.convert_tokens_to_ids(token) for name, token in
        (("bos_token_id", "<s>"), ("pad_token_id", "<pad>"), ("eos_token_id", "</s>"))}  # fmt: skip
    vision = {"hidden_size": 32, "patch_embed_hidden_size": 768, "intermediate_size": 64, "head_dim": 8}
    vision |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.Kosmos2_5Config(text_config=text | ends, vision_config=vision, latent_query_num=8)
    network = transformers.Kosmos2_5ForConditionalGeneration(config)
    network.generation_config.update(**ends)
    _save(network, out)
    pixels = transformers.Kosmos2_5ImageProcessorPil()
    transformers.Kosmos2_5Processor(pixels, tokenizer, num_image_tokens=8).save_pretrained(out)


MAKERS: dict[str, Callable[[Path], None]] = {
    "smolvlm-256m": lambda out: smolvlm(out, 1),
    "smolvlm2-256m": lambda out: smolvlm(out, 2),
    "qwen3-vl-2b": lambda out: _qwen(out, "Qwen3VL"),
    "qwen3.5-0.8b": lambda out: _qwen(out, "Qwen3_5"),
    "lightonocr-2-1b": _lighton_ocr,
    "granite-docling-258m": _granite_docling,
    "paddleocr-vl": _paddleocr_vl,
    "kosmos-2.5": _kosmos2_5,
}


def _save(network: Any, out: Path) -> None:
    _enliven(network)
    network.save_pretrained(out)


def _edit(path: Path, values: dict[str, Any]) -> None:
    _write(path, json.loads(path.read_text()) | values)
