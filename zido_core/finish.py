"""One block at its two ends: the input's numbers as the image that the model sees, the result as the output's bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .blocks import Block
from .color import fix_color
from .raster.radiometry import (
    Placement,
    Stretch,
    add_detail,
    back_project,
    detail_gains,
    fill_invalid,
    limits_of,
    to_dtype,
    to_values,
)
from .raster.source import Raster, Source
from .resample import resize
from .setup import Setup
from .tiling.grid import Tile


class Finished(NamedTuple):
    """The core of a block as the output has it: what a writer takes."""

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


class BlockEnds:
    """Reads a block; then turns what the model makes of it into the output's bands."""

    def __init__(self, source: Source, setup: Setup, block: Block, stretch: Stretch) -> None:
        self.setup, self.block, self.stretch = setup, block, stretch
        self.model = read_bands(source, setup, block.region, setup.bands.model)
        extra = setup.bands.extra
        self.extra = read_bands(source, setup, block.region, extra) if extra else None

    @cached_property
    def filled(self) -> NDArray[Any]:
        """(1 or 3, h, w): the region's model bands, gaps filled."""
        return self._filled(self.model)

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """(3, h, w) in [0, 1]: the region as the model sees it."""
        return np.ascontiguousarray(self.setup.bands.to_model(self.stretch.to_unit(self.filled)))

    def finish(self, sr: NDArray[np.float32]) -> Finished:
        """The block's core from the model's image (3, factor h, factor w) of its region."""
        setup, bands, outer = self.setup, self.setup.bands, self.block.outer
        crop = within(outer, self.block.region)
        placement = Placement(
            source=outer, source_size=setup.info.size, target=setup.target_of(outer), target_size=setup.size
        )
        sr = bands.from_model(self._at_target(self._recoloured(sr), placement.target))
        source, valid = self.filled[crop], validity(self.model)[crop]
        values = to_values(sr, source, self.stretch, placement)
        if setup.options.consistency == "on":
            back_project(values, source, valid, placement, limits=limits_of(setup.dtype))
        core = within(setup.target_of(self.block.core), placement.target)
        array = np.empty((len(bands.written) - (bands.alpha is not None), *values[core].shape[1:]), setup.dtype)
        for positions, part in self._bands(values, source, valid, crop, placement):
            array[positions] = part[core]
        inner = within(self.block.core, outer)
        return Finished(
            array=array,
            alpha=None if self.model.alpha is None else self._alpha(self.model.alpha[None][crop], placement)[core[1:]],
            valid=placement.enlarge(self.model.valid[None][crop], slice(0, placement.target.height), "nearest")[0][core[1:]],
            seen=self.stretch.to_unit(source[inner]),
            made=self.stretch.to_unit(array[self._positions(bands.model)]),
            measured=valid[inner] if valid.ndim == 2 else valid[inner].all(axis=0),
        )

    def _filled(self, raster: Raster) -> NDArray[Any]:
        origin = (self.block.region.row, self.block.region.col)
        return fill_invalid(raster.array, validity(raster), origin=origin)

    def _recoloured(self, sr: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's image with the colours of its input."""
        method = self.setup.options.color_fix
        if method == "none":
            return sr
        height, width = sr.shape[1:]
        like = torch.from_numpy(resize(self.image, self.setup.native_size_of(self.block.region)))
        valid = torch.from_numpy(self.model.valid)
        factor = self.setup.descriptor.native_scale
        grown = valid.repeat_interleave(factor, 0).repeat_interleave(factor, 1)[:height, :width]
        return fix_color(method, torch.from_numpy(sr), like, grown).numpy()

    def _at_target(self, sr: NDArray[np.float32], target: Tile) -> NDArray[np.float32]:
        """The part of the model's image that is the output's ``target``; scales other than the native are resampled."""
        setup, factor = self.setup, self.setup.descriptor.native_scale
        place = self.block.region.scaled(factor)
        if setup.size == setup.native_size:
            return sr[within(target, place)]
        placement = Placement(source=place, source_size=setup.native_size, target=target, target_size=setup.size)
        return placement.enlarge(sr, slice(0, target.height))

    def _bands(
        self,
        values: NDArray[Any],
        source: NDArray[Any],
        valid: NDArray[np.bool_],
        crop: tuple[slice, ...],
        placement: Placement,
    ) -> Iterator[tuple[list[int], NDArray[Any]]]:
        """Model bands and extra bands as the output's numbers, each with their positions among the colour bands."""
        bands = self.setup.bands
        yield self._positions(bands.model), self._numbers(values, self.model, bands.model, valid, crop, placement)
        if self.extra is None:
            return
        small, measured = self._filled(self.extra)[crop], validity(self.extra)[crop]
        gains = detail_gains(small, source, measured) if bands.policy == "detail" else np.zeros(len(small))
        large = add_detail(small, source, values, gains, placement)
        if self.setup.options.consistency == "on":
            back_project(large, small, measured, placement, limits=limits_of(self.setup.dtype))
        yield self._positions(bands.extra), self._numbers(large, self.extra, bands.extra, measured, crop, placement)

    def _positions(self, bands: Sequence[int]) -> list[int]:
        colours = [band for band in self.setup.bands.written if band != self.setup.bands.alpha]
        return [colours.index(band) for band in bands]

    def _numbers(
        self,
        values: NDArray[Any],
        raster: Raster,
        bands: Sequence[int],
        valid: NDArray[np.bool_],
        crop: tuple[slice, ...],
        placement: Placement,
    ) -> NDArray[Any]:
        nodata = [self.setup.nodata[position] for position in self._positions(bands)]
        return to_dtype(values, self.setup.dtype, nodata, valid, placement, source=raster.array[crop])

    def _alpha(self, alpha: NDArray[Any], placement: Placement) -> NDArray[Any]:
        """Opacity at the output's size; masks of only two values stay so."""
        hard = np.isin(alpha, (0, alpha.max())).all()
        rows = slice(0, placement.target.height)
        large = placement.enlarge(alpha, rows, "nearest" if hard else "bicubic")[0]
        old, new = limits_of(alpha.dtype), limits_of(self.setup.dtype)
        if old is not None and new is not None:
            large = np.clip(np.rint(large * np.float64(new[1] / old[1])), 0, new[1])
        return large.astype(self.setup.dtype)


def read_bands(source: Source, setup: Setup, window: Tile, bands: Sequence[int]) -> Raster:
    """A window of the input; the user's nodata value is missing there, too."""
    raster = source.read(window, bands)
    nodata = setup.options.nodata
    if nodata is None:
        return raster
    measured = validity(raster) & (raster.array != nodata)
    return replace(raster, valid=raster.valid & measured.any(axis=0), band_valid=measured)


def validity(raster: Raster) -> NDArray[np.bool_]:
    """(h, w), or (bands, h, w) where bands differ."""
    return raster.valid if raster.band_valid is None else raster.band_valid


def within(tile: Tile, outer: Tile) -> tuple[Any, ...]:
    """Index of the part ``tile`` in an array of ``outer``."""
    return (..., *tile.shifted(-outer.row, -outer.col).slices)
