"""The files of SeeSR: its own UNet and ControlNet, and the parts of the Stable Diffusion that it stands on.

Under the model folder, directly or in folders named after their sources::

    seesr/unet  seesr/controlnet  stable-diffusion-2-base/{unet,vae,text_encoder,tokenizer,scheduler}

SeeSR trained nothing of the UNet but its image attention. Its own UNet is therefore as good as that of the base with
only the tensors called ``image_attentions`` from SeeSR's file, which is also how another base gets them (SD-Turbo).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..catalog import ModelDescriptor
from ..checkpoint import Checkpoint, fingerprint, kind_of, load_strictly
from ..errors import ModelMissing
from ..nets.seesr import (
    SD2_CONTROLNET,
    SD2_UNET,
    build_controlnet,
    build_unet,
    is_image_attention,
    official_name,
    take_hint_embedding,
)
from .base import ScheduleSpec
from .folder import ModelFolder, load_schedule, load_vae
from .latent_model import LatentParts
from .text import TextEncoder

SEESR = "seesr"
"""Folder of SeeSR's own parts."""

TRAINED_ON = "stable-diffusion-2-base"
"""The base whose UNet is in SeeSR's file, unchanged."""

SCHEDULE = ScheduleSpec(prediction_type="epsilon")
"""Stable Diffusion's, where a model folder has no scheduler."""

SEESR_KIND, CONTROLNET_KIND = kind_of(["image_attentions."]), kind_of(["controlnet_cond_embedding."])
UNET_KINDS = (SEESR_KIND, kind_of(["time_embedding."]))


@dataclass(frozen=True, kw_only=True)
class SeesrParts(LatentParts):
    """What SeeSR has besides."""

    controlnet: Any
    """Takes embedded hints."""
    hint_embedding: nn.Module
    """Embeds them."""

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        return (self.unet, self.controlnet, self.hint_embedding)


def load_parts(
    descriptor: ModelDescriptor, folder: Path | None, device: torch.device, precision: torch.dtype
) -> SeesrParts:
    """Load everything from a model folder."""
    models = model_folder(descriptor, folder)
    base = descriptor.base
    vae, text = models.needed("vae", base), TextEncoder(models, base, dtype=precision, device=device)
    # In half precision its image would lose levels that 256 of them can tell apart.
    vae_type = precision if precision == torch.float16 else torch.float32
    unet, used = load_unet(models, base, precision)
    controlnet, checkpoint = load_controlnet(models, precision)
    return SeesrParts(
        unet=unet.to(device),
        controlnet=controlnet.to(device),
        hint_embedding=take_hint_embedding(controlnet),
        vae=load_vae(models, vae, vae_type, device),
        text=text,
        schedule=load_schedule(models, base, default=SCHEDULE),
        weights_hash=fingerprint([*used, checkpoint.path, models.weights(vae).path, text.path]),
    )


def model_folder(descriptor: ModelDescriptor, folder: Path | None) -> ModelFolder:
    """The user's model folder, or ModelMissing."""
    get = "give the folder with `--model-dir`"
    if all(file.sources for file in descriptor.files):
        get += f", or run `zido models get {descriptor.name}`"
    if folder is None or not folder.is_dir():
        what = "its files are not here" if folder is None else f"there is no folder {folder}"
        raise ModelMissing(f"model {descriptor.name}: {what}; {get}")
    return ModelFolder(path=folder, get=get)


def load_unet(models: ModelFolder, base: str, dtype: torch.dtype) -> tuple[Any, list[Path]]:
    """SeeSR's UNet, and the files that it came from."""
    found = {folder: models.weights(folder) for folder in models.every("unet", base, "", SEESR)}
    files = [*found.values(), *(file for file in models.loose() if file.kind in UNET_KINDS)]
    for file in files:
        if file.kind not in UNET_KINDS:
            raise ModelMissing(f"{file.path} has {file.kind}; expected a UNet: were files swapped? {models.get}")
    plain = next((file for file in files if _stands_on(file, base)), None)
    seeing = next((file for file in files if file.kind == SEESR_KIND), None)
    if plain is None or seeing is None:
        lacking = f"{base}'s UNet" if plain is None else "SeeSR's image attention"
        paths = ", ".join(str(file.path) for file in files) or "nothing"
        raise ModelMissing(f"{models.path} lacks {lacking}; of UNets there is {paths}: {models.get}")
    folder = next((folder for folder, file in found.items() if file is plain), None)
    unet = build_unet(SD2_UNET if folder is None else models.config(folder, SD2_UNET))
    tensors = plain.tensors(lambda name: None if is_image_attention(name) else name, dtype)
    tensors |= seeing.tensors(lambda name: name if is_image_attention(name) else None, dtype)
    used = list(dict.fromkeys((plain.path, seeing.path)))
    path = " with ".join(map(str, used))
    load_strictly(unet, tensors, path=path, get=models.get, official=official_name)
    return unet, used


def _stands_on(file: Checkpoint, base: str) -> bool:
    """Whether a file has the rest of the UNet; that in SeeSR's file is the base that it was trained on."""
    if file.kind == SEESR_KIND:
        return base == TRAINED_ON and not all(is_image_attention(name) for name in file.shapes)
    return True


def load_controlnet(models: ModelFolder, dtype: torch.dtype) -> tuple[Any, Checkpoint]:
    """SeeSR's ControlNet, and the file that it came from."""
    folder = models.part("controlnet", SEESR)
    file = next((file for file in models.loose() if file.kind == CONTROLNET_KIND), None)
    if folder is not None:
        file = models.weights(folder)
    if file is None:
        raise ModelMissing(f"{models.path} lacks SeeSR's ControlNet, the folder seesr/controlnet: {models.get}")
    controlnet = build_controlnet(SD2_CONTROLNET if folder is None else models.config(folder, SD2_CONTROLNET))
    load_strictly(controlnet, file.tensors(dtype=dtype), path=file.path, get=models.get, official=official_name)
    return controlnet, file
