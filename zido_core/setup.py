"""Everything that is decided before any work is done: options, bands, sizes, tiles, the output, the plan."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from . import device as devices
from . import pace
from .blocks import Block, Canvas, blocks_of, canvas_of
from .catalog import ModelDescriptor, describe
from .errors import InvalidOptions, OutputNotWritable
from .job import Plan
from .options import Options, ResolvedOptions, resolve
from .raster.band_plan import BandPlan, plan_bands
from .raster.output import OutputSpec
from .raster.source import Source, SourceInfo
from .raster.stretch import Stretch, fit_stretch
from .raster.target import choose_output
from .tiling.grid import Size, Tile

BLOCK_SIZE = 4096
"""Output pixels at the native scale along the side of a block: bounds the memory of a run."""

SAMPLE_SIDE = 2048
"""Longest side of the thumbnail to which the stretch is fitted, pixels."""

BASE_BYTES = 450 * 2**20
"""Memory of the process with everything loaded."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A run, decided."""

    options: ResolvedOptions
    """All of them concrete."""
    descriptor: ModelDescriptor
    """The model."""
    info: SourceInfo
    """The input."""
    bands: BandPlan
    """What happens to which band."""
    size: Size
    """Height and width of the output."""
    dtype: str
    """Data type of the output."""
    nodata: tuple[float | None, ...]
    """What marks missing pixels, per written band without alpha."""
    canvas: Canvas
    """The tiles."""
    output: OutputSpec | None
    """The file to write; None for images in memory."""

    @property
    def native_size(self) -> Size:
        """Size at the model's own factor."""
        return self.info.size.scaled(self.descriptor.native_scale)

    def native_size_of(self, tile: Tile) -> Size:
        """Size of a tile of input pixels at the model's own factor."""
        return tile.size.scaled(self.descriptor.native_scale)

    @property
    def block_size(self) -> int:
        """Side of a block's core, input pixels."""
        return BLOCK_SIZE // self.descriptor.native_scale

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """What is denoised together."""
        return tuple(blocks_of(self.canvas, self.block_size))

    def target_of(self, tile: Tile) -> Tile:
        """The output pixels of a tile of input pixels; tiles that share an edge share it here, too."""
        (top, bottom), (left, right) = (
            (start * large // small, stop * large // small)
            for start, stop, large, small in zip(
                (tile.row, tile.col), (tile.bottom, tile.right), self.size, self.info.size, strict=True
            )
        )
        return Tile(top, left, bottom - top, right - left)

    def stretch_of(self, source: Source) -> Stretch:
        """One stretch for the whole dataset, from a thumbnail."""
        sample = source.thumbnail(SAMPLE_SIDE)
        places = [self.info.colour_bands.index(band) for band in self.bands.model]
        array, valid = sample.array[places], np.broadcast_to(sample.valid, sample.array.shape)[places]
        if sample.band_valid is not None:
            valid = sample.band_valid[places]
        if self.options.nodata is not None:
            valid = valid & (array != self.options.nodata)
        return fit_stretch(array, valid, self.info.dtype, self.options.stretch, kind=self.info.kind)

    @property
    def work(self) -> int:
        """Units of work: what the network computes, in input pixels times passes."""
        passes = self.options.steps * (2 if self.options.guidance_scale != 1 else 1)
        passes = passes if self.options.fidelity < 1 else 0
        return sum(
            block.region.height * block.region.width
            + passes * len(block.grid) * block.grid.tile.height * block.grid.tile.width
            for block in self.blocks
        )

    @property
    def plan(self) -> Plan:
        """For people: what it takes."""
        device = devices.choose_device(self.options.device)
        georeference = self.info.geobox.crs or self.info.geobox.gcps_crs
        return Plan(
            input_size=self.info.size,
            output_size=self.size,
            scale=self.options.scale,
            tiles=len(self.canvas.grid),
            tile_size=self.options.tile_size,
            memory_bytes=self.memory,
            disk_bytes=0 if self.output is None else self.raw_bytes,
            seconds=pace.expected(self.options.model, device, self.work),
            output=None if self.output is None else str(self.output.path),
            crs=None if georeference is None else georeference.to_string(),
            device=device,
            warnings=(*self.info.warnings, *(() if self.output is None else self.output.warnings)),
        )

    @property
    def raw_bytes(self) -> int:
        """Bytes of the output without compression."""
        return self.size.height * self.size.width * len(self.bands.written) * np.dtype(self.dtype).itemsize

    @property
    def memory(self) -> int:
        """Expected peak of memory: that of the largest block."""
        largest = max(block.region.height * block.region.width for block in self.blocks)
        numbers = self.raw_bytes if self.output is None or self.output.format.through != "rasterio" else 0
        return BASE_BYTES + largest * self.descriptor.bytes_per_pixel + numbers


def prepare(
    source: Source, dst: str | os.PathLike[str] | None, options: Options, *, to_file: bool
) -> Setup:
    """Decide everything, or raise the error that tells why not; reads nothing but the head of the input."""
    info, descriptor = source.info, describe(options.model)
    resolved = resolve(options, descriptor, info.kind)
    bands = plan_bands(
        [band.interpretation for band in info.bands],
        requested=resolved.bands,
        extra_bands=resolved.extra_bands,
        descriptions=[band.description for band in info.bands],
    )
    size = Size(*(max(1, round(side * resolved.scale)) for side in info.size))
    stride = descriptor.latent_stride
    written = [info.bands[band - 1] for band in bands.written]
    output = None
    if to_file:
        output = choose_output(
            info,
            dst,
            scale=resolved.scale,
            size=size,
            bands=written,
            dtype=resolved.dtype,
            nodata=resolved.nodata,
            creation_options=resolved.creation_options,
            cog=resolved.cog,
            overwrite=resolved.overwrite,
        )
        for companion in (resolved.manifest, resolved.save_prompts):
            check_companion(companion, output.path, overwrite=resolved.overwrite)
    colours = [band for band in written if band.index != bands.alpha]
    return Setup(
        options=resolved,
        descriptor=descriptor,
        info=info,
        bands=bands,
        size=size,
        dtype=resolved.dtype or info.dtype,
        nodata=tuple(band.nodata if resolved.nodata is None else resolved.nodata for band in colours),
        canvas=canvas_of(
            info.size,
            tile=resolved.tile_size // stride,
            overlap=resolved.tile_overlap // stride,
            multiple=descriptor.tile_multiple // stride,
            pixels_per_latent=Fraction(stride, descriptor.native_scale),
        ),
        output=output,
    )


def check_companion(path: str | None, output: Path, *, overwrite: bool) -> None:
    """A file written beside the output must not exist, nor be the output itself."""
    if path is None:
        return
    if os.path.realpath(path) == os.path.realpath(output):
        raise InvalidOptions(f"{path} is the output itself; choose another name")
    if os.path.exists(path) and not overwrite:
        raise OutputNotWritable(f"{path} exists; give --overwrite to replace it, or choose another name")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise OutputNotWritable(f"there is no folder {os.path.dirname(path)}; make it first")
