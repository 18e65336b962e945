"""Where networks are, in which layout and type: on the device, or in the CPU's memory until it is their turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


def layout_on(device: torch.device) -> torch.memory_format:
    """How convolutions like their tensors there."""
    return torch.channels_last if device.type == "cuda" else torch.preserve_format


class Placing:
    """Networks by turns: text encoders, autoencoder, denoisers."""

    def __init__(self, device: torch.device, *, offload: bool) -> None:
        """``offload``: only the networks at work are on the device; else all of them stay there."""
        self.device, self.offload = device, offload
        self._ready: tuple[nn.Module, ...] = ()

    def ready(self, *networks: nn.Module) -> None:
        """These networks are to work now. Where others have to leave, they go first: two may not fit."""
        if self._ready == networks:
            return
        if self.offload:
            for network in self._ready:
                if network not in networks:
                    network.to("cpu")
        for network in networks:
            network.to(self.device)
        self._ready = networks


@contextmanager
def in_full_precision(networks: Sequence[nn.Module]) -> Iterator[None]:
    """The networks in float32 for a while. Half precision comes back as it was: float32 holds all of its numbers."""
    types = [next(network.parameters()).dtype for network in networks]
    try:
        for network in networks:
            network.float()
        yield
    finally:
        for network, dtype in zip(networks, types, strict=True):
            network.to(dtype)
