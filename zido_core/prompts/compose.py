"""One prompt per tile out of the tagger's, those of a file, and the user's.

A polygon drawn by people overrides the tagger in the tiles that it covers by more than half and is appended
to the prompts of the tiles that it covers by less. The tiles that zido saved in a file only ever override, so
that a file made with other tiles still works. The user's words come last (ZIDO's template: tags,
then the user's prompt).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InvalidOptions
from ..tiling.grid import Tile
from .base import Prompt
from .polygons import Polygon, bounds, clip_polygon, polygon_area
from .vocabulary import clean_text, join

MAX_LENGTH = 1000
"""Longest prompt of a person, in characters; text encoders cut far earlier."""

MAJORITY = 0.5
"""Share of a tile above which a region speaks for the tile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A prompt for a part of the image."""

    prompt: Prompt
    """What is said about it."""

    polygons: tuple[Polygon, ...] | None
    """Where, in (column, row) pixels of the input; None = everywhere."""

    drawn: bool
    """True for polygons of people, False for tiles that zido saved."""


def combine(
    prompts: Sequence[Prompt],
    tiles: Sequence[Tile],
    *,
    regions: Sequence[Region] = (),
    prompt: str = "",
    negative: str | None = None,
) -> list[Prompt]:
    """The tagger's ``prompts`` of ``tiles``, changed by ``regions``, with the user's prompts."""
    text, unwanted = _checked(prompt, "prompt"), _checked(negative or "", "negative prompt")
    local = apply_regions(prompts, tiles, regions)
    with_negative = [each.with_negative(unwanted or negative) for each in local]
    return [join(each, text) for each in with_negative]


def _checked(text: str, name: str) -> str:
    text = clean_text(text)
    if len(text) > MAX_LENGTH:
        raise InvalidOptions(f"{name} has {len(text)} characters; expected at most {MAX_LENGTH}")
    return text


def apply_regions(prompts: Sequence[Prompt], tiles: Sequence[Tile], regions: Sequence[Region]) -> list[Prompt]:
    """Prompts of the tiles (pixels of the input) with what the regions say about them."""
    if not regions:
        return list(prompts)
    cover = Cover(regions)
    return [_told(prompt, cover.shares(tile)) for prompt, tile in zip(prompts, tiles, strict=True)]


def _told(prompt: Prompt, shares: Sequence[tuple[Region, float]]) -> Prompt:
    """``prompt`` of a tile of which the regions cover these shares, in the order of the file.

    The drawn region with the largest share above one half replaces it, else the saved tile with the largest
    such share (of equals the later one); drawn regions with smaller shares are appended. What the tagger saw
    in the pixels stays, whoever speaks.
    """
    major = [(region.drawn, share, place) for place, (region, share) in enumerate(shares) if share > MAJORITY]
    winner = shares[max(major)[2]][0] if major else None
    result = prompt if winner is None else replace(winner.prompt, embedding=prompt.embedding)
    for region, share in shares:
        if region.drawn and share <= MAJORITY:
            result = _appended(result, region.prompt)
    return result


def _appended(prompt: Prompt, more: Prompt) -> Prompt:
    negatives = [text for text in (prompt.negative, more.negative) if text]
    joined = join(prompt, more.text)
    return replace(joined, negative=", ".join(dict.fromkeys(negatives)) or None)


class Cover:
    """How much of tiles regions cover; regions are cut to the rows of tiles first, once for all of a row."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = regions
        everywhere = (-np.inf, -np.inf, np.inf, np.inf)
        boxes = [everywhere if each.polygons is None else bounds(each.polygons) for each in regions]
        self.left, self.top, self.right, self.bottom = np.array(boxes, np.float64).T
        self.rows: tuple[int, int] | None = None
        self.cut: dict[int, tuple[Polygon, ...]] = {}

    def shares(self, tile: Tile) -> list[tuple[Region, float]]:
        """The regions that cover some of the tile, and how much of it."""
        if self.rows != (tile.row, tile.height):
            self.rows, self.cut = (tile.row, tile.height), {}
        across = (self.left < tile.col + tile.width) & (self.right > tile.col)
        along = (self.top < tile.row + tile.height) & (self.bottom > tile.row)
        near = [int(index) for index in np.flatnonzero(across & along)]
        shares = [(self.regions[index], self._share(index, tile)) for index in near]
        return [(region, share) for region, share in shares if share > 0.0]

    def _share(self, index: int, tile: Tile) -> float:
        polygons = self.regions[index].polygons
        if polygons is None:
            return 1.0
        if index not in self.cut:
            top, bottom = tile.row, tile.row + tile.height
            self.cut[index] = tuple(clip_polygon(polygon, 1, top, bottom) for polygon in polygons)
        left, right = tile.col, tile.col + tile.width
        inside = sum(polygon_area(clip_polygon(polygon, 0, left, right)) for polygon in self.cut[index])
        # Rounding of large coordinates must not make a touching neighbour count.
        share = inside / (tile.height * tile.width)
        return min(share, 1.0) if share > 1e-6 else 0.0
