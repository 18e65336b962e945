"""Small pictures of what is done so far, for whoever watches a run; never more than a little of its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .blocks import Block
from .finish import within
from .job import EventSink, Preview
from .setup import Setup

SIDE = 512
"""Longest side of a picture, pixels."""

PAUSE = 1.0
"""Seconds between two pictures at least."""

SHARE = 0.05
"""Of the time of a run, at most, that goes into pictures."""

FILES = 4
"""Names that are used in turn, so that one can be read while the next is written."""


class Previews:
    """Writes pictures into a folder and tells of them; a folder that cannot be written gives none."""

    def __init__(
        self, folder: Path, setup: Setup, emit: EventSink, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._setup, self._emit, self._clock = folder, setup, emit, clock
        self._next = self._asked = clock()
        self._count = 0

    @property
    def due(self) -> bool:
        """Whether it is time for the next picture."""
        self._asked = self._clock()
        return self._asked >= self._next

    def show(self, block: Block, image: NDArray[np.float32]) -> None:
        """A picture of a block's extent, (3, height, width) about [0, 1], as the model sees it. Ask `due` first."""
        step = -(-max(image.shape[1:]) // SIDE)
        pixels = np.rint(image[:, step // 2 :: step, step // 2 :: step].clip(0, 1) * 255).astype(np.uint8)
        path = self._folder / f"preview-{self._count % FILES}.png"
        with suppress(OSError):
            part = path.with_suffix(".part")
            Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(part, "PNG", compress_level=1)
            part.replace(path)
            self._emit(Preview(path=str(path), box=self._setup.target_of(block.extent)))
        self._count += 1
        now = self._clock()
        self._next = now + max(PAUSE, (now - self._asked) / SHARE)

    def show_region(self, block: Block, image: NDArray[np.float32]) -> None:
        """The same of a block's region, of which the extent is a part."""
        part = within(block.extent, block.region).scaled(self._setup.descriptor.native_scale)
        self.show(block, image[:, *part.slices])
