"""GeoBox: the extent stays, whatever the size and the kind of georeferencing."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from zido_core.raster.geobox import GeoBox
from zido_core.tiling.grid import Size, Tile

UTM = CRS.from_epsg(32633)

TRANSFORMS = {
    "north-up": Affine(10, 0, 500_000, 0, -10, 5_000_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 5_000_000),
    "rotated": Affine.translation(500_000.123, 5_000_000.7) @ Affine.rotation(33) @ Affine.scale(0.3, -0.3),
    "sheared": Affine.translation(12.5, 41.9) @ Affine.shear(12, 7) @ Affine.scale(1e-5, -2e-5),
    "tiny degrees": Affine(8.983152841195215e-06, 0, 179.99, 0, -8.983152841195215e-06, -16.5),
    "mirrored": Affine(-2, 0, 0, 0, -2, 0),
}
SIZES = [
    (Size(100, 80), Size(400, 320)),
    (Size(100, 80), Size(133, 251)),
    (Size(7, 10_980), Size(28, 43_920)),
    (Size(1, 1), Size(8, 3)),
]


def rpc(**changes: float) -> RPC:
    values = {f"{axis}_{part}": 1.5 for axis in ("height", "lat", "long") for part in ("off", "scale")}
    values |= {"line_off": 399.45, "line_scale": 500.0, "samp_off": 12.0, "samp_scale": 640.25}
    coefficients = {
        f"{axis}_{part}_coeff": [float(n) for n in range(20)] for axis in ("line", "samp") for part in ("num", "den")
    }
    return RPC(**(values | changes), **coefficients, err_bias=0.5, err_rand=None)


def corner_error(old: GeoBox, new: GeoBox) -> float:
    """Largest distance of corresponding corners in pixels of `old`, in exact arithmetic."""
    assert old.transform is not None
    assert new.transform is not None
    a, b, _, d, e, _ = (Fraction(value) for value in old.transform[:6])
    errors = []
    for v, u in ((0, 0), (0, 1), (1, 0), (1, 1)):
        ground = [
            [
                row[0] * u * box.size.width + row[1] * v * box.size.height + row[2]
                for row in (
                    [Fraction(value) for value in box.transform[0:3]],
                    [Fraction(value) for value in box.transform[3:6]],
                )
            ]
            for box in (old, new)
        ]
        x, y = ground[1][0] - ground[0][0], ground[1][1] - ground[0][1]
        determinant = a * e - b * d
        errors += [abs((e * x - b * y) / determinant), abs((a * y - d * x) / determinant)]
    return float(max(errors))


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_corners_stay(name: str, old: Size, new: Size) -> None:
    box = GeoBox(size=old, transform=TRANSFORMS[name], crs=UTM)
    resized = box.resized(new)
    assert resized.size == new
    assert resized.crs is box.crs
    assert corner_error(box, resized) < 1e-9


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform_is_the_product_with_a_scale(name: str) -> None:
    resized = GeoBox(size=Size(30, 40), transform=TRANSFORMS[name]).resized(Size(90, 200))
    expected = TRANSFORMS[name] @ Affine.scale(40 / 200, 30 / 90)
    assert resized.transform is not None
    assert resized.transform[:6] == pytest.approx(expected[:6], rel=1e-15, abs=1e-12)


def test_no_georeferencing_stays_none() -> None:
    box = GeoBox(size=Size(10, 20))
    resized = box.resized(Size(40, 80))
    assert resized == GeoBox(size=Size(40, 80))
    assert not box.georeferenced


@pytest.mark.parametrize(
    "place",
    [
        {"transform": Affine.translation(1, 2)},
        {"crs": UTM},
        {"gcps": (GroundControlPoint(0, 0, 1, 1),)},
        {"rpcs": rpc()},
        {"geolocation": (("X_BAND", "1"),)},
    ],
)
def test_any_place_makes_it_georeferenced(place: dict[str, object]) -> None:
    assert GeoBox(size=Size(1, 1), **place).georeferenced  # type: ignore[arg-type]


def test_gcps_move_with_their_pixels_and_keep_the_rest() -> None:
    point = GroundControlPoint(row=10.5, col=20.25, x=7.0, y=8.0, z=9.0, id="7", info="church")
    box = GeoBox(size=Size(100, 50), gcps=(point,), gcps_crs=UTM)
    (moved,) = box.resized(Size(400, 75)).gcps
    assert moved.asdict() == point.asdict() | {"row": 42.0, "col": 30.375}
    assert point.row == 10.5


@pytest.mark.parametrize(("vertical", "horizontal"), [(4, 4), (2, 3), (1.5, 1)])
def test_rpcs_scale_about_pixel_centres(vertical: float, horizontal: float) -> None:
    old = rpc()
    size = Size(round(100 * vertical), round(200 * horizontal))
    new = GeoBox(size=Size(100, 200), rpcs=old).resized(size).rpcs
    assert new is not None
    for normalised in (-0.9, 0.0, 0.4):
        line, sample = old.line_off + normalised * old.line_scale, old.samp_off + normalised * old.samp_scale
        # The same ground point, counted from the outer corner, is s times as many pixels away.
        assert new.line_off + normalised * new.line_scale + 0.5 == pytest.approx((line + 0.5) * vertical)
        assert new.samp_off + normalised * new.samp_scale + 0.5 == pytest.approx((sample + 0.5) * horizontal)
    assert new.line_num_coeff == old.line_num_coeff
    assert (new.lat_off, new.height_scale, new.err_bias, new.err_rand) == (1.5, 1.5, 0.5, None)


def test_rpc_offset_that_old_gdal_got_wrong() -> None:
    new = GeoBox(size=Size(800, 800), rpcs=rpc()).resized(Size(3200, 3200)).rpcs
    assert new is not None
    assert new.line_off == pytest.approx(1599.3)


def test_geolocation_steps_grow_with_the_pixels() -> None:
    domain = {
        "X_DATASET": "lon.tif",
        "PIXEL_OFFSET": "2",
        "PIXEL_STEP": "5",
        "LINE_OFFSET": "0",
        "LINE_STEP": "10",
    }
    box = GeoBox(size=Size(10, 10), geolocation=tuple(domain.items()))
    resized = dict(box.resized(Size(40, 30)).geolocation)
    assert resized.pop("X_DATASET") == "lon.tif"
    assert {key: float(value) for key, value in resized.items()} == {
        "PIXEL_OFFSET": 6,
        "PIXEL_STEP": 15,
        "LINE_OFFSET": 0,
        "LINE_STEP": 40,
    }


@pytest.mark.parametrize("name", TRANSFORMS)
def test_footprint_follows_the_transform(name: str) -> None:
    transform = TRANSFORMS[name]
    ring = GeoBox(size=Size(50, 60), transform=transform).footprint(Tile(5, 6, 7, 8))
    corners = [(6, 5), (14, 5), (14, 12), (6, 12), (6, 5)]
    for found, corner in zip(ring, corners, strict=True):
        assert found == pytest.approx(transform @ corner, rel=1e-15)
    assert ring[0] == ring[-1]


def test_footprint_without_transform_is_in_pixels() -> None:
    assert GeoBox(size=Size(3, 4)).footprint() == ((0, 0), (4, 0), (4, 3), (0, 3), (0, 0))


@pytest.mark.parametrize("angle", [0, 33, 90, 180])
def test_pixel_size_does_not_depend_on_rotation(angle: float) -> None:
    transform = Affine.rotation(angle) @ Affine.scale(2, -3)
    assert GeoBox(size=Size(1, 1), transform=transform).pixel_size == pytest.approx((3, 2))
    box = GeoBox(size=Size(1, 1), transform=transform, crs=UTM)
    assert box.ground_resolution == pytest.approx(math.sqrt(6))


@pytest.mark.parametrize(
    ("crs", "step", "north", "metres"),
    [
        ("EPSG:4326", 1e-5, 0.0, 1.11),
        ("EPSG:4326", 1e-5, 60.0, 1.11 * math.sqrt(0.5)),
        ("EPSG:2263", 1.0, 0.0, 0.3048),
    ],
)
def test_ground_resolution_in_metres(crs: str, step: float, north: float, metres: float) -> None:
    transform = Affine(step, 0, 0, 0, -step, north)
    box = GeoBox(size=Size(10, 10), transform=transform, crs=CRS.from_user_input(crs))
    assert box.ground_resolution == pytest.approx(metres, rel=5e-3)


def test_ground_resolution_is_unknown_without_crs() -> None:
    assert GeoBox(size=Size(1, 1), transform=Affine.scale(2)).ground_resolution is None
    assert GeoBox(size=Size(1, 1)).pixel_size is None
