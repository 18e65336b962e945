"""Before and after, side by side: the picture by which people judge a result.

    python -m zido_core.picture INPUT RESULT OUT.png --window 64 64 128 128

shows the input with square pixels, enlarged by bicubic interpolation, and the result. All three go through
one display stretch, the input's, so that a difference in brightness or colour is one of the data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .errors import BadInput, InvalidOptions, OutputNotWritable, ZidoError
from .raster.reader import open_source
from .raster.source import Raster, Source
from .resample import resize
from .tiling.grid import Size, Tile

Array = npt.NDArray[Any]
Limits = tuple[float, float]

PANEL = 512
"""Longest side of a panel where no window is asked for, in output pixels."""

_CAPTION = 28
_GAP = 6
_BACKDROP = 236
"""Grey of pixels that are no measurement, and of the space between the panels."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of the strip."""

    caption: str
    """What it is, a few words."""

    image: npt.NDArray[np.uint8]
    """(height, width, 3)."""


def display_limits(raster: Raster) -> Limits:
    """Values shown as black and white: 0 and 255 of uint8, else percentiles 2 and 98 of the valid numbers."""
    if raster.array.dtype == np.uint8:
        return 0.0, 255.0
    values = raster.array[:, raster.valid]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values.astype(np.float64), (2, 98)))
    return (low, high) if high > low else (low, low + 1.0)


def to_display(array: Array, valid: Array, limits: Limits) -> npt.NDArray[np.uint8]:
    """Array (1 or 3 bands, h, w) as an image (h, w, 3) for the screen; invalid pixels are light grey."""
    low, high = limits
    unit = (np.where(valid, array, low).astype(np.float64) - low) / (high - low)
    image = np.where(valid, np.clip(unit, 0.0, 1.0) * 255.0 + 0.5, _BACKDROP).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1))


def compare(before: Raster, after: Raster) -> Image.Image:
    """The strip "input | bicubic | zido" of two rasters of the same place, each of 1 or 3 bands."""
    limits = display_limits(before)
    size = Size(*after.array.shape[1:])
    factor = size.width / before.array.shape[2]
    valid = resize(before.valid[None], size, "nearest")[0]
    filled = np.where(before.valid, before.array, limits[0]).astype(before.array.dtype)
    return strip(
        [
            Panel(caption="input", image=to_display(resize(before.array, size, "nearest"), valid, limits)),
            Panel(
                caption=f"bicubic x{factor:.3g}",
                image=to_display(resize(filled, size, "bicubic"), valid, limits),
            ),
            Panel(caption=f"zido x{factor:.3g}", image=to_display(after.array, after.valid, limits)),
        ]
    )


def strip(panels: Sequence[Panel]) -> Image.Image:
    """Panels from left to right, each under its caption."""
    height = max(panel.image.shape[0] for panel in panels)
    width = sum(panel.image.shape[1] for panel in panels) + _GAP * (len(panels) - 1)
    canvas = Image.new("RGB", (width, _CAPTION + height), (_BACKDROP,) * 3)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=16)
    left = 0
    for panel in panels:
        draw.text((left + 4, _CAPTION // 2), panel.caption, fill=(32, 32, 32), font=font, anchor="lm")
        canvas.paste(Image.fromarray(panel.image), (left, _CAPTION))
        left += panel.image.shape[1] + _GAP
    return canvas


def compare_files(before: Path | str, after: Path | str, window: Tile | None = None) -> Image.Image:
    """The strip of two files; `window` is in pixels of the first, by default its middle."""
    with open_source(before) as first, open_source(after) as second:
        size, target = first.info.size, second.info.size
        factors = target.height / size.height, target.width / size.width
        # A result is its input times one factor, rounded to whole pixels.
        if abs(factors[0] - factors[1]) > 1.0 / min(size):
            raise BadInput(
                f"{second.info.name} has {target.height}x{target.width} pixels and {first.info.name} "
                f"{size.height}x{size.width}: they do not show the same place; give an input and its result"
            )
        part = _middle(size, factors) if window is None else window.intersect(Tile.whole(size))
        if part is None:
            raise InvalidOptions(
                f"the window {tuple(window or ())} is outside the input of {size.height}x{size.width} pixels"
            )
        return compare(
            first.read(part, _shown_bands(first)), second.read(_enlarged(part, factors), _shown_bands(second))
        )


def _middle(size: Size, factors: tuple[float, float]) -> Tile:
    height, width = (max(1, min(n, round(PANEL / f))) for n, f in zip(size, factors, strict=True))
    return Tile((size.height - height) // 2, (size.width - width) // 2, height, width)


def _enlarged(part: Tile, factors: tuple[float, float]) -> Tile:
    top, bottom = (round(row * factors[0]) for row in (part.row, part.bottom))
    left, right = (round(col * factors[1]) for col in (part.col, part.right))
    return Tile(top, left, max(1, bottom - top), max(1, right - left))


def _shown_bands(source: Source) -> tuple[int, ...]:
    """Red, green and blue where the file names them, else the first three bands, else the first."""
    named = {band.interpretation: band.index for band in source.info.bands}
    if {"red", "green", "blue"} <= named.keys():
        return named["red"], named["green"], named["blue"]
    colour = source.info.colour_bands
    return colour[:3] if len(colour) >= 3 else colour[:1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zido_core.picture", description="Before and after, side by side."
    )
    parser.add_argument("input", help="what was upscaled")
    parser.add_argument("result", help="what came out")
    parser.add_argument("output", help="picture to write: .png, .jpg, .webp")
    parser.add_argument(
        "--window",
        nargs=4,
        type=int,
        metavar=("ROW", "COL", "HEIGHT", "WIDTH"),
        help="part to show, in pixels of the input; default: its middle",
    )
    chosen = parser.parse_args(arguments)
    try:
        image = compare_files(chosen.input, chosen.result, chosen.window and Tile(*chosen.window))
        _save(image, Path(chosen.output))
    except ZidoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _save(image: Image.Image, path: Path) -> None:
    try:
        image.save(path)
    except (OSError, ValueError) as error:
        raise OutputNotWritable(f"cannot write {path}: {error}; name a .png, .jpg or .webp") from error


if __name__ == "__main__":
    sys.exit(main())
