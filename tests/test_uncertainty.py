"""Two standard deviations over seeds, beside the output."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from tests.conftest import UTM, smooth_pixels
from zido_core.errors import Cancelled, InvalidOptions, OutputNotWritable
from zido_core.job import CancelToken, Progress, Stage

HOW = {"steps": 1, "fidelity": 0, "device": "cpu"}


@pytest.fixture
def raster(make_raster):
    return make_raster(shape=(3, 16, 20), dtype="uint16", name="in.tif", **UTM)


def test_is_numpys_over_runs_with_the_next_seeds(upscaler, raster, tmp_path):
    stages = []
    upscaler.upscale(
        raster,
        tmp_path / "out.tif",
        uncertainty=str(tmp_path / "sigma.tif"),
        samples=3,
        seed=7,
        on_event=lambda event: stages.append(event.name) if isinstance(event, Stage) else None,
        **HOW,
    )
    runs = []
    for seed in (7, 8, 9):
        upscaler.upscale(raster, tmp_path / f"{seed}.tif", seed=seed, **HOW)
        with rasterio.open(tmp_path / f"{seed}.tif") as source:
            runs.append(source.read().astype(np.float64))
    with rasterio.open(tmp_path / "sigma.tif") as found, rasterio.open(tmp_path / "out.tif") as output:
        np.testing.assert_allclose(found.read(), 2 * np.std(runs, axis=0), rtol=1e-4, atol=1e-3)
        assert np.array_equal(output.read(), runs[0])
        assert (found.crs, found.transform) == (output.crs, output.transform)
        assert found.descriptions[0].startswith("2 sigma of ")
        assert found.read().max() > 0
    assert {path.name for path in tmp_path.iterdir()} >= {"in.tif", "out.tif", "sigma.tif"}
    assert not list(tmp_path.glob(".sigma*"))
    assert [name for name in stages if name.startswith("sample 3 of 3: ")]


def test_nothing_is_uncertain_where_nothing_is_left_to_chance(upscaler, raster, tmp_path):
    how = HOW | {"fidelity": 1}
    upscaler.upscale(raster, tmp_path / "out.tif", uncertainty=str(tmp_path / "sigma.tif"), samples=2, **how)
    with rasterio.open(tmp_path / "sigma.tif") as found:
        assert found.read().max() == 0


def test_pixels_without_measurement_stay_without(upscaler, make_raster, tmp_path):
    pixels = smooth_pixels((3, 16, 20), "uint16")
    pixels[:, :6, :6] = 0
    raster = make_raster(pixels, nodata=0, **UTM)
    upscaler.upscale(raster, tmp_path / "out.tif", uncertainty=str(tmp_path / "sigma.tif"), samples=2, **HOW)
    with rasterio.open(tmp_path / "sigma.tif") as found:
        assert not found.dataset_mask()[:20, :20].any()
        assert found.dataset_mask()[30:, 30:].all()


def test_an_interrupted_run_keeps_its_complete_samples(upscaler, raster, tmp_path):
    token, begun = CancelToken(), []

    def stop_in_the_third(event):
        if isinstance(event, Stage) and event.name.startswith("sample 3"):
            begun.append(event.name)
            token.cancel()

    named = {"uncertainty": str(tmp_path / "sigma.tif"), "samples": 3, **HOW}
    with pytest.raises(Cancelled):
        upscaler.upscale(raster, tmp_path / "out.tif", on_event=stop_in_the_third, cancel=token, **named)
    assert (tmp_path / ".sigma.sample-2.tif").exists()
    assert not (tmp_path / "sigma.tif").exists()
    worked = []
    upscaler.upscale(
        raster,
        tmp_path / "out.tif",
        resume=True,
        on_event=lambda event: worked.append(event) if isinstance(event, Progress) else None,
        **named,
    )
    with rasterio.open(tmp_path / "sigma.tif") as found:
        assert found.read().max() > 0
    assert not list(tmp_path.glob(".sigma*"))


@pytest.mark.parametrize(
    ("named", "error", "told"),
    [
        ({"samples": 3}, InvalidOptions, "samples is given without uncertainty"),
        ({"report_boxes": ("1,2,3,4",)}, InvalidOptions, "report_boxes is given without report"),
        ({"uncertainty": "{}/sigma.tif", "samples": 1}, InvalidOptions, "samples is 1"),
        ({"uncertainty": "{}/in.tif"}, InvalidOptions, "another file of this run"),
        ({"uncertainty": "{}/none/sigma.tif"}, OutputNotWritable, "no folder"),
        ({"report": "{}/page.html", "report_boxes": ("1,2,3",)}, InvalidOptions, "ROW,COL,HEIGHT,WIDTH"),
    ],
)
def test_what_cannot_be_is_said_at_once(upscaler, raster, tmp_path, named, error, told):
    named = {name: value.format(raster.parent) if isinstance(value, str) else value for name, value in named.items()}
    with pytest.raises(error, match=told):
        upscaler.upscale(raster, tmp_path / "out.tif", **named, **HOW)
    assert not (tmp_path / "out.tif").exists()


def test_report_of_a_run(upscaler, raster, tmp_path):
    page = tmp_path / "page.html"
    upscaler.upscale(raster, tmp_path / "out.tif", report=str(page), report_boxes=["2,3,4,5"], **HOW)
    text = page.read_text(encoding="utf-8")
    assert "your box at row 2, column 3" in text
    assert "in.tif, mini x4" in text


def test_images_in_memory_have_nothing_beside_them(upscaler, tmp_path):
    with pytest.raises(InvalidOptions, match="file"):
        upscaler.upscale(np.zeros((8, 8, 3), np.uint8), report=str(tmp_path / "page.html"), **HOW)
