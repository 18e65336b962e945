"""The state of a running block between two steps, kept so that a long block is not lost with its process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .options import ResolvedOptions
from .sampling.samplers import EMBEDDED

EVERY = 60.0
"""Seconds between two savings where nobody says anything: a block that is quicker saves nothing."""

WITHOUT_MEMORY = frozenset({*EMBEDDED, "euler"})
"""Samplers whose next step depends on the latents alone; others begin a block anew, but for its decoding."""


class Slot(Protocol):
    """Where the latents of one block are kept."""

    def load(self) -> tuple[int, NDArray[np.float32]] | None:
        """Number of the next step, and the latents (channels, height, width) before it; None: nothing is kept."""
        ...

    def save(self, step: int, latents: NDArray[np.float32]) -> None:
        """Keep them in the place of what was kept before."""
        ...


class Keeper:
    """Told of every step; saves when it is time, and before the latents are decoded."""

    def __init__(
        self, slot: Slot | None, options: ResolvedOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slot, self._clock = slot, clock
        self._every, self._steps = options.save_every, options.steps
        self._midway = options.sampler in WITHOUT_MEMORY
        self._saved = clock()

    def kept(self, shape: tuple[int, ...], device: torch.device) -> tuple[int, torch.Tensor] | None:
        """The step to go on with and the latents before it; None: begin at the beginning."""
        found = None if self._slot is None else self._slot.load()
        if found is None or found[1].shape != shape or not (self._midway or found[0] == self._steps):
            return None
        return found[0], torch.from_numpy(found[1]).to(device)

    def __call__(self, step: int, latents: torch.Tensor) -> None:
        """A step is done."""
        if self._slot is not None and self._due(step + 1):
            self._slot.save(step + 1, np.ascontiguousarray(latents.float().cpu().numpy()))
            self._saved = self._clock()

    def _due(self, done: int) -> bool:
        if done < self._steps and not self._midway:
            return False
        if self._every is not None:
            return done % self._every == 0 or done == self._steps
        return self._clock() - self._saved >= EVERY
