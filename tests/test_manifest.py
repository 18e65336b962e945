"""How an output was made, in words and numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.rasters import COARSE
from zido_core.catalog import MINI
from zido_core.device import choose_precision
from zido_core.errors import OutputNotWritable
from zido_core.finish import Finished
from zido_core.manifest import Manifest, tile_borders
from zido_core.options import Options
from zido_core.prompts.base import Prompt, Tag
from zido_core.raster.memory import ArraySource
from zido_core.raster.stretch import Stretch
from zido_core.setup import Setup, prepare
from zido_core.tiling.grid import Tile

BACKBONE: Any = SimpleNamespace(weights_hash="ab" * 32, device=torch.device("cpu"))


def decided(shape: tuple[int, int, int] = (40, 60, 3), **options: Any) -> Setup:
    source = ArraySource(np.zeros(shape, np.uint8))
    return prepare(source, None, Options(device="cpu", **{**COARSE, **options}), to_file=False)


@pytest.fixture
def manifest() -> Manifest:
    filled = Manifest(decided(), BACKBONE)
    filled.stretch = Stretch(lo=0, hi=255, mode="dtype", whole=True)
    filled.note_prompts([Prompt(text="a", tags=(Tag("water", 1.0),)), Prompt(text="a"), Prompt(text="b")])
    return filled


def piece(error: float, *, measured: bool = True) -> Finished:
    """A block of 10 x 15 input pixels whose means are wrong by so much."""
    seen = np.random.default_rng(0).random((3, 10, 15), np.float32)
    made = np.repeat(np.repeat(seen, 4, 1), 4, 2) + np.float32(error)
    return Finished(
        array=made,
        alpha=None,
        valid=np.full((40, 60), measured),
        seen=seen,
        made=made,
        measured=np.full((10, 15), measured),
    )


def test_record_is_json_and_complete(manifest: Manifest) -> None:
    record = manifest.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["model"] == {"name": "mini", "sha256": "ab" * 32, "licence": "MIT"}
    assert record["tagger"] == {"name": "scene", "sha256": None}
    assert record["prompts"] == {"tiles": 3, "unique": 2, "tags": {"water": 1}}
    assert (record["tiles"], record["blocks"]) == (6, 1)
    assert record["input"]["size"] == [40, 60]
    assert record["output"]["size"] == [160, 240]
    assert record["options"]["precision"] == choose_precision("auto", "cpu", MINI.precisions)
    assert {"torch", "numpy", "rasterio"} <= record["versions"].keys()


def test_tags_are_the_record_without_what_differs_from_run_to_run(manifest: Manifest) -> None:
    with manifest.timed("network"):
        pass
    tags = manifest.tags()
    assert all(isinstance(text, str) for text in tags.values())
    assert json.loads(tags["OPTIONS"]) == manifest.record()["options"]
    assert "synthesised" in tags["STATEMENT"]
    assert tags["MODEL_BANDS"] == "1,2,3"
    assert not any("second" in name.lower() for name in tags)


def test_times_add_up(manifest: Manifest) -> None:
    for _ in range(2):
        with manifest.timed("network"):
            pass
    with pytest.raises(ValueError, match="x"), manifest.timed("writing"):
        raise ValueError("x")
    assert list(manifest.seconds) == ["network", "writing"]
    assert manifest.record()["seconds"]["network"] >= 0


def test_figures_are_means_over_measured_pixels(manifest: Manifest) -> None:
    (whole,) = manifest.setup.pieces
    assert manifest.consistency == {}
    manifest.observe(piece(0.01), whole.core)
    manifest.observe(piece(0.03), whole.core)
    manifest.observe(piece(9.0, measured=False), whole.core)
    assert manifest.measured == 300
    assert manifest.consistency["reflectance"] == pytest.approx(0.02, abs=1e-6)
    assert manifest.consistency["spectral_angle_degrees"] < 5


def test_figures_that_cannot_be_said_are_none(manifest: Manifest) -> None:
    manifest.observe(piece(0.0, measured=False), Tile(0, 0, 40, 60))
    assert set(manifest.consistency.values()) == {None}
    assert not any(isinstance(each, float) and math.isnan(each) for each in manifest.consistency.values())


def test_borders_of_tiles_lie_inside_the_core() -> None:
    setup = decided(scale=2.0)
    rows, cols = tile_borders(setup, Tile(0, 0, 40, 60))
    assert rows == [16, 64]  # tiles of 32 pixels at 0 and 8, twice as large
    assert cols == [28, 56, 64, 92]
    assert all(0 < each < 120 for each in cols)


def test_writing_is_all_or_nothing(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(tmp_path / "made.json")
    assert json.loads((tmp_path / "made.json").read_text()) == manifest.record()
    with pytest.raises(OutputNotWritable, match="No such file"):
        manifest.write(tmp_path / "no" / "made.json")
    assert [path.name for path in tmp_path.iterdir()] == ["made.json"]
