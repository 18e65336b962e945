"""A greater fidelity without another diffusion: what comes out is what a run with that fidelity gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from zido_core import errors
from zido_core.fade import between, fade
from zido_core.job import CancelToken, Fade, Progress
from zido_core.options import Options
from zido_core.raster.provenance import provenance_of
from zido_core.raster.source import Raster

OPTIONS = Options(steps=1, fidelity=0.25, tile_size=128, tile_overlap=32, device="cpu", precision="fp32")


@pytest.fixture
def runs(tmp_path, upscaler):
    """Upscale with a fidelity; returns the path of the result."""

    def run(source: Path, fidelity: float) -> str:
        out = tmp_path / f"fidelity_{fidelity:g}{source.suffix}"
        upscaler.upscale(source, out, options=replace(OPTIONS, fidelity=fidelity, overwrite=True))
        return str(out)

    return run


@pytest.fixture
def faded(runs, tmp_path):
    def faded(source: Path, fidelity: float, **changed) -> Path:
        out = tmp_path / f"faded{source.suffix}"
        asked = Fade(
            input=str(source),
            result=runs(source, 0.25),
            certain=runs(source, 1.0),
            output=str(out),
            fidelity=fidelity,
            options=OPTIONS,
        )
        assert fade(replace(asked, **changed), lambda event: None, CancelToken()) == str(out)
        return out

    return faded


def bands(path: Path | str) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read().astype(float)


@pytest.mark.parametrize("fidelity", [0.25, 0.6, 1.0])
def test_it_is_what_a_run_with_that_fidelity_gives(tiny_raster, faded, runs, fidelity):
    made, run = faded(tiny_raster, fidelity), runs(tiny_raster, fidelity)
    with rasterio.open(made) as a, rasterio.open(run) as b:
        assert (a.crs, a.transform, a.dtypes, a.nodata is None) == (b.crs, b.transform, b.dtypes, b.nodata is None)
        valid = b.dataset_mask() != 0
        np.testing.assert_array_equal(a.dataset_mask() != 0, valid)
        whole = np.dtype(b.dtypes[0]).kind in "iu"
    away = np.abs(bands(made) - bands(run))[:, valid]
    assert away.max() <= (1.0 if whole else 1e-6 * np.abs(bands(run)[:, valid]).max())


def test_a_photograph_stays_one(faded, runs, example_photo):
    made = faded(example_photo, 0.5)
    assert made.suffix == ".png"
    assert np.quantile(np.abs(bands(made) - bands(runs(example_photo, 0.5))), 0.999) <= 1


def test_it_says_what_it_is(faded, make_raster):
    made = faded(make_raster(), 0.75)
    told = provenance_of(made)
    assert json.loads(told["FADED"]) == {"fidelity": 0.75, "from": 0.25}
    assert "FINGERPRINT" not in told
    assert told["MODEL"] == "mini"


@pytest.mark.parametrize(("fidelity", "model"), [(0.1, "mini"), (1.5, "mini"), (0.5, "stablesr")])
def test_what_the_result_does_not_hold_cannot_be_had(faded, make_raster, fidelity, model):
    with pytest.raises(errors.InvalidOptions, match=f"fidelity {fidelity:g} cannot be had"):
        faded(make_raster(), fidelity, options=replace(OPTIONS, model=model))


def test_results_of_another_job_are_refused(faded, runs, make_raster):
    other = runs(make_raster(name="other.tif", shape=(3, 9, 9)), 0.5)
    with pytest.raises(errors.BadInput, match="give results of this very job"):
        faded(make_raster(), 0.5, certain=other)


def test_progress_is_told_and_it_can_be_stopped(runs, make_raster, tmp_path):
    source, out, token, told = make_raster(), tmp_path / "out.tif", CancelToken(), []
    asked = Fade(
        input=str(source),
        result=runs(source, 0.25),
        certain=runs(source, 1.0),
        output=str(out),
        fidelity=0.5,
        options=OPTIONS,
    )
    token.cancel()
    with pytest.raises(errors.Cancelled):
        fade(asked, told.append, token)
    assert not out.exists()
    fade(asked, told.append, CancelToken())
    assert told[-1] == Progress(done=1, total=1)


def raster(values, valid=None):
    array = np.array(values)[None, None]
    return Raster(array=array, valid=np.ones(array.shape[1:], bool) if valid is None else np.array([valid]))


def test_between_rounds_and_keeps_what_is_no_measurement():
    start, end = raster(np.int16([0, -3, 10, 7])), raster(np.int16([5, 3, 20, 9]), [True, True, True, False])
    assert between(start, end, 0.5, None).ravel().tolist() == [2, 0, 15, 9]
    assert between(start, end, 0.5, 0).ravel().tolist() == [2, 3, 15, 9]


def test_the_whole_way_is_the_result():
    same = raster(np.float32([1.5, np.nan]))
    np.testing.assert_array_equal(between(same, same, 1.0, None), same.array)
