"""The parts of a transformer of diffusion in a folder of diffusers: PixArt, Stable Diffusion 3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..catalog import ModelDescriptor
from ..checkpoint import fingerprint, load_strictly
from ..errors import ModelMissing
from .base import ScheduleSpec
from .folder import ModelFolder, load_schedule, load_vae
from .latent_model import LatentParts
from .seesr_files import model_folder
from .text import Texts
from .text_t5 import T5Encoder, TextEncodersSD3

PIXART, SD3 = "PixArtTransformer2DModel", "SD3Transformer2DModel"
OLD_PIXART = "Transformer2DModel"
"""What PixArt's own files call its class."""

SCHEDULES = {
    PIXART: ScheduleSpec(prediction_type="epsilon", beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
    SD3: ScheduleSpec(prediction_type="flow", shift=3.0),
}
"""Of what each was trained with, where a folder does not say."""


@dataclass(frozen=True, kw_only=True)
class TransformerParts(LatentParts):
    """What a transformer of diffusion has besides; ``unet`` is the transformer."""

    kind: str
    """``PIXART`` or ``SD3``."""


def load_parts(
    descriptor: ModelDescriptor, folder: Path | None, device: torch.device, precision: torch.dtype
) -> TransformerParts:
    """Load everything from a model folder."""
    models, base = model_folder(descriptor, folder), descriptor.base
    place, vae_place = models.needed("transformer", base), models.needed("vae", base)
    kind = _kind_of(models, place)
    transformer = _load_transformer(models, place, kind, precision, device)
    text: Texts
    if kind == PIXART:
        text = T5Encoder(models, base, dtype=precision, device=device)
    else:
        width = transformer.config.joint_attention_dim
        text = TextEncodersSD3(models, base, dtype=precision, device=device, width=width)
    files = [models.weights(place).path, models.weights(vae_place).path, *text.paths]
    parts = TransformerParts(
        unet=transformer,
        vae=load_vae(models, vae_place, torch.float32, device),
        text=text,
        schedule=load_schedule(models, base, default=SCHEDULES[kind]),
        weights_hash=fingerprint(files),
        kind=kind,
    )
    _check(parts, descriptor, models)
    return parts


def _kind_of(models: ModelFolder, place: Path) -> str:
    name = str(models.config(place).get("_class_name"))
    kind = PIXART if name == OLD_PIXART else name
    if kind not in SCHEDULES:
        raise ModelMissing(f"{place} holds a {name}; expected {' or '.join(SCHEDULES)}: {models.get}")
    return kind


def _load_transformer(models: ModelFolder, place: Path, kind: str, precision: torch.dtype, device: torch.device) -> Any:
    import diffusers
    from diffusers.models.embeddings import get_2d_sincos_pos_embed

    checkpoint = models.weights(place)
    with torch.device("meta"):
        network = getattr(diffusers, kind).from_config(dict(models.config(place)))
    load_strictly(network, checkpoint.tensors(dtype=precision), path=checkpoint.path, get=models.get)
    patches = network.pos_embed
    if patches.pos_embed.is_meta:  # worked out, not trained, and in no file
        places = get_2d_sincos_pos_embed(
            patches.pos_embed.shape[-1],
            patches.height,
            base_size=patches.base_size,
            interpolation_scale=patches.interpolation_scale,
            output_type="pt",
        )
        patches.pos_embed = places.float()[None]
    return network.to(device)


def _check(parts: TransformerParts, descriptor: ModelDescriptor, models: ModelFolder) -> None:
    """ModelMissing where parts of different models were put together."""
    assert parts.text is not None
    config, vae = parts.unet.config, parts.vae.config
    width = (
        config.caption_channels or config.cross_attention_dim if parts.kind == PIXART else config.joint_attention_dim
    )
    expected = {
        "channels of latents": (config.in_channels, vae.latent_channels),
        "output pixels per latent": (2 ** (len(vae.block_out_channels) - 1), descriptor.latent_stride),
        "width of the words": (parts.text.encoded([""]).tokens.shape[2], width),
    }
    for what, (found, wanted) in expected.items():
        if found != wanted:
            raise ModelMissing(
                f"{models.path} is not {descriptor.name}: {what}: {found}, expected {wanted}. Its parts come from "
                f"different models; {models.get}"
            )
