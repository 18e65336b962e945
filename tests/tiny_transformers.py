"""Pipelines of diffusers with tiny transformers of random weights, saved as users have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tests.tiny_diffusion import saved, texts, vae
from tests.tiny_models import randomised

T5_WIDTH = 24
WORDS = ("<pad>", "</s>", "<unk>", "a", "river", "roof", "houses", "by", "blurry", ",", "garden")


def write_pixart(folder: Path) -> PixArtAlphaPipeline:
    """PixArt-alpha for 1024 pixels, told of sizes, so small that only its kind is that of the real one."""
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        cross_attention_dim=24,
        caption_channels=T5_WIDTH,
        sample_size=128,
        norm_num_groups=4,
    )
    pipeline = PixArtAlphaPipeline(
        tokenizer=tokenizer(),
        text_encoder=t5(),
        vae=vae(),
        transformer=randomised(transformer),
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, timestep_spacing="linspace"),
    )
    return saved(pipeline, folder)


def write_sd3(folder: Path, *, with_t5: bool = True) -> StableDiffusion3Pipeline:
    """Stable Diffusion 3: sixteen channels of latents, two encoders of CLIP, and T5."""
    transformer = SD3Transformer2DModel(
        sample_size=16,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=40,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        pos_embed_max_size=24,
    )
    third = {"text_encoder_3": t5(40) if with_t5 else None, "tokenizer_3": tokenizer() if with_t5 else None}
    pipeline = StableDiffusion3Pipeline(
        transformer=randomised(transformer),
        vae=autoencoder(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **texts(folder, projected=True),
        **{f"{name}_2": part for name, part in texts(folder, projected=True).items()},
        **third,
    )
    return saved(pipeline, folder)


def autoencoder() -> AutoencoderKL:
    quant = {"use_quant_conv": False, "use_post_quant_conv": False}
    return vae(latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, **quant)


def t5(width: int = T5_WIDTH) -> T5EncoderModel:
    config = T5Config(vocab_size=len(WORDS), d_model=width, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    return randomised(T5EncoderModel(config)).eval()


def tokenizer() -> Any:
    words = {word: index for index, word in enumerate(WORDS)}
    tokens = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokens.pre_tokenizer = Whitespace()
    tokens.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=300
    )
