"""How many tiles are computed at once: in one call of the network on an accelerator, side by side on a CPU."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ..backbones.base import Backbone
from ..device import free_ram, thread_count
from ..tiling.grid import Grid, Size

MOST = 64
"""Tiles at once that the search tries at the most."""

ROUNDS = 2
"""Calls timed per size; the quickest counts, because the first one also prepares kernels."""

GAIN = 0.97
"""What a tile must take, of what it took in half the batch, for larger ones to be tried."""


SHARE = 0.5
"""Part of the free memory that tiles side by side may take."""


class TileBatch:
    """The tiles of a call: doubled as long as that makes a tile quicker, halved where memory does not suffice.

    Nothing is computed for the search: it watches the calls that are made anyway.
    """

    def __init__(self, size: int | None = None) -> None:
        """``size``: the user's word; None: to be found."""
        self.size = size or 1
        """Tiles that the next call should take."""
        self.found = size is not None
        """Whether the search is over."""
        self._best = float("inf")
        self._times: list[float] = []

    def took(self, count: int, seconds: float) -> None:
        """A call for so many tiles took so long."""
        if self.found or count != self.size:
            return
        self._times.append(seconds / count)
        if len(self._times) < ROUNDS:
            return
        each, self._times = min(self._times), []
        if each > GAIN * self._best:
            self.size, self.found = self.size // 2, True
        elif 2 * self.size > MOST:
            self.found = True
        else:
            self._best, self.size = each, 2 * self.size

    def too_large(self, count: int) -> None:
        """So many tiles do not fit into memory: half of them at once from now on."""
        self.size, self.found = max(count // 2, 1), True

    def next_of(self, left: int) -> int:
        """How many of the tiles that are left go next: once the size is found, nearly as many in each call."""
        if not self.found:
            return min(self.size, left)
        return -(-left // -(-left // self.size))


_found: WeakKeyDictionary[Backbone[Any], dict[Size, TileBatch]] = WeakKeyDictionary()


def tile_batch(asked: int | None, backbone: Backbone[Any], tile: Size) -> TileBatch:
    """The user's size, or the search's for this model and tiles of this size, which goes on where it was left."""
    if asked is not None:
        return TileBatch(asked)
    return _found.setdefault(backbone, {}).setdefault(tile, TileBatch())


def workers(backbone: Backbone[Any], grid: Grid) -> int:
    """Tiles to compute side by side: on a CPU as many as there are threads, if there is memory for them."""
    if backbone.device.type != "cpu" or not backbone.parallel:
        return 1
    tile_bytes = backbone.descriptor.bytes_per_latent * grid.tile.height * grid.tile.width
    room = int(SHARE * free_ram() / tile_bytes)
    return max(min(thread_count(), len(grid), room), 1)
