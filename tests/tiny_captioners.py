"""Captioning networks in folders as transformers writes them, tiny and random."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]")
NOUNS = ("house", "tree", "water", "field", "boat", "road")
WORDS = (*SPECIAL, "a", "the", "of", "with", "and", "one", "two", "red", "green", "blue", *NOUNS)
VISION = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "patch_size": 8,
}
SHAPE = {"image_size": 32, **VISION}
TEXT = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}
SIDE = {"height": 32, "width": 32}


def bert_tokenizer() -> BertTokenizer:
    words = {word: index for index, word in enumerate(WORDS)}
    return BertTokenizer(vocab=words, additional_special_tokens=["[DEC]", "[ENC]"])


def make_blip(folder: Path) -> None:
    ends = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = {
        **TEXT,
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 32,
        "max_position_embeddings": 64,
        **ends,
    }
    # BLIP's own range of 1e-10 would leave nothing of the picture.
    vision = {**SHAPE, "initializer_range": 0.02}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size=SIDE), bert_tokenizer()).save_pretrained(folder)


def make_encoder_decoder(folder: Path) -> None:
    encoder = ViTModel(ViTConfig(**SHAPE))
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64, "bos_token_id": 2, "eos_token_id": 3}
    decoder = GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), add_cross_attention=True, **sizes))
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    model.generation_config.decoder_start_token_id = 2
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    ViTImageProcessorPil(size=SIDE).save_pretrained(folder)


def make_llava(folder: Path) -> None:
    words = {word: index for index, word in enumerate((*WORDS, "<image>", "USER", "ASSISTANT", ":"))}
    tokens = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokens.pre_tokenizer = Whitespace()
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, additional_special_tokens=["<image>"], **special)
    text = LlamaConfig(**TEXT, num_key_value_heads=2, vocab_size=len(words), eos_token_id=3, pad_token_id=0)
    config = LlavaConfig(vision_config=CLIPVisionConfig(**SHAPE), text_config=text, image_token_id=words["<image>"])
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for m in messages %}USER : {% for c in m['content'] %}{% if c['type'] == 'image' %}<image> "
        "{% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}ASSISTANT :"
    )
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIDE),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)


CAPTIONERS = {"blip": make_blip, "encoder-decoder": make_encoder_decoder, "llava": make_llava}


def write_captioner(name: str, folder: Path) -> Path:
    """A network of that kind, in its folder; what it says depends on what it sees."""
    torch.manual_seed(5)
    CAPTIONERS[name](folder)
    scale_up(folder / "model.safetensors")
    return folder


def scale_up(path: Path) -> None:
    """Larger weights, so that what a random network says depends on what it sees."""
    tensors = load_file(path)
    grown = {name: t * 8 if t.ndim > 1 and "embed" not in name else t for name, t in tensors.items()}
    save_file(grown, path, {"format": "pt"})
