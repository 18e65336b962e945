"""What is measured once over the whole input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import UTM, smooth_pixels
from zido_core import survey as surveying
from zido_core.options import Options
from zido_core.raster.memory import ArraySource
from zido_core.raster.missing import WithNodata
from zido_core.raster.reader import open_source
from zido_core.setup import prepare
from zido_core.survey import Survey, survey
from zido_core.tiling.grid import Tile


@contextmanager
def surveyed(path: Path, **options: Any) -> Iterator[Survey]:
    with open_source(path) as source:
        yield survey(source, prepare(source, None, Options(device="cpu", **options), to_file=False))


def test_stretch_and_means_leave_out_what_is_missing(make_raster) -> None:
    pixels = smooth_pixels((3, 20, 20), "float32")
    pixels[:, :8] = -9999
    pixels[1, 15, 15] = np.inf
    with surveyed(make_raster(pixels, nodata=-9999, **UTM)) as facts:
        measured = np.isfinite(pixels) & (pixels != -9999)
        assert facts.stretch.lo >= pixels[measured].min()
        assert facts.stretch.hi <= pixels[measured].max()
        for band in (1, 2, 3):
            assert facts.means[band] == pytest.approx(pixels[band - 1][measured[band - 1]].mean(), rel=1e-6)
        assert facts.fill_of((3, 1)).tolist() == [facts.means[3], facts.means[1]]


def test_nothing_measured_is_no_trouble(make_raster) -> None:
    with surveyed(make_raster(np.full((4, 6, 6), np.nan, "float32"), **UTM), extra_bands="detail") as facts:
        assert set(facts.means.values()) == {facts.stretch.lo}
        assert (facts.gains == 0).all()


def test_gains_are_the_datasets(make_raster) -> None:
    pixels = smooth_pixels((5, 24, 24), "float32")
    luma = np.tensordot((0.299, 0.587, 0.114), pixels[:3], 1)
    pixels[3], pixels[4] = 3 * luma + 1, 5
    pixels[:, 4, 4] = np.inf
    path = make_raster(pixels, photometric="RGB", alpha="NO", **UTM)
    with surveyed(path, extra_bands="detail") as facts:
        assert facts.gains == pytest.approx([3, 0], abs=1e-3)
    with surveyed(path) as facts:
        assert facts.gains.tolist() == [0, 0]


@pytest.mark.parametrize(("values", "hard"), [((0, 255), True), ((0, 7), True), ((255,), True), ((0, 9, 255), False)])
def test_hard_opacity(values: tuple[int, ...], hard: bool) -> None:
    image = np.full((3, 6, 2), 50, np.uint8)
    image[..., 1] = np.resize(values, (3, 6))
    source = ArraySource(image)
    setup = prepare(source, None, Options(device="cpu"), to_file=False)
    assert survey(source, setup).hard_alpha == hard


def test_a_thumbnail_is_enough(make_raster, monkeypatch) -> None:
    monkeypatch.setattr(surveying, "SAMPLE_SIDE", 8)
    pixels = smooth_pixels((3, 64, 64), "uint16")
    with surveyed(make_raster(pixels, **UTM)) as facts:
        assert facts.means[1] == pytest.approx(pixels[0].mean(), rel=0.05)


@pytest.mark.parametrize(("nodata", "alone"), [(0, False), (-5, True)])
def test_nodata_named_by_the_user(nodata: float, alone: bool) -> None:
    image = np.full((4, 5, 3), 9, np.int16)
    image[1, 1], image[2, 2, 1] = nodata, nodata
    source = WithNodata(ArraySource(image), nodata)
    assert source.info.nodata == nodata
    assert {band.nodata for band in source.info.bands} == {nodata}
    raster = source.read()
    assert np.argwhere(~raster.valid).tolist() == [[1, 1]]
    assert raster.every_band_valid[1, 2, 2] == (not alone)
    part = source.read(Tile(2, 1, 2, 3), bands=[2])
    assert part.array.shape == (1, 2, 3)
    assert part.valid[0, 1] == False  # noqa: E712 - the only band read holds nodata


def test_nodata_named_by_the_user_spares_opacity() -> None:
    source = WithNodata(ArraySource(np.full((2, 2, 4), 9, np.uint8)), 9)
    assert [band.nodata for band in source.info.bands] == [9, 9, 9, None]
