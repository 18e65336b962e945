"""The files of StableSR: a checkpoint in latent diffusion's layout, and the Stable Diffusion 2.1 that it stands on.

In the model folder, directly or in folders named ``stablesr`` or after the model, as safetensors::

    stablesr_000117           everything but the words: UNet, time-aware encoder, a plain autoencoder
      or the web-ui's file    StableSR's own tensors alone; the UNet is then the base's
    vqgan_cfw_00011           the autoencoder with feature wrapping; without it ``fidelity`` can only be 0
    config.json               of networks that are not of the published sizes, in latent diffusion's words

Beside them the base in the folders of diffusers: ``stable-diffusion-2-1-base/{text_encoder,tokenizer}``, and ``unet``
and ``vae`` where no file above has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..catalog import ModelDescriptor
from ..checkpoint import Checkpoint, fingerprint, kind_of, load_strictly
from ..errors import ModelMissing
from ..nets.modulated import ModulatedUNet, is_modulation
from ..nets.stablesr import SD21_UNET, Cfw, EncoderConfig, TimeAwareEncoder, build_cfw, build_encoder, build_unet
from .base import ScheduleSpec
from .folder import ModelFolder, load_schedule
from .latent_model import LatentParts
from .ldm_files import (
    Method,
    config_of,
    load_ldm_autoencoder,
    load_plain_autoencoder,
    load_unet,
    only_of_kind,
    places_of,
    under,
)
from .seesr_files import model_folder
from .text import TextEncoder

STABLESR = "stablesr"
"""Folder of StableSR's own files."""

ENCODER = "structcond_stage_model."
"""How names of the time-aware encoder begin in the checkpoint."""

CFW_NAME = "vqgan_cfw_00011.safetensors"
"""The published autoencoder with feature wrapping; any other name does as well."""

STABLESR_KIND, CFW_KIND = kind_of([ENCODER]), kind_of(["fusion_layer_"])

PREDICTS: Mapping[str, Literal["epsilon", "v_prediction"]] = {"stablesr-768v": "v_prediction"}
"""What the models' networks predict, where it is not the noise."""


@dataclass(frozen=True, kw_only=True)
class StablesrParts(LatentParts):
    """What StableSR has besides."""

    encoder: TimeAwareEncoder
    """Looks at the input, tile by tile and step by step."""
    cfw: Cfw | None
    """None where the autoencoder has no feature wrapping."""

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        return (self.unet, self.encoder)

    @property
    def painters(self) -> tuple[nn.Module, ...]:
        return (self.vae, *(() if self.cfw is None else (self.cfw,)))


@dataclass(frozen=True, kw_only=True)
class StablesrFiles:
    """Which file is which."""

    own: Checkpoint
    """The checkpoint, or what is StableSR's own of it."""
    cfw: Checkpoint | None
    """The autoencoder with feature wrapping."""
    config: Mapping[str, Any]
    """In latent diffusion's words: ``unet_config``, ``encoder_config``, ``ddconfig``, ``num_fuse_block``."""


def load_parts(
    descriptor: ModelDescriptor, folder: Path | None, device: torch.device, precision: torch.dtype
) -> StablesrParts:
    """Load everything from a model folder."""
    models, base = model_folder(descriptor, folder), descriptor.base
    files = find_files(models, descriptor.name)
    unet, encoder, used = load_networks(models, files, base, precision)
    text = TextEncoder(models, base, dtype=precision, device=device)
    vae, cfw, path = load_autoencoder(models, files, base, device)
    return StablesrParts(
        unet=unet.to(device),
        encoder=encoder.to(device),
        vae=vae,
        cfw=cfw,
        text=text,
        schedule=schedule_of(models, descriptor),
        weights_hash=fingerprint(dict.fromkeys([*used, path, *text.paths])),
    )


def find_files(models: ModelFolder, name: str) -> StablesrFiles:
    """StableSR's files, told apart by what is in them; the folder of the model comes first, then the common one."""
    places = places_of(models, name, STABLESR)
    found = [[file for file in place.loose() if file.kind in (STABLESR_KIND, CFW_KIND)] for place in places]
    own, cfw = (only_of_kind(found, kind, models) for kind in (STABLESR_KIND, CFW_KIND))
    if own is None:
        there = f"only {cfw.path}, which has {CFW_KIND}" if cfw is not None else "none of its files"
        raise ModelMissing(
            f"{models.path} lacks StableSR's checkpoint (tensors {ENCODER}*); there is {there}: {models.get}"
        )
    return StablesrFiles(own=own, cfw=cfw, config=config_of(places))


def load_networks(
    models: ModelFolder, files: StablesrFiles, base: str, dtype: torch.dtype
) -> tuple[ModulatedUNet, TimeAwareEncoder, list[Path]]:
    """UNet and encoder, and the files that they came from."""
    shape = files.config.get("encoder_config")
    encoder = build_encoder(None if shape is None else EncoderConfig.from_ldm(shape))
    method = Method(
        own=is_modulation,
        config=SD21_UNET,
        build=lambda config: build_unet(config, structure_channels=encoder.config.out_channels),
        changes={},
    )
    unet, used = load_unet(models, files.own, base, method, words=files.config, dtype=dtype)
    own = under(files.own, ENCODER, dtype)
    load_strictly(encoder, own, path=files.own.path, get=models.get, official=encoder.official_name)
    return unet, encoder, used


def load_autoencoder(
    models: ModelFolder, files: StablesrFiles, base: str, device: torch.device
) -> tuple[Any, Cfw | None, Path]:
    """The autoencoder in single precision, its feature wrapping if there is some, and their file.

    That with feature wrapping is used for everything: its training left the rest as it was.
    """
    if files.cfw is None:
        vae, path = load_plain_autoencoder(models, files.own, base, words=files.config, device=device)
        return vae, None, path
    vae, fusion = load_ldm_autoencoder(models, files.cfw, "", words=files.config, device=device)
    cfw = build_cfw(vae.config.block_out_channels, files.config.get("num_fuse_block", 2))
    load_strictly(cfw, fusion, path=files.cfw.path, get=models.get, official=cfw.official_name)
    return vae, cfw.to(device), files.cfw.path


def schedule_of(models: ModelFolder, descriptor: ModelDescriptor) -> ScheduleSpec:
    """Noise as the base was trained with, at all times from the last to the first, spread evenly."""
    kind = PREDICTS.get(descriptor.name, "epsilon")
    spec = load_schedule(models, descriptor.base, default=ScheduleSpec(prediction_type=kind))
    if spec.prediction_type != kind:
        raise ModelMissing(
            f"the base of {descriptor.name} predicts {spec.prediction_type}; expected {kind}: the files in "
            f"{models.path} are of another Stable Diffusion than {descriptor.base}: {models.get}"
        )
    return replace(spec, timestep_spacing="linspace", zero_terminal_snr=False)
