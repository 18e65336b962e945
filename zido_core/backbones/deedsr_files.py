"""The files of DeeDSR: a checkpoint in latent diffusion's layout, and the Stable Diffusion 2.1 that it stands on.

Its authors have published no weights; ``training.deedsr`` writes such files. In the model folder, directly or in a
folder named ``deedsr``, as safetensors::

    deedsr.safetensors   Encoder_degrad.*  adapter, with the learner as Encoder_degrad.degrad_encoder.*
                         model.diffusion_model.*  the UNet, or of it only what DeeDSR trains: *.spade.* and *.attn2.*
                         first_stage_model.*  the autoencoder, unless the base's is in a folder
    config.json          of networks that are not of the published sizes: ``unet_config``, ``encoder_config``,
                         ``ddconfig`` in latent diffusion's words, ``learner_config`` (layers, widths); and
                         ``input_range``, [-1, 1] or [0, 1]: in which the autoencoder was shown inputs in the training

Beside them, unless the checkpoint is whole, the base in the folders of diffusers:
``stable-diffusion-2-1-base/{unet,vae}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..catalog import ModelDescriptor
from ..checkpoint import Checkpoint, fingerprint, kind_of, load_strictly
from ..errors import ModelMissing
from ..nets.deedsr import (
    ADAPTER,
    GLOBAL_UNET,
    LEARNER_LAYERS,
    LEARNER_WIDTHS,
    DegradationAdapter,
    build_adapter,
    build_unet,
)
from ..nets.modulated import ModulatedUNet, is_modulation
from ..nets.stablesr import EncoderConfig
from .base import ScheduleSpec
from .folder import ModelFolder, load_schedule
from .latent_model import LatentParts
from .ldm_files import UNET, Method, config_of, load_plain_autoencoder, load_unet, only_of_kind, places_of, under
from .seesr_files import model_folder

DEEDSR = "deedsr"
"""Folder of DeeDSR's own files."""

ENCODER = "Encoder_degrad."
"""How names of the adapter and the learner begin in the checkpoint."""

DEEDSR_KIND = kind_of([ENCODER])

RANGES = {(-1, 1): False, (0, 1): True}
"""In which range the autoencoder is shown inputs -> whether that is the image's own."""


@dataclass(frozen=True, kw_only=True)
class DeedsrParts(LatentParts):
    """What DeeDSR has besides; it takes no words."""

    adapter: DegradationAdapter
    """Looks at the input in the light of what harmed it; the learner is a part of it."""
    unit_input: bool = False
    """Whether the autoencoder is shown inputs in [0, 1], as the released test does; else in [-1, 1]."""

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        return (self.unet, self.adapter)


def load_parts(
    descriptor: ModelDescriptor, folder: Path | None, device: torch.device, precision: torch.dtype
) -> DeedsrParts:
    """Load everything from a model folder."""
    models, base = model_folder(descriptor, folder), descriptor.base
    places = places_of(models, DEEDSR)
    file, words = find_file(models, places), config_of(places)
    adapter, unet, used = load_networks(models, file, base, words, precision)
    vae, path = load_plain_autoencoder(models, file, base, words=words, device=device)
    return DeedsrParts(
        unet=unet.to(device),
        adapter=adapter.to(device),
        vae=vae,
        text=None,
        schedule=schedule_of(models, base),
        weights_hash=fingerprint(dict.fromkeys([*used, path])),
        unit_input=_unit_input(words, models),
    )


def find_file(models: ModelFolder, places: list[ModelFolder]) -> Checkpoint:
    """DeeDSR's checkpoint, told by what is in it; a learner alone is none."""
    found = [[file for file in place.loose() if file.kind == DEEDSR_KIND] for place in places]
    whole = [[file for file in files if any(name.startswith(UNET) for name in file.shapes)] for files in found]
    file = only_of_kind(whole, DEEDSR_KIND, models)
    if file is None:
        alone = next((each for files in found for each in files), None)
        there = "none of its files" if alone is None else f"only {alone.path}, a degradation learner (stage 1)"
        raise ModelMissing(
            f"{models.path} lacks DeeDSR's checkpoint (tensors {ENCODER}* and {UNET}*); there is {there}. Its authors "
            f"have published none; `python -m zido_core.training.deedsr adapter` trains one: {models.get}"
        )
    return file


def load_networks(
    models: ModelFolder, file: Checkpoint, base: str, words: Mapping[str, Any], dtype: torch.dtype
) -> tuple[DegradationAdapter, ModulatedUNet, list[Path]]:
    """Adapter and UNet, and the files that they came from."""
    shape = EncoderConfig.from_ldm(words["encoder_config"]) if "encoder_config" in words else ADAPTER
    learner = words.get("learner_config", {"layers": LEARNER_LAYERS, "widths": LEARNER_WIDTHS})
    adapter = build_adapter(shape, learner=learner["layers"], widths=tuple(learner["widths"]))
    unet, used = load_unet(models, file, base, method_of(shape), words=words, dtype=dtype)
    own = under(file, ENCODER, dtype)
    load_strictly(adapter, own, path=file.path, get=models.get, official=adapter.official_name)
    return adapter, unet, used


def method_of(shape: EncoderConfig) -> Method:
    """What of a UNet is DeeDSR's: modulations, and cross-attention that hears the adapter in the place of words."""
    tokens = {"cross_attention_dim": shape.widths[-1]}
    return Method(
        own=is_own,
        config={**GLOBAL_UNET, **tokens},
        build=lambda config: build_unet(config, structure_channels=shape.out_channels),
        changes=tokens,
    )


def is_own(name: str) -> bool:
    """Whether a tensor of the UNet, by its official name, is trained by DeeDSR."""
    return is_modulation(name) or ".attn2." in name


def schedule_of(models: ModelFolder, base: str) -> ScheduleSpec:
    """The base's noise, at DDIM's even times, ending at the noise of the first of them as released."""
    spec = load_schedule(models, base, default=ScheduleSpec(prediction_type="epsilon"))
    if spec.prediction_type != "epsilon":
        raise ModelMissing(
            f"the base of deedsr predicts {spec.prediction_type}; expected epsilon: the files in {models.path} are of "
            f"another Stable Diffusion than {base}: {models.get}"
        )
    return replace(spec, timestep_spacing="leading", zero_terminal_snr=False, set_alpha_to_one=False)


def _unit_input(words: Mapping[str, Any], models: ModelFolder) -> bool:
    given = tuple(words.get("input_range", (-1, 1)))
    if given not in RANGES:
        raise ModelMissing(f"input_range in config.json is {list(given)}; expected [-1, 1] or [0, 1]: {models.get}")
    return RANGES[given]
