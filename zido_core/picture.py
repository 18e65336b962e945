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
from .raster.band_plan import plan_bands
from .raster.fill import fill_invalid
from .raster.reader import open_source
from .raster.source import Raster, Source
from .raster.stretch import Stretch, fit_stretch
from .resample import resize
from .tiling.grid import Size, Tile

Array = npt.NDArray[Any]

PANEL = 512
"""Longest side of a panel where no window is asked for, in output pixels."""

PROBES = 5
"""A file is judged by so many times so many places of it, each so large:"""

PROBE_SIDE = 256

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


def display_stretch(raster: Raster) -> Stretch:
    """What is shown as black and white: 0 and 255 of uint8, else percentiles 2 and 98 of what is valid."""
    dtype = raster.array.dtype
    return fit_stretch(raster.array, raster.valid, dtype, "dtype" if dtype == np.uint8 else "percentile:2,98")


def to_display(array: Array, valid: Array, stretch: Stretch) -> npt.NDArray[np.uint8]:
    """Array (1 or 3 bands, h, w) as an image (h, w, 3) for the screen; invalid pixels are light grey."""
    shown = stretch.to_unit(np.where(valid, array, 0)) * 255.0 + 0.5
    image = np.where(valid, shown, _BACKDROP).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1))


def probe(source: Source, bands: tuple[int, ...]) -> Raster:
    """Places all over a file, one below the other: what its stretch is judged by, however large it is."""
    info = source.info
    if info.dtype == "uint8":  # shown as it is
        return Raster(array=np.zeros((1, 1, 1), np.uint8), valid=np.ones((1, 1), bool))
    sides = Size(*(min(side, PROBE_SIDE) for side in info.size))
    tops, lefts = (
        sorted({round(step * (whole - side) / (PROBES - 1)) for step in range(PROBES)})
        for whole, side in zip(info.size, sides, strict=True)
    )
    places = (source.read(Tile(top, left, *sides), bands) for top in tops for left in lefts)
    return Raster.stack([Raster(array=place.array, valid=place.valid) for place in places])


def compare(before: Raster, after: Raster) -> Image.Image:
    """The strip "input | bicubic | zido" of two rasters of the same place, each of 1 or 3 bands."""
    stretch = display_stretch(before)
    size = Size(*after.array.shape[1:])
    factor = size.width / before.array.shape[2]
    valid = resize(before.valid[None], size, "nearest")[0]
    pixels = resize(before.array, size, "nearest")
    bicubic = resize(fill_invalid(before.array, before.valid), size, "bicubic")
    return strip(
        [
            Panel(caption="input", image=to_display(pixels, valid, stretch)),
            Panel(caption=f"bicubic x{factor:.3g}", image=to_display(bicubic, valid, stretch)),
            Panel(caption=f"zido x{factor:.3g}", image=to_display(after.array, after.valid, stretch)),
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
        return compare(first.read(part, shown_bands(first)), second.read(enlarged(part, factors), shown_bands(second)))


def _middle(size: Size, factors: tuple[float, float]) -> Tile:
    height, width = (max(1, min(n, round(PANEL / f))) for n, f in zip(size, factors, strict=True))
    return Tile((size.height - height) // 2, (size.width - width) // 2, height, width)


def enlarged(part: Tile, factors: tuple[float, float]) -> Tile:
    """A window of the input in pixels of the result."""
    top, bottom = (round(row * factors[0]) for row in (part.row, part.bottom))
    left, right = (round(col * factors[1]) for col in (part.col, part.right))
    return Tile(top, left, max(1, bottom - top), max(1, right - left))


def shown_bands(source: Source) -> tuple[int, ...]:
    """The bands that a model would see."""
    bands = source.info.bands
    names = [band.description for band in bands]
    return plan_bands([band.interpretation for band in bands], descriptions=names).model


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zido_core.picture", description="Before and after, side by side.")
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
