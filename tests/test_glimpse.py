"""A glimpse of one place: it is what the run makes there, and says so in the black and white of the input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import rasterio
from PIL import Image

from zido_core import errors, glimpse
from zido_core.blocks import canvas_of, layout_of
from zido_core.job import CancelToken, Preview, Progress, Sample
from zido_core.options import Options
from zido_core.pipeline import KeptModel, upscale
from zido_core.tiling.grid import Size, Tile

OPTIONS = Options(steps=1, tile_size=128, tile_overlap=32, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def model():
    return KeptModel()


@pytest.fixture
def look(model, tmp_path):
    def look(path, box, options=OPTIONS, on_event=lambda event: None, cancel=None):
        out = tmp_path / "glimpse.png"
        asked = Sample(input=str(path), output=str(out), box=box, options=options)
        preview = glimpse.glimpse(asked, model.backbone_for, on_event, cancel or CancelToken())
        assert isinstance(preview, Preview)
        return preview, np.asarray(Image.open(out))

    return look


@pytest.fixture(scope="module")
def run(example_raster, tmp_path_factory):
    """The whole result, as uint8 (H, W, 3)."""
    out = tmp_path_factory.mktemp("run") / "out.tif"
    upscale(example_raster, out, options=OPTIONS)
    with rasterio.open(out) as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


@pytest.mark.parametrize("box", [(0, 0, 24, 40), (100, 60, 32, 32), (230, 200, 26, 56)])
def test_it_is_what_the_run_makes_there(look, run, example_raster, box):
    preview, picture = look(example_raster, box)
    row, col, height, width = preview.box
    assert tuple(4 * side for side in box) == preview.box
    there = run[row : row + height, col : col + width].astype(int)
    away = np.abs(picture - there)
    assert away.mean() < 0.5  # the tiles that touch the place are the run's; those farther away are not computed
    assert np.quantile(away, 0.99) <= 4


def test_certain_detail_is_the_runs_very_own(look, example_raster, tmp_path):
    out, options = tmp_path / "out.tif", Options(fidelity=1.0, device="cpu", precision="fp32")
    upscale(example_raster, out, options=options)
    _, picture = look(example_raster, (40, 40, 30, 50), options)
    with rasterio.open(out) as dataset:
        there = np.moveaxis(dataset.read(), 0, -1)[160:280, 160:360]
    np.testing.assert_array_equal(picture, there)


def test_any_scale_and_type_is_shown(look, make_raster):
    values = np.random.default_rng(0).integers(300, 2500, (3, 48, 40), dtype=np.uint16)
    preview, picture = look(make_raster(values), (8, 8, 16, 20), Options(scale=2.5, fidelity=1.0, nodata=0))
    assert preview.box == (20, 20, 40, 50)
    assert picture.shape == (40, 50, 3)
    assert picture.std() > 5


def test_a_place_at_the_edge_is_cut_and_one_outside_refused(look, make_raster):
    path = make_raster(shape=(3, 40, 40))
    assert look(path, (30, 30, 100, 100), Options(fidelity=1.0))[0].box == (120, 120, 40, 40)
    for box in ((50, 0, 10, 10), (0, 0, 0, 10)):
        with pytest.raises(errors.InvalidOptions, match="outside the input of 40 x 40"):
            look(path, box)


def test_progress_is_told_and_it_can_be_stopped(look, make_raster):
    path, told, token = make_raster(shape=(3, 40, 40)), [], CancelToken()
    look(path, (0, 0, 40, 40), on_event=told.append)
    steps = [event for event in told if isinstance(event, Progress)]
    assert steps[-1].done == steps[-1].total
    token.cancel()
    with pytest.raises(errors.Cancelled):
        look(path, (0, 0, 40, 40), cancel=token)


@pytest.mark.parametrize(
    "place", [Tile(0, 0, 30, 30), Tile(17, 45, 21, 10), Tile(70, 0, 30, 120), Tile(0, 0, 100, 120)]
)
def test_the_block_at_a_place_is_of_the_same_canvas(place):
    canvas = canvas_of(Size(100, 120), tile=32, overlap=8, multiple=8, pixels_per_latent=Fraction(1))
    layout = layout_of(canvas, 64)
    block = glimpse.block_at(layout, place)
    assert block.extent == block.core == place
    assert set(block.tile_ids) == {
        index
        for index, tile in enumerate(canvas.grid)
        if tile.intersect(place.pad(layout.halo, canvas.size)) is not None
    }


def test_a_picture_that_cannot_be_written_is_told(model, make_raster, tmp_path):
    asked = Sample(input=str(make_raster()), output=str(tmp_path / "no" / "p.png"), box=(0, 0, 8, 8), options=OPTIONS)
    with pytest.raises(errors.OutputNotWritable, match=r"name a \.png"):
        glimpse.glimpse(asked, model.backbone_for, lambda event: None, CancelToken())
