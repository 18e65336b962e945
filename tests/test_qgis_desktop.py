"""The plugin on the desktop: the window for a layer, its run, its result as a layer, the swipe tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.qgis_host import Qgis
from tests.test_qgis_process import check_kept, wait_until, write_field
from tests.test_qgis_processing import LONGEST_GAP


@pytest.fixture(scope="session")
def visit(qgis: Qgis, example_raster: Path) -> dict[str, Any]:
    """What `in_qgis/desktop.py` saw, with the folder of its pictures."""
    folder = qgis.home / "desktop"
    folder.mkdir()
    source = write_field(folder / "field.tif", example_raster, side=240)
    ran = qgis.desktop("desktop.py", ZIDO_TEST_INPUT=str(source), ZIDO_TEST_FOLDER=str(folder))
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found | {"folder": folder, "source": source}


def test_the_window_upscales_the_active_layer(qgis: Qgis, visit: dict[str, Any]) -> None:
    assert visit.get("error") is None, visit["error"]
    assert visit["actions"] == ["Upscale…", "Swipe active layer"]
    result = visit["folder"] / "result.tif"
    assert visit["layers"] == {"field": str(visit["source"]), "field (upscaled)": str(result)}
    check_kept(qgis.look(visit["source"]), qgis.look(result), 4)


def test_a_run_of_the_window_is_a_task_of_qgis(visit: dict[str, Any]) -> None:
    assert visit["task"] == "zido"


def test_the_program_goes_on_while_the_window_works(qgis: Qgis, visit: dict[str, Any]) -> None:
    print(f"{qgis.host.name}: longest gap {1000 * visit['gap']:.0f} ms")
    assert visit["gap"] <= LONGEST_GAP


def test_the_swipe_tool_draws_the_map_without_the_layer(visit: dict[str, Any]) -> None:
    assert (visit["tool"], visit["swipe"]) == ("SwipeTool", True)
    assert visit["shares"] == pytest.approx([0.25, 0.27], abs=0.01)
    assert visit["after swiping"] != "SwipeTool"


def test_leaving_with_the_window_open_leaves_no_worker(qgis: Qgis, visit: dict[str, Any]) -> None:
    assert wait_until(lambda: not qgis.workers())
