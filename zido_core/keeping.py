"""The state of a running block between two steps, kept so that a long block is not lost with its process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .options import ResolvedOptions
from .sampling.samplers import Sampler
from .sampling.schedule import Memory, Remembering
from .work.store import Kept

EVERY = 60.0
"""Seconds between two savings where nobody says anything: a block that is quicker saves nothing."""


class Slot(Protocol):
    """Where a state is kept."""

    def load(self) -> Kept | None:
        """None: nothing is kept."""
        ...

    def save(self, kept: Kept) -> None:
        """Keep it in the place of what was kept before."""
        ...


class BlockSlot(Slot, Protocol):
    """Where the state of one block is kept."""

    def beside(self, kind: str) -> Slot:
        """A place for something else of the same block."""
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


class Views:
    """The sum of those views of a block that are finished (``--tta``), kept beside the state of the one that runs.

    It is the slot of that one: its state is only of use with the very sum that it was begun with.
    """

    def __init__(
        self, slot: BlockSlot | None, options: ResolvedOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slot, self._sums, self._clock = slot, None if slot is None else slot.beside("views"), clock
        self._always = options.save_every is not None
        found = None if self._sums is None else self._sums.load()
        self.done = 0 if found is None else found.step
        """Finished views."""
        self.sum = None if found is None else found.images
        """(3, height, width); None before the first."""
        self._kept, self._saved = self.done, clock()

    def add(self, view: NDArray[np.float32]) -> None:
        """One more is finished."""
        self.sum = view if self.sum is None else np.add(self.sum, view, out=self.sum)
        self.done += 1
        if self._always or self._clock() - self._saved >= EVERY:
            self._keep_sum()

    def load(self) -> Kept | None:
        """Of the view that runs; None: it begins."""
        found = None if self._slot is None else self._slot.load()
        if found is None or found.numbers["view"] != self.done:
            return None
        return found._replace(numbers=found.numbers["sampler"])

    def save(self, kept: Kept) -> None:
        """The same, and first the sum, if only an older one is there."""
        if self._slot is not None:
            if self._kept < self.done:
                self._keep_sum()
            self._slot.save(kept._replace(numbers={"view": self.done, "sampler": dict(kept.numbers)}))
            self._saved = self._clock()

    def _keep_sum(self) -> None:
        if self._sums is not None and self.sum is not None:
            self._sums.save(Kept(self.done, self.sum, {}))
            self._kept, self._saved = self.done, self._clock()
