"""The before/after strip: what it shows, and that all panels share one stretch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from zido_core.picture import (
    PANEL,
    Panel,
    compare,
    compare_files,
    display_stretch,
    main,
    strip,
    to_display,
)
from zido_core.raster.source import Raster

BACKDROP = 236


def raster(array: np.ndarray, valid: np.ndarray | None = None) -> Raster:
    return Raster(array=array, valid=np.ones(array.shape[1:], bool) if valid is None else valid)


def split(image: Image.Image, count: int, width: int, height: int) -> list[np.ndarray]:
    """Panels of a strip, captions cut off."""
    pixels = np.asarray(image)[-height:]
    gap = (pixels.shape[1] - count * width) // (count - 1)
    return [pixels[:, i * (width + gap) :][:, :width] for i in range(count)]


def test_uint8_is_shown_as_it_is() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    shown = to_display(values, np.ones((16, 16), bool), display_stretch(raster(values)))
    np.testing.assert_array_equal(shown[..., 0], values[0])
    np.testing.assert_array_equal(shown[..., 0], shown[..., 2])


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_other_types_are_stretched_between_percentiles_of_valid_pixels(dtype: str) -> None:
    values = np.linspace(1000, 2000, 10_000).astype(dtype).reshape(1, 100, 100)
    valid = np.ones((100, 100), bool)
    values[0, 0, :5], valid[0, :5] = -9999 if dtype != "uint16" else 65535, False
    stretch = display_stretch(raster(values, valid))
    assert (stretch.lo, stretch.hi) == pytest.approx((1020, 1980), abs=2)


@pytest.mark.parametrize(
    ("values", "valid"),
    [(np.full((3, 4, 4), 7.0), True), (np.full((3, 4, 4), np.nan), False)],
    ids=["constant", "nothing valid"],
)
def test_degenerate_rasters_are_drawn(values: np.ndarray, valid: bool) -> None:
    mask = np.full((4, 4), valid)
    shown = to_display(values, mask, display_stretch(raster(values, mask)))
    assert (shown == (0 if valid else BACKDROP)).all()


def test_strip_places_panels_side_by_side_under_captions() -> None:
    panels = [Panel(caption=str(v), image=np.full((20, 30, 3), v, np.uint8)) for v in (10, 20, 30)]
    image = strip(panels)
    assert image.height > 20
    for value, shown in zip((10, 20, 30), split(image, 3, 30, 20), strict=True):
        assert (shown == value).all()
    caption = np.asarray(image)[: image.height - 20]
    assert caption.min() < 100


def test_panels_are_nearest_bicubic_and_result_in_one_stretch() -> None:
    before = np.linspace(0, 1000, 64, dtype=np.float32).reshape(1, 8, 8)
    after = np.full((1, 32, 32), 5000.0, np.float32)
    nearest, bicubic, result = split(compare(raster(before), raster(after)), 3, 32, 32)
    assert (nearest[:4, :4] == nearest[0, 0]).all()
    assert len(np.unique(bicubic)) > len(np.unique(nearest))
    assert (result == 255).all()


def test_invalid_pixels_do_not_bleed_into_the_bicubic_panel() -> None:
    before = np.full((3, 8, 8), 100, np.uint8)
    valid = np.ones((8, 8), bool)
    before[:, :2], valid[:2] = 0, False
    _, bicubic, _ = split(compare(raster(before, valid), raster(before.repeat(4, 1).repeat(4, 2))), 3, 32, 32)
    assert (bicubic[:8] == BACKDROP).all()
    assert (bicubic[8:] == 100).all()


def test_files_show_the_window_asked_for(make_raster: Callable[..., Path], tmp_path: Path) -> None:
    values = np.zeros((3, 12, 16), np.uint8)
    values[:, 3:7, 5:10] = 200
    before = make_raster(values, name="before.tif")
    after = make_raster(values.repeat(4, 1).repeat(4, 2), name="after.tif")
    output = tmp_path / "strip.png"
    assert main([str(before), str(after), str(output), "--window", "3", "5", "4", "5"]) == 0
    nearest, bicubic, result = split(Image.open(output), 3, 20, 16)
    assert (nearest == 200).all()
    assert (result == 200).all()
    assert (bicubic == 200).all()


def test_colours_come_from_red_green_and_blue_whatever_their_order(make_raster: Callable[..., Path]) -> None:
    values = np.stack([np.full((6, 6), v, np.uint8) for v in (10, 20, 30)])
    path = make_raster(values, name="bgr.tif", photometric="MINISBLACK")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    nearest, _, _ = split(compare_files(path, path), 3, 6, 6)
    assert tuple(nearest[0, 0]) == (30, 20, 10)


def test_default_is_the_middle_of_a_large_input(make_raster: Callable[..., Path]) -> None:
    path = make_raster(np.zeros((1, PANEL + 40, PANEL + 90), np.uint8))
    image = compare_files(path, path)
    assert image.width >= 3 * PANEL
    assert image.width < 3 * PANEL + 40


@pytest.mark.parametrize(
    ("result_shape", "window", "code", "words"),
    [
        ((3, 12, 40), [], 65, "do not show the same place"),
        ((3, 24, 32), ["--window", "50", "0", "4", "4"], 2, "outside"),
        (None, [], 66, "missing.tif"),
    ],
    ids=["other proportions", "window outside", "no such file"],
)
def test_errors_are_one_line(
    make_raster: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    result_shape: tuple[int, int, int] | None,
    window: list[str],
    code: int,
    words: str,
) -> None:
    before = make_raster(shape=(3, 12, 16), name="before.tif")
    after = make_raster(shape=result_shape, name="after.tif") if result_shape else tmp_path / "missing.tif"
    assert main([str(before), str(after), str(tmp_path / "out.png"), *window]) == code
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out.png").exists()
