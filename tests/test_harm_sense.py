"""What harmed an image is seen, noisy rasters are told from textured ones, and a warning says what lets noise go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from tests.conftest import UTM
from zido_core import noisiness
from zido_core.nets.harm_sense import HarmSense
from zido_core.options import Options
from zido_core.raster.reader import open_source
from zido_core.setup import prepare
from zido_core.survey import Survey, survey
from zido_core.tiling.grid import Size, Tile
from zido_core.training.degrade import add_noise, compress

Pixels = np.ndarray


@pytest.fixture
def houses(example_raster: Path) -> Pixels:
    """(256, 256, 3) in [0, 1]."""
    with rasterio.open(example_raster) as dataset:
        return (dataset.read((1, 2, 3)).transpose(1, 2, 0) / 255).astype(np.float32)


@pytest.fixture
def surveyed(make_raster: Callable[..., Path]) -> Callable[..., Survey]:
    """Survey of an image (h, w, 3) in [0, 1], as a raster."""

    def look(image: Pixels, dtype: str = "uint8", top: float = 255, **options: object) -> Survey:
        pixels = (image.transpose(2, 0, 1) * top).clip(0, top).round().astype(dtype)
        nodata = options.pop("nodata", None)
        with open_source(make_raster(pixels, nodata=nodata, **UTM)) as source:
            return survey(source, prepare(source, None, Options(device="cpu", **options), to_file=False))

    return look


HARMS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda image: image,
    "half-size": lambda image: image[::2, ::2],
    "compressed": lambda image: compress(image, 75),
    "faint noise": lambda image: add_noise(image, 1.5, np.random.default_rng(0)),
}
NOISES: dict[str, Callable[[Pixels], Pixels]] = {
    "noise": lambda image: add_noise(image, 12, np.random.default_rng(0)),
    "noise, compressed": lambda image: compress(add_noise(image, 12, np.random.default_rng(0)), 65),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_texture_and_compression_are_no_noise(houses, surveyed, harm) -> None:
    found = surveyed(harm(houses))
    assert found.noise is not None
    assert not found.noisy


@pytest.mark.parametrize("harm", NOISES.values(), ids=NOISES)
def test_noise_is_noticed(houses, surveyed, harm) -> None:
    assert surveyed(harm(houses)).noisy


def test_nobody_looks_where_noise_is_not_kept_or_is_a_measurement(houses, surveyed) -> None:
    for consistency in ("local", "off"):
        found = surveyed(NOISES["noise"](houses), consistency=consistency)
        assert (found.noise, found.noisy) == (None, False)
    measured = surveyed(NOISES["noise"](houses), "uint16", 9000)
    assert (measured.noise, measured.noisy) == (None, False)


def test_noise_is_noticed_between_missing_pixels(houses, surveyed) -> None:
    image = NOISES["noise"](houses).clip(0.01, 1)
    image[::40, ::40] = 0
    image[:130] = 0
    assert surveyed(image, nodata=0).noisy


def test_missing_pixels_and_tiny_images_say_nothing(surveyed) -> None:
    rng = np.random.default_rng(1)
    gaps = rng.uniform(0.1, 1, (200, 200, 3)).astype(np.float32)
    gaps[::16, ::16] = 0
    assert surveyed(gaps, nodata=0).noise == 0
    assert surveyed(rng.uniform(0, 1, (63, 99, 3)).astype(np.float32)).noise == 0


@pytest.mark.parametrize(
    ("size", "rows", "cols"),
    [
        (Size(64, 64), [0], [0]),
        (Size(96, 65), [0, 32], [0, 1]),
        (Size(640, 5000), [0, 192, 384, 576], [0, 1645, 3291, 4936]),
        (Size(63, 999), [], []),
    ],
)
def test_places_reach_from_end_to_end(size: Size, rows: list[int], cols: list[int]) -> None:
    found = list(noisiness.places(size))
    assert found == [Tile(row, col, 64, 64) for row in rows for col in cols]


@pytest.mark.parametrize("side", [24, 25, 31, 40, 57, 64])
def test_what_is_missing_is_not_looked_at(side: int) -> None:
    torch.manual_seed(0)
    network, image, valid = HarmSense(), torch.rand(1, 3, side, side), torch.ones(1, side, side, dtype=torch.bool)
    assert torch.allclose(network(image, valid), network(image), atol=1e-6)
    valid[:, 3, side - 1] = False
    other = image.clone()
    other[:, :, 3, side - 1] = 9
    assert torch.equal(network(image, valid), network(other, valid))


def test_brightness_and_colour_say_nothing() -> None:
    torch.manual_seed(0)
    network, image = HarmSense(), torch.rand(2, 3, 32, 32) / 2
    shade = torch.tensor([0.3, 0.1, 0.5]).view(3, 1, 1)
    assert torch.allclose(network(image), network(image + shade), atol=1e-5)


def test_a_warning_proposes_what_lets_noise_go(houses, make_raster, upscaler) -> None:
    pixels = (NOISES["noise, compressed"](houses[:96, :96]).transpose(2, 0, 1) * 255).round().astype(np.uint8)
    path = make_raster(pixels, **UTM)
    made = {
        how: upscaler.upscale(path, path.with_name(f"{how}.tif"), consistency=how, preset="preview")
        for how in ("auto", "on", "local")
    }
    told = {how: [each for each in result.manifest["warnings"] if "noisy" in each] for how, result in made.items()}
    assert [len(each) for each in told.values()] == [1, 1, 0]
    assert "--consistency local" in told["auto"][0]
    means = {
        how: rasterio.open(result.path).read().reshape(3, 96, 4, 96, 4).mean((2, 4)) for how, result in made.items()
    }
    assert np.abs(means["auto"] - pixels).max() <= 0.5
    assert np.abs(means["local"] - pixels).max() > 8


def test_real_rasters_are_not_called_noisy(data_dir: Path) -> None:
    said = []
    for path in sorted((data_dir / "pack-eval/rasters").rglob("*.tif")):
        with open_source(path) as source:
            found = survey(source, prepare(source, None, Options(device="cpu"), to_file=False))
        said += [] if found.noise is None else [found.noisy]
    assert len(said) >= 8
    assert not any(said)
