"""Standard normal noise that belongs to places, so that every block of a canvas sees the same.

Philox (Salmon et al., SC 2011) is a function of a key and a counter. The key is (seed, step), the upper half
of the counter names a cell of the canvas, so any cell is drawn without the others. Channels are drawn one
after the other: how many there are does not change the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .grid import Tile

CELL = 64
"""Side of a cell in latents. It is part of the result: another value gives other noise."""
START = -1
"""The step of the noise that sampling starts from."""
CONDITION = -2
"""The step of the noise on what a network is shown of the input."""
VIEW = -3
"""The step of the noise on the view of the whole before the first step; those of later steps lie below."""

_WORD = 2**64
_DRAW = 1


def position_noise(seed: int, step: int, channels: int, region: Tile) -> NDArray[np.float32]:
    """Noise (channels, height, width) of a region, a function of seed, step, channel and absolute position.

    Positions may be negative. `seed` and `step` are taken modulo 2^64.
    """
    noise = np.empty((channels, *region.size), np.float32)
    for cell in _cells(region):
        part = cell.intersect(region)
        if part is not None:
            there = part.shifted(-region.row, -region.col).slices
            here = part.shifted(-cell.row, -cell.col).slices
            noise[:, *there] = _cell_noise(seed, step, channels, cell)[:, *here]
    return noise


def position_draw(seed: int, step: int) -> tuple[int, int]:
    """Two random words of 64 bits for a step as a whole, independent of its noise."""
    first, second = _philox(seed, step, cell=(0, 0), stream=_DRAW).random_raw(2)
    return int(first), int(second)


def _cell_noise(seed: int, step: int, channels: int, cell: Tile) -> NDArray[np.float32]:
    bits = _philox(seed, step, cell=(cell.row // CELL, cell.col // CELL), stream=0)
    return np.random.Generator(bits).standard_normal((channels, CELL, CELL), dtype=np.float32)


def _philox(seed: int, step: int, *, cell: tuple[int, int], stream: int) -> np.random.Philox:
    counter = np.array([0, stream, cell[0] % _WORD, cell[1] % _WORD], np.uint64)
    return np.random.Philox(key=np.array([seed % _WORD, step % _WORD], np.uint64), counter=counter)


def _cells(region: Tile) -> Iterator[Tile]:
    for row in range(region.row // CELL, -(-region.bottom // CELL)):
        for col in range(region.col // CELL, -(-region.right // CELL)):
            yield Tile(row * CELL, col * CELL, CELL, CELL)
