"""The state of a running block between two steps, kept so that a long block is not lost with its process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch

from .options import ResolvedOptions
from .sampling.samplers import Sampler
from .sampling.schedule import Memory, Remembering
from .work.store import Kept

EVERY = 60.0
"""Seconds between two savings where nobody says anything: a block that is quicker saves nothing."""


class Slot(Protocol):
    """Where the state of one block is kept."""

    def load(self) -> Kept | None:
        """None: nothing is kept."""
        ...

    def save(self, kept: Kept) -> None:
        """Keep it in the place of what was kept before."""
        ...


class Keeper:
    """Told of every step; saves when it is time, and before the latents are decoded."""

    def __init__(
        self,
        slot: Slot | None,
        options: ResolvedOptions,
        sampler: Sampler,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slot, self._clock = slot, clock
        self._every, self._steps = options.save_every, options.steps
        self._sampler = sampler if isinstance(sampler, Remembering) else None
        self._saved = clock()

    def kept(self, shape: tuple[int, ...], device: torch.device) -> tuple[int, torch.Tensor] | None:
        """The step to go on with and the latents before it, and the sampler remembers; None: begin at the beginning."""
        found = None if self._slot is None else self._slot.load()
        if found is None or found.images.shape[1:] != shape[1:] or len(found.images) % shape[0]:
            return None
        latents, *images = torch.from_numpy(found.images).to(device).chunk(len(found.images) // shape[0])
        if self._sampler is not None:
            self._sampler.remember(found.step, Memory(tuple(images), found.numbers))
        return found.step, latents

    def __call__(self, step: int, latents: torch.Tensor) -> None:
        """A step is done."""
        if self._slot is not None and self._due(step + 1):
            images, numbers = self._sampler.memory if self._sampler is not None else Memory((), {})
            together = torch.cat([latents.float(), *(image.float() for image in images)])
            self._slot.save(Kept(step + 1, together.cpu().numpy(), numbers))
            self._saved = self._clock()

    def _due(self, done: int) -> bool:
        if self._every is not None:
            return done % self._every == 0 or done == self._steps
        return self._clock() - self._saved >= EVERY
