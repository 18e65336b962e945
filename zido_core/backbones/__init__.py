"""Models by the protocol of ``base``; each is imported when it is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..catalog import ModelDescriptor
    from .base import Backbone

HOMES = {"mini": "mini:MiniBackbone"}
"""Name of a model -> module of this package and class."""


def load_backbone(descriptor: ModelDescriptor, device: str, precision: torch.dtype) -> Backbone[Any]:
    """Load the weights of a model onto a device."""
    import torch

    module, _, name = HOMES[descriptor.name].partition(":")
    backbone: Backbone[Any] = getattr(import_module(f".{module}", __package__), name)(
        descriptor, torch.device(device), precision
    )
    return backbone
