"""Everything that is decided before any work is done: options, bands, sizes, tiles, the output, the plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import device as devices
from . import pace
from .blocks import HALO, MARGIN, Canvas, Layout, canvas_of, layout_of
from .catalog import ModelDescriptor, describe
from .color import REACH
from .errors import InvalidOptions, OutputNotWritable
from .job import Plan
from .options import Options, ResolvedOptions, resolve
from .pieces import FRACTIONAL_MARGIN, PIECE, WHOLE_MARGIN, Pieces
from .prompts.compose import Region
from .prompts.regions import load_regions
from .raster.band_plan import BandPlan, plan_bands
from .raster.output import OutputSpec
from .raster.radiometry import limits_of
from .raster.source import Source, SourceInfo
from .raster.target import check_room, choose_output
from .render import work_of
from .tiling.grid import Size, Tile
from .work.folder import taken_by, work_folder
from .work.image_form import form_for

BLOCK_SIZE = 4096
"""Output pixels at the native scale along the side of a block: bounds the memory of a run."""

LEAST_BLOCK = 1024
"""So small a block at least, where nobody says anything."""

SHARE = 0.6
"""Share of the device's memory that a block may take, where nobody says anything."""

BASE_BYTES = 450 * 2**20
"""Memory of the process with everything loaded."""

PROMPT_MODES = ("local", "global", "none")
"""Values of ``prompts`` that are no file."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A run, decided."""

    asked: Options
    """What the user said."""
    options: ResolvedOptions
    """All of them concrete, device and precision too."""
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
    canvas: Canvas
    """The tiles."""
    block_size: int
    """Side of a block's core, output pixels at the native scale."""
    regions: tuple[Region, ...]
    """Prompts of a file."""
    output: OutputSpec | None
    """The file to write; None for images in memory."""

    @property
    def native_size(self) -> Size:
        """Size at the model's own factor."""
        return self.info.size.scaled(self.descriptor.native_scale)

    @cached_property
    def blocks(self) -> Layout:
        """What is denoised together; neighbours are blended as wide as neighbouring tiles are."""
        factor, options = self.descriptor.native_scale, self.options
        moving = options.fusion in ("spot", "spot-hybrid")
        return layout_of(
            self.canvas,
            max(1, self.block_size // factor),
            reach=max(MARGIN, -(-options.tile_overlap // (2 * factor))),
            halo=HALO + (options.tile_size // factor if moving else 0),  # windows in an extent lie in the region
        )

    @cached_property
    def pieces(self) -> Pieces:
        """What is finished at a time; the same whatever the blocks are."""
        factor = self.descriptor.native_scale
        whole_factor = all(large % small == 0 for large, small in zip(self.size, self.info.size, strict=True))
        local = self.options.color_fix in ("wavelet", "lab")
        return Pieces(
            size=self.info.size,
            side=PIECE // factor,
            margin=WHOLE_MARGIN if whole_factor else FRACTIONAL_MARGIN,
            sight=-(-REACH // factor) + 2 if local else 0,
        )

    @cached_property
    def colours(self) -> tuple[int, ...]:
        """Bands of the input in the order of the output's bands, without alpha."""
        return tuple(band for band in self.bands.written if band != self.bands.alpha)

    def nodata_of(self, bands: Sequence[int]) -> tuple[float | None, ...]:
        """What marks missing pixels in each of these bands."""
        return tuple(self.info.bands[band - 1].nodata for band in bands)

    def limits_of(self, bands: Sequence[int]) -> tuple[float, float] | None:
        """Least and largest number that the output may hold in these bands; None: any."""
        bits = [self.info.bands[band - 1].bits for band in bands]
        used = [count for count in bits if count is not None]
        if self.dtype == self.info.dtype and used and len(used) == len(bits):
            return 0.0, 2.0 ** max(used) - 1
        return limits_of(self.dtype)

    def target_of(self, tile: Tile) -> Tile:
        """The output pixels of a tile of input pixels; tiles that share an edge share it here, too."""
        (top, bottom), (left, right) = (
            (start * large // small, stop * large // small)
            for start, stop, large, small in zip(
                (tile.row, tile.col), (tile.bottom, tile.right), self.size, self.info.size, strict=True
            )
        )
        return Tile(top, left, bottom - top, right - left)

    @property
    def stages(self) -> tuple[str, ...]:
        """The parts of the work, in words."""
        main = "denoising" if self.options.diffuses else "enlarging"
        return ("reading", "tagging", main, "finishing", *(() if self.output is None else ("verifying",)))

    @cached_property
    def work(self) -> int:
        """Units of work of all blocks and pieces."""
        blocks = sum(work_of(block, self.options) for block in self.blocks)
        return blocks + sum(piece.work for piece in self.pieces)

    @property
    def work_bytes(self) -> int:
        """Room on the disk for all blocks, where there are several; they are needed until the output is complete."""
        if self.output is None or len(self.blocks) == 1:
            return 0
        (height, width), factor = self.native_size, self.descriptor.native_scale
        (rows, cols), (down, along) = self.blocks.shape, self.blocks.reach
        tall, wide = height + 2 * (rows - 1) * down * factor, width + 2 * (cols - 1) * along * factor
        return tall * wide * 3 * self.form.itemsize

    @property
    def form(self) -> np.dtype:
        """How images of blocks wait for the output, a single one, too: the result is the same whatever blocks are."""
        return form_for(self.info.dtype, self.dtype)

    @property
    def plan(self) -> Plan:
        """For people: what it takes."""
        georeference = self.info.geobox.crs or self.info.geobox.gcps_crs
        return Plan(
            input_size=self.info.size,
            output_size=self.size,
            scale=self.options.scale,
            tiles=len(self.canvas.grid),
            tile_size=self.options.tile_size,
            memory_bytes=self.memory * self.processes,
            disk_bytes=0 if self.output is None else self.output.room + self.work_bytes,
            seconds=pace.expected(self.kind_of_work, self.work),
            output=None if self.output is None else str(self.output.path),
            crs=None if georeference is None else georeference.to_string(),
            device=self.options.device,
            warnings=self.warnings,
        )

    def given(self) -> dict[str, Any]:
        """The options with all that this machine decided, for other processes that share the work; JSON-like."""
        decided = replace(self.asked, precision=self.options.precision, block_size=self.block_size)
        return decided.to_dict()

    @property
    def processes(self) -> int:
        """How many share the memory of this machine; each card has its own."""
        shared = self.options.device == "cpu" and self.options.dask is None and self.output is not None
        return min(self.options.workers, len(self.blocks)) if shared else 1

    @property
    def kind_of_work(self) -> str:
        """What the pace of work depends on."""
        return f"{self.options.model} {self.options.device} {self.stages[2]}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know first."""
        found = [*self.info.warnings, *(() if self.output is None else self.output.warnings)]
        if not self.descriptor.commercial:
            found.append(f"{self.descriptor.name} is not for commercial use: {self.descriptor.licence}")
        old, new = limits_of(self.info.dtype), limits_of(self.dtype)
        if new is not None and (old is None or old[0] < new[0] or old[1] > new[1]):
            found.append(f"numbers beyond {new[0]:.0f} to {new[1]:.0f} are cut off: the output is {self.dtype}")
        return tuple(found)

    @property
    def memory(self) -> int:
        """Expected peak of memory: that of the largest block."""
        shown = self.canvas.shown
        largest = max(block.region.height * block.region.width for block in self.blocks)
        if self.canvas.enlarged:
            largest = shown.height * shown.width
        in_memory = self.output is None or self.output.format.through != "rasterio"
        numbers = self.size.height * self.size.width * len(self.bands.written) * np.dtype(self.dtype).itemsize
        weights = self.descriptor.weight_bytes * (2 if self.options.precision == "fp32" else 1)
        working = largest * self.descriptor.bytes_per_pixel
        return BASE_BYTES + weights + working + (numbers if in_memory else 0)


def prepare(source: Source, dst: str | os.PathLike[str] | None, options: Options, *, to_file: bool) -> Setup:
    """Decide everything, or raise the error that tells why not; reads nothing but the head of the input."""
    info, descriptor = source.info, describe(options.model)
    resolved = _on_this_machine(resolve(options, descriptor, info.kind), descriptor)
    bands = plan_bands(
        [band.interpretation for band in info.bands],
        requested=resolved.bands,
        extra_bands=resolved.extra_bands,
        descriptions=[band.description for band in info.bands],
    )
    size = Size(*(max(1, round(side * resolved.scale)) for side in info.size))
    stride = descriptor.latent_stride
    output = _output(info, dst, resolved, bands, size) if to_file else None
    _check_companions(resolved, info.path, None if output is None else output.path)
    from_file = resolved.prompts not in PROMPT_MODES
    setup = Setup(
        asked=options,
        options=resolved,
        descriptor=descriptor,
        info=info,
        bands=bands,
        size=size,
        dtype=resolved.dtype or info.dtype,
        canvas=canvas_of(
            info.size,
            tile=resolved.tile_size // stride,
            overlap=resolved.tile_overlap // stride,
            multiple=descriptor.tile_multiple // stride,
            pixels_per_latent=Fraction(stride, descriptor.native_scale),
            least=descriptor.least_side // stride,
            most=BLOCK_SIZE // descriptor.native_scale,
        ),
        block_size=resolved.block_size or _block_size(info, resolved, descriptor),
        regions=load_regions(resolved.prompts, info.geobox) if from_file else (),
        output=output,
    )
    if output is not None and setup.work_bytes:
        check_room(output, setup.work_bytes - (taken_by(work_folder(output.path)) if resolved.resume else 0))
    return setup


def _block_size(info: SourceInfo, options: ResolvedOptions, descriptor: ModelDescriptor) -> int:
    """What the device's memory holds, by the model's own figure; never by what is free just now: one result."""
    memory = devices.describe_device(options.device).total_bytes
    sides = [side * descriptor.native_scale for side in info.size]
    block = BLOCK_SIZE
    while block > LEAST_BLOCK:
        height, width = (min(block + 2 * options.tile_size, side) for side in sides)
        if height * width // descriptor.native_scale**2 * descriptor.bytes_per_pixel <= SHARE * memory:
            break
        block //= 2
    return block


def _on_this_machine(options: ResolvedOptions, descriptor: ModelDescriptor) -> ResolvedOptions:
    device = devices.choose_device(options.device)
    precision = devices.choose_precision(options.precision, device, descriptor.precisions)
    return replace(options, device=device, precision=precision)


def _output(
    info: SourceInfo, dst: str | os.PathLike[str] | None, options: ResolvedOptions, bands: BandPlan, size: Size
) -> OutputSpec:
    return choose_output(
        info,
        dst,
        scale=options.scale,
        size=size,
        bands=[info.bands[band - 1] for band in bands.written],
        dtype=options.dtype,
        nodata=options.nodata,
        creation_options=options.creation_options,
        cog=options.cog,
        overwrite=options.overwrite or options.resume,  # a finished output is looked at before anything is replaced
    )


def _check_companions(options: ResolvedOptions, *others: Path | None) -> None:
    """Files written beside the output must not exist, nor be the input, the output or each other."""
    taken = {os.path.realpath(path) for path in others if path is not None}
    for name in ("uncertainty", "report"):
        if getattr(options, name) is not None and None in others[1:]:
            raise InvalidOptions(f"{name} goes with an output in a file; name one, or leave it out")
    for name in ("manifest", "save_prompts", "uncertainty", "report"):
        path = getattr(options, name)
        if path is None:
            continue
        if os.path.realpath(path) in taken:
            raise InvalidOptions(f"{name} is {path}, which is another file of this run; choose another name")
        taken.add(os.path.realpath(path))
        if os.path.exists(path) and not (options.overwrite or options.resume):
            raise OutputNotWritable(f"{path} exists; give --overwrite to replace it, or choose another name")
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise OutputNotWritable(f"cannot write {path}: {folder} is no folder or is protected")
