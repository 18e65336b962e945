"""Blocks: they tile the image, see the same tiles as the whole, and do not show."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.conftest import UTM, smooth_pixels
from tests.rasters import DIFFUSED, TILES, read
from zido_core import compute
from zido_core import setup as decisions
from zido_core import survey as surveying
from zido_core.blocks import CUT, HALO, Block, Canvas, canvas_of, layout_of, shown_size
from zido_core.device import DeviceInfo
from zido_core.metrics.consistency import seam_ratio
from zido_core.options import Options
from zido_core.raster.memory import ArraySource
from zido_core.resample import resize
from zido_core.setup import prepare
from zido_core.tiling.grid import Size, Tile, partition

SIZES = [Size(1, 1), Size(7, 3), Size(64, 64), Size(65, 300), Size(500, 129)]


def canvas(size: Size, *, tile: int = 32, overlap: int = 8, pixels_per_latent: int = 1) -> Canvas:
    per_latent = Fraction(pixels_per_latent)
    return canvas_of(size, tile=tile, overlap=overlap, multiple=8, pixels_per_latent=per_latent)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(40, 48), Size(128, 154)),
        (Size(1, 1), Size(128, 128)),
        (Size(100, 127), Size(128, 163)),
        (Size(128, 5), Size(3277, 128)),
        (Size(5, 200), Size(5, 200)),  # a strip would become too long
        (Size(128, 300), Size(128, 300)),
    ],
)
def test_small_images_are_enlarged_for_a_model_that_knows_none(size: Size, expected: Size) -> None:
    assert shown_size(size, least=128, most=4000) == expected


@pytest.mark.parametrize("size", [Size(1, 1), Size(20, 33), Size(31, 17), Size(40, 40)])
def test_an_enlarged_image_is_one_block_whose_tiles_cover_the_input(size: Size) -> None:
    whole = canvas_of(size, tile=32, overlap=8, multiple=8, pixels_per_latent=Fraction(2), least=32, most=128)
    assert min(whole.shown) == 64
    (block,) = layout_of(whole, 16)
    assert block.core == block.region == Tile.whole(size)
    assert len(block.tile_ids) == len(whole.grid) == len(whole.input_tiles)
    seen = np.zeros(size, int)
    for tile in whole.input_tiles:
        seen[tile.slices] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize("multiple", [1, 4, 16])
@pytest.mark.parametrize("size", SIZES)
def test_partitions_cover_once_and_evenly(size: Size, multiple: int) -> None:
    parts = list(partition(size, 64, multiple=multiple))
    count = np.zeros(size, int)
    for part in parts:
        assert max(part.size) <= 64
        assert part.row % multiple == part.col % multiple == 0
        count[part.slices] += 1
    assert (count == 1).all()
    assert len(parts) == -(-size.height // 64) * -(-size.width // 64)
    for place in (2, 3):
        lengths = {part[place] for part in parts}
        assert max(lengths) - min(lengths) < 2 * multiple


def test_a_partition_needs_a_side_that_can_be_cut() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        list(partition(Size(9, 9), 24, multiple=16))


@pytest.mark.parametrize("pixels_per_latent", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_canvases_are_the_image_or_a_little_more(size: Size, pixels_per_latent: int) -> None:
    whole = canvas(size, pixels_per_latent=pixels_per_latent)
    for length, side, tile in zip(size, whole.grid.canvas, whole.grid.tile, strict=True):
        latents = -(-length // pixels_per_latent)
        assert side == (latents if latents >= 32 else -(-latents // 8) * 8)
        assert tile == min(32, side)
    count = np.zeros(size, int)
    for tile in whole.input_tiles:
        count[tile.slices] += 1
    assert count.min() >= 1


def test_a_latent_is_a_whole_number_of_input_pixels() -> None:
    with pytest.raises(ValueError, match="3/2"):
        canvas_of(Size(9, 9), tile=8, overlap=0, multiple=8, pixels_per_latent=Fraction(3, 2))


@pytest.mark.parametrize("pixels_per_latent", [1, 2])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [CUT, 2 * CUT, 40])
def test_blocks_lie_as_they_say(size: Size, side: int, pixels_per_latent: int) -> None:
    whole = canvas(size, pixels_per_latent=pixels_per_latent)
    layout = layout_of(whole, side)
    count = np.zeros(size, int)
    for index, block in enumerate(layout):
        assert block == layout[index]
        assert block.index == index
        count[block.core.slices] += 1
        assert block.extent.contains(block.core)
        assert block.region.contains(block.extent.pad(HALO, size))
        check_tiles(block, whole)
    assert (count == 1).all()
    assert len(layout) == index + 1


def check_tiles(block: Block, whole: Canvas) -> None:
    """The block's tiles are the whole's, all that touch what it delivers and the margin around it."""
    row, col = block.origin
    tiles = [tile.shifted(row, col) for tile in block.grid]
    assert tiles == [whole.grid.tiles[index] for index in block.tile_ids]
    latents = Fraction(1, whole.pixels_per_latent)
    for tile in set(whole.grid.tiles) - set(tiles):
        seen = tile.scaled(whole.pixels_per_latent)
        assert seen.intersect(block.extent.pad(HALO, whole.size)) is None, latents
    reach = Tile(row, col, *block.grid.canvas).scaled(whole.pixels_per_latent)
    assert block.region == reach.intersect(Tile.whole(whole.size))


@pytest.fixture
def in_blocks(upscaler: Any, monkeypatch: pytest.MonkeyPatch):
    """Upscale an image in memory in blocks of so many input pixels."""

    def run(image: np.ndarray, side: int | None = None, **options: Any) -> np.ndarray:
        if side is not None:
            monkeypatch.setattr(decisions, "BLOCK_SIZE", 4 * side)
        result = upscaler.upscale(image, **{**DIFFUSED, **options})
        monkeypatch.undo()
        assert side is None or result.manifest["blocks"] > 1
        return result.image

    return run


@pytest.fixture(scope="module")
def houses(example_raster: Path) -> np.ndarray:
    with rasterio.open(example_raster) as dataset:
        return dataset.read()[:, 40:168, 64:160].transpose(1, 2, 0).copy()


@pytest.mark.parametrize("color_fix", ["wavelet", "none"])
def test_blocks_give_what_the_whole_gives(in_blocks, houses, color_fix: str) -> None:
    """Tiles and noise are the whole's; only the outermost tiles of a region lack neighbours, far from the core."""
    options = {"fidelity": 0.0, "color_fix": color_fix}
    whole, blocks = in_blocks(houses, **options), in_blocks(houses, 64, **options)
    difference = np.abs(whole.astype(int) - blocks)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
    seams = [seams_at(each, houses, [256], [256]) for each in (blocks, whole)]
    assert abs(seams[0] / seams[1] - 1) < 0.005


def seams_at(made: np.ndarray, image: np.ndarray, rows: list[int], cols: list[int]) -> float:
    """Seam ratio of an image (h, w, c) of 8 bits at these rows and columns."""
    planes, small = (each.transpose(2, 0, 1) / np.float32(255) for each in (made, image))
    return seam_ratio(planes, rows, cols, period=4, reference=resize(small, Size(*planes.shape[1:])))


@pytest.mark.parametrize("color_fix", ["adain", "lab"])
def test_colour_statistics_are_those_of_the_whole(in_blocks, houses, color_fix: str) -> None:
    whole, blocks = (in_blocks(houses, side, fidelity=1.0, color_fix=color_fix) for side in (None, 64))
    assert np.abs(whole.astype(int) - blocks).max() <= 1


def test_the_size_of_blocks_does_not_show(upscaler, houses) -> None:
    """Options of the user, two layouts of several blocks."""
    made = [upscaler.upscale(houses, **{**DIFFUSED, "fidelity": 0.0}, block_size=side) for side in (256, 384)]
    assert [result.manifest["blocks"] for result in made] == [4, 2]
    assert np.abs(made[0].image.astype(int) - made[1].image).max() <= 1


@pytest.mark.parametrize(("total", "side"), [(64, 4096), (2, 2048), (1, 1024)])
def test_blocks_are_as_large_as_the_memory_allows(monkeypatch, total: int, side: int) -> None:
    """GB of the device; the same whatever is free just now, because the result depends on it a little."""
    info = DeviceInfo(name="cpu", title="", total_bytes=total * 10**9, free_bytes=0)
    monkeypatch.setattr(decisions.devices, "describe_device", lambda device: info)
    source = ArraySource(np.zeros((5000, 5000, 3), np.uint8))
    for given, expected in (({}, side), ({"block_size": 512}, 512)):
        options = Options(device="cpu", precision="fp32", **given)
        assert prepare(source, None, options, to_file=False).block_size == expected


@pytest.mark.parametrize("scale", [1.5, 3, 8])
def test_blocks_at_other_scales(in_blocks, houses, scale: float) -> None:
    image = houses[:80, :70]
    options = {"fidelity": 1.0, "scale": scale, "consistency": "on"}
    whole, blocks = in_blocks(image, **options), in_blocks(image, 64, **options)
    difference = np.abs(whole.astype(int) - blocks)
    # At fractional factors the passes of back-projection reach as far as there are, each weaker than the last.
    assert difference.max() <= (2 if scale == 1.5 else 1)
    assert (difference > 0).mean() < 0.01


def test_files_in_blocks(make_raster, upscaler, tmp_path, monkeypatch) -> None:
    """Nodata across blocks, alpha, extra bands: the file is that of one block."""
    pixels = smooth_pixels((5, 90, 80), "uint16")
    pixels[:, 30:70, 20:75] = 0
    source = make_raster(pixels, nodata=0, **UTM)
    options = {**TILES, "fidelity": 1.0, "extra_bands": "detail"}
    whole = read(upscaler.upscale(source, tmp_path / "whole.tif", **options).path)
    monkeypatch.setattr(decisions, "BLOCK_SIZE", 256)
    result = upscaler.upscale(source, tmp_path / "blocks.tif", **options)
    assert result.manifest["blocks"] == 4
    made = read(result.path)
    assert ((made == 0) == (whole == 0)).all()
    assert np.abs(made.astype(int) - whole).max() <= 1


def test_memory_grows_with_the_block_and_not_with_the_raster(make_raster, upscaler, tmp_path, monkeypatch) -> None:
    """Of all but the network, whose input is a block's region."""
    monkeypatch.setattr(decisions, "BLOCK_SIZE", 256)
    monkeypatch.setattr(decisions, "PIECE", 256)
    monkeypatch.setattr(surveying, "SAMPLE_SIDE", 64)
    smooth = lambda backbone, image, *_: resize(image, Size(*image.shape[1:]).scaled(4))  # noqa: E731
    monkeypatch.setattr(compute, "render_views", smooth)
    peaks = []
    for length in (384, 1152):  # more pieces than are finished at a time
        source = make_raster(shape=(3, length, 64), name=f"{length}.tif", **UTM)
        tracemalloc.start()
        upscaler.upscale(source, tmp_path / f"{length}_out.tif", **TILES)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_blocks_without_any_valid_pixel_are_not_computed(make_raster, upscaler, tmp_path, monkeypatch) -> None:
    pixels = smooth_pixels((3, 200, 64), "uint8")
    pixels[:, 64:] = 0
    source = make_raster(pixels, nodata=0, **UTM)
    monkeypatch.setattr(decisions, "BLOCK_SIZE", 256)
    seen = []
    condition = upscaler.backbone.condition
    monkeypatch.setattr(
        upscaler.backbone, "condition", lambda image, *more: (seen.append(image.shape), condition(image, *more))[1]
    )
    events: list[Any] = []
    made = read(upscaler.upscale(source, tmp_path / "out.tif", on_event=events.append, **TILES, fidelity=1.0).path)
    assert len(seen) == 2  # of four; the second one's region reaches up to where there is data
    assert (made[:, 256:] == 0).all()
    assert made[:, :256].all()
    done = [event for event in events if hasattr(event, "done")]
    assert done[-1].done == done[-1].total
