"""Compiled networks: only the blocks that a network repeats, so that compiling takes seconds and not minutes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..errors import DeviceUnavailable

REPEATED = ("BasicTransformerBlock", "ResnetBlock2D")
"""Classes of diffusers of which a network has many."""

SHAPES = 64
"""Shapes for which one of them is compiled: widths, resolutions, sizes of a batch. The default suits fewer."""


def compile_repeated(networks: Iterable[nn.Module], device: torch.device, *, backend: str = "inductor") -> int:
    """Have torch compile these blocks when they first run; how many they are."""
    check_compiler(device, backend)
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    blocks = [module for network in networks for module in network.modules() if type(module).__name__ in REPEATED]
    for block in blocks:
        block.compile(backend=backend, dynamic=False)
    return len(blocks)


def check_compiler(device: torch.device, backend: str = "inductor") -> None:
    """DeviceUnavailable where torch cannot compile anything for the device, with its own reason."""
    try:
        torch.compile(torch.nn.functional.silu, backend=backend)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler that is missing or too old comes up with
        reason = str(error).strip().partition("\n")[0]
        raise DeviceUnavailable(
            f"torch cannot compile for {device} here ({type(error).__name__}: {reason}); it needs a C++ compiler on a "
            "CPU and triton on CUDA. Leave out --compile"
        ) from error
