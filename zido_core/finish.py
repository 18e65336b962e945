"""The two ends of the model: the input's numbers as the image that it sees, its own image as the output's bands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .blocks import Block
from .color import Statistics, fix_color
from .pieces import Piece
from .raster.radiometry import (
    Placement,
    Stretch,
    add_detail,
    back_project,
    fill_invalid,
    keep_local_means,
    limits_of,
    to_dtype,
    to_values,
)
from .raster.source import Raster, Source
from .resample import Kernel, resize
from .setup import Setup
from .survey import Survey
from .tiling.grid import Tile

FILL_REACH = 64
"""Input pixels: a filled gap depends on nothing farther away."""

UNIT_ROWS = 32
"""Rows that are brought to units of the stretch at a time."""


class Bands(NamedTuple):
    """Bands that are treated alike, in one window of the input."""

    numbers: tuple[int, ...]
    """Which bands of the input, from 1."""
    raster: Raster
    """Their pixels."""
    filled: NDArray[Any]
    """(bands, h, w): the pixels, gaps filled."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(h, w), or (bands, h, w) where bands differ."""
        return self.raster.valid if self.raster.band_valid is None else self.raster.band_valid

    def cropped(self, tile: Tile) -> Bands:
        """A part of the window."""
        return Bands(self.numbers, self.raster.crop(tile), self.filled[:, *tile.slices])


class Finished(NamedTuple):
    """The core of a piece as the output has it: what a writer takes."""

    array: NDArray[Any]
    """(bands without alpha, H, W) in the output's data type."""
    alpha: NDArray[Any] | None
    """(H, W)."""
    valid: NDArray[np.bool_]
    """(H, W)."""
    seen: NDArray[np.float32]
    """(1 or 3, h, w): the core's input in units of the stretch, gaps filled."""
    made: NDArray[np.float32]
    """(1 or 3, H, W): the same bands of ``array``, in the same units."""
    measured: NDArray[np.bool_]
    """(h, w): where ``seen`` is measured in all bands."""


class PieceEnds:
    """Reads a piece of the input; then turns what the model makes of it into the output's bands."""

    def __init__(self, source: Source, setup: Setup, piece: Piece, survey: Survey) -> None:
        self.setup, self.piece, self.survey = setup, piece, survey
        self.model = read_bands(source, piece.seen, setup.bands.model, survey)
        extra = setup.bands.extra
        self.extra = read_bands(source, piece.outer, extra, survey) if extra else None

    def statistics(self, sr: NDArray[np.float32]) -> Statistics | None:
        """What the colour correction needs to know of this piece; ``sr`` as in `finish`."""
        factor = self.setup.descriptor.native_scale
        core = within(self.piece.core, self.piece.seen).scaled(factor).slices
        return Statistics.of(self.setup.options.color_fix, torch.from_numpy(sr), *self._style, core)

    def finish(self, sr: NDArray[np.float32], statistics: Statistics | None = None) -> Finished:
        """The piece's core from the model's image (3, factor h, factor w) of all that the piece sees.

        ``statistics``: of the whole image, where the colour correction needs them.
        """
        setup, stretch, outer = self.setup, self.survey.stretch, self.piece.outer
        placement = Placement(
            source=outer, source_size=setup.info.size, target=setup.target_of(outer), target_size=setup.size
        )
        model = self.model.cropped(within(outer, self.piece.seen))
        sr = self._at_target(self._recoloured(sr, statistics), placement.target)
        values = to_values(setup.bands.from_model(sr), model.filled, stretch, placement)
        self._keep_means(values, model, placement)
        planes = self._planes(values, model, placement)
        core = within(setup.target_of(self.piece.core), placement.target).slices
        small = model.cropped(within(self.piece.core, outer))
        array, numbers = planes[:, *core], planes[self._positions(model)]
        # Gaps hold nodata, NaN or anything; what the file says is measured where it says something.
        holds = _enlarged(model.valid, placement, "nearest")
        made = (numbers if holds.all() else np.where(holds, numbers, values))[:, *core]
        return Finished(
            array=array,
            alpha=None if model.raster.alpha is None else self._alpha(model.raster.alpha, placement)[core],
            valid=_enlarged(model.raster.valid, placement, "nearest")[0][core],
            seen=_units(small.filled, stretch),
            made=_units(made, stretch),
            measured=np.logical_and.reduce(small.raster.every_band_valid),
        )

    @cached_property
    def _style(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The enlarged input (3, H, W), whose colours the result shall have, and where it is valid (H, W)."""
        factor = self.setup.descriptor.native_scale
        image = resize(model_image(self.model, self.setup, self.survey), self.piece.seen.size.scaled(factor))
        valid = torch.from_numpy(self.model.raster.valid)
        return torch.from_numpy(image), valid.repeat_interleave(factor, 0).repeat_interleave(factor, 1)

    def _recoloured(self, sr: NDArray[np.float32], statistics: Statistics | None) -> NDArray[np.float32]:
        """The model's image with the colours of its input."""
        method = self.setup.options.color_fix
        if method == "none":
            return sr
        return fix_color(method, torch.from_numpy(sr), *self._style, statistics).numpy()

    def _at_target(self, sr: NDArray[np.float32], target: Tile) -> NDArray[np.float32]:
        """The output's part ``target`` of the model's image; scales other than the native are resampled."""
        setup, place = self.setup, self.piece.seen.scaled(self.setup.descriptor.native_scale)
        if setup.size == setup.native_size:
            return sr[:, *within(target, place).slices]
        placement = Placement(source=place, source_size=setup.native_size, target=target, target_size=setup.size)
        return placement.enlarge(sr, slice(0, target.height))

    def _planes(self, values: NDArray[Any], model: Bands, placement: Placement) -> NDArray[Any]:
        """All written bands but alpha, in the output's data type; ``values`` are those of the model's bands."""
        planes = np.empty((len(self.setup.colours), *placement.target.size), self.setup.dtype)
        planes[self._positions(model)] = self._numbers(values, model, placement)
        if self.extra is not None:
            large = add_detail(self.extra.filled, model.filled, values, self.survey.gains, placement)
            self._keep_means(large, self.extra, placement)
            planes[self._positions(self.extra)] = self._numbers(large, self.extra, placement)
        return planes

    def _keep_means(self, values: NDArray[Any], bands: Bands, placement: Placement) -> None:
        """Back-projection, in place, unless the user turned it off."""
        keep = {"on": back_project, "local": keep_local_means}.get(self.setup.options.consistency)
        if keep is not None:
            keep(values, bands.filled, bands.valid, placement, limits=self.setup.limits_of(bands.numbers))

    def _numbers(self, values: NDArray[Any], bands: Bands, placement: Placement) -> NDArray[Any]:
        setup = self.setup
        return to_dtype(
            values,
            setup.dtype,
            setup.nodata_of(bands.numbers),
            bands.valid,
            placement,
            source=bands.raster.array,
            limits=setup.limits_of(bands.numbers),
        )

    def _positions(self, bands: Bands) -> list[int]:
        """Where these bands are among the written ones without alpha."""
        return [self.setup.colours.index(band) for band in bands.numbers]

    def _alpha(self, alpha: NDArray[Any], placement: Placement) -> NDArray[Any]:
        """Opacity (H, W) in the output's data type; full is full in both types."""
        (large,) = _enlarged(alpha, placement, "nearest" if self.survey.hard_alpha else "bicubic")
        old, new = limits_of(alpha.dtype), limits_of(self.setup.dtype)
        if old is not None and new is not None:
            large = np.rint(large * (new[1] / old[1])).clip(0, new[1])
        return np.asarray(large, self.setup.dtype)


def region_image(source: Source, setup: Setup, block: Block, survey: Survey) -> tuple[NDArray[np.float32], bool]:
    """(3, h, w) in [0, 1]: a block's region as the model sees it, and whether any pixel of it is valid."""
    bands = read_bands(source, block.region, setup.bands.model, survey)
    return model_image(bands, setup, survey), bool(bands.raster.valid.any())


def read_bands(source: Source, window: Tile, bands: Sequence[int], survey: Survey) -> Bands:
    """Some bands of a window, gaps filled as in every other window: from all that is within the reach of a fill."""
    raster = source.read(window, bands)
    read = Bands(tuple(bands), raster, raster.array)
    if read.valid.all():
        return read._replace(filled=fill_invalid(raster.array, read.valid))
    wide = window.pad(FILL_REACH, source.info.size)
    around = Bands(tuple(bands), source.read(wide, bands), raster.array)
    far, origin = survey.fill_of(bands), (wide.row, wide.col)
    filled = fill_invalid(around.raster.array, around.valid, origin=origin, far=far)
    return read._replace(filled=filled[:, *within(window, wide).slices])


def model_image(bands: Bands, setup: Setup, survey: Survey) -> NDArray[np.float32]:
    """(3, h, w) in [0, 1]: the model's bands as it sees them."""
    return np.ascontiguousarray(setup.bands.to_model(survey.stretch.to_unit(bands.filled)))


def within(tile: Tile, outer: Tile) -> Tile:
    """The same tile, counted from the corner of ``outer``."""
    return tile.shifted(-outer.row, -outer.col)


def _units(numbers: NDArray[Any], stretch: Stretch) -> NDArray[np.float32]:
    """Numbers in units of the stretch, farther than the model sees: highlights count, too, but not alone."""
    wide = np.result_type(numbers.dtype, np.float32)
    out = np.empty(numbers.shape, np.float32)
    for start in range(0, numbers.shape[1], UNIT_ROWS):  # few enough to stay in the processor's cache
        rows = slice(start, start + UNIT_ROWS)
        units = np.subtract(numbers[:, rows], stretch.lo, dtype=wide)
        units *= wide.type(1 / stretch.span)
        np.clip(units, -1, 2, out=out[:, rows], casting="same_kind")
    return out


def _enlarged(planes: NDArray[Any], placement: Placement, kernel: Kernel) -> NDArray[Any]:
    """(bands, H, W) of (bands, h, w) or (h, w)."""
    crop: NDArray[Any] = planes if planes.ndim == 3 else planes[None]
    large: NDArray[Any] = placement.enlarge(crop, slice(0, placement.target.height), kernel)
    return large
