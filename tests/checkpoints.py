"""Tiny checkpoints laid out as the published repositories are, with seeded random weights.

Their words are noise, but always the same noise for the same picture, and other noise for another. What a loader may
trip over is kept, as seen in the repositories' listings, configs and load reports:

- blip: word embeddings and output matrix, and both output biases, are stored with different values, so that they are
  not tied; a `position_ids` buffer; no generation_config.json. Base is `pytorch_model.bin` only and has `size` as a
  number; large has safetensors and `size` as a dict, with `do_pad` and `size_divisor`.
- trocr: no `encoder.pooler.*` (https://github.com/huggingface/transformers/issues/14017); the encoder is narrower
  than the decoder in base; settings of `generate()` written out in the nested configs, with `max_length: 20`; the
  start token in the decoder's config and generation_config.json only, which says `use_cache: false`; `size` as a
  number; tokens as dicts with `__type`; no tokenizer.json. Base stores one of two tied matrices. Large is a `.bin`
  with `_metadata`, whose tied matrices share their storage, and names its processor ViTFeatureExtractor.
- kosmos-2: `no_repeat_ngram_size: 3` in the `text_config` of config.json alone; `use_square_size`; tags in
  tokenizer.json that are no special tokens; no processor_config.json.
- t5-tags: a `.bin` with all four names of the tied matrix, and a bias of cross-attention that later versions dropped;
  no generation_config.json.
- florence-2: float16; words tied to the output matrix, stored once; settings of the search in generation_config.json,
  and some also in the `text_config` of config.json; a processor_config.json for the words, beside a
  preprocessor_config.json for images with `image_seq_length`; locations among the special tokens of tokenizer.json;
  names of an older code (`dim_embed`, `max_pos_embeddings`) in config.json beside those that count.

`resave` makes of one what transformers 5 writes: `processor_config.json` alone, with the image processor in it.
"""

import json
import string
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.vocabularies import SYLLABLES, kosmos2_tokenizer, unigram

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
SENTENCE_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "mask_token": "<mask>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
}
_WRITTEN_OUT = {
    "do_sample": False,
    "early_stopping": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "length_penalty": 1.0,
    "max_length": 20,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "repetition_penalty": 1.0,
}
"""Defaults of transformers 4 that TrOCR's nested configs hold, among others."""
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_all(directory: Path, seed: int = 0) -> dict[str, Path]:
    """Write a checkpoint of every published model, and return its directory by its name. Another `seed` makes other
    weights."""
    # Seeds with which different pictures give different texts, which the tests assert.
    makers = {
        "blip-base": (0, lambda out: blip(out, pickled=True)),
        "blip-large": (1, lambda out: blip(out, pickled=False)),
        "kosmos-2": (0, kosmos2),
        "trocr-large-handwritten": (12, lambda out: trocr(out, pickled=True)),
        "trocr-base-handwritten": (9, lambda out: trocr(out, pickled=False)),
        "t5-tags": (0, t5),
        "florence-2-base": (0, florence2),
    }
    paths = {}
    for name, (own_seed, make) in makers.items():
        torch.manual_seed(seed + own_seed)
        paths[name] = directory / name
        paths[name].mkdir(parents=True)
        make(paths[name])
    return paths


def blip(out: Path, pickled: bool) -> None:
    base = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    vocabulary = [*base, *letters, *string.punctuation, "photography", "of", *SYLLABLES]
    (out / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    text = _SMALL | {
        "vocab_size": len(vocabulary) + 2,
        "encoder_hidden_size": 32,
        "max_position_embeddings": 512,
        "bos_token_id": len(vocabulary),
        "sep_token_id": 102,
        "pad_token_id": 0,
        "eos_token_id": 2,
    }
    vision = _SMALL | {"image_size": 64, "patch_size": 16}
    config = transformers.BlipConfig(vision_config=vision, text_config=text)
    _save(transformers.BlipForConditionalGeneration(config), out, pickled, _untie_blip)
    (out / "generation_config.json").unlink()
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("CLS", "MASK", "PAD", "SEP", "UNK")}
    _write(out / "special_tokens_map.json", special)
    _write(
        out / "tokenizer_config.json",
        special | {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"},
    )
    size: Any = 64 if pickled else {"height": 64, "width": 64}
    more = {} if pickled else {"do_pad": True, "size_divisor": 32, "resample": 3, "do_rescale": True}
    _write(out / "preprocessor_config.json", _preprocessor("BlipImageProcessor", CLIP_MEAN, CLIP_STD, size) | more)


def _untie_blip(tensors: dict[str, Any]) -> None:
    decoder = "text_decoder."
    words, bias = tensors[decoder + "bert.embeddings.word_embeddings.weight"], tensors[decoder + "cls.predictions.bias"]
    tensors[decoder + "cls.predictions.decoder.weight"] = words + torch.randn_like(words) * words.std() * 0.1
    tensors[decoder + "cls.predictions.decoder.bias"] = bias + torch.randn_like(bias) * 0.1
    tensors[decoder + "bert.embeddings.position_ids"] = torch.arange(512)[None]


def kosmos2(out: Path) -> None:
    text = {"embed_dim": 32, "ffn_dim": 64, "layers": 2, "attention_heads": 4}
    vision = _SMALL | {"image_size": 224, "patch_size": 14}
    config = transformers.Kosmos2Config(text_config=text, vision_config=vision)
    _save(transformers.Kosmos2ForConditionalGeneration(config), out, pickled=False)
    saved = _read(out / "config.json")
    saved["text_config"]["no_repeat_ngram_size"] = 3
    _write(out / "config.json", saved)
    _write(out / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1})
    kosmos2_tokenizer().save(str(out / "tokenizer.json"))
    _write(out / "tokenizer_config.json", SENTENCE_TOKENS | {"tokenizer_class": "XLMRobertaTokenizer"})
    _write(out / "special_tokens_map.json", SENTENCE_TOKENS)
    _write(
        out / "preprocessor_config.json",
        _preprocessor("CLIPImageProcessor", CLIP_MEAN, CLIP_STD, {"shortest_edge": 224})
        | {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "resample": 3, "use_square_size": True},
    )


def trocr(out: Path, pickled: bool) -> None:
    # "Ġ" is how byte-level tokenizers write a space.
    vocabulary = {
        token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *string.ascii_letters, "Ġ", "<mask>"])
    }
    _write(out / "vocab.json", vocabulary)
    (out / "merges.txt").write_text("#version: 0.2\n")
    width = 32 if pickled else 24
    encoder = _SMALL | {"hidden_size": width, "image_size": 64, "patch_size": 16, "qkv_bias": False}
    decoder = {
        "vocab_size": len(vocabulary),
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 64,
        "cross_attention_hidden_size": width,
        "decoder_start_token_id": 2,
        "max_position_embeddings": 512,
    }
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**encoder), transformers.TrOCRConfig(**decoder)
    )

    def as_published(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.startswith("encoder.pooler.")]:
            del tensors[name]
        words, output = "decoder.model.decoder.embed_tokens.weight", "decoder.output_projection.weight"
        if pickled:
            tensors[words] = tensors[output] = tensors.get(words, tensors.get(output))

    _save(transformers.VisionEncoderDecoderModel(config), out, pickled, as_published)
    saved = _read(out / "config.json")
    for part in ("encoder", "decoder"):
        saved[part] |= _WRITTEN_OUT
    saved["decoder"] |= {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0}
    for name in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        saved.pop(name, None)
    _write(out / "config.json", saved)
    ids = {"bos_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}
    _write(out / "generation_config.json", ids | {"_from_model_config": True, "use_cache": False})
    flags = {"normalized": True, "rstrip": False, "single_word": False}
    special = {
        name: {"content": token, "lstrip": token == "<mask>", **flags} for name, token in SENTENCE_TOKENS.items()
    }
    _write(out / "special_tokens_map.json", special)
    _write(
        out / "tokenizer_config.json",
        {name: token | {"__type": "AddedToken"} for name, token in special.items()}
        | {"add_prefix_space": False, "tokenizer_class": "RobertaTokenizer", "processor_class": "TrOCRProcessor"},
    )
    processor = _preprocessor("ViTImageProcessor", [0.5] * 3, [0.5] * 3, 64) | {"resample": 2}
    if pickled:
        del processor["image_processor_type"]
        processor["feature_extractor_type"] = "ViTFeatureExtractor"
    _write(out / "preprocessor_config.json", processor)


def t5(out: Path) -> None:
    letters = [*string.ascii_letters, *string.digits, *string.punctuation]
    # Every fifth piece ends a tag, so that noise has several.
    words = [f"▁{word}" + ("," if i % 5 == 0 else "") for i, word in enumerate(SYLLABLES)]
    extra = [f"<extra_id_{i}>" for i in range(100)]
    pieces = ["<pad>", "</s>", "<unk>", "▁", *letters, *words, *reversed(extra)]
    tokenizer = unigram(pieces, unknown=2, ends=("", "</s>"))
    tokenizer.save(str(out / "tokenizer.json"))
    config = transformers.T5Config(
        vocab_size=len(pieces) + 28, d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8, decoder_start_token_id=0
    )

    def as_published(tensors: dict[str, Any]) -> None:
        for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors["shared.weight"]
        own = tensors["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.randn_like(own)

    _save(transformers.T5ForConditionalGeneration(config), out, True, as_published)
    (out / "generation_config.json").unlink()
    (out / "training_args.bin").write_bytes(b"a pickle that nobody opens")
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "additional_special_tokens": extra}
    _write(out / "special_tokens_map.json", special)
    _write(
        out / "tokenizer_config.json",
        special | {"extra_ids": 100, "model_max_length": 512, "tokenizer_class": "T5Tokenizer"},
    )


def florence2(out: Path) -> None:
    syllables = [f"Ġ{syllable}" for syllable in SYLLABLES]
    letters = ["<s>", "<pad>", "</s>", "<unk>", *string.ascii_letters, *string.punctuation, "Ġ", *syllables, "<mask>"]
    vocabulary = {token: number for number, token in enumerate(letters)}
    _write(out / "vocab.json", vocabulary)
    (out / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.BartTokenizer.from_pretrained(out)
    pairs = [f"{slash}{name}>" for name in ("cap", "ncap", "dcap", "grounding", "seg") for slash in ("<", "</")]
    tokens = ["<od>", "</od>", "<ocr>", "</ocr>", *(f"<loc_{number}>" for number in range(1000)), *pairs, "<image>"]
    tokenizer.add_tokens([transformers.AddedToken(token, special=True, normalized=False) for token in tokens])
    tokenizer.save_pretrained(out)
    for name in ("vocab.json", "merges.txt"):
        (out / name).unlink(missing_ok=True)
    image = {"image_token": "<image>"}
    told = _read(out / "tokenizer_config.json")
    _write(out / "tokenizer_config.json", told | image | {"extra_special_tokens": image})
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    text = heads | {
        "model_type": "bart",
        "vocab_size": len(tokenizer) + 30,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "num_hidden_layers": 2,
        "max_position_embeddings": 1024,
        "scale_embedding": False,
    }
    vision = {
        "embed_dim": [8, 16, 16, 32],
        "num_heads": [2, 2, 2, 4],
        "num_groups": [2, 2, 2, 4],
        "depths": [1, 1, 1, 1],
        "projection_dim": 32,
    }
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.Florence2Config(
        text_config=text | ids, vision_config=vision, image_token_id=vocabulary["<mask>"] + len(tokens)
    )
    network = transformers.Florence2ForConditionalGeneration(config)
    with torch.no_grad():
        # Of the noise, most are words: there are more locations than words.
        network.lm_head.weight[len(letters) :] *= 0.9
        # What is seen counts for more than what is said.
        network.model.language_model.encoder.layers[-1].final_layer_norm.weight *= 4
    _save(network.half(), out, pickled=False)
    saved = _read(out / "config.json")
    search = {"early_stopping": True, "forced_bos_token_id": 0, "no_repeat_ngram_size": 3, "num_beams": 3}
    saved["text_config"] = text | search
    saved["vision_config"] |= {"dim_embed": vision["embed_dim"], "max_pos_embeddings": 50}
    _write(out / "config.json", saved)
    _write(out / "generation_config.json", ids | search | {"_from_model_config": True, "forced_eos_token_id": 2})
    size = {"height": 96, "width": 96}
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    _write(
        out / "preprocessor_config.json",
        _preprocessor("CLIPImageProcessor", mean, deviation, size)
        | {"crop_size": size, "do_center_crop": False, "do_convert_rgb": None, "do_rescale": True, "resample": 3}
        | {"image_seq_length": 10, "rescale_factor": 1 / 255, "processor_class": "Florence2Processor"},
    )
    pattern = "(.+?)" + r"<loc_(\d+)>" * 8
    kinds = ("bboxes", "description_with_bboxes", "description_with_polygons", "polygons", "pure_text")
    parsing: dict[str, Any] = {kind: {} for kind in kinds} | {
        "ocr": {"area_threshold": 0.0, "pattern": pattern},
        "phrase_grounding": {"banned_grounding_tokens": ["it", "the image", "a group", "lots"]},
    }
    _write(
        out / "processor_config.json",
        {"num_additional_image_tokens": 0, "post_processor_config": parsing, "processor_class": "Florence2Processor"},
    )


def recurrent(out: Path, shape: str, words: int = 60, **settings: Any) -> None:
    """Write a recurrent captioner of either shape, which training makes and nobody has published; `settings` are those
    of its configuration that differ."""
    from models.captioning.configuration import RecurrentCaptionerConfig
    from models.captioning.network import RecurrentCaptioner
    from models.captioning.vocabulary import Vocabulary

    vocabulary = Vocabulary(SYLLABLES[:words])
    encoder = {"model_type": "resnet", "layer_type": "basic", "embedding_size": 8, "hidden_sizes": [8, 16]}
    usual = {"hidden_size": 32, "tags": SYLLABLES[:20], "image_size": 64, "encoder": encoder | {"depths": [1, 1]}}
    network = RecurrentCaptioner(RecurrentCaptionerConfig(shape=shape, vocab_size=len(vocabulary), **usual | settings))
    with torch.no_grad():
        # Livelier than what training starts from, which repeats a word or two.
        for name, parameter in network.named_parameters():
            if "_hh_" in name or "_ih_" in name or name.startswith(("embedding.", "memory.")):
                parameter.mul_(4)
    network.generation_config.num_beams, network.generation_config.length_penalty = 3, 0.8
    network.generation_config.suppress_tokens = [0, 1, 3]
    _save(network, out, pickled=False)
    vocabulary.save(out)


def _preprocessor(kind: str, mean: list[float], std: list[float], size: Any) -> dict[str, Any]:
    scaled = {"do_resize": True, "size": size, "image_processor_type": kind}
    return scaled | {"do_normalize": True, "image_mean": mean, "image_std": std}


def resave(directory: Path, out: Path, network: Any, processor: Any) -> None:
    """Write a checkpoint again as transformers 5 does, with these classes of its."""
    network.from_pretrained(directory).save_pretrained(out)
    processor.from_pretrained(directory).save_pretrained(out)


def _save(
    network: Any, out: Path, pickled: bool, change: Callable[[dict[str, Any]], None] = lambda tensors: None
) -> None:
    """Save config and weights, as `pytorch_model.bin` if `pickled`; `change` makes of the tensors, by the names that
    transformers 4 gave them, what the published file holds."""
    _enliven(network)
    network.save_pretrained(out)
    tensors: OrderedDict[str, Any] = OrderedDict(load_file(out / "model.safetensors"))
    change(tensors)
    if pickled:
        (out / "model.safetensors").unlink()
        # As `state_dict()` has it, and torch.save keeps it.
        tensors._metadata = OrderedDict()  # type: ignore[attr-defined]
        torch.save(tensors, out / "pytorch_model.bin")
    else:
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def _enliven(network: Any) -> None:
    """Scale every matrix so that signals keep their size: with the libraries' small initial weights a network says the
    same whatever the picture, and a test of it would pass for a program that never looks."""
    tied = {id(module.weight) for module in network.modules() if isinstance(module, torch.nn.Embedding)}
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and id(module.weight) not in tied:
                module.weight.mul_(1 / (module.weight[0].numel() ** 0.5 * module.weight.std()))


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
