"""Several processes train one network, each on crops of its own: cores or GPUs, as ``torchrun`` starts them.

Every step's gradients are averaged, so that all of them hold the same network; only the first one writes.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class Member(NamedTuple):
    """One of the processes."""

    rank: int
    """Its number, from 0."""
    world: int
    """How many there are."""

    def own(self, number: int) -> int:
        """A number of its own where a single process has this one."""
        return number * self.world + self.rank

    @property
    def writes(self) -> bool:
        """Whether it is the one that writes checkpoints and the log."""
        return self.rank == 0


def member() -> Member:
    """Which of the processes this is; the only one where none were started together."""
    return Member(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Member(0, 1)


def join(device: str) -> str:
    """Meet the other processes that ``torchrun`` started, if it did; returns the device that is this one's."""
    if "WORLD_SIZE" not in os.environ:
        return device
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device


def average_gradients(network: nn.Module) -> None:
    """Replace every gradient by its mean over the processes."""
    if member().world == 1:
        return
    gradients = [value.grad for value in network.parameters() if value.grad is not None]
    joint = parameters_to_vector(gradients)
    dist.all_reduce(joint)
    with torch.no_grad():
        vector_to_parameters(joint / member().world, gradients)
