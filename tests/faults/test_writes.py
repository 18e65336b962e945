"""The n-th write fails, of blocks, states, journal, facts and output alike: nothing is lost, and it is said.

``ZIDO_WRITES`` says how many of a run's writes, evenly spread (``make test-faults`` takes all).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import UTM, smooth_pixels
from tests.faults.runs import FORMATS
from zido_core.errors import OutputFailed

COUNT = int(os.environ.get("ZIDO_WRITES", "3"))
ROOT = Path(__file__).resolve().parents[2]
KEPT = "zido: what is done is kept"
"""Said where there is something to go on with."""
LIBTIFF = "_tiffWriteProc: "
"""Failed writes go past GDAL's own error handler; libtiff prints them itself."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes writes fail, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("making writes fail needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("library") / "failing_writes.so"
    source = Path(__file__).with_name("failing_writes.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("name", FORMATS)
def test_failing_writes(make_raster, tmp_path: Path, library: Path, name: str) -> None:
    source, folder = tmp_path / "input.png", tmp_path / "outputs"
    folder.mkdir()
    pixels = smooth_pixels((3, 80, 90), "uint8")
    if name.endswith(".png"):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(source)
    else:
        source = make_raster(pixels, **UTM)
    words = [library, source, folder, name, COUNT]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.failing_writes", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = {(run["which"], run["error"]): found for run in runs if (found := _wrong(run, name))}
    for error in ("EIO", "ENOSPC"):
        codes = [run["code"] for run in runs if run["error"] == error]
        print(f"{name}, {error}: {len(codes)} of {runs[0]['of']} writes failed, {sum(map(bool, codes))} runs with them")
    assert wrong == {}
    assert all(run["code"] for run in runs if run["error"] == "ENOSPC")


def _wrong(run: dict, name: str) -> list[str]:
    """What is not as it should be after a run with a failing write, and the next one."""
    lines = [line for line in run["told"].splitlines() if not line.startswith(("zido: warning: ", KEPT, LIBTIFF))]
    one_line = len(lines) == 1 and lines[0].startswith("zido: ")
    expected = {
        f"code {run['code']}": run["code"] in (0, OutputFailed.exit_code),
        f"told {run['told']!r}": not lines if run["code"] == 0 else one_line,
        f"output {run['found']} with code {run['code']}": run["found"]
        if run["code"] == 0
        else run["found"] in (None, True),
        f"left {run['left']}": set(run["left"]) <= ({name} if run["code"] == 0 else {name, f"{name}.zido"}),
        f"resumed {run['again']} {run['said']!r}": run["again"] == 0 and run["same"],
        f"left in the end {run['then']}": run["then"] == [name],
    }
    return [what for what, true in expected.items() if not true]
