import numpy as np
import pytest

from zido_core.raster.placement import Placement
from zido_core.resample import resize
from zido_core.tiling.grid import Size, Tile

RNG = np.random.default_rng(2)


SMALL, LARGE = Size(40, 50), Size(160, 200)


def block(source: Tile, target: Tile, large: Size = LARGE) -> Placement:
    return Placement(source=source, source_size=SMALL, target=target, target_size=large)


@pytest.mark.parametrize("kernel", ["bicubic", "area", "nearest"])
@pytest.mark.parametrize("margin", [2, 5])
def test_enlarging_a_crop_with_margin_has_the_bits_of_the_whole(kernel, margin):
    image = RNG.random((2, 40, 50), np.float32)
    source = Tile(10, 5, 12, 20).pad(margin, SMALL)
    placement = block(source, Tile(40, 20, 48, 80))
    whole = resize(image, LARGE, kernel)
    part = placement.enlarge(image[:, *source.slices], slice(7, 31), kernel)
    np.testing.assert_array_equal(part, whole[:, 47:71, 20:100])


def test_a_crop_without_margin_deviates_at_its_border_only():
    image = RNG.random((1, 40, 50), np.float32)
    placement = block(Tile(10, 5, 12, 20), Tile(40, 20, 48, 80))
    part = placement.enlarge(image[:, 10:22, 5:25], slice(0, 48))
    whole = resize(image, LARGE)[:, 40:88, 20:100]
    np.testing.assert_array_equal(part[:, 6:-6, 6:-6], whole[:, 6:-6, 6:-6])


@pytest.mark.parametrize(
    ("size", "target", "inside"),
    [
        (LARGE, Tile(40, 20, 48, 80), Tile(2, 2, 12, 20)),
        (LARGE, Tile(41, 21, 46, 78), Tile(3, 3, 10, 18)),
        (Size(60, 75), Tile(15, 8, 18, 30), Tile(2, 3, 12, 19)),
        (LARGE, Tile(41, 21, 2, 2), Tile(3, 3, 0, 0)),
    ],
)
def test_inside_are_the_pixels_covered_from_edge_to_edge(size, target, inside):
    placement = block(Tile(8, 3, 16, 24), target, size)
    assert placement.inside == inside


@pytest.mark.parametrize("size", [LARGE, Size(60, 75), Size(97, 211)])
@pytest.mark.parametrize("band", [1, 1 << 22])
def test_reducing_gives_the_area_means_of_the_whole(size, band, monkeypatch):
    monkeypatch.setattr("zido_core.raster.placement._BAND", band)
    large = RNG.random((2, *size), np.float32)
    whole = resize(large, SMALL, "area")
    np.testing.assert_array_equal(Placement.whole(SMALL, size).reduce(large), whole)
    target = Tile(11, 13, size.height - 20, size.width - 30)
    placement = block(Tile(2, 2, 30, 40), target, size)
    inside = placement.inside
    rows, cols = inside.shifted(2, 2).slices
    np.testing.assert_array_equal(placement.reduce(large[:, *target.slices]), whole[:, rows, cols])


def test_output_pixels_that_will_be_invalid_do_not_count():
    placement = Placement.whole(Size(2, 2), Size(3, 3))
    large = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    valid = np.array([[True, False], [True, True]])
    large[0, 0, 1] = large[0, 0, 2] = np.nan  # nearest neighbour of the invalid pixel
    means = placement.reduce(large, valid)
    weights = np.array([[1, 0], [0.5, 0.25]])
    expected = (weights * [[0, 0], [3, 4]]).sum() / weights.sum()
    assert means[0, 0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(("size", "whole"), [(LARGE, True), (Size(160, 190), False)])
def test_whole_factor(size, whole):
    assert Placement.whole(SMALL, size).whole_factor is whole


def test_row_bands_cover_the_piece(monkeypatch):
    monkeypatch.setattr("zido_core.raster.placement._BAND", 3 * 200 * 50)
    bands = list(Placement.whole(SMALL, LARGE).row_bands(3))
    assert bands == [slice(0, 50), slice(50, 100), slice(100, 150), slice(150, 160)]
