"""Configurations of Stable Diffusion's networks, for files that come without any; where they differ from the defaults.

Each is by the name of its model and of its part, as diffusers and transformers call the entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Config = Mapping[str, Any]

CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"


def _vae(scaling_factor: float, widths: tuple[int, ...] = (128, 256, 512, 512)) -> Config:
    return {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "layers_per_block": 2,
        "latent_channels": 4,
        "scaling_factor": scaling_factor,
    }


def _text(width: int, layers: int, heads: int, activation: str = "gelu") -> Config:
    return {
        "vocab_size": 49408,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 77,
        "hidden_act": activation,
        "projection_dim": width,
    }


CLIP_L, OPEN_CLIP_H, OPEN_CLIP_G = _text(768, 12, 12, "quick_gelu"), _text(1024, 23, 16), _text(1280, 32, 20)
"""OpenAI's encoder, and two of OpenCLIP; of the first of these the last of 24 layers is left out."""

EPSILON: Config = {"prediction_type": "epsilon"}
V_PREDICTION: Config = {"prediction_type": "v_prediction"}

CONFIGS: Mapping[str, Mapping[str, Config]] = MappingProxyType(
    {
        "sd15": {
            "unet": {"sample_size": 64, "cross_attention_dim": 768},
            "vae": _vae(0.18215),
            "text_encoder": CLIP_L,
            "scheduler": EPSILON,
        },
        "sd21": {
            "unet": {
                "sample_size": 96,
                "cross_attention_dim": 1024,
                "attention_head_dim": (5, 10, 20, 20),
                "use_linear_projection": True,
            },
            "vae": _vae(0.18215),
            "text_encoder": OPEN_CLIP_H,
            "scheduler": V_PREDICTION,
        },
        "sd-x4": {
            "unet": {
                "sample_size": 128,
                "in_channels": 7,
                "block_out_channels": (256, 512, 512, 1024),
                "down_block_types": ("DownBlock2D", *(CROSS_DOWN,) * 3),
                "up_block_types": (*(CROSS_UP,) * 3, "UpBlock2D"),
                "cross_attention_dim": 1024,
                "only_cross_attention": (True, True, True, False),
                "use_linear_projection": True,
                "num_class_embeds": 1000,
            },
            "vae": _vae(0.08333, (128, 256, 512)),
            "text_encoder": OPEN_CLIP_H,
            "scheduler": {**V_PREDICTION, "beta_start": 0.0001, "beta_end": 0.02},
        },
        "sdxl": {
            "unet": {
                "sample_size": 128,
                "block_out_channels": (320, 640, 1280),
                "down_block_types": ("DownBlock2D", CROSS_DOWN, CROSS_DOWN),
                "up_block_types": (CROSS_UP, CROSS_UP, "UpBlock2D"),
                "transformer_layers_per_block": (1, 2, 10),
                "attention_head_dim": (5, 10, 20),
                "cross_attention_dim": 2048,
                "use_linear_projection": True,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
            },
            "vae": _vae(0.13025),
            "text_encoder": CLIP_L,
            "text_encoder_2": OPEN_CLIP_G,
            "scheduler": EPSILON,
        },
    }
)
