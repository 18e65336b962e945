"""Checkpoints in latent diffusion's layout, as StableSR and DeeDSR have them: told apart, and put over a base.

A checkpoint is whole, or has the method's own tensors alone; the rest is then that of a Stable Diffusion in the folders
of diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import Checkpoint, load_strictly
from ..errors import ModelMissing
from ..nets.ldm import as_linear, unet_config, vae_config, vae_names
from ..nets.modulated import ModulatedUNet
from ..nets.stablesr import SD21_UNET
from .folder import ModelFolder, load_vae

UNET, FIRST_STAGE = "model.diffusion_model.", "first_stage_model."
"""How names begin in a checkpoint: those of the UNet, of the autoencoder."""

AUTOENCODER = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
"""How names begin in an autoencoder; the rest of its file was for its training."""

SD_VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_ch": 3,
    "z_channels": 4,
    "ch": 128,
    "ch_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
}
"""Stable Diffusion's autoencoder in latent diffusion's words."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method whose UNet is Stable Diffusion's with something of its own."""

    own: Callable[[str], bool]
    """Whether a tensor of the UNet, by its official name, is the method's."""
    config: Mapping[str, Any]
    """The UNet in the words of diffusers, where neither checkpoint nor base says."""
    build: Callable[[Mapping[str, Any]], ModulatedUNet]
    """The UNet of such a configuration, its weights not loaded."""
    changes: Mapping[str, Any]
    """What of the base's configuration the method changes."""


def places_of(models: ModelFolder, *names: str) -> list[ModelFolder]:
    """The folders of these names, and the model folder itself, where they are."""
    places = [models.path / name for name in names]
    return [
        ModelFolder(path=place, get=models.get) for place in dict.fromkeys((*places, models.path)) if place.is_dir()
    ]


def only_of_kind(found: Sequence[Sequence[Checkpoint]], kind: str, models: ModelFolder) -> Checkpoint | None:
    """The file of this kind in the first folder that has one; ``found`` are the files by folder."""
    files = next((some for place in found if (some := [file for file in place if file.kind == kind])), [])
    if len(files) > 1:
        names = ", ".join(file.path.name for file in files)
        raise ModelMissing(
            f"{files[0].path.parent} has {len(files)} files with {kind} ({names}); keep one, or put each into the "
            f"folder of its model: {models.get}"
        )
    return files[0] if files else None


def config_of(places: Sequence[ModelFolder]) -> Mapping[str, Any]:
    """``config.json`` of the first folder that has one; nothing where none has."""
    empty: Mapping[str, Any] = {}
    return next((content for place in places if (content := place.config(place.path, empty))), empty)


def under(file: Checkpoint, prefix: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that."""
    return file.tensors(lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None, dtype)


def is_whole(file: Checkpoint, method: Method) -> bool:
    """Whether the rest of the UNet is there."""
    return any(name.startswith(UNET) and not method.own(name) for name in file.shapes)


def load_unet(
    models: ModelFolder, file: Checkpoint, base: str, method: Method, *, words: Mapping[str, Any], dtype: torch.dtype
) -> tuple[ModulatedUNet, list[Path]]:
    """The UNet and the files that it came from; ``words`` are those of ``config.json``."""
    whole = is_whole(file, method)
    place = models.part("unet", base) if whole else models.needed("unet", base)
    config: Mapping[str, Any] = method.config
    if place is not None:
        config = {**models.config(place, SD21_UNET), **method.changes}
    if "unet_config" in words:
        config = unet_config(words["unet_config"])
    unet = method.build(config)
    tensors, used = under(file, UNET, dtype), [file.path]
    if not whole:
        assert place is not None
        plain = models.weights(place)
        names = {name: unet.official_name(name) for name in plain.shapes}
        tensors |= plain.tensors(lambda name: None if method.own(names[name]) else names[name], dtype)
        used.append(plain.path)
    path = " with ".join(map(str, used))
    load_strictly(unet, tensors, path=path, get=models.get, official=unet.official_name)
    return unet, used


def load_ldm_autoencoder(
    models: ModelFolder, file: Checkpoint, prefix: str, *, words: Mapping[str, Any], device: torch.device
) -> tuple[Any, dict[str, Tensor]]:
    """The autoencoder in single precision, and what its file has besides in layers of fusion."""
    from diffusers import AutoencoderKL

    tensors = {name: value for name, value in under(file, prefix).items() if name.startswith(AUTOENCODER)}
    config = vae_config(words.get("ddconfig", SD_VAE))
    kind: Any = AutoencoderKL
    with torch.device("meta"):
        vae = kind(**config)
    fusion = {name: value for name, value in tensors.items() if "fusion_layer_" in name}
    plain = as_linear({name: value for name, value in tensors.items() if name not in fusion})
    names = vae_names(len(config["block_out_channels"]))
    load_strictly(vae, plain, path=file.path, get=models.get, official=names)
    return vae.to(device), fusion


def load_plain_autoencoder(
    models: ModelFolder, file: Checkpoint, base: str, *, words: Mapping[str, Any], device: torch.device
) -> tuple[Any, Path]:
    """The checkpoint's autoencoder, else that in the base's folder; and its file."""
    if any(name.startswith(FIRST_STAGE) for name in file.shapes):
        return load_ldm_autoencoder(models, file, FIRST_STAGE, words=words, device=device)[0], file.path
    place = models.part("vae", base)
    if place is None:
        raise ModelMissing(f"{file.path} has no autoencoder, and there is no folder {base}/vae: {models.get}")
    return load_vae(models, place, torch.float32, device), models.weights(place).path
