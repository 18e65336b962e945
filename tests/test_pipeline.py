"""The whole flow, from a raster or an image in memory to its enlargement, with the embedded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp, MaskFlags

import zido_core
from tests.conftest import ROTATED, UTM, smooth_pixels
from tests.rasters import COARSE, DIFFUSED, block_means, corner_error, enlarged, read
from zido_core import cli
from zido_core.errors import Cancelled, InvalidOptions, OutputNotWritable
from zido_core.job import (
    CancelToken,
    Done,
    Plan,
    Progress,
    Stage,
    Warning,  # noqa: A004 - the event
)
from zido_core.resample import resize
from zido_core.tiling.grid import Size
from zido_core.wire import decode

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@pytest.fixture
def run(upscaler: Any, tmp_path: Path):
    """Upscale to a file; returns its path."""

    def upscale(source: Path, name: str = "out.tif", **options: Any) -> Path:
        return upscaler.upscale(source, tmp_path / name, overwrite=True, **{**DIFFUSED, **options}).path

    return upscale


# --- sizes and scales -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1.5, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 5), (31, 33)])
def test_any_size_at_any_scale(make_raster, run, size: tuple[int, int], scale: float) -> None:
    source = make_raster(shape=(3, *size), **ROTATED)
    result = run(source, scale=scale)
    with rasterio.open(source) as old, rasterio.open(result) as new:
        assert new.shape == tuple(max(1, round(side * scale)) for side in size)
        assert corner_error(old, new) < 1e-9
        assert (new.crs, new.count, new.dtypes) == (old.crs, old.count, old.dtypes)
        if scale == int(scale):
            assert np.abs(block_means(new.read(), Size(*size)) - old.read()).max() <= 0.5


@pytest.mark.parametrize("scale", [1.5, 4])
def test_a_larger_odd_size_in_tiles(make_raster, run, scale: float) -> None:
    source = make_raster(shape=(1, 300, 257), **UTM)
    result = run(source, scale=scale, fidelity=1.0)
    with rasterio.open(source) as old, rasterio.open(result) as new:
        assert new.shape == (round(300 * scale), round(257 * scale))
        assert corner_error(old, new) < 1e-9
        error = np.abs(block_means(new.read(), Size(300, 257)) - old.read())
        assert error.max() <= 0.55


# --- data types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_data_type_and_block_means_are_kept(make_raster, run, dtype: str, count: int) -> None:
    source = make_raster(shape=(count, 20, 24), dtype=dtype, **UTM)
    made = read(run(source))
    assert (str(made.dtype), made.shape) == (dtype, (count, 80, 96))
    step = 0.5 if np.dtype(dtype).kind in "iu" else 1e-5
    assert np.abs(block_means(made, Size(20, 24)) - read(source)).max() <= step


@pytest.mark.parametrize("consistency", ["on", "local", "off"])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *(("uint8", 0), ("uint8", 255), ("uint8", 101), ("uint16", 65535), ("uint16", 7), ("int16", -32768)),
        *(("int32", 123_456_789), ("float32", -1e-20), ("float32", 1e30), ("float64", 0.1), ("float64", -1e200)),
    ],
)
def test_a_constant_stays_constant_to_the_border(make_raster, run, dtype: str, value: float, consistency: str) -> None:
    source = make_raster(np.full((3, 9, 11), value, dtype), **UTM)
    made = read(run(source, fidelity=0.0, consistency=consistency))
    assert made.shape == (3, 36, 44)
    assert (made == np.dtype(dtype).type(value)).all()


def test_a_constant_photograph_stays_constant(upscaler) -> None:
    image = np.full((9, 11, 3), (10, 200, 77), np.uint8)
    for fix in ("none", "wavelet", "adain", "lab"):
        made = upscaler.upscale(image, **{**DIFFUSED, "fidelity": 0.0}, color_fix=fix).image
        assert (made == image[0, 0]).all(), fix


@pytest.mark.parametrize("consistency", ["on", "off"])
def test_numbers_beyond_the_stretch_survive(make_raster, run, consistency: str) -> None:
    pixels = smooth_pixels((3, 24, 24), "uint16") // 4
    pixels[:, 10:14, 10:14] = 60_000
    made = read(run(make_raster(pixels, **UTM), stretch="percentile:2,90", consistency=consistency))
    plain = resize(pixels, Size(96, 96)).clip(0, 65_535)
    if consistency == "off":
        assert np.abs(made - plain)[:, 42:54, 42:54].max() < 3000  # the range that the model sees
    else:
        assert np.abs(block_means(made, Size(24, 24)) - pixels).max() <= 0.5


@pytest.mark.parametrize(
    ("old", "new"), [("uint8", "float32"), ("uint8", "uint16"), ("uint16", "uint8"), ("float32", "uint8")]
)
def test_another_data_type_keeps_the_numbers(make_raster, upscaler, tmp_path, old: str, new: str) -> None:
    pixels = (smooth_pixels((3, 12, 12), "uint8").astype(float) * 1.5).astype(old)
    source = make_raster(pixels, **UTM)
    result = upscaler.upscale(source, tmp_path / "out.tif", dtype=new, **DIFFUSED)
    made = read(result.path)
    assert made.dtype == new
    top = 255 if new == "uint8" else np.inf
    inside = pixels < 240
    means = block_means(made, Size(12, 12))
    assert np.abs(means - np.minimum(pixels, top))[inside].max() <= 1.0
    assert any("cut off" in text for text in result.manifest["warnings"]) == (new == "uint8")


def test_bits_in_use_are_not_exceeded(make_raster, run) -> None:
    pixels = smooth_pixels((3, 12, 12), "uint16").astype(float)
    pixels = np.where(np.indices((12, 12)).sum(0) % 2 == 0, 4095, pixels / 10_000 * 4000).astype(np.uint16)
    made = read(run(make_raster(pixels, nbits=12, **UTM), fidelity=0.0))
    assert made.max() <= 4095
    assert np.abs(block_means(made, Size(12, 12)) - pixels).max() <= 0.5


# --- bands ------------------------------------------------------------------------------------------------


def test_bands_are_found_by_their_colour(make_raster, run) -> None:
    pixels = smooth_pixels((3, 16, 16), "uint8")
    straight = make_raster(pixels, name="rgb.tif", photometric="RGB", **UTM)
    turned = make_raster(pixels[::-1].copy(), name="bgr.tif", photometric="MINISBLACK", **UTM)
    with rasterio.open(turned, "r+") as dataset:
        dataset.colorinterp = RGB[::-1]
    assert (read(run(turned, "a.tif")) == read(run(straight, "b.tif"))[::-1]).all()
    with rasterio.open(run(turned, "a.tif")) as dataset:
        assert dataset.colorinterp == RGB[::-1]
        assert dataset.tags(ns="ZIDO")["MODEL_BANDS"] == "3,2,1"


def test_bands_on_request(make_raster, run) -> None:
    source = make_raster(shape=(5, 12, 12), dtype="uint16", **UTM)
    with rasterio.open(run(source, bands=(4, 3, 2))) as dataset:
        assert dataset.tags(ns="ZIDO")["MODEL_BANDS"] == "4,3,2"
        assert dataset.count == 5


def test_opacity_is_kept(make_raster, run) -> None:
    pixels = np.concatenate([smooth_pixels((3, 12, 14), "uint8"), np.full((1, 12, 14), 255, np.uint8)])
    pixels[3, :4, :5] = 0
    with rasterio.open(run(make_raster(pixels, photometric="RGB", alpha="YES", **UTM))) as dataset:
        assert dataset.colorinterp == (*RGB, ColorInterp.alpha)
        assert (dataset.read(4) == enlarged(pixels[3], Size(48, 56))).all()
        assert (dataset.dataset_mask() == dataset.read(4)).all()


def test_soft_opacity_stays_soft(upscaler) -> None:
    image = np.full((12, 12, 2), 90, np.uint8)
    image[..., 1] = np.linspace(0, 255, 12).astype(np.uint8)
    made = upscaler.upscale(image, **DIFFUSED).image
    assert made.shape == (48, 48, 2)
    assert len(np.unique(made[..., 1])) > 30
    assert (made[..., 0] == 90).all()


@pytest.mark.parametrize(
    ("policy", "count", "synthetic"), [("bicubic", 4, "1,2,3"), ("detail", 4, "1,2,3,4"), ("drop", 3, "1,2,3")]
)
def test_further_bands(make_raster, run, policy: str, count: int, synthetic: str) -> None:
    pixels = smooth_pixels((4, 16, 16), "uint16")
    pixels[3] = pixels[:3].mean(axis=0) / 2 + 500
    source = make_raster(pixels, photometric="RGB", alpha="NO", **UTM)
    with rasterio.open(run(source, extra_bands=policy)) as dataset:
        made, tags = dataset.read(), dataset.tags(ns="ZIDO")
    assert made.shape == (count, 64, 64)
    assert np.abs(block_means(made, Size(16, 16)) - pixels[:count]).max() <= 0.5
    assert tags["SYNTHETIC_BANDS"] == synthetic
    assert tags.get("DROPPED_INPUT_BANDS") == ("4" if policy == "drop" else None)


def test_nine_bands(make_raster, run) -> None:
    source = make_raster(shape=(9, 10, 12), dtype="uint16", **UTM)
    made = read(run(source, extra_bands="detail"))
    assert made.shape == (9, 40, 48)
    assert np.abs(block_means(made, Size(10, 12)) - read(source)).max() <= 0.5


def test_a_palette_becomes_colours(make_raster, upscaler, tmp_path) -> None:
    indices = (smooth_pixels((1, 12, 12), "uint8") // 64).astype(np.uint8)
    source = make_raster(indices, photometric="PALETTE", **UTM)
    with rasterio.open(source, "r+") as dataset:
        dataset.write_colormap(1, {i: (60 * i, 255 - 60 * i, 90, 255) for i in range(4)})
    result = upscaler.upscale(source, tmp_path / "out.tif", **DIFFUSED)
    with rasterio.open(result.path) as dataset:
        assert dataset.colorinterp == RGB
        means = block_means(dataset.read(), Size(12, 12))
    assert np.abs(means[0] - 60 * indices[0].astype(float)).max() <= 0.5
    assert any("palette" in text for text in result.manifest["warnings"])


# --- missing pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("uint8", 255), ("uint16", 0), ("int16", -9999), ("float32", -9999), ("float32", np.nan)],
)
@pytest.mark.parametrize("scale", [4, 2.5])
def test_nodata_keeps_its_footprint_and_does_not_leak(
    make_raster, run, dtype: str, nodata: float, scale: float
) -> None:
    pixels = smooth_pixels((3, 18, 20), dtype)
    gone = np.zeros((18, 20), bool)
    gone[:5, :7] = gone[10:12, 12:17] = gone[17, 19] = True
    valid_values = pixels[:, ~gone].astype(float)
    pixels[:, gone] = nodata
    with rasterio.open(run(make_raster(pixels, nodata=nodata, **UTM), scale=scale)) as dataset:
        made, mask = dataset.read(), dataset.dataset_mask() != 0
        assert dataset.nodata == nodata or np.isnan(nodata)
    footprint = enlarged(~gone, Size(*made.shape[1:]))
    assert (mask == footprint).all()
    missing = np.isnan(made) if np.isnan(nodata) else made == nodata
    assert (missing == ~footprint).all()
    spread = np.ptp(valid_values)
    inside = made[:, footprint].astype(float)
    assert inside.min() > valid_values.min() - 0.2 * spread
    assert inside.max() < valid_values.max() + 0.2 * spread


def test_a_mask_is_kept(make_raster, run) -> None:
    gone = np.zeros((12, 15), bool)
    gone[3:9, 4:8] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        source = make_raster(shape=(3, 12, 15), **UTM)
        with rasterio.open(source, "r+") as dataset:
            dataset.write_mask(~gone)
    with rasterio.open(run(source)) as dataset:
        assert dataset.mask_flag_enums == ([MaskFlags.per_dataset],) * 3
        assert (dataset.dataset_mask() == 255 * enlarged(~gone, Size(48, 60))).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_beside_nodata_stays_constant(make_raster, run, dtype: str) -> None:
    pixels = np.full((3, 16, 16), 7, dtype)
    pixels[:, :, :9] = 0
    made = read(run(make_raster(pixels, nodata=0, **UTM), fidelity=0.0))
    assert (made == enlarged(pixels[0], Size(64, 64))).all()


def test_a_single_missing_band_keeps_its_number(make_raster, run) -> None:
    """A sentinel in one band of a pixel must not reach the network, nor be averaged away."""
    pixels = smooth_pixels((3, 14, 14), "float32")
    pixels[1, 6, 6] = -9999
    made = read(run(make_raster(pixels, nodata=-9999, **UTM)))
    assert (made[1, 24:28, 24:28] == -9999).all()
    assert (made == -9999).sum() == 16
    others = np.delete(made.reshape(3, -1), np.ravel_multi_index(np.ix_(range(24, 28), range(24, 28)), (56, 56)), 1)
    assert others.min() > 0
    assert others.max() < 1.2


def test_the_user_names_nodata(make_raster, run) -> None:
    pixels = smooth_pixels((3, 14, 14), "uint16")
    pixels[:, 2:6, 2:9] = 65_535
    pixels[0, 10, 10] = 65_535  # a measurement: the other bands are good
    source = make_raster(pixels, **UTM)
    with rasterio.open(run(source, nodata=65_535)) as dataset:
        made = dataset.read()
        assert dataset.nodata == 65_535
    gone = np.zeros((14, 14), bool)
    gone[2:6, 2:9] = True
    assert ((made == 65_535).all(axis=0) == enlarged(gone, Size(56, 56))).all()
    assert made[:, ~enlarged(gone, Size(56, 56))].max() < 65_535


@pytest.mark.parametrize(
    ("dtype", "value", "nodata"), [("uint8", 0, 0), ("float32", np.nan, None), ("float32", np.nan, np.nan)]
)
def test_nothing_valid_gives_nothing_valid_and_a_word_about_it(
    make_raster, upscaler, tmp_path, dtype: str, value: float, nodata: float | None
) -> None:
    source = make_raster(np.full((3, 8, 8), value, dtype), nodata=nodata, **UTM)
    said: list[Any] = []
    result = upscaler.upscale(source, tmp_path / "out.tif", on_event=said.append, **DIFFUSED)
    assert (read(result.path) == value).all() or np.isnan(read(result.path)).all()
    assert "the input has no valid pixel; neither has the output" in result.manifest["warnings"]
    assert any(isinstance(event, Warning) for event in said)


def test_numbers_too_large_to_calculate_with_spoil_their_surroundings_only(make_raster, upscaler, tmp_path) -> None:
    pixels = np.full((1, 40, 40), 7, np.float32)
    pixels[0, 20, 20] = 3e38
    result = upscaler.upscale(make_raster(pixels, **UTM), tmp_path / "out.tif", **DIFFUSED)
    assert any("numbers too large" in text for text in result.manifest["warnings"])
    assert np.isfinite(read(result.path)[0, :32, :32]).all()


# --- one result -------------------------------------------------------------------------------------------


def test_one_result_whatever_the_batch_and_what_ran_before(upscaler, example_raster) -> None:
    with rasterio.open(example_raster) as dataset:
        image = dataset.read()[:, 60:110, 60:120].transpose(1, 2, 0).copy()
    first = upscaler.upscale(image, **DIFFUSED).image
    for batch in (1, 2, 8):
        assert (upscaler.upscale(image, tile_batch=batch, **DIFFUSED).image == first).all()
    upscaler.upscale(image[::-1, ::2].copy(), **DIFFUSED)
    assert (upscaler.upscale(image, **DIFFUSED).image == first).all()


def test_files_of_equal_runs_are_equal(make_raster, run) -> None:
    source = make_raster(**UTM)
    assert run(source, "a.tif").read_bytes() == run(source, "b.tif").read_bytes()


def test_a_crop_of_noise_is_the_noise_of_the_crop_and_seeds_differ(upscaler, example_raster) -> None:
    with rasterio.open(example_raster) as dataset:
        image = dataset.read()[:, 60:100, 60:100].transpose(1, 2, 0).copy()
    results = [upscaler.upscale(image, seed=seed, **{**DIFFUSED, "fidelity": 0.0}).image for seed in (0, 1, 0)]
    assert (results[0] == results[2]).all()
    assert (results[0] != results[1]).any()


# --- images in memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 2), (9, 8, 3), (9, 8, 4), (9, 8, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_arrays_come_back_as_arrays(upscaler, shape: tuple[int, ...], dtype: str) -> None:
    image = np.moveaxis(smooth_pixels((shape[2] if len(shape) > 2 else 1, 9, 8), dtype), 0, 2).reshape(shape)
    result = upscaler.upscale(image, **COARSE)
    assert isinstance(result.image, np.ndarray)
    assert (result.image.shape, result.image.dtype) == ((36, 32, *shape[2:]), image.dtype)
    assert (result.path, result.manifest["model"]["name"]) == (None, "mini")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "I", "F"])
def test_pillow_images_come_back_as_they_were(upscaler, mode: str) -> None:
    count = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1)
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    pixels = np.moveaxis(smooth_pixels((count, 9, 8), "uint8"), 0, 2).astype(dtype)
    image = Image.fromarray(pixels[..., 0] if count == 1 else pixels)
    image.info["icc_profile"] = b"profile"
    assert image.mode == mode
    result = upscaler.upscale(image, **COARSE).image
    assert (result.mode, result.size) == (mode, (32, 36))
    assert result.info["icc_profile"] == b"profile"


@pytest.mark.parametrize(("mode", "becomes"), [("P", "RGB"), ("1", "L"), ("CMYK", "RGB"), ("YCbCr", "RGB")])
def test_pillow_modes_that_cannot_be_enlarged_become_others(upscaler, mode: str, becomes: str) -> None:
    image = Image.fromarray(np.moveaxis(smooth_pixels((3, 9, 8), "uint8"), 0, 2).copy()).convert(mode)
    assert upscaler.upscale(image, **COARSE).image.mode == becomes


def test_images_in_memory_can_go_to_a_file(upscaler, tmp_path) -> None:
    image = Image.fromarray(np.moveaxis(smooth_pixels((3, 9, 8), "uint8"), 0, 2).copy())
    for name in ("a.png", "a.tif", "a.jpg"):
        result = upscaler.upscale(image, tmp_path / name, **COARSE)
        assert (result.image, result.path) == (None, tmp_path / name)
        assert read(result.path).shape == (3, 36, 32)
    made = upscaler.upscale(np.asarray(image), **COARSE).image
    assert (read(tmp_path / "a.png") == made.transpose(2, 0, 1)).all()


# --- what is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"fidelity": 1.0},
        {"fidelity": 0.5},
        {"fusion": "spot", "tile_overlap": None},
        {"fusion": "spot-hybrid", "steps": 2},
        {"guidance_scale": 2.0, "negative_prompt": "blurred, noisy"},
    ],
    ids=str,
)
def test_events_come_in_order_and_progress_reaches_its_end(make_raster, upscaler, tmp_path, options) -> None:
    events: list[Any] = []
    source, given = make_raster(shape=(3, 40, 52), **UTM), {**DIFFUSED, **options}
    upscaler.upscale(source, tmp_path / "out.tif", on_event=events.append, **given)
    assert isinstance(events[0], Plan)
    stages = [event for event in events if isinstance(event, Stage)]
    main = "enlarging" if options.get("fidelity") == 1 else "denoising"
    assert [stage.name for stage in stages] == ["reading", "tagging", main, "finishing", "verifying"]
    assert [(stage.index, stage.count) for stage in stages] == [(i, 5) for i in range(1, 6)]
    progress = [event for event in events if isinstance(event, Progress)]
    done = [event.done for event in progress]
    assert done == sorted(set(done))
    assert {event.total for event in progress} == {done[-1]}
    assert len(done) > 1 or options.get("fidelity") == 1


def test_guidance_and_negative_prompts_take_part(upscaler, example_raster) -> None:
    with rasterio.open(example_raster) as dataset:
        image = dataset.read()[:, 60:92, 60:92].transpose(1, 2, 0).copy()
    plain = {**DIFFUSED, "fidelity": 0.0, "steps": 2}
    made = [upscaler.upscale(image, guidance_scale=scale, **plain).image for scale in (1.0, 1.0, 3.0)]
    assert (made[0] == made[1]).all()
    assert made[2].shape == made[0].shape
    record = upscaler.upscale(image, guidance_scale=3.0, negative_prompt="noisy", **plain).manifest
    assert record["options"]["negative_prompt"] == "noisy"


def test_the_manifest_tells_everything(make_raster, upscaler, tmp_path) -> None:
    source, beside = make_raster(shape=(3, 40, 52), dtype="uint16", **UTM), tmp_path / "made.json"
    result = upscaler.upscale(source, tmp_path / "out.tif", manifest=str(beside), seed=5, **DIFFUSED)
    record = json.loads(beside.read_text())
    assert record == json.loads(json.dumps(result.manifest))
    assert record["options"]["seed"] == 5
    assert record["options"]["precision"] == "fp32"
    assert record["stretch"]["mode"] == "percentile:0.1,99.9"
    assert record["consistency"]["reflectance"] < 1e-3
    assert set(record["seconds"]) == {"reading", "tagging", "network", "keeping", "finishing", "writing"}
    with rasterio.open(result.path) as dataset:
        tags = dataset.tags(ns="ZIDO")
    assert tags["WEIGHTS_SHA256"] == record["model"]["sha256"]
    for part in ("options", "stretch", "prompts", "consistency", "warnings", "versions"):
        assert json.loads(tags[part.upper()]) == record[part]


def test_cancelling_leaves_nothing(make_raster, upscaler, tmp_path) -> None:
    source, folder, token = make_raster(shape=(3, 60, 60), **UTM), tmp_path / "out", CancelToken()
    folder.mkdir()
    seen: list[Any] = []

    def stop(event: Any) -> None:
        seen.append(event)
        if isinstance(event, Progress) and event.done > event.total // 2:
            token.cancel()

    beside = {"manifest": str(folder / "m.json"), "save_prompts": str(folder / "p.geojson")}
    with pytest.raises(Cancelled):
        upscaler.upscale(source, folder, on_event=stop, cancel=token, **beside, **DIFFUSED)
    assert list(folder.iterdir()) == []
    after = seen[[isinstance(e, Progress) and e.done > e.total // 2 for e in seen].index(True) + 1 :]
    assert after == []


# --- functions of the package -----------------------------------------------------------------------------


def test_upscale_loads_the_model_itself(make_raster) -> None:
    source = make_raster(**UTM)
    result = zido_core.upscale(source, device="cpu", scale=2, **COARSE)
    assert result.path == source.with_name("input_x2.tif")
    assert read(result.path).shape == (3, 26, 34)


def test_plan_says_what_it_takes_and_writes_nothing(make_raster, tmp_path) -> None:
    source = make_raster(shape=(3, 100, 80), **UTM)
    before = set(tmp_path.iterdir())
    plan = zido_core.plan(source, scale=3, device="cpu", **DIFFUSED)
    assert (plan.input_size, plan.output_size, plan.scale) == ((100, 80), (300, 240), 3.0)
    assert (plan.tiles, plan.tile_size, plan.crs, plan.device) == (12, 128, "EPSG:32750", "cpu")
    assert plan.output == str(tmp_path / "input_x3.tif")
    assert plan.memory_bytes > plan.disk_bytes >= 300 * 240 * 3
    assert set(tmp_path.iterdir()) == before
    assert zido_core.plan(np.zeros((5, 6), np.uint8)).output is None


def test_tag_gives_the_prompts_of_all_tiles(example_raster, tmp_path) -> None:
    saved = tmp_path / "p.geojson"
    prompts = zido_core.tag(example_raster, save_prompts=str(saved), tile_size=512, tile_overlap=0)
    assert len(prompts) == len(json.loads(saved.read_text())["features"]) == 4
    assert all(prompt.text for prompt in prompts)


def test_options_by_object_and_by_name(upscaler) -> None:
    image, options = np.zeros((4, 4), np.uint8), zido_core.Options(scale=2, **COARSE)
    assert upscaler.upscale(image, options=options).image.shape == (8, 8)
    assert upscaler.upscale(image, options=options, scale=3).image.shape == (12, 12)
    with pytest.raises(InvalidOptions, match="did you mean 'scale'"):
        upscaler.upscale(image, scael=3)
    with pytest.raises(InvalidOptions, match=r"plan\(\)"):
        upscaler.upscale(image, dry_run=True)


@pytest.mark.parametrize("name", ["manifest", "save_prompts"])
def test_files_beside_the_output_are_checked_first(make_raster, upscaler, tmp_path, name: str) -> None:
    source, output = make_raster(**UTM), tmp_path / "out.tif"
    with pytest.raises(InvalidOptions, match="another file of this run"):
        upscaler.upscale(source, output, **{name: str(output)}, overwrite=True, **COARSE)
    with pytest.raises(InvalidOptions, match="another file of this run"):
        upscaler.upscale(source, output, **{name: str(source)}, overwrite=True, **COARSE)
    with pytest.raises(OutputNotWritable, match="no folder"):
        upscaler.upscale(source, output, **{name: str(tmp_path / "no" / "x.json")}, **COARSE)
    (tmp_path / "there.json").touch()
    with pytest.raises(OutputNotWritable, match="exists"):
        upscaler.upscale(source, output, **{name: str(tmp_path / "there.json")}, **COARSE)
    assert not output.exists()
    assert (tmp_path / "there.json").read_bytes() == b""


# --- through the command line ----------------------------------------------------------------------------


def test_events_as_json_lines(make_raster, tmp_path, capfd) -> None:
    source = make_raster(shape=(3, 20, 24), **UTM)
    beside = ["--manifest", str(tmp_path / "made.json"), "--save-prompts", str(tmp_path / "p.geojson")]
    assert cli.execute([str(source), "--json", "--preset", "preview", "--device", "cpu", *beside]) == 0
    out, err = capfd.readouterr()
    events = [decode(line) for line in out.splitlines()]
    kinds = [type(event).__name__ for event in events]
    assert list(dict.fromkeys(kinds)) == ["Started", "Plan", "Stage", "Progress", "Done"]
    assert isinstance(events[-1], Done)
    assert events[-1].output == str(tmp_path / "input_x4.tif")
    assert events[-1].manifest == str(tmp_path / "made.json")
    assert events[-1].output_size == (80, 96)
    assert err == ""
    assert (tmp_path / "p.geojson").exists()


def test_a_dry_run_writes_nothing(make_raster, tmp_path, capfd) -> None:
    source = make_raster(shape=(3, 20, 24), **UTM)
    before = set(tmp_path.iterdir())
    assert cli.execute([str(source), "--dry-run", "--device", "cpu", "--save-prompts", "p.geojson"]) == 0
    out, err = capfd.readouterr()
    assert "96 x 80 px (x4)" in out
    assert "EPSG:32750" in out
    assert err == ""
    assert set(tmp_path.iterdir()) == before


def test_several_inputs_go_into_a_folder(make_raster, tmp_path, capfd) -> None:
    sources = [str(make_raster(shape=(1, 6, 7), name=name, **UTM)) for name in ("a.tif", "b.tif")]
    quick = ["--preset", "preview", "--device", "cpu", "--quiet"]
    assert cli.execute([*sources, "-o", str(tmp_path / "out"), *quick]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_x4.tif", "b_x4.tif"]
    assert capfd.readouterr() == ("", "")


# --- against doing it plainly -----------------------------------------------------------------------------


def test_the_coarse_stage_beats_bicubic_on_the_examples(upscaler, example_raster, example_photo) -> None:
    """The one test that depends on how well the embedded model was trained."""
    for path in (example_raster, example_photo):
        with rasterio.open(path) as dataset:
            truth = dataset.read()[:3, 32:160, 32:160]
        small = block_means(truth, Size(32, 32))
        image = np.rint(small).astype(np.uint8).transpose(1, 2, 0).copy()
        made = upscaler.upscale(image, fidelity=1.0, color_fix="none").image.transpose(2, 0, 1)
        plain = resize(image.transpose(2, 0, 1), Size(128, 128)).clip(0, 255)
        inner = np.s_[:, 8:-8, 8:-8]
        errors = [np.square(each[inner] - truth[inner].astype(float)).mean() for each in (made, plain)]
        assert errors[0] < errors[1], path


@pytest.mark.parametrize(("fidelity", "tolerance"), [(1.0, 0.02), (0.0, 0.05)])
def test_borders_of_tiles_do_not_show(
    upscaler, example_raster, example_photo, fidelity: float, tolerance: float
) -> None:
    """Over both pictures: what their content does at so few borders is as large as the tolerance."""
    ratios = []
    for path in (example_raster, example_photo):
        with rasterio.open(path) as dataset:
            image = dataset.read()[:3, :128, :128].transpose(1, 2, 0).copy()
        options = {**DIFFUSED, "fidelity": fidelity, "color_fix": "none", "consistency": "on"}
        ratios.append(upscaler.upscale(image, **options).manifest["consistency"]["seam_ratio"])
    assert np.mean(ratios) == pytest.approx(1, abs=tolerance)


def test_one_tile_alone_is_what_the_tiles_of_the_paper_are(upscaler) -> None:
    """An image of one tile: fusion, weights and overlap have nothing to say."""
    image = np.moveaxis(smooth_pixels((3, 24, 24), "uint8"), 0, 2).copy()
    made = [
        upscaler.upscale(image, **{**DIFFUSED, **options}).image
        for options in ({"fusion": "mixture"}, {"fusion": "multidiffusion"}, {"tile_overlap": 0}, {"fusion": "spot"})
    ]
    for other in made[1:]:
        assert np.abs(other.astype(int) - made[0]).max() <= 1


@pytest.mark.parametrize("prompts", ["none", "global"])
def test_tiles_are_the_coarse_whole_where_nothing_is_sampled(upscaler, example_raster, prompts) -> None:
    """And where all of them hear the same."""
    with rasterio.open(example_raster) as dataset:
        image = dataset.read()[:, 60:140, 60:150].transpose(1, 2, 0).copy()
    made = [upscaler.upscale(image, fidelity=1.0, prompts=prompts, tile_size=size).image for size in (128, 576)]
    assert (made[0] == made[1]).all()
