"""Any part of any file at any size, as a picture for the screen: what a window shows while people look around.

No model and no PyTorch is needed, so it answers at once. However large the file, memory stays small: large parts are
read strip by strip, or from the file's own overviews.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidOptions, OutputNotWritable
from .job import CancelToken, Shown, View
from .options import Options
from .picture import display_stretch, probe, to_display
from .raster.band_plan import plan_bands
from .raster.fill import fill_invalid
from .raster.missing import WithNodata
from .raster.reader import open_source
from .raster.source import Raster, Source
from .raster.stretch import Stretch
from .resample import resize, resize_window, source_window
from .tiling.grid import Size, Tile

KEPT_OPEN = 4
"""Files that stay open, because the next part of one of them will be asked for soon."""

LARGEST = 4096
"""Longest side of a picture, pixels."""

AT_ONCE = 1 << 22
"""Pixels of a file that are read at a time."""

EXACT = 1 << 26
"""Pixels of which a mean is worth the time; of larger parts, evenly spaced pixels are shown."""


class Viewer:
    """Makes pictures of files, and remembers which were open and how each of them is stretched."""

    def __init__(self) -> None:
        self._open: dict[tuple[object, ...], Source] = {}
        self._stretches: dict[tuple[object, ...], Stretch] = {}

    def show(self, asked: View, cancel: CancelToken) -> Shown:
        """Write the picture; what it shows is a little more than asked, whole pixels of the file."""
        source = self._source(asked.input, asked.options)
        whole = Tile.whole(source.info.size)
        part = _hull(asked.box, whole) if asked.box is not None else whole
        zoom = min(asked.zoom, LARGEST / max(part.height, part.width))
        size = Size(*(max(1, round(side * zoom)) for side in part.size))
        raster = _reduced(source, part, size, asked.options, cancel) if zoom < 1 else None
        raster = raster or _enlarged(source, part, size, asked.options, smooth=asked.smooth)
        stretch = self._stretch(asked.like or asked.input, asked.options)
        _write(Path(asked.output), to_display(raster.array, raster.valid, stretch))
        return Shown(path=asked.output, size=source.info.size, box=part, kind=source.info.kind)

    def close(self) -> None:
        """Let go of all files."""
        while self._open:
            self._open.popitem()[1].close()

    def _source(self, path: str, options: Options) -> Source:
        key = _key(path, options)
        found = self._open.pop(key, None)
        if found is None:
            while len(self._open) >= KEPT_OPEN:
                self._open.pop(next(iter(self._open))).close()
            found = open_source(
                path,
                allow_remote=options.allow_remote and not options.offline,
                allow_vrt=options.allow_vrt,
                max_pixels=max(options.max_pixels, Options().max_pixels * 64),  # the result of such an input
            )
            if options.nodata is not None:
                found = WithNodata(found, options.nodata)
        self._open[key] = found  # the last one used comes last
        return found

    def _stretch(self, path: str, options: Options) -> Stretch:
        key = _key(path, options)
        if key not in self._stretches:
            source = self._source(path, options)
            self._stretches[key] = display_stretch(probe(source, bands_of(source, options)))
        return self._stretches[key]


def bands_of(source: Source, options: Options) -> tuple[int, ...]:
    """The bands that are shown: those that the model sees; in a result that lacks some, its own."""
    names = [band.interpretation for band in source.info.bands]
    words = [band.description for band in source.info.bands]
    try:
        return plan_bands(names, requested=options.bands, descriptions=words).model
    except InvalidOptions:
        return plan_bands(names, descriptions=words).model


def _hull(box: tuple[float, float, float, float], whole: Tile) -> Tile:
    """The whole pixels that a box touches."""
    row, col, height, width = box
    top, left = math.floor(row), math.floor(col)
    around = Tile(top, left, max(1, math.ceil(row + height) - top), max(1, math.ceil(col + width) - left))
    inside = around.intersect(whole)
    if inside is None:
        raise InvalidOptions(f"the box {box} is outside the file of {whole.height} x {whole.width} pixels")
    return inside


def _enlarged(source: Source, part: Tile, size: Size, options: Options, *, smooth: bool) -> Raster:
    read = source.read(part, bands_of(source, options))
    if size == part.size:
        return read
    valid = resize(read.valid[None], size, "nearest")[0]
    if not smooth:
        return Raster(array=resize(read.array, size, "nearest"), valid=valid)
    filled = fill_invalid(read.array, read.valid)
    return Raster(array=_cast(resize(filled, size, "bicubic"), read.array.dtype), valid=valid)


def _reduced(source: Source, part: Tile, size: Size, options: Options, cancel: CancelToken) -> Raster:
    """A part made smaller: its overviews, or its means, or where that takes too long evenly spaced pixels of it."""
    bands = bands_of(source, options)
    ready = source.overview(part, size, bands)
    if ready is not None:
        return ready
    exact = part.height * part.width <= EXACT
    strips = []
    for rows in _strips(part, size):
        cancel.check()
        strips.append((_mean if exact else _picked)(source, part, rows, size, bands))
    return Raster.stack(strips)


def _strips(part: Tile, size: Size) -> Iterator[Tile]:
    """Rows of the picture whose pixels can be read at once."""
    step = max(1, AT_ONCE * size.height // (part.height * part.width))
    for top in range(0, size.height, step):
        yield Tile(top, 0, min(step, size.height - top), size.width)


def _mean(source: Source, part: Tile, rows: Tile, size: Size, bands: tuple[int, ...]) -> Raster:
    """The mean of the valid pixels under each pixel of the picture."""
    window = source_window(rows, part.size, size, "area")
    read = source.read(window.shifted(part.row, part.col), bands)
    origin = window.row, window.col

    def mean(planes: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(resize_window(planes, origin, part.size, size, rows, "area"), np.float32)

    if read.valid.all():
        return Raster(array=_cast(mean(read.array), read.array.dtype), valid=np.ones(rows.size, bool))
    weight = mean(read.valid[None].astype(np.float32))
    total = mean(np.where(read.valid, read.array, 0).astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        array = np.where(weight > 0, total / weight, 0)
    return Raster(array=_cast(array, read.array.dtype), valid=weight[0] >= 0.5)


def _picked(source: Source, part: Tile, rows: Tile, size: Size, bands: tuple[int, ...]) -> Raster:
    """One pixel of the file for each of the picture."""
    lines = ((np.arange(rows.row, rows.bottom) + 0.5) * part.height / size.height).astype(np.intp)
    columns = ((np.arange(size.width) + 0.5) * part.width / size.width).astype(np.intp)
    window = Tile(part.row + int(lines[0]), part.col, int(lines[-1] - lines[0]) + 1, part.width)
    picked = source.read(window, bands).take(lines - lines[0], columns)
    return Raster(array=picked.array, valid=picked.valid)


def _cast(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Whole numbers again where the file has such; only then 0 to 255 is what uint8 is."""
    if dtype.kind not in "iu":
        return array
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(array), limits.min, limits.max), dtype)


def _key(path: str, options: Options) -> tuple[object, ...]:
    """A file as it is now, and how it is read; another result may have taken its name."""
    stamp: tuple[object, ...] = ()
    with suppress(OSError, ValueError):
        facts = os.stat(path)
        stamp = facts.st_mtime_ns, facts.st_size, facts.st_ino
    return path, stamp, options.bands, options.nodata


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    """As a portable pixmap, which every Qt reads and which takes no time."""
    height, width = image.shape[:2]
    try:
        path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + image.tobytes())
    except OSError as error:
        raise OutputNotWritable(f"cannot write the picture {path}: {error.strerror}") from None
