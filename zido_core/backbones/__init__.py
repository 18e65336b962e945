"""Models by the protocol of ``base``; each is imported when it is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..store import resolve

if TYPE_CHECKING:
    import torch

    from ..catalog import ModelDescriptor
    from .base import Backbone

HOMES = {
    "mini": "mini:MiniBackbone",
    "zido": "seesr:SeesrBackbone",
    "seesr": "seesr:SeesrBackbone",
    "seesr-turbo": "seesr:SeesrBackbone",
    "stablesr": "stablesr:StablesrBackbone",
    "stablesr-768v": "stablesr:StablesrBackbone",
    "stablesr-turbo": "stablesr:StablesrBackbone",
    "deedsr": "deedsr:DeedsrBackbone",
    "sd-x4": "diffusion:DiffusionBackbone",
    "sd15": "diffusion:DiffusionBackbone",
    "sd21": "diffusion:DiffusionBackbone",
    "sdxl": "diffusion:DiffusionBackbone",
    "c-upscale": "diffusion:DiffusionBackbone",
    "c-upscale-sd15": "diffusion:DiffusionBackbone",
    "c-upscale-sd21": "diffusion:DiffusionBackbone",
    "c-upscale-pixart": "transformer:TransformerBackbone",
    "c-upscale-sd3": "transformer:TransformerBackbone",
}
"""Name of a model -> module of this package and class; one that has ``load`` is made by it from a model folder."""


def load_backbone(
    descriptor: ModelDescriptor,
    device: str,
    precision: torch.dtype,
    folder: str | None = None,
    *,
    offload: bool = False,
    compiled: bool = False,
) -> Backbone[Any]:
    """Load the weights of a model onto a device: from the user's folder or the store, unless it is embedded.

    ``offload``: networks wait in the CPU's memory until it is their turn. ``compiled``: their repeated blocks are
    compiled when they first run. The embedded model is too small to gain by either.
    """
    import torch

    module, _, name = HOMES[descriptor.name].partition(":")
    made: Any = getattr(import_module(f".{module}", __package__), name)
    place = torch.device(device)
    backbone: Backbone[Any] = (
        made.load(descriptor, place, precision, resolve(descriptor, folder), offload=offload, compiled=compiled)
        if hasattr(made, "load")
        else made(descriptor, place, precision)
    )
    return backbone
