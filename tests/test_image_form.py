"""In which form the images of blocks wait: half the room for 8 bits, and nothing is made up where it does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import UTM, smooth_pixels
from tests.rasters import TILES
from zido_core.options import Options
from zido_core.pipeline import open_input
from zido_core.setup import prepare
from zido_core.tiling.grid import Tile
from zido_core.work.folder import WorkFolder, taken_by
from zido_core.work.image_form import FIXED, FLOAT, form_for, form_of, packed, unpacked
from zido_core.work.store import FolderStore, MemoryStore

COUNT = 1 / 255


def numbers() -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.3, 1.4, (3, 70, 90)).astype(np.float32)


@pytest.mark.parametrize(
    ("dtypes", "form"),
    [
        (("uint8", "uint8"), FIXED),
        (("uint16", "uint8"), FLOAT),
        (("uint8", "uint16"), FLOAT),
        (("int8", "int8"), FLOAT),
        (("float32", "float32"), FLOAT),
    ],
)
def test_fixed_point_is_for_8_bits(dtypes: tuple[str, str], form: np.dtype) -> None:
    assert form_for(*dtypes) == form


def test_the_error_is_a_small_part_of_a_count() -> None:
    image = numbers()
    again = unpacked(packed(image, FIXED))
    assert again.dtype == np.float32
    assert np.abs(again - image).max() <= 2**-14 <= 0.016 * COUNT
    assert (unpacked(packed(again, FIXED)) == again).all()
    exact = np.array([[[0, 1, -4, 0.5, 4 - 2**-13]]], np.float32)
    assert (unpacked(packed(exact, FIXED)) == exact).all()
    assert packed(np.array([[[0.5, 1.5, -0.5]]], np.float32) / 2**13, FIXED).tolist() == [[[0, 2, 0]]]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 4.0, -4.001, 1e30])
def test_what_does_not_fit_stays_as_it_is(odd: float, tmp_path: Path) -> None:
    image = numbers()
    assert form_of(image, FIXED) == FIXED
    image[1, 5, 6] = odd
    assert form_of(image, FIXED) == FLOAT
    folder, memory = FolderStore(WorkFolder(tmp_path), FIXED), MemoryStore(FIXED)
    for store in (folder, memory):
        store.put(0, image, 0)
        assert store.read(0, Tile(3, 2, 9, 40)).tobytes() == image[:, 3:12, 2:42].tobytes()
    folder.close()


def test_both_stores_give_the_same_and_the_disk_needs_half(tmp_path: Path) -> None:
    image, folder, memory = numbers(), FolderStore(WorkFolder(tmp_path), FIXED), MemoryStore(FIXED)
    for store in (folder, memory):
        store.put(0, image, 0)
    window = Tile(10, 20, 30, 40)
    assert (folder.read(0, window) == memory.read(0, window)).all()
    assert 6 * 70 * 90 < taken_by(tmp_path / "blocks") < 6 * 70 * 90 + 300
    folder.close()


@pytest.mark.parametrize(("dtype", "pixel"), [("uint8", 6), ("uint16", 12)])
def test_the_room_that_is_said_is_what_blocks_take(make_raster, upscaler, tmp_path, dtype: str, pixel: int) -> None:
    source, output = make_raster(smooth_pixels((3, 80, 90), dtype), **UTM), tmp_path / "out.tif"
    options = {**TILES, "steps": 1, "block_size": 256, "keep_work": True}
    with open_input(str(source), Options()) as opened:
        said = prepare(opened, output, Options(device="cpu", **options), to_file=True).work_bytes
    upscaler.upscale(source, output, **options)
    taken = taken_by(tmp_path / "out.tif.zido" / "blocks")
    assert pixel * 16 * 80 * 90 < said <= taken < said + 4000
