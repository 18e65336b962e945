"""The two ends of a block, without any model between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.conftest import UTM, smooth_pixels
from tests.rasters import COARSE, block_means, enlarged
from zido_core.finish import Finished, PieceEnds, region_image, within
from zido_core.options import Options
from zido_core.raster.reader import open_source
from zido_core.raster.source import Source
from zido_core.resample import resize
from zido_core.setup import Setup, prepare
from zido_core.survey import Survey, survey
from zido_core.tiling.grid import Size, Tile


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[tuple[Source, Setup, Survey]]:
    with open_source(path) as source:
        setup = prepare(source, None, Options(device="cpu", **{**COARSE, **options}), to_file=False)
        yield source, setup, survey(source, setup)


def finished(path: Path, *, detail: float = 0.0, **options: Any) -> Finished:
    """The result of a model that enlarges smoothly and adds a pattern of single pixels."""
    with opened(path, **options) as (source, setup, facts):
        (piece,) = setup.pieces
        ends = PieceEnds(source, setup, piece, facts)
        sr = enlarged_image(source, setup, facts)
        sr[:, ::2, ::2] += np.float32(detail)
        return ends.finish(sr)


def enlarged_image(source: Source, setup: Setup, facts: Survey) -> np.ndarray:
    """What a model that adds nothing makes of the only block."""
    (block,) = setup.blocks
    return resize(region_image(source, setup, block, facts)[0], setup.native_size)


def test_tiles_are_counted_from_a_corner() -> None:
    assert within(Tile(5, 7, 2, 3), Tile(4, 4, 10, 10)) == Tile(1, 3, 2, 3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("scale", [1, 1.5, 2, 4, 6])
def test_a_model_that_adds_nothing_gives_the_bicubic_enlargement(make_raster, dtype: str, scale: float) -> None:
    pixels = smooth_pixels((3, 20, 18), dtype)
    size = Size(round(20 * scale), round(18 * scale))
    made = finished(make_raster(pixels, **UTM), scale=scale, consistency="off")
    assert (made.array.dtype, made.array.shape) == (dtype, (3, *size))
    # Below its native factor the model's image is reduced.
    plain = resize(pixels if scale >= 4 else resize(pixels, Size(80, 72)), size)
    span, step = np.ptp(pixels), 1 if np.dtype(dtype).kind in "iu" else 0
    assert np.abs(made.array - plain).max() <= step + 0.02 * span
    assert made.valid.all()
    assert made.alpha is None


def test_what_is_measured_of_a_block(make_raster) -> None:
    pixels = smooth_pixels((3, 12, 16), "uint16")
    pixels[:, :4, :4] = 0
    made = finished(make_raster(pixels, nodata=0, **UTM), detail=0.1)
    assert (made.measured == (pixels != 0).all(axis=0)).all()
    assert (made.valid == enlarged(made.measured, Size(48, 64))).all()
    assert made.seen.shape == (3, 12, 16)
    assert np.isfinite(made.made).all()
    assert np.abs(block_means(made.made, Size(12, 16)) - made.seen)[:, made.measured].max() < 1e-3


@pytest.mark.parametrize("policy", ["bicubic", "detail"])
def test_detail_goes_into_further_bands_only_if_asked_for(make_raster, policy: str) -> None:
    pixels = smooth_pixels((4, 16, 16), "float32")
    pixels[3] = 2 * np.tensordot((0.299, 0.587, 0.114), pixels[:3], 1)
    source = make_raster(pixels, photometric="RGB", alpha="NO", **UTM)
    plain, detailed = (finished(source, detail=each, extra_bands=policy).array[3] for each in (0.0, 0.1))
    change = np.abs(detailed - plain).max()
    assert change > 0.1 if policy == "detail" else change == 0
    assert np.abs(block_means(detailed[None], Size(16, 16)) - pixels[3]).max() < 1e-5


def test_opacity_takes_the_range_of_another_type(make_raster) -> None:
    pixels = np.full((2, 8, 8), 255, np.uint8)
    pixels[1, :4] = 0
    made = finished(make_raster(pixels, alpha="YES", **UTM), dtype="uint16")
    assert made.array.dtype == "uint16"
    assert (made.array[0, 16:] == 255).all()
    assert np.unique(made.alpha).tolist() == [0, 65535]


@pytest.mark.parametrize("hard", [True, False])
def test_opacity_is_hard_in_all_blocks_or_in_none(make_raster, hard: bool) -> None:
    pixels = np.full((2, 40, 12), 255, np.uint8)
    pixels[1, :20:2] = 0
    if not hard:
        pixels[1, 30] = 128
    with opened(make_raster(pixels, alpha="YES", **UTM)) as (source, setup, facts):
        assert facts.hard_alpha == hard
        top, (whole,) = Tile(0, 0, 20, 12), setup.pieces
        ends = PieceEnds(source, setup, replace(whole, core=top, outer=top), facts)
        alpha = ends.finish(enlarged_image(source, setup, facts)).alpha
    assert (set(np.unique(alpha)) == {0, 255}) == hard


def test_a_block_without_a_valid_pixel_says_so(make_raster) -> None:
    for number, empty in ((0, True), (7, False)):
        pixels = np.zeros((1, 8, 8), np.uint8)
        pixels[0, 5, 5] = number
        with opened(make_raster(pixels, nodata=0, **UTM)) as (source, setup, facts):
            assert region_image(source, setup, setup.blocks[0], facts)[1] != empty


def test_gaps_are_filled_alike_in_every_block(make_raster) -> None:
    """Far from all data the fill is the dataset's mean, not the block's."""
    pixels = smooth_pixels((3, 300, 20), "float32")
    pixels[:, 40:] = -1
    with opened(make_raster(pixels, nodata=-1, **UTM)) as (source, setup, facts):
        (block,) = setup.blocks
        image, _ = region_image(source, setup, block, facts)
    mean = [pixels[band, :40].mean() for band in range(3)]
    far = (np.array(mean) - facts.stretch.lo) / facts.stretch.span
    assert np.abs(image[:, -1, 0] - far).max() < 1e-3


def test_the_file_of_the_first_example_is_what_the_writer_takes(example_raster) -> None:
    made = finished(example_raster)
    with rasterio.open(example_raster) as dataset:
        error = np.abs(block_means(made.array, Size(256, 256)) - dataset.read())
    assert error.max() <= 0.5
