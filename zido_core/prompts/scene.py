"""The embedded tagger: what a tile shows and what harmed it, measured from its pixels.

Maps of colour and structure are computed once over a strip of tiles and reduced tile by tile. A tile's scores
read the pixels of that tile alone (maps are cut back by the reach of their filters), so they do not depend on
how the image was cut into blocks. What harmed the tile is seen by a small network (``degradation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from ..errors import BadInput
from ..tiling.grid import Tile
from .base import Prompt, Tag
from .content import REACH, content_scores, measure
from .crops import clamp, rgb
from .degradation import HARMFUL, Array, harm_levels
from .vocabulary import CONTENT, DEGRADATIONS, LEVELLED, VOCABULARY, decode, describe, encode

__all__ = ["THRESHOLDS", "VOCABULARY", "SceneTagger", "decode", "encode", "scores"]

THRESHOLDS: dict[str, float] = {
    **dict.fromkeys(CONTENT, 0.3),
    **dict.fromkeys(LEVELLED, HARMFUL),
    "clean": 1 - HARMFUL,
}
"""A tag fires at this score. Content scores are shares of the area, or of what is usual in such tiles."""

SMALL = 4 * REACH
"""Tiles with a side below this are mirrored at their border rather than cut back."""

STRIP_TILES = 64
"""Tiles whose maps are computed together; bounds the memory for huge images."""


class SceneTagger:
    """Tags tiles with the words of ``VOCABULARY``."""

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        """One prompt per tile of a (3, height, width) image in [0, 1]; one band is taken as gray."""
        return [_prompt(row) for row in scores(image, tiles)]


def _prompt(row: Array) -> Prompt:
    tags = [Tag(name, round(float(score), 2)) for name, score in zip(VOCABULARY, row, strict=True)]
    fired = [tag for tag in tags if tag.score >= THRESHOLDS[tag.name]]
    fired.sort(key=lambda tag: (tag.name in DEGRADATIONS, 0.0 if tag.name in DEGRADATIONS else -tag.score))
    return Prompt(text=describe(fired), tags=tuple(fired))


def scores(image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> Array:
    """Scores of every word for every tile, fired or not: (tiles, len(VOCABULARY)) float32 in [0, 1]."""
    if image.ndim != 3 or image.size == 0:
        raise BadInput(f"cannot tag an image of shape {image.shape}; expected (3, height, width) with pixels")
    result = np.zeros((len(tiles), len(VOCABULARY)), np.float32)
    inside = sorted((clamp(tile, image.shape), index) for index, tile in enumerate(tiles))
    for _, alike in groupby(inside, key=lambda pair: (pair[0].row, pair[0].height, pair[0].width < SMALL)):
        same_rows = list(alike)
        for start in range(0, len(same_rows), STRIP_TILES):
            for index, values in _strip(image, same_rows[start : start + STRIP_TILES]):
                result[index] = values
    return result


def _strip(image: npt.NDArray[np.float32], tiles: Sequence[tuple[Tile, int]]) -> Iterator[tuple[int, Array]]:
    """Scores of tiles that share their rows and are all small, or all not."""
    first = tiles[0][0]
    left, right = first.col, max(tile.col + tile.width for tile, _ in tiles)
    strip = rgb(image[:, first.row : first.row + first.height, left:right])
    small = min(first.height, first.width) < SMALL
    shared = None if small else measure(strip)
    for tile, index in tiles:
        col = tile.col - left
        cut = np.ascontiguousarray(strip[:, :, col : col + tile.width])
        border = ((0, 0), (REACH, REACH), (REACH, REACH))
        maps = shared.columns(col, tile.width) if shared else measure(np.pad(cut, border, "symmetric"))
        harm = harm_levels(cut)
        content = content_scores(maps, noise=harm[1])
        yield index, np.array([content[name] for name in CONTENT] + [*harm, 1.0 - max(harm)], np.float32)
