"""The networks of SeeSR (Wu et al., CVPR 2024, arXiv:2311.16518): Stable Diffusion 2 that also looks at the input.

Behind every transformer that attends to the text stands a second one that attends to an embedding of the input image
("representation cross-attention"), in the UNet and in the ControlNet. Everything else is diffusers'.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

IMAGE_CHANNELS = 512
"""Width of the image embedding, whatever the configuration."""

IMAGE_TOKENS = "image_tokens"
"""Key of the image embedding among the ``cross_attention_kwargs``, which diffusers hands through to every block."""

SD2_UNET: Mapping[str, Any] = MappingProxyType(
    {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    }
)
"""Stable Diffusion 2 where it differs from the defaults of diffusers; ``attention_head_dim`` counts heads."""

SD2_CONTROLNET: Mapping[str, Any] = MappingProxyType(
    {name: value for name, value in SD2_UNET.items() if name != "sample_size"}
)
"""The ControlNet that copies it."""


class TextThenImage(nn.Module):
    """A transformer that attends to the text, then one of the same shape that attends to the image."""

    def __init__(self, text: Transformer2DModel) -> None:
        super().__init__()
        shape = {name: value for name, value in text.config.items() if not name.startswith("_")}
        self.text = text
        self.image = Transformer2DModel(**{**shape, "num_layers": 1, "cross_attention_dim": IMAGE_CHANNELS})

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        *,
        cross_attention_kwargs: Mapping[str, Any],
        return_dict: bool = False,
        **others: Any,
    ) -> tuple[Tensor]:
        """As diffusers calls a transformer; the image embedding (n, tokens, 512) comes among the keywords."""
        kept = {name: value for name, value in cross_attention_kwargs.items() if name != IMAGE_TOKENS}
        (told,) = self.text(
            hidden_states,
            encoder_hidden_states=encoder_hidden_states,
            cross_attention_kwargs=kept or None,
            return_dict=False,
            **others,
        )
        (shown,) = self.image(told, encoder_hidden_states=cross_attention_kwargs[IMAGE_TOKENS], return_dict=False)
        return (shown,)


def build_unet(config: Mapping[str, Any] = SD2_UNET, device: torch.device | str = "meta") -> Any:
    """SeeSR's UNet by a ``config.json`` of SeeSR or of Stable Diffusion, its weights not loaded."""
    return _built(UNet2DConditionModel, config, device)


def build_controlnet(config: Mapping[str, Any] = SD2_CONTROLNET, device: torch.device | str = "meta") -> Any:
    """SeeSR's ControlNet by its ``config.json``, its weights not loaded."""
    return _built(ControlNetModel, config, device)


def official_name(name: str) -> str:
    """The name in SeeSR's files of a tensor of these networks."""
    name = re.sub(r"\.attentions\.(\d+)\.text\.", r".attentions.\1.", name)
    return re.sub(r"\.attentions\.(\d+)\.image\.", r".image_attentions.\1.", name)


def is_image_attention(name: str) -> bool:
    """Whether a tensor of this official name is SeeSR's own, and not Stable Diffusion's."""
    return ".image_attentions." in name


def take_hint_embedding(controlnet: Any) -> nn.Module:
    """Take out the convolutions that embed the image, so that they can run once on a whole canvas.

    The ControlNet then expects what they give, (n, channels, h, w) in latents, in the place of an image.
    """
    embedding: nn.Module = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = nn.Identity()
    return embedding


def _built(kind: Any, config: Mapping[str, Any], device: torch.device | str) -> Any:
    """A network of diffusers with image attention behind all text attention.

    What its class does not know of a configuration are SeeSR's own entries, which say what is true anyway.
    """
    known = inspect.signature(kind).parameters
    with torch.device(device):
        network: nn.Module = kind(**{name: value for name, value in config.items() if name in known})
        _look(network)
    return network.eval().requires_grad_(False)


def _look(network: nn.Module) -> None:
    for block in network.modules():
        attentions = getattr(block, "attentions", None)
        if isinstance(attentions, nn.ModuleList):
            for index, text in enumerate(attentions):
                if isinstance(text, Transformer2DModel):
                    attentions[index] = TextThenImage(text)
