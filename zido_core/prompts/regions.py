"""Prompts in files: saved per tile for editing, and drawn by people as polygons.

Both are the same GeoJSON; how a polygon changes the prompts of tiles is told in ``compose``. Coordinates are
those of the raster's reference system, which the ``crs`` member names (so QGIS puts the file where it
belongs), or pixels (column, row) of the input where it has no place on the ground; the ``zido`` member says
which. ``geojson`` lists the other forms that are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputNotWritable
from ..tiling.grid import Tile
from .base import Prompt, Tag
from .compose import MAX_LENGTH, Region, apply_regions
from .geojson import Feature, PromptsFile, read_file, refusal, write_file
from .location import Placed, Placement
from .polygons import Polygon, Ring, area, bounds
from .vocabulary import clean_text, describe, parse

FORMAT = 1
"""Version of the saved format, in its ``zido`` member."""


def save_prompts(
    path: Path | str,
    placed: Placed,
    tiles: Sequence[Tile],
    prompts: Sequence[Prompt],
    *,
    overwrite: bool = False,
) -> None:
    """Write one feature per tile (pixels of the input): footprint, tags, scores and prompt, to be edited."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputNotWritable(f"{path} exists; allow overwriting or choose another name")
    placement = Placement.of(placed)
    zido: dict[str, Any] = {"format": FORMAT, "coordinates": "pixels" if placement.in_pixels else "crs"}
    zido["size"] = {"height": placed.size.height, "width": placed.size.width}
    document: dict[str, Any] = {"name": path.stem, "zido": zido}
    if placement.crs_name is not None:
        document["crs"] = {"type": "name", "properties": {"name": placement.crs_name}}
    features = [
        _tile_feature(index, tile, prompt, placement)
        for index, (tile, prompt) in enumerate(zip(tiles, prompts, strict=True))
    ]
    write_file(path, document, features)


def _tile_feature(index: int, tile: Tile, prompt: Prompt, placement: Placement) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": index,
        "properties": {
            "tile": index,
            "row": tile.row,
            "col": tile.col,
            "height": tile.height,
            "width": tile.width,
            "prompt": prompt.text,
            "negative": prompt.negative,
            "source": prompt.source,
            "tags": [{"name": tag.name, "score": tag.score} for tag in prompt.tags],
        },
        "geometry": {"type": "Polygon", "coordinates": [placement.to_file(_corners(tile)).tolist()]},
    }


def _corners(tile: Tile) -> Ring:
    """Closed ring of (col, row) around a tile, counterclockwise on a map as GeoJSON wants it."""
    top, left, bottom, right = tile.row, tile.col, tile.row + tile.height, tile.col + tile.width
    ring = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    return np.array(ring, np.float64)


def load_regions(path: Path | str, placed: Placed) -> tuple[Region, ...]:
    """Regions of a prompts file, in pixels of the raster that ``placed`` describes."""
    file = read_file(Path(path))
    placement = Placement.of(placed).for_file(file)
    regions = tuple(_region(file, feature, placement) for feature in file.features)
    if not any(_touches(region, placed) for region in regions):
        height, width = placed.size.height, placed.size.width
        what = f"feature 1 to {len(regions)} lie outside the image of {width} x {height} pixels"
        raise refusal(file.path, f"{what}; give a file for this image and its reference system")
    return regions


def load_prompts(path: Path | str, placed: Placed, tiles: Sequence[Tile]) -> list[Prompt]:
    """Prompts of ``tiles`` as a file gives them; empty where it says nothing."""
    return apply_regions([Prompt()] * len(tiles), tiles, load_regions(path, placed))


def _touches(region: Region, placed: Placed) -> bool:
    if region.polygons is None:
        return True
    left, top, right, bottom = bounds(region.polygons)
    return left < placed.size.width and top < placed.size.height and right > 0 and bottom > 0


def _region(file: PromptsFile, feature: Feature, placement: Placement) -> Region:
    window = _window(feature)
    polygons = feature.polygons
    if polygons is not None:
        polygons = tuple(tuple(placement.to_pixels(ring) for ring in polygon) for polygon in polygons)
    if polygons == ():
        if window is None:
            file.wrong(feature, "no geometry; draw a polygon or delete the feature")
        polygons = ((_corners(window),),)
    drawn = window is None or not _is_footprint(polygons, window)
    return Region(prompt=_prompt(file, feature), polygons=polygons, drawn=drawn)


def _is_footprint(polygons: tuple[Polygon, ...] | None, window: Tile) -> bool:
    """Whether this is still the tile as saved, and not a copy that somebody has redrawn."""
    if polygons is None or len(polygons) != 1 or len(polygons[0]) != 1:
        return False
    wanted = (window.col, window.row, window.col + window.width, window.row + window.height)
    near = np.abs(np.subtract(bounds(polygons), wanted)).max() < 0.5
    return bool(near and area(polygons[0][0]) > 0.9 * window.height * window.width)


def _window(feature: Feature) -> Tile | None:
    """The tile that zido saved in this feature, if it did."""
    values = [feature.properties.get(name) for name in ("tile", "row", "col", "height", "width")]
    whole = [int(value) for value in values if isinstance(value, (int, float)) and float(value).is_integer()]
    return Tile(*whole[1:]) if len(whole) == len(values) else None


def _prompt(file: PromptsFile, feature: Feature) -> Prompt:
    """The prompt of a feature: its text, with the scores of the tags where the text still says the same."""
    tags = _tags(file, feature)
    text = feature.properties.get("prompt")
    if text is None and tags:
        text = describe(tags)
    negative = feature.properties.get("negative")
    if not isinstance(text, str):
        file.wrong(feature, f"found prompt {text!r:.40}; expected text in a property named 'prompt'")
    if negative is not None and not isinstance(negative, str):
        file.wrong(feature, f"found negative {negative!r:.40}; expected text or null")
    text, negative = clean_text(text), clean_text(negative or "") or None
    if max(len(text), len(negative or "")) > MAX_LENGTH:
        file.wrong(feature, f"prompt longer than {MAX_LENGTH} characters; shorten it")
    if text != describe(tags):
        tags, _ = parse(text, tags)
    return Prompt(text=text, tags=tags, negative=negative, source="file")


def _tags(file: PromptsFile, feature: Feature) -> tuple[Tag, ...]:
    value = feature.properties.get("tags") or []
    try:
        value = json.loads(value) if isinstance(value, str) else value  # QGIS saves lists as text
        tags = tuple(Tag(clean_text(each["name"]), float(each["score"])) for each in value)
    except (ValueError, TypeError, KeyError, RecursionError):
        file.wrong(feature, 'tags not understood; expected a list of {"name": ..., "score": ...}')
    if not all(0.0 <= tag.score <= 1.0 for tag in tags):
        file.wrong(feature, "score of a tag outside 0..1")
    return tags
