"""The plugin in QGIS's own Python: scripts, models, layers of prompts, styles, and the event loop meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from zido.zido_core.options import OPTIONS

from tests.qgis_host import Qgis
from tests.test_qgis_process import check_kept, write_field

LONGEST_GAP = 1.0
"""Seconds for which the program may stand still while a job runs. The goal is 0.2, which a machine that runs two tests
at a time does not always let any program reach; what was measured is printed."""


@pytest.fixture(scope="session")
def seen(qgis: Qgis, example_raster: Path) -> dict[str, Any]:
    """What `in_qgis/session.py` saw, with the folder of its results."""
    folder = qgis.home / "session"
    folder.mkdir()
    source = write_field(folder / "field.tif", example_raster, side=160)
    qgis.script("session.py", qgis.home / "plugins", source, folder)
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found | {"folder": folder, "source": source}


def test_a_script_gets_the_raster_and_the_files_it_asked_for(qgis: Qgis, seen: dict[str, Any]) -> None:
    ran, folder = seen["script"], seen["folder"]
    files = {"OUTPUT": "script.tif", "MANIFEST": "manifest.json", "SAVE_PROMPTS": "saved.geojson"}
    assert ran["result"] == {name: str(folder / file) for name, file in files.items()}
    assert all((folder / file).is_file() for file in files.values())
    assert ran["compression"] == "DEFLATE"
    check_kept(qgis.look(seen["source"]), qgis.look(folder / "script.tif"), 2)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["options"]["seed"], manifest["options"]["bands"]) == (3, [3, 2, 1])


def test_progress_goes_from_nothing_to_all_and_never_back(seen: dict[str, Any]) -> None:
    shares = seen["script"]["shares"]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert "168 x 160 px become 336 x 320 px" in seen["script"]["infos"][0]


def test_an_extent_is_whole_pixels_of_the_raster(qgis: Qgis, seen: dict[str, Any]) -> None:
    whole, part = qgis.look(seen["source"]), qgis.look(Path(seen["extent"]["output"]))
    (a, b, c, d, e, f), (x, *pixel, y, _, _) = whole["transform"], part["transform"]
    assert pixel == pytest.approx([b / 2, c / 2])
    determinant = b * f - c * e
    col, row = (f * (x - a) - c * (y - d)) / determinant, (b * (y - d) - e * (x - a)) / determinant
    assert (col, row) == pytest.approx((round(col), round(row)), abs=1e-6)
    assert (part["wkt"], part["names"], part["nodata"]) == (whole["wkt"], whole["names"], whole["nodata"])
    assert part["size"] != [side * 2 for side in whole["size"]]
    places = [_place(part["transform"], *corner) for corner in _corners(part["size"])]
    left, bottom, right, top = seen["extent"]["box"]
    assert min(x for x, _ in places) <= left < right <= max(x for x, _ in places)
    assert min(y for _, y in places) <= bottom < top <= max(y for _, y in places)


def test_uncertainty_and_report_are_results_too(seen: dict[str, Any]) -> None:
    extras = seen["extras"]
    assert extras["result"] == extras["files"]
    assert extras["sizes"][0] == extras["sizes"][1]
    assert "<html" in Path(extras["files"]["REPORT"]).read_text()


def _place(transform: list[float], col: float, row: float) -> tuple[float, float]:
    a, b, c, d, e, f = transform
    return a + b * col + c * row, d + e * col + f * row


def _corners(size: list[int]) -> list[tuple[int, int]]:
    return [(0, 0), (size[0], 0), (0, size[1]), (size[0], size[1])]


def test_tiles_are_a_layer_that_can_be_edited(qgis: Qgis, seen: dict[str, Any]) -> None:
    tags = seen["tags"]
    assert tags["saved"]
    assert {"tile", "prompt", "tags"} <= set(tags["fields"])
    assert all(tags["prompts"])
    assert tags["crs"] == "EPSG:32737"
    raster = qgis.look(seen["source"])
    places = [_place(raster["transform"], *corner) for corner in _corners(raster["size"])]
    xs, ys = zip(*places, strict=True)
    assert tags["box"] == pytest.approx([min(xs), min(ys), max(xs), max(ys)], abs=1e-3)


@pytest.mark.parametrize("layer", ["edited", "moved"])
def test_the_prompts_of_a_layer_are_used(seen: dict[str, Any], layer: str) -> None:
    """Also from another reference system; where the layer says nothing, zido speaks."""
    used = seen["prompts"][layer]
    assert used[0]["prompt"] == "water, smooth"
    assert [tile["prompt"] for tile in used[1:]] == seen["tags"]["prompts"][1:]


def test_a_comparison_says_what_was_kept(seen: dict[str, Any]) -> None:
    assert seen["compare"]["KEPT"] is True
    assert 0 <= seen["compare"]["LARGEST_DIFFERENCE"] < 1
    page = Path(seen["compare"]["OUTPUT_HTML_FILE"]).read_text()
    assert "band 1 (B04): block means differ by" in page
    assert "<b>changed</b>" not in page


def test_a_loaded_result_is_drawn_like_its_input(seen: dict[str, Any]) -> None:
    style = seen["style"]
    assert style["name"] == "field (upscaled)"
    assert style["red"] == 2
    assert style["stretch"] == style["wanted"] != None  # noqa: E711 - both have one


def test_it_is_a_step_of_a_model(seen: dict[str, Any]) -> None:
    assert seen["model"] == {"ok": True, "width": 336}


def test_the_forms_of_processing_have_a_widget_for_every_option(seen: dict[str, Any]) -> None:
    names = {name.upper() for name in OPTIONS} - {"OVERWRITE", "DRY_RUN", "OFFLINE"}
    assert names | {"INPUT", "EXTENT"} <= set(seen["dialogs"]["upscale"])
    assert {"PROMPTS_LAYER", "FIELD"} <= set(seen["dialogs"]["upscalewithprompts"])
    assert {"INPUT", "RESULT"} <= set(seen["dialogs"]["compare"])
    assert {"INPUT", "EXTENT", "TAGGER"} <= set(seen["dialogs"]["tagtiles"])


def test_the_program_goes_on_while_a_job_runs(qgis: Qgis, seen: dict[str, Any]) -> None:
    gap = seen["gap"]
    print(f"{qgis.host.name}: longest gap {1000 * gap['longest']:.0f} ms in {gap['beats']} beats")
    assert gap["ok"]
    assert gap["longest"] <= LONGEST_GAP


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("vrt", "link.vrt is a VRT, which may read any file; allow it with ALLOW_VRT"),
        ("outside", "lies outside field; choose one within the raster"),
        ("bands", "bands has 2 numbers; expected one or three"),
        ("number", "nodata is many; expected a number or auto"),
        ("choice", "TAGGER"),
        ("device", "device is toaster; expected auto, cpu, cuda, cuda:N or mps"),
        ("tiles", "tile_overlap is 96 and tile_size 96; the overlap must be smaller: try 48"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_processing(seen: dict[str, Any], case: str, expected: str) -> None:
    assert expected in seen["refusals"][case]


def test_unloading_takes_everything_back(qgis: Qgis, seen: dict[str, Any]) -> None:
    assert "zido" not in seen["providers after unload"]
    assert qgis.workers() == []


def test_qgis_itself_loads_nothing_heavy(seen: dict[str, Any]) -> None:
    assert seen["foreign modules"] == []
