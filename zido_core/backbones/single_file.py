"""Stable Diffusion in one file, as it is traded: seen as the folder of diffusers that it would be.

Such a file holds UNet, autoencoder and text encoders under the names of latent diffusion and OpenCLIP. Configurations
are known by the model's name, unless the folder has some; tokenizers must lie beside the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checkpoint import Checkpoint, kind_of
from ..errors import ModelMissing
from ..nets.ldm import unet_names, vae_names
from ..nets.stable_diffusion import CONFIGS
from .folder import ModelFolder
from .text import PROJECTION, bare_name

UNET_PREFIX = "model.diffusion_model."
KIND = kind_of([UNET_PREFIX])

PREFIXES = {
    "unet": (UNET_PREFIX,),
    "vae": ("first_stage_model.",),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
}
"""Part -> what its tensors may begin with."""

UNET_EXTRAS = {
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "class_embedding.": "label_emb.",
}
"""What XL and the upscaler have over other UNets: diffusers' name -> latent diffusion's."""

OPEN_CLIP = {
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "text_projection.weight": "text_projection",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn": "attn",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
"""transformers' name -> OpenCLIP's."""


class Origin(NamedTuple):
    """Where a tensor of diffusers is in the file."""

    name: str
    """Its name there."""
    third: int | None = None
    """Which third of it is meant, where query, key and value are one."""

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor as diffusers has it."""
        if self.third is not None:
            return tensor.chunk(3)[self.third]
        if self.name.endswith("text_projection"):
            return tensor.T
        return tensor[:, :, 0, 0] if ".attn_1." in self.name and tensor.dim() == 4 else tensor


@dataclass(frozen=True, kw_only=True)
class FilePart(Checkpoint):
    """One network of the file, under diffusers' names."""

    origins: Mapping[str, Origin]
    """By the names of diffusers."""

    def tensors(self, rename: Callable[[str], str | None] = str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """As of any checkpoint."""
        from safetensors import safe_open

        with safe_open(self.path, "pt") as file:
            wanted = ((rename(name), origin) for name, origin in self.origins.items())
            return {
                new: origin.of(file.get_tensor(origin.name)).to(dtype or torch.float32).contiguous()
                for new, origin in wanted
                if new is not None
            }


@dataclass(frozen=True, kw_only=True)
class SingleFile(ModelFolder):
    """A model folder with one file in the place of the folders of networks."""

    model: str
    """Its name in the catalogue."""
    file: Checkpoint
    """That file."""
    configs: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """Of the parts."""

    def part(self, name: str, *sources: str) -> Path | None:
        """As of any folder; networks in the file count as folders beside it."""
        found = super().part(name, *sources)
        return self.path / name if found is None and name in PREFIXES and name in self.configs else found

    def weights(self, folder: Path) -> Checkpoint:
        """From the folder, where there are any; else from the file."""
        if folder.name not in PREFIXES or any(folder.glob("*.safetensors")):
            return super().weights(folder)
        origins = _origins(folder.name, self.config(folder), self.file)
        if not origins:
            raise ModelMissing(f"{self.file.path} has no {folder.name}: {self.get}")
        shapes = {
            name: tuple(origin.of(torch.empty(self.file.shapes[origin.name], device="meta")).shape)
            for name, origin in origins.items()
        }
        return FilePart(path=self.file.path, shapes=shapes, origins=origins)

    def config(self, folder: Path, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """From the folder, or as the model is known to be."""
        return super().config(folder, self.configs.get(folder.name, default))


def with_single_file(models: ModelFolder, model: str, *sources: str) -> ModelFolder:
    """The folder as it is, or seen through the one file of Stable Diffusion that lies in it."""
    unet = models.part("unet", *sources)
    has_own = unet is not None and any(path.name != "config.json" for path in unet.iterdir())
    file = next((file for file in models.loose() if file.kind == KIND), None)
    if has_own or file is None:
        return models
    return SingleFile(path=models.path, get=models.get, model=model, file=file, configs=CONFIGS[model])


def _origins(part: str, config: Mapping[str, Any], file: Checkpoint) -> dict[str, Origin]:
    """Where the tensors of a network are in the file; those that it lacks are left out."""
    return {
        name: Origin(prefix + place.name, place.third)
        for prefix in PREFIXES[part]
        for name, places in _places(part, config).items()
        for place in places
        if prefix + place.name in file.shapes
    }


def _places(part: str, config: Mapping[str, Any]) -> dict[str, tuple[Origin, ...]]:
    """Diffusers' name of every tensor of a network -> the names that it may have in a file, without the prefix."""
    if part == "unet":
        from diffusers import UNet2DConditionModel

        return _renamed(UNet2DConditionModel, config, lambda full: unet_names(full))
    if part == "vae":
        from diffusers import AutoencoderKL

        return _renamed(AutoencoderKL, config, lambda full: vae_names(len(full["block_out_channels"])))
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    network: Any = CLIPTextModelWithProjection
    with torch.device("meta"):
        names = map(bare_name, network(CLIPTextConfig.from_dict(dict(config))).state_dict())
    own = part == "text_encoder"  # Stable Diffusion asks its first encoder for no sum of a text
    return {
        name: (Origin(f"transformer.text_model.{name}"), _open_clip(name))
        for name in names
        if not (own and name == PROJECTION)
    }


def _renamed(
    kind: Any, config: Mapping[str, Any], names: Callable[[Mapping[str, Any]], Callable[[str], str]]
) -> dict[str, tuple[Origin, ...]]:
    with torch.device("meta"):
        network = kind.from_config(dict(config))
    rename = names(network.config)
    return {name: (Origin(_extra(name) or rename(name)),) for name in network.state_dict()}


def _extra(name: str) -> str | None:
    return next(
        (theirs + name.removeprefix(ours) for ours, theirs in UNET_EXTRAS.items() if name.startswith(ours)), None
    )


def _open_clip(name: str) -> Origin:
    third = re.search(r"\.([qkv])_proj\.", name)
    name = re.sub(r"\.[qkv]_proj\.", ".in_proj_", name)
    for ours, theirs in OPEN_CLIP.items():
        name = name.replace(ours, theirs)
    return Origin(f"model.{name}", None if third is None else "qkv".index(third[1]))
