"""What is finished at a time: a piece of the image that is blended, recoloured, and turned into the output's bands.

Pieces are the same whatever blocks are, so that the size of blocks does not show in what is measured of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .blocks import CUT
from .tiling.grid import Size, Tile, partition

PIECE = 2048
"""Pixels at the model's scale along the side of a piece: bounds the memory of finishing."""

WHOLE_MARGIN = 16
"""Input pixels around a piece that back-projection looks at, at scales that are whole numbers."""

FRACTIONAL_MARGIN = 48
"""The same at others, where back-projection takes many passes."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of the image; input pixels."""

    core: Tile
    """What it delivers; the cores tile the image."""
    outer: Tile
    """The core with what the radiometry needs around it."""
    seen: Tile
    """The same with what the colour correction needs around it."""

    @property
    def work(self) -> int:
        """Units of work, in which a network's look at a pixel is one."""
        return max(1, self.core.height * self.core.width // 4)


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """All pieces of an image, row by row."""

    size: Size
    """Of the image, input pixels."""
    side: int
    """Greatest side of a core."""
    margin: int
    """Around a core, for the radiometry."""
    sight: int
    """Around that, for the colour correction."""

    def __iter__(self) -> Iterator[Piece]:
        for core in partition(self.size, self.side, multiple=CUT if self.side % CUT == 0 else 1):
            outer = core.pad(self.margin, self.size)
            yield Piece(core=core, outer=outer, seen=outer.pad(self.sight, self.size))
