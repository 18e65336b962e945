"""The page of one run: the image under its tiles, and the places where a look is worth most."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import OutputFailed
from ..picture import Array, display_stretch, enlarged, shown_bands, to_display
from ..prompts.base import Prompt
from ..raster.fill import fill_invalid
from ..raster.reader import open_source
from ..raster.source import Raster, Source
from ..raster.stretch import Stretch
from ..resample import resize
from ..tiling.grid import Size, Tile, even_grid
from .page import Outline, Overview, Page, Picture, Place, as_html
from .table import Table

SIDE, LEAST = 448, 160
"""Side of a place in pixels of the result: a third of a small image, but no less than this."""

CANDIDATES = 64
"""At most so many windows are looked at, evenly spread."""

OVERVIEW_SIDE = 1100
"""Longest side of the overview, pixels."""

MOST_TILES = 2500
"""More outlines than this would hide the picture."""

MOST_PROMPTS = 60
"""So many of the most frequent prompts are listed."""


class Look(NamedTuple):
    """A window of the input, seen before and after."""

    window: Tile
    """In pixels of the input."""
    change: float
    """Mean absolute difference between the result and the bicubic enlargement, of 255; NaN if nothing is valid."""
    pictures: tuple[Picture, Picture]
    """The bicubic enlargement, and the result."""


class Pair:
    """The input and the result, through one display stretch."""

    def __init__(self, source: Source, result: Source) -> None:
        self.source, self.result = source, result
        self.size = source.info.size
        self.factors = result.info.size.height / self.size.height, result.info.size.width / self.size.width
        self.bands = shown_bands(source), shown_bands(result)
        self.stretch: Stretch = display_stretch(_thumbnail(source, self.bands[0], 1024))

    def look(self, window: Tile) -> Look:
        """A window of the input, before and after."""
        before = self.source.read(window, self.bands[0])
        after = self.result.read(enlarged(window, self.factors), self.bands[1])
        size = Size(*after.array.shape[1:])
        valid = resize(before.valid[None], size, "nearest")[0] & after.valid
        smooth = resize(fill_invalid(before.array, before.valid), size, "bicubic")
        pictures = self._shown(smooth, valid), self._shown(after.array, valid)
        return Look(window, _difference(*pictures, valid), pictures)

    def overview(self) -> Picture:
        """The whole result, small."""
        # A thumbnail takes pixels without mixing them: a larger one is mixed down.
        large = _thumbnail(self.result, self.bands[1], 3 * OVERVIEW_SIDE)
        height, width = large.array.shape[1:]
        factor = max(1.0, max(height, width) / OVERVIEW_SIDE)
        size = Size(max(1, round(height / factor)), max(1, round(width / factor)))
        mixed = resize(fill_invalid(large.array, large.valid), size, "area")
        return self._shown(mixed, resize(large.valid[None], size, "nearest")[0])

    def _shown(self, array: Array, valid: Array) -> Picture:
        return to_display(array, valid, self.stretch)


def _thumbnail(source: Source, bands: Sequence[int], side: int) -> Raster:
    """Some bands of the whole image, small."""
    raster = source.thumbnail(side)
    chosen = [source.info.colour_bands.index(band) for band in bands]
    return replace(raster, array=raster.array[chosen])


def page_of_run(
    source: Source,
    result: Source,
    record: Mapping[str, Any],
    tiles: Sequence[Tile],
    prompts: Sequence[Prompt],
    boxes: Sequence[Tile] = (),
) -> Page:
    """What ``record`` (the manifest) says, with pictures of ``source`` and ``result``.

    ``tiles`` (pixels of the input) and ``prompts`` belong together; ``boxes`` (pixels of the input) are places that
    the user wants to see. Reads windows and thumbnails only.
    """
    pair = Pair(source, result)
    outlines = [Outline(window=tile, text=p.text) for tile, p in zip(tiles, prompts, strict=True)]
    places = [
        Place(title=title, names=("bicubic", record["model"]["name"]), pictures=seen.pictures, window=seen.window)
        for title, seen in _places(pair, tiles, boxes)
    ]
    return Page(
        title=f"{record['input']['name']}, {record['model']['name']} x{pair.factors[0]:.3g}",
        warnings=record["warnings"],
        overview=Overview(
            picture=pair.overview(), size=pair.size, outlines=outlines if len(outlines) <= MOST_TILES else ()
        ),
        places=places,
        tables=list(_tables(record, prompts)),
    )


def keep_report(
    path: Path,
    source: Source,
    output: Path,
    record: Mapping[str, Any],
    tiles: Sequence[Tile],
    prompts: Sequence[Prompt],
    boxes: Sequence[Tile] = (),
) -> None:
    """Write the page of a run whose result is the file ``output``; the file is complete, or as it was."""
    with open_source(output) as result:
        text = as_html(page_of_run(source, result, record, tiles, prompts, boxes))
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputFailed(f"the report {path} cannot be written: {error.strerror or error}") from error


def _places(pair: Pair, tiles: Sequence[Tile], boxes: Sequence[Tile]) -> Iterator[tuple[str, Look]]:
    """The user's boxes, the largest, median and smallest changes, and the seams with the largest change."""
    for box in boxes:
        window = box.intersect(Tile.whole(pair.size))
        if window is not None:
            yield f"your box at row {window.row}, column {window.col}", pair.look(window)
    ranked = _ranked(pair, _spread(pair))
    for title, seen in _chosen(ranked):
        yield f"{title} (mean {seen.change:.1f} of 255)", seen
    shown = {seen.window for _, seen in _chosen(ranked)}
    seams = [look for look in _ranked(pair, _seams(pair, tiles)) if look.window not in shown]
    for seen in seams[:2]:
        yield "where four tiles meet", seen


def _chosen(ranked: Sequence[Look]) -> list[tuple[str, Look]]:
    """Three of the largest changes, two about the median, one of the smallest; fewer of a small image."""
    ranks = {0: "largest change", 1: "second largest change", 2: "third largest change"}
    middle, last = len(ranked) // 2, len(ranked) - 1
    ranks |= {middle: "median change", middle + 1: "about the median change", last: "smallest change"}
    if len(ranked) < 4:
        ranks = {0: "largest change", last: "smallest change"}
    return [(ranks[rank], ranked[rank]) for rank in sorted(ranks) if 0 <= rank <= last]


def _ranked(pair: Pair, windows: Sequence[Tile]) -> list[Look]:
    """Looks at the windows, the largest change first; windows without a valid pixel are left out."""
    looks = [look for look in map(pair.look, windows) if np.isfinite(look.change)]
    return sorted(looks, key=lambda look: -look.change)


def _spread(pair: Pair) -> list[Tile]:
    """Windows all over the image, evenly thinned out."""
    tiles = even_grid(pair.size, _window_size(pair), 0).tiles
    step = max(1, -(-len(tiles) // CANDIDATES))
    return list(tiles[step // 2 :: step])


def _seams(pair: Pair, tiles: Sequence[Tile]) -> list[Tile]:
    """Windows about the corners of tiles inside the image, evenly thinned out."""
    height, width = _window_size(pair)
    inside = [tile for tile in tiles if tile.bottom < pair.size.height and tile.right < pair.size.width]
    step = max(1, -(-len(inside) // (CANDIDATES // 4)))
    rooms = pair.size.height - height, pair.size.width - width
    return [
        Tile(_within(tile.bottom - height // 2, rooms[0]), _within(tile.right - width // 2, rooms[1]), height, width)
        for tile in inside[::step]
    ]


def _within(start: int, room: int) -> int:
    return max(0, min(start, room))


def _window_size(pair: Pair) -> Size:
    side = max(LEAST, min(SIDE, max(pair.result.info.size) // 3))
    height, width = (max(1, min(n, round(side / f))) for n, f in zip(pair.size, pair.factors, strict=True))
    return Size(height, width)


def _difference(before: Picture, after: Picture, valid: Array) -> float:
    if not valid.any():
        return float("nan")
    return float(np.abs(before.astype(np.int16) - after)[valid].mean())


def _tables(record: Mapping[str, Any], prompts: Sequence[Prompt]) -> Iterator[Table]:
    consistency = {name.replace("_", " "): value for name, value in record["consistency"].items()}
    for title, facts in (
        ("Consistency with the input", consistency),
        ("Input", record["input"]),
        ("Output", record["output"]),
        ("Model", record["model"]),
        ("Options", record["options"]),
        ("Time in seconds", record["seconds"]),
        ("Versions", {"zido": record["zido"], "device": record["device"], **record["versions"]}),
    ):
        rows = [[name, _shown(value)] for name, value in facts.items()]
        yield Table(title=title, headings=["", ""], rows=rows)
    texts = Counter(prompt.text or "(empty)" for prompt in prompts)
    rows = [[text, str(count)] for text, count in texts.most_common(MOST_PROMPTS)]
    title = f"Prompts: {len(texts)} different of {len(prompts)} tiles"
    yield Table(title=title, headings=["Prompt", "Tiles"], rows=rows)


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return " x ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
