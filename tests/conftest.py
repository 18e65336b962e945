"""What tests share: the package `zido`, where the real files lie, and small rasters of every kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.as_host import ROOT, load_as_host

UTM = {"crs": "EPSG:32750", "transform": Affine(0.5, 0.0, 297_495.0, 0.0, -0.5, 9_050_564.0)}
DEGREES = {"crs": "EPSG:4326", "transform": Affine(1e-5, 0.0, 115.16, 0.0, -1e-5, -8.585)}
TURNED = Affine.translation(3e5, 9e6) * Affine.rotation(30) * Affine.scale(2, -3)
ROTATED = {"crs": "EPSG:32750", "transform": TURNED}
NOWHERE: dict[str, Any] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Tests of what runs in hosts import `zido`."""
    load_as_host()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes that they start, remember nothing on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZIDO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def upscaler() -> Any:
    """The embedded model, loaded once for all tests; nothing that runs through it may change it."""
    from zido_core import Upscaler

    return Upscaler.load(device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def no_models_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The model store is empty, whatever lies in that of who runs the tests."""
    monkeypatch.setenv("ZIDO_HOME", str(tmp_path_factory.getbasetemp() / "no-models"))


@pytest.fixture(scope="session")
def gimp(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real GIMP with this plug-in, in a profile that all its tests share, as its first start takes long."""
    from tests.gimp_host import Gimp

    return Gimp.made_in(tmp_path_factory.mktemp("gimp"))


@pytest.fixture(scope="session", params=["3.22", "3.40"])
def qgis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real QGIS with this plugin, the oldest and a new one, each in a profile that its tests share."""
    from tests.hosts import QGIS_322, QGIS_340
    from tests.qgis_host import Qgis

    host = {"3.22": QGIS_322, "3.40": QGIS_340}[request.param]
    return Qgis.made_in(tmp_path_factory.mktemp(f"qgis-{request.param}"), host)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with `pack-eval` and `pack-train`, real imagery that is too large for the repository."""
    return _folder("ZIDO_DATA_DIR", ROOT.parent / "shared" / "data", "pack-eval and pack-train")


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Folder with inputs and outputs of the papers' own code on tiny random weights."""
    return _folder("ZIDO_PARITY_DIR", ROOT.parent / "shared" / "parity" / "visible", "the parity files")


@pytest.fixture(scope="session")
def example_raster() -> Path:
    """A real GeoTIFF: 256 x 256, RGB, uint8, UTM 37S, 23 cm per pixel."""
    return ROOT / "examples" / "houses.tif"


@pytest.fixture(scope="session")
def example_photo() -> Path:
    """A real photograph: 192 x 256 (height x width), RGB, PNG."""
    return ROOT / "examples" / "barn.png"


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., Path]:
    """Write a GeoTIFF of the given array (bands, h, w) or of a smooth random one; returns its path.

    Keywords that the fixture does not know go to rasterio: nodata, crs, transform, gcps, rpcs, photometric...
    """

    def make(
        array: np.ndarray | None = None,
        *,
        name: str = "input.tif",
        shape: tuple[int, int, int] = (3, 13, 17),
        dtype: str = "uint8",
        **profile: Any,
    ) -> Path:
        pixels = smooth_pixels(shape, dtype) if array is None else array
        count, height, width = pixels.shape
        path = tmp_path / name
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **profile
        ) as dataset:
            dataset.write(pixels)
        return path

    return make


@pytest.fixture(
    params=[
        pytest.param((dtype, nodata, place), id=f"{dtype}-nodata={nodata}-{name}")
        for dtype, nodata, place, name in (
            ("uint8", None, UTM, "utm"),
            ("uint8", 0, DEGREES, "degrees"),
            ("uint16", 65535, ROTATED, "rotated"),
            ("int16", -9999, UTM, "utm"),
            ("float32", float("nan"), UTM, "utm"),
            ("float64", -1e30, NOWHERE, "nowhere"),
        )
    ]
)
def tiny_raster(request: pytest.FixtureRequest, make_raster: Callable[..., Path]) -> Path:
    """A 13 x 17 GeoTIFF of three bands; if it has nodata, one corner of 4 x 5 pixels is."""
    dtype, nodata, place = request.param
    pixels = smooth_pixels((3, 13, 17), dtype)
    if nodata is not None:
        pixels[:, :4, :5] = nodata
    return make_raster(pixels, nodata=nodata, **place)


def smooth_pixels(shape: tuple[int, int, int], dtype: str, seed: int = 0) -> np.ndarray:
    """Pixels (bands, h, w) with neighbours alike, as in a picture; none is 0, NaN or the dtype's limit."""
    waves = np.random.default_rng(seed).uniform(0.2, 0.8, (shape[0], 3))
    row, col = np.mgrid[: shape[1], : shape[2]] / 8.0
    unit = np.stack([0.5 + 0.4 * np.sin(a * row + b * col + 6 * c) for a, b, c in waves])
    top = {"uint8": 255.0, "uint16": 10_000.0, "int16": 10_000.0}.get(dtype, 1.0)
    return (unit * top).astype(dtype)


def _folder(variable: str, default: Path, what: str) -> Path:
    folder = Path(os.environ.get(variable) or default)
    if not folder.is_dir():
        pytest.skip(f"{what} are not here: set {variable} to their folder (looked in {folder})")
    return folder
