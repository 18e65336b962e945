"""The parts of a Stable Diffusion in a folder of diffusers, and whether they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..catalog import ModelDescriptor, describe
from ..checkpoint import fingerprint
from ..errors import ModelMissing
from ..nets.seesr import take_hint_embedding
from ..nets.stable_diffusion import CONFIGS
from .base import ScheduleSpec
from .folder import ModelFolder, load_network, load_schedule, load_vae, read_json
from .latent_model import LatentParts
from .seesr_files import model_folder
from .single_file import with_single_file
from .text import TextEncoder, TextEncoderXL, Texts

LOW_RES_SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
"""Where a folder does not say what noise the upscaler's view of the input had in training."""


@dataclass(frozen=True, kw_only=True)
class DiffusionParts(LatentParts):
    """What a Stable Diffusion has besides."""

    low_res_scheduler: Any
    """Adds noise to the input, for networks that see it."""
    controlnet: Any | None
    """Takes embedded hints; None where there is none."""
    hint_embedding: nn.Module | None
    """Embeds them."""

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        control = (self.controlnet, self.hint_embedding)
        return (self.unet, *(network for network in control if network is not None))

    @property
    def is_xl(self) -> bool:
        """Whether the network is also told sizes and what a text says as a whole."""
        return is_xl(self.unet)

    @property
    def sees_input(self) -> bool:
        """Whether the input's own pixels come with the latents."""
        return sees_input(self.unet, self.vae)


def generation_of(descriptor: ModelDescriptor) -> str:
    """The model in ``CONFIGS`` that stands on the same base."""
    return next(name for name in CONFIGS if describe(name).base == descriptor.base)


def is_xl(unet: Any) -> bool:
    return bool(unet.config.addition_embed_type == "text_time")


def sees_input(unet: Any, vae: Any) -> bool:
    return bool(unet.config.in_channels == vae.config.latent_channels + 3)


def load_parts(
    descriptor: ModelDescriptor, folder: Path | None, device: torch.device, precision: torch.dtype
) -> DiffusionParts:
    """Load everything from a model folder, or from one with a single file of all networks and tokenizers beside it.

    A tile ControlNet is used where there is a folder ``controlnet``.
    """
    from diffusers import ControlNetModel, DDPMScheduler, UNet2DConditionModel

    base, generation = descriptor.base, generation_of(descriptor)
    models = with_single_file(model_folder(descriptor, folder), generation, base)
    places = {"unet": models.needed("unet", base), "vae": models.needed("vae", base)}
    control = models.part("controlnet", base)
    unet = load_network(models, places["unet"], UNet2DConditionModel, precision, device)
    # In half precision its image would lose levels that 256 of them can tell apart.
    vae = load_vae(models, places["vae"], torch.float32, device)
    encoder = TextEncoderXL if is_xl(unet) else TextEncoder
    text: Texts = encoder(models, base, dtype=precision, device=device)
    low_res = models.part("low_res_scheduler", base)
    noising: Any = DDPMScheduler
    config = LOW_RES_SCHEDULER if low_res is None else read_json(low_res / "scheduler_config.json", get=models.get)
    controlnet, hint_embedding = None, None
    if control is not None:
        places["controlnet"] = control
        controlnet = load_network(models, control, ControlNetModel, precision, device)
        hint_embedding = take_hint_embedding(controlnet)
    parts = DiffusionParts(
        unet=unet,
        vae=vae,
        text=text,
        schedule=load_schedule(models, base, default=ScheduleSpec(**CONFIGS[generation]["scheduler"])),
        low_res_scheduler=noising.from_config(dict(config)),
        controlnet=controlnet,
        hint_embedding=hint_embedding,
        weights_hash=fingerprint([*(models.weights(place).path for place in places.values()), *text.paths]),
    )
    _check(parts, descriptor, models)
    return parts


def _check(parts: DiffusionParts, descriptor: ModelDescriptor, models: ModelFolder) -> None:
    """ModelMissing where parts of different models were put together, or the model is another one."""
    assert parts.text is not None
    unet, width = parts.unet.config, parts.text.encoded([""]).tokens.shape[2]
    stride = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    channels = parts.vae.config.latent_channels + (3 if parts.sees_input else 0)
    files = "".join(file.path for file in descriptor.files)
    expected = {
        "second text encoder": (parts.is_xl, "text_encoder_2" in files),
        "sight of the input": (parts.sees_input, "low_res_scheduler" in files),
        "channels that the UNet takes": (unet.in_channels, channels),
        "width of the words": (width, unet.cross_attention_dim),
        "output pixels per latent": (stride, descriptor.latent_stride),
    }
    if parts.controlnet is not None:
        expected["width of the words in the ControlNet"] = (
            parts.controlnet.config.cross_attention_dim,
            unet.cross_attention_dim,
        )
    for what, (found, wanted) in expected.items():
        if found != wanted:
            raise ModelMissing(
                f"{models.path} is not {descriptor.name}: {what}: {found}, expected {wanted}. Its parts come from "
                f"different models, or it is another one; {models.get}"
            )
