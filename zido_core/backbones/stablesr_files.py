"""The files of StableSR: a checkpoint in latent diffusion's layout, and the Stable Diffusion 2.1 that it stands on.

In the model folder, directly or in folders named ``stablesr`` or after the model, as safetensors::

    stablesr_000117           everything but the words: UNet, time-aware encoder, a plain autoencoder
      or the web-ui's file    StableSR's own tensors alone; the UNet is then the base's
    vqgan_cfw_00011           the autoencoder with feature wrapping; without it ``fidelity`` changes nothing
    config.json               of networks that are not of the published sizes, in latent diffusion's words

Beside them the base in the folders of diffusers: ``stable-diffusion-2-1-base/{text_encoder,tokenizer}``, and ``unet``
and ``vae`` where no file above has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..catalog import ModelDescriptor
from ..checkpoint import Checkpoint, fingerprint, kind_of, load_strictly
from ..errors import ModelMissing
from ..nets.ldm import as_linear, unet_config, vae_config, vae_names
from ..nets.modulated import ModulatedUNet, is_modulation
from ..nets.stablesr import SD21_UNET, Cfw, EncoderConfig, TimeAwareEncoder, build_cfw, build_encoder, build_unet
from .base import ScheduleSpec
from .folder import ModelFolder, load_schedule, load_vae
from .latent_model import LatentParts
from .seesr_files import model_folder
from .text import TextEncoder

STABLESR = "stablesr"
"""Folder of StableSR's own files."""

UNET, ENCODER, FIRST_STAGE = "model.diffusion_model.", "structcond_stage_model.", "first_stage_model."
"""How names begin in the checkpoint, by whose they are."""

AUTOENCODER = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
"""How names begin in an autoencoder; the rest of its file was for its training."""

STABLESR_KIND, CFW_KIND = kind_of([ENCODER]), kind_of(["fusion_layer_"])

SD_VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_ch": 3,
    "z_channels": 4,
    "ch": 128,
    "ch_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
}
"""Stable Diffusion's autoencoder in latent diffusion's words."""

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

    @property
    def whole(self) -> bool:
        """Whether the rest of the UNet is there."""
        return any(name.startswith(UNET) and not is_modulation(name) for name in self.own.shapes)


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
    places = [models.path / name, models.path / STABLESR, models.path]
    folders = [ModelFolder(path=place, get=models.get) for place in dict.fromkeys(places) if place.is_dir()]
    found = [[file for file in place.loose() if file.kind in (STABLESR_KIND, CFW_KIND)] for place in folders]
    own, cfw = (_first(found, kind, models) for kind in (STABLESR_KIND, CFW_KIND))
    if own is None:
        there = f"only {cfw.path}, which has {CFW_KIND}" if cfw is not None else "none of its files"
        raise ModelMissing(
            f"{models.path} lacks StableSR's checkpoint (tensors {ENCODER}*); there is {there}: {models.get}"
        )
    empty: Mapping[str, Any] = {}
    config = next((content for place in folders if (content := place.config(place.path, empty))), empty)
    return StablesrFiles(own=own, cfw=cfw, config=config)


def _first(found: Sequence[Sequence[Checkpoint]], kind: str, models: ModelFolder) -> Checkpoint | None:
    """The file of this kind in the first folder that has one."""
    files = next((some for place in found if (some := [file for file in place if file.kind == kind])), [])
    if len(files) > 1:
        names = ", ".join(file.path.name for file in files)
        raise ModelMissing(
            f"{files[0].path.parent} has {len(files)} files with {kind} ({names}); keep one, or put each into the "
            f"folder of its model: {models.get}"
        )
    return files[0] if files else None


def load_networks(
    models: ModelFolder, files: StablesrFiles, base: str, dtype: torch.dtype
) -> tuple[ModulatedUNet, TimeAwareEncoder, list[Path]]:
    """UNet and encoder, and the files that they came from."""
    shape = files.config.get("encoder_config")
    encoder = build_encoder(None if shape is None else EncoderConfig.from_ldm(shape))
    place = models.part("unet", base) if files.whole else models.needed("unet", base)
    config: Mapping[str, Any] = SD21_UNET if place is None else models.config(place, SD21_UNET)
    if "unet_config" in files.config:
        config = unet_config(files.config["unet_config"])
    unet = build_unet(config, structure_channels=encoder.config.out_channels)
    tensors, used = _under(files.own, UNET, dtype), [files.own.path]
    if not files.whole:
        assert place is not None
        plain = models.weights(place)
        tensors |= plain.tensors(unet.official_name, dtype)
        used.append(plain.path)
    path = " with ".join(map(str, used))
    load_strictly(unet, tensors, path=path, get=models.get, official=unet.official_name)
    own = _under(files.own, ENCODER, dtype)
    load_strictly(encoder, own, path=files.own.path, get=models.get, official=encoder.official_name)
    return unet, encoder, used


def load_autoencoder(
    models: ModelFolder, files: StablesrFiles, base: str, device: torch.device
) -> tuple[Any, Cfw | None, Path]:
    """The autoencoder in single precision, its feature wrapping if there is some, and their file.

    That with feature wrapping is used for everything: its training left the rest as it was.
    """
    from diffusers import AutoencoderKL

    place = models.part("vae", base)
    if files.cfw is None and place is not None and not files.whole:
        return load_vae(models, place, torch.float32, device), None, models.weights(place).path
    file, prefix = (files.own, FIRST_STAGE) if files.cfw is None else (files.cfw, "")
    tensors = {name: value for name, value in _under(file, prefix).items() if name.startswith(AUTOENCODER)}
    if not tensors:
        raise ModelMissing(f"{file.path} has no autoencoder, and there is no folder {base}/vae: {models.get}")
    config = vae_config(files.config.get("ddconfig", SD_VAE))
    kind: Any = AutoencoderKL
    with torch.device("meta"):
        vae = kind(**config)
    cfw = None
    if files.cfw is not None:
        cfw = build_cfw(config["block_out_channels"], files.config.get("num_fuse_block", 2))
    own = {name: value for name, value in tensors.items() if "fusion_layer_" in name}
    plain = as_linear({name: value for name, value in tensors.items() if name not in own})
    names = vae_names(len(config["block_out_channels"]))
    load_strictly(vae, plain, path=file.path, get=models.get, official=names)
    if cfw is not None:
        load_strictly(cfw, own, path=file.path, get=models.get, official=cfw.official_name)
        cfw.to(device)
    return vae.to(device), cfw, file.path


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


def _under(file: Checkpoint, prefix: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that."""
    return file.tensors(lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None, dtype)
