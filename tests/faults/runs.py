"""Runs of the plain model on a small raster of four blocks, here or in a process that can be killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from tests.plain_backbone import PlainBackbone
from zido_core.options import Options
from zido_core.pipeline import Upscaler

OPTIONS: dict[str, Any] = {"tile_size": 128, "tile_overlap": 32, "steps": 3, "fidelity": 0.0, "block_size": 256}
OPTIONS |= {"save_every": 1}
"""Four blocks of 80 x 90, whose state is saved after every step."""

FORMATS: dict[str, dict[str, Any]] = {"out.tif": {}, "cog.tif": {"cog": True}, "out.png": {}}
"""Outputs, and the options that each needs."""


def plain() -> Upscaler:
    """Everything but a model."""
    return Upscaler(PlainBackbone(), Options(device="cpu", precision="fp32"))


def kill_after(seconds: float, source: Path, output: Path, **options: Any) -> bool:
    """Begin to make the output in a process of its own, and kill it so much later; whether it was still at work."""
    process = os.fork()
    if not process:
        torch.set_num_threads(1)  # a fork has none of its parent's threads
        plain().upscale(source, output, **OPTIONS, **options)
        os._exit(0)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
