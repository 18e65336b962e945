"""Rasters: numbers, validity, metadata, and inputs that are not opened."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from zido_core.errors import BadInput, InputNotFound, InputRefused, InvalidOptions, ZidoError
from zido_core.raster.reader import open_source
from zido_core.tiling.grid import Size, Tile

RNG = np.random.default_rng(3)
PLACE = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 4_000_000)}
DATA = Path(os.environ.get("ZIDO_DATA_DIR", Path(__file__).parents[2] / "shared" / "data")) / "pack-eval"
VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"
 subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{secret}</SourceFilename>
 <ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>8</LineOffset></VRTRasterBand></VRTDataset>"""


def numbers(dtype: str, count: int = 3, height: int = 20, width: int = 30) -> NDArray[Any]:
    if np.dtype(dtype).kind == "f":
        return RNG.normal(0, 100, (count, height, width)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, (count, height, width), dtype=dtype, endpoint=True)


def write(path: Path, array: NDArray[Any], *, colours: str = "", mask: Any = None, **profile: Any) -> Path:
    count, height, width = array.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": array.dtype,
    } | profile
    internal = profile.pop("internal_mask", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "w", **profile) as dataset:
            if colours:
                dataset.colorinterp = [ColorInterp[name] for name in colours.split()]
            dataset.write(array)
            if mask is not None:
                dataset.write_mask(mask)
    return path


@pytest.fixture(autouse=True)
def _nothing_on_stderr(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    """Every test of this module: no noise of GDAL, logging or warnings."""
    yield
    assert capfd.readouterr().err == ""
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_numbers_are_as_rasterio_reads_them(tmp_path: Path, dtype: str, count: int) -> None:
    array = numbers(dtype, count)
    path = write(tmp_path / "a.tif", array, photometric="MINISBLACK", alpha="NO", **PLACE)
    with open_source(path) as source:
        assert (source.info.kind, source.info.dtype, source.info.count) == ("raster", dtype, count)
        assert source.info.alpha is None
        found = source.read()
        assert found.array.dtype == dtype
        assert (found.array == array).all()
        assert found.valid.all()
        assert found.band_valid is None
        part = source.read(Tile(3, 4, 5, 6), bands=[count, 1])
    assert (part.array == array[[count - 1, 0], 3:8, 4:10]).all()
    assert part.valid.shape == (5, 6)


@pytest.mark.parametrize(
    ("driver", "suffix"),
    [("ENVI", "img"), ("HFA", "img"), ("JP2OpenJPEG", "jp2"), ("PNM", "ppm"), ("BMP", "bmp")],
)
def test_other_formats(tmp_path: Path, driver: str, suffix: str) -> None:
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    place = PLACE if driver in {"ENVI", "HFA", "JP2OpenJPEG"} else {}
    array = numbers("uint8")
    with open_source(write(tmp_path / f"a.{suffix}", array, driver=driver, **lossless, **place)) as source:
        assert source.info.driver == driver
        assert (source.read().array == array).all()
        assert (source.info.geobox.transform == PLACE["transform"]) == bool(place)


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 16, "blockysize": 16}, {"BIGTIFF": "YES"}])
def test_layouts(tmp_path: Path, layout: dict[str, Any]) -> None:
    array = numbers("uint16", height=70, width=50)
    with open_source(write(tmp_path / "a.tif", array, compress="deflate", **layout)) as source:
        assert (source.read(Tile(10, 20, 33, 17)).array == array[:, 10:43, 20:37]).all()


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 0),
        ("uint8", 255),
        ("uint16", 0),
        ("int16", -9999),
        ("float32", -9999.0),
        ("float32", float("nan")),
        ("float32", -3.4028234663852886e38),
        ("float64", 0.0),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_nodata_as_gdals_dataset_mask(tmp_path: Path, dtype: str, nodata: float, count: int) -> None:
    array = numbers(dtype, count)
    array[:, 2:5, 3:9] = nodata
    array[0, 10:12, 10:12] = nodata
    path = write(tmp_path / "a.tif", array, nodata=nodata, **PLACE)
    with rasterio.open(path) as dataset:
        masks = dataset.read_masks() != 0
    with open_source(path) as source:
        found = source.read()
        assert source.info.nodata is not None
        assert source.info.nodata == nodata or np.isnan(nodata)
        assert not source.info.has_mask
    sentinel = nodata < 0 or np.dtype(dtype).kind == "f"
    if np.isnan(nodata):
        assert (found.valid == masks.all(axis=0)).all()
    else:
        assert (found.valid == masks.any(axis=0)).all()
    assert (found.every_band_valid == (masks if sentinel else masks.any(axis=0))).all()


def test_nan_and_infinity_are_not_valid(tmp_path: Path) -> None:
    array = numbers("float32")
    array[1, 4, 5], array[2, 6, 7] = np.nan, -np.inf
    with open_source(write(tmp_path / "a.tif", array, **PLACE)) as source:
        found = source.read()
    assert {(4, 5), (6, 7)} == set(zip(*(index.tolist() for index in np.nonzero(~found.valid)), strict=True))
    assert found.band_valid is not None
    assert (found.band_valid == np.isfinite(array)).all()


@pytest.mark.parametrize("internal", [True, False])
def test_mask_in_and_beside_the_file(tmp_path: Path, internal: bool) -> None:
    mask = RNG.random((20, 30)) > 0.3
    path = write(tmp_path / "a.tif", numbers("uint8"), mask=mask, internal_mask=internal, **PLACE)
    assert path.with_name("a.tif.msk").exists() != internal
    with open_source(path) as source:
        assert source.info.has_mask
        assert (source.read().valid == mask).all()
        assert (source.read(Tile(5, 6, 7, 8)).valid == mask[5:12, 6:14]).all()


def test_nodata_tuple_is_a_mask(tmp_path: Path) -> None:
    array = numbers("uint8") | 1
    array[:, 3, 4] = (0, 7, 9)
    path = write(tmp_path / "a.tif", array, **PLACE)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NODATA_VALUES="0 7 9")
    with open_source(path) as source:
        assert source.info.has_mask
        assert "NODATA_VALUES" not in source.info.tags.get("", {})
        assert np.argwhere(~source.read().valid).tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("colours", "alpha"),
    [
        ("red green blue alpha", 4),
        ("blue green red alpha", 4),
        ("alpha red green blue", 1),
        ("gray alpha", 2),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_apart(tmp_path: Path, colours: str, alpha: int, dtype: str) -> None:
    array = numbers(dtype, len(colours.split()))
    array[alpha - 1, 2:9, 2:9] = 0
    path = write(tmp_path / "a.tif", array, colours=colours, **PLACE)
    with open_source(path) as source:
        assert [band.interpretation for band in source.info.bands] == colours.split()
        assert (source.info.alpha, source.info.has_mask) == (alpha, False)
        found = source.read()
    assert (found.array == np.delete(array, alpha - 1, axis=0)).all()
    assert found.alpha is not None
    assert (found.alpha == array[alpha - 1]).all()
    assert (found.valid == (array[alpha - 1] != 0)).all()


def test_nodata_wins_over_alpha(tmp_path: Path) -> None:
    array = numbers("uint8", 4) | 1
    array[3, 0:5] = 0
    array[:3, 10:12] = 0
    path = write(tmp_path / "a.tif", array, colours="red green blue alpha", nodata=0, **PLACE)
    with open_source(path) as source:
        found = source.read()
        assert (source.info.nodata, source.info.alpha) == (0, 4)
    assert (found.valid == (array[:3] != 0).any(axis=0)).all()
    assert found.alpha is not None


def test_three_encodings_of_invalid_pixels_read_the_same(tmp_path: Path) -> None:
    array = numbers("uint8") | 1
    valid = RNG.random(array.shape[1:]) > 0.4
    array[:, ~valid] = 0
    paths = [
        write(tmp_path / "nodata.tif", array, nodata=0, **PLACE),
        write(tmp_path / "mask.tif", array, mask=valid, **PLACE),
        write(
            tmp_path / "alpha.tif",
            np.concatenate([array, valid[None] * np.uint8(255)]),
            colours="red green blue alpha",
            **PLACE,
        ),
    ]
    for path in paths:
        with open_source(path) as source:
            found = source.read()
        assert (found.array == array).all()
        assert (found.valid == valid).all()


def test_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", numbers("int16", 2), nodata=-1, **PLACE)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B04", "B08")
        dataset.scales, dataset.offsets, dataset.units = (0.1, 0.2), (-5, 6), ("m", "K")
        dataset.update_tags(AREA_OR_POINT="Point", mission="S2", STATISTICS_MEAN="3")
        dataset.update_tags(ns="ACQUISITION", cloud="7")
        dataset.update_tags(1, wavelength="665", STATISTICS_MAXIMUM="9")
    with open_source(path) as source:
        info = source.info
    first, second = info.bands
    assert (first.description, first.scale, first.offset, first.unit, first.nodata) == (
        "B04",
        0.1,
        -5,
        "m",
        -1,
    )
    assert (second.description, second.scale, second.offset, second.unit) == ("B08", 0.2, 6, "K")
    assert first.tags == {"wavelength": "665"}
    assert info.tags == {"": {"AREA_OR_POINT": "Point", "mission": "S2"}, "ACQUISITION": {"cloud": "7"}}
    assert info.warnings == ()


def test_nodata_per_band(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", numbers("uint8", 2))
    part = '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><NoDataValue>{n}</NoDataValue>{part}</VRTRasterBand>'
        for n in (1, 2)
    )
    text = f'<VRTDataset rasterXSize="30" rasterYSize="20">{bands}</VRTDataset>'
    (tmp_path / "a.vrt").write_text(text)
    with open_source(tmp_path / "a.vrt", allow_vrt=True) as source:
        assert source.info.nodata is None
        assert [band.nodata for band in source.info.bands] == [1, 2]


@pytest.mark.parametrize(("bits", "dtype"), [(4, "uint8"), (10, "uint16"), (12, "uint16")])
def test_fewer_bits_keep_their_range(tmp_path: Path, bits: int, dtype: str) -> None:
    array = RNG.integers(0, 2**bits, (1, 20, 30)).astype(dtype)
    with open_source(write(tmp_path / "a.tif", array, nbits=bits, photometric="MINISBLACK", **PLACE)) as source:
        assert (source.info.bands[0].bits, source.info.dtype) == (bits, dtype)
        assert (source.read().array == array).all()


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    array = RNG.integers(0, 2, (1, 20, 30)).astype(np.uint8)
    with open_source(write(tmp_path / "a.tif", array, nbits=1, **PLACE)) as source:
        assert (source.read().array == array * np.uint8(255)).all()
        assert "palette expanded to gray" in source.info.warnings[0]


def test_palette_becomes_colours(tmp_path: Path) -> None:
    indices = RNG.integers(0, 5, (1, 20, 30)).astype(np.uint8)
    table = {n: (n * 10, 255 - n, n, 255 if n else 0) for n in range(5)}
    path = write(tmp_path / "a.tif", indices, photometric="palette", nodata=4, **PLACE)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, table)
    with open_source(path) as source:
        info, found = source.info, source.read()
    colours = np.array([table[n][:3] for n in range(5)], np.uint8)
    assert [band.interpretation for band in info.bands][:3] == ["red", "green", "blue"]
    assert (info.dtype, info.nodata, info.has_mask) == ("uint8", None, True)
    assert (found.array == np.moveaxis(colours[indices[0]], 2, 0)).all()
    assert (found.valid == (indices[0] != 4)).all()
    assert any("palette expanded to RGB" in text for text in info.warnings)


def test_palette_without_colours_is_gray(tmp_path: Path) -> None:
    array = numbers("uint8", 1)
    path = write(tmp_path / "a.tif", array, photometric="palette", **PLACE)
    with open_source(path) as source:
        assert source.info.bands[0].interpretation == "gray"
        assert (source.read().array == array).all()


def test_first_page_only(tmp_path: Path) -> None:
    pages = [numbers("uint8", 1) for _ in range(3)]
    pictures = [Image.fromarray(page[0]) for page in pages]
    pictures[0].save(tmp_path / "a.tif", save_all=True, append_images=pictures[1:])
    with open_source(tmp_path / "a.tif") as source:
        assert (source.read().array == pages[0]).all()
        assert source.info.warnings == ("only the first of 3 pages is read",)


@pytest.mark.parametrize("kind", ["gcps", "rpcs", "none", "rotated"])
def test_places(tmp_path: Path, kind: str) -> None:
    points = [
        GroundControlPoint(row=r, col=c, x=r + 1, y=c + 2, z=3, id=f"{r}{c}") for r, c in ((0, 0), (0, 30), (20, 0))
    ]
    rotated = Affine.translation(5, 6) @ Affine.rotation(20) @ Affine.scale(2, -2)
    place: dict[str, Any] = {
        "gcps": {"gcps": points, "crs": "EPSG:4326"},
        "rotated": {"transform": rotated, "crs": "EPSG:32633"},
    }.get(kind, {})
    path = write(tmp_path / "a.tif", numbers("uint8"), **place)
    if kind == "rpcs":
        ones = {f"{a}_{p}": 1.0 for a in ("height", "lat", "long", "line", "samp") for p in ("off", "scale")}
        terms = {f"{a}_{p}_coeff": [1.0] + [0.0] * 19 for a in ("line", "samp") for p in ("num", "den")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, "r+") as dataset:
                dataset.rpcs = RPC(**ones, **terms)
    with open_source(path) as source:
        box = source.info.geobox
    assert box.size == Size(20, 30)
    assert box.georeferenced == (kind != "none")
    assert (box.transform is not None) == (kind == "rotated")
    assert len(box.gcps) == 3 * (kind == "gcps")
    assert (box.gcps_crs is not None) == (kind == "gcps")
    assert (box.rpcs is not None) == (kind == "rpcs")
    if box.transform is not None:
        assert box.transform.almost_equals(rotated)


@pytest.mark.parametrize(("name", "world"), [("a.jpg", "a.jgw"), ("a.png", "a.pgw"), ("a.bmp", "a.wld")])
def test_world_file_makes_a_raster(tmp_path: Path, name: str, world: str) -> None:
    driver = {"jpg": "JPEG", "png": "PNG", "bmp": "BMP"}[name[2:]]
    path = write(tmp_path / name, numbers("uint8"), driver=driver)
    (tmp_path / world).write_text("2\n0\n0\n-2\n500001\n3999999\n")
    with open_source(path) as source:
        assert source.info.kind == "raster"
        assert source.info.geobox.transform == PLACE["transform"]


def test_auxiliary_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", numbers("uint8"), driver="PNG")
    (tmp_path / "a.png.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand>'
        '<PAMRasterBand band="2"><NoDataValue>7</NoDataValue></PAMRasterBand>'
        '<PAMRasterBand band="3"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    with open_source(path) as source:
        assert (source.info.kind, source.info.nodata) == ("raster", 7)


@pytest.mark.parametrize("shape", [(1500, 40), (40, 1500), (30, 30), (1, 1)])
def test_thumbnail_takes_pixels_evenly(tmp_path: Path, shape: tuple[int, int]) -> None:
    array = numbers("uint16", 2, *shape) | 1
    array[:, : shape[0] // 3] = 0
    path = write(tmp_path / "a.tif", array, nodata=0, **PLACE)
    with open_source(path) as source:
        found = source.thumbnail(100)
        again = source.thumbnail(100)
    height, width = (min(side, max(1, round(side * min(1, 100 / max(shape))))) for side in shape)
    rows = ((np.arange(height) + 0.5) * shape[0] / height).astype(int)
    cols = ((np.arange(width) + 0.5) * shape[1] / width).astype(int)
    expected = array[:, rows[:, None], cols]
    assert (found.array == expected).all()
    assert (found.valid == (expected != 0).any(axis=0)).all()
    assert (found.array == again.array).all()


def test_thumbnail_does_not_depend_on_overviews(tmp_path: Path) -> None:
    array = numbers("uint8", 1, 600, 600)
    path = write(tmp_path / "a.tif", array, tiled=True, **PLACE)
    with open_source(path) as source:
        before = source.thumbnail(100).array
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    with open_source(path) as source:
        assert (source.thumbnail(100).array == before).all()


def test_threads_share_a_source(tmp_path: Path) -> None:
    array = numbers("uint16", 3, 200, 200)
    wrong: list[int] = []
    with open_source(write(tmp_path / "a.tif", array, compress="deflate", **PLACE)) as source:

        def work(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(20):
                row, col = rng.integers(0, 150, 2).tolist()
                if (source.read(Tile(row, col, 50, 50)).array != array[:, row : row + 50, col : col + 50]).any():
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_wrong_bands_and_windows(tmp_path: Path) -> None:
    with open_source(write(tmp_path / "a.tif", numbers("uint8"), **PLACE)) as source:
        with pytest.raises(InvalidOptions, match=r"band 4 .* expected bands 1 to 3"):
            source.read(bands=[4])
        with pytest.raises(ValueError, match="not inside"):
            source.read(Tile(0, 0, 21, 30))


@pytest.mark.parametrize(
    ("address", "option"),
    [
        ("/vsicurl/http://127.0.0.1:9/a.tif", "--allow-remote"),
        ("/vsizip/a.zip/a.tif", "--allow-remote"),
        ("/vsimem/a.tif", "--allow-remote"),
        ("http://127.0.0.1:9/a.tif", "--allow-remote"),
        ("s3://bucket/a.tif", "--allow-remote"),
        ("zip://a.zip!a.tif", "--allow-remote"),
        ("NETCDF:a.nc:band", "--allow-remote"),
        ("GTIFF_DIR:1:a.tif", "--allow-remote"),
        ("<VRTDataset></VRTDataset>", "--allow-vrt"),
        ("  <VRTDataset></VRTDataset>", "--allow-vrt"),
    ],
)
def test_addresses_are_refused_by_default(address: str, option: str) -> None:
    with pytest.raises(InputRefused, match=option):
        open_source(address)


def test_credentials_are_not_repeated() -> None:
    with pytest.raises(InputRefused) as caught:
        open_source("https://me:secret@host/a.tif?signature=hidden")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.vrt", "a.tif", "a.png"])
def test_vrt_under_any_name(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(64)))
    (tmp_path / name).write_text(VRT.format(secret=secret))
    with pytest.raises(InputRefused, match="--allow-vrt"):
        open_source(tmp_path / name)
    with open_source(tmp_path / name, allow_vrt=True) as source:
        assert source.read().array.ravel().tolist() == list(range(64))


@pytest.mark.parametrize("suffix", ["msk", "ovr"])
def test_vrt_as_a_sibling(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "a.tif", numbers("uint8", 1, 8, 8), **PLACE)
    path.with_name(f"a.tif.{suffix}").write_text(VRT.format(secret=path))
    with pytest.raises(InputRefused, match=suffix):
        open_source(path)


def test_remote_sources_of_a_vrt_are_not_fetched(tmp_path: Path) -> None:
    source_tag = "<SimpleSource><SourceFilename>/vsicurl/http://127.0.0.1:9/a.tif</SourceFilename></SimpleSource>"
    band = f'<VRTRasterBand dataType="Byte" band="1">{source_tag}</VRTRasterBand>'
    (tmp_path / "a.vrt").write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{band}</VRTDataset>')
    with pytest.raises(BadInput), open_source(tmp_path / "a.vrt", allow_vrt=True) as source:
        source.read()


def test_local_archive_when_allowed(tmp_path: Path) -> None:
    array = numbers("uint8")
    path = write(tmp_path / "a.tif", array, **PLACE)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.tif")
    with open_source(f"/vsizip/{tmp_path}/a.zip/a.tif", allow_remote=True) as source:
        assert source.info.path is None
        assert (source.read().array == array).all()


def test_names_that_look_like_addresses_are_files_if_they_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = numbers("uint8")
    monkeypatch.chdir(tmp_path)
    for name in ("GTIFF:a.tif", "50%?#!.tif", "ä ö.tif"):
        os.replace(write(tmp_path / "a.tif", array, **PLACE), tmp_path / name)
        with open_source(name) as source:
            assert source.info.path == tmp_path / name
            assert (source.read().array == array).all()


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, InputNotFound, "does not exist"),
        (b"", BadInput, "is empty"),
        (b"hello, this is text\n" * 20, BadInput, "not an image"),
        (b"II*\0" + bytes(40), BadInput, "not an image"),
        (b"\x89PNG\r\n\x1a\n", BadInput, "not an image"),
        (
            b"<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>",
            BadInput,
            "not an",
        ),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes | None, error: type[ZidoError], words: str) -> None:
    path = tmp_path / "a.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=words) as caught:
        open_source(path)
    assert len(str(caught.value).splitlines()) == 1


def test_folders_and_devices(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        open_source(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="not a regular file"):
        open_source(tmp_path / "pipe")
    with pytest.raises(InputNotFound):
        open_source("x" * 5000)
    with pytest.raises(InputNotFound):
        open_source("")


def test_pixel_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", numbers("uint8"), **PLACE)
    with pytest.raises(BadInput, match=r"30 x 20 .* --max-pixels"):
        open_source(path, max_pixels=599)
    open_source(path, max_pixels=600).close()


@pytest.mark.parametrize("side", [65_535, 40_000])
def test_header_without_data(tmp_path: Path, side: int) -> None:
    empty = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "SPARSE_OK": "YES",
    }
    with rasterio.open(tmp_path / "a.tif", "w", **empty, **PLACE, BIGTIFF="YES", compress="deflate") as dataset:
        dataset.write(np.ones((3, 1, side), np.uint8), window=((side - 1, side), (0, side)))
    size = (tmp_path / "a.tif").stat().st_size
    os.truncate(tmp_path / "a.tif", size - 20)
    with pytest.raises(BadInput), open_source(tmp_path / "a.tif") as source:
        source.read(Tile(side - 5, 0, 5, 100))


@pytest.mark.parametrize(
    ("suffix", "driver", "options"),
    [
        ("tif", "GTiff", {}),
        ("tif", "GTiff", {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}),
        ("tif", "GTiff", {"compress": "jpeg"}),
        ("jp2", "JP2OpenJPEG", {}),
        ("img", "HFA", {}),
        ("img", "ENVI", {}),
        ("ppm", "PNM", {}),
        ("png", "PNG", PLACE),
        ("jpg", "JPEG", PLACE),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_off_files(tmp_path: Path, suffix: str, driver: str, options: dict[str, Any], share: float) -> None:
    path = write(tmp_path / f"a.{suffix}", numbers("uint8", 3, 64, 64), driver=driver, **options)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(BadInput) as caught, open_source(path) as source:
        source.read()
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("dtype", "options", "words"),
    [
        ("complex64", {}, "complex numbers"),
        ("uint8", {"photometric": "CMYK"}, "CMYK"),
    ],
)
def test_numbers_that_cannot_be_upscaled(tmp_path: Path, dtype: str, options: dict[str, Any], words: str) -> None:
    path = write(tmp_path / "a.tif", np.ones((4, 8, 8), dtype), **options, **PLACE)
    with pytest.raises(BadInput, match=words):
        open_source(path)


def test_absurd_number_of_bands(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((5000, 1, 1), np.uint8), INTERLEAVE="PIXEL")
    with pytest.raises(BadInput, match="5000 bands; expected at most 4096"):
        open_source(path)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_never_escape_as_tracebacks(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    driver, suffix = [("GTiff", "tif"), ("PNG", "png"), ("JPEG", "jpg"), ("JP2OpenJPEG", "jp2")][seed % 4]
    path = write(tmp_path / f"a.{suffix}", numbers("uint8", 3, 32, 32), driver=driver, **PLACE)
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, min(len(data), 600), 6):
        data[place] = rng.integers(0, 256)
    path.write_bytes(data)
    with contextlib.suppress(ZidoError), open_source(path) as source:
        source.read()


def real_files() -> list[Path]:
    return [p for p in sorted(DATA.rglob("*")) if p.suffix in {".tif", ".png", ".vrt"}]


@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set ZIDO_DATA_DIR")
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_real_files(path: Path) -> None:
    with open_source(path, allow_vrt=True) as source:
        info, found = source.info, source.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as dataset:
            expected = dataset.read()
            mask = dataset.dataset_mask() != 0
            palette = dataset.colorinterp[0] == ColorInterp.palette
            transform, crs, gcps, rpcs = dataset.transform, dataset.crs, dataset.gcps, dataset.rpcs
    if not palette:
        assert np.array_equal(
            found.array,
            expected[[band - 1 for band in info.colour_bands]],
            equal_nan=found.array.dtype.kind == "f",
        )
    assert (found.valid == (mask & np.isfinite(found.array).all(axis=0))).all()
    assert info.geobox.transform == (None if transform.is_identity else transform)
    assert (info.geobox.crs or None) == (crs or None)
    assert len(info.geobox.gcps) == len(gcps[0])
    assert info.geobox.rpcs == rpcs


@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set ZIDO_DATA_DIR")
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_real_corners_stay(path: Path) -> None:
    with open_source(path, allow_vrt=True) as source:
        box = source.info.geobox
    for size in (box.size.scaled(4), Size(box.size.height * 3 + 1, box.size.width * 2 + 1)):
        resized = box.resized(size)
        if box.transform is not None:
            assert resized.transform is not None
            scale = size.height / box.size.height, size.width / box.size.width
            inverse = ~box.transform
            for row, col in ((0, 0), (0, box.size.width), (box.size.height, 0), box.size):
                # Relative to the origin, or the rounding of coordinates in the millions would be measured.
                x = resized.transform.a * col * scale[1] + resized.transform.b * row * scale[0]
                y = resized.transform.d * col * scale[1] + resized.transform.e * row * scale[0]
                assert inverse.a * x + inverse.b * y == pytest.approx(col, abs=1e-9)
                assert inverse.d * x + inverse.e * y == pytest.approx(row, abs=1e-9)
            assert resized.to_crs(0, 0) == box.to_crs(0, 0)
        for old, new in zip(box.gcps, resized.gcps, strict=True):
            assert new.row * box.size.height / size.height == pytest.approx(old.row, abs=1e-9)
            assert (new.x, new.y, new.z, new.id) == (old.x, old.y, old.z, old.id)
