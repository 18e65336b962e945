"""Where tiles lie on a canvas.

Sizes are ``(height, width)``, positions ``(row, col)``, in pixels of whatever level the canvas has: output pixels,
latents or input pixels. One grid is made on the canvas; grids of other levels derive from it by ``scaled``.
"""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


class Tile(NamedTuple):
    """A rectangle of a canvas, in pixels."""

    row: int
    col: int
    height: int
    width: int
