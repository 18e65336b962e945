"""The plugin in `qgis_process`, as scripts and servers use it: parameters are text, results are files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.conftest import ROOT
from tests.hosts import worker_python
from tests.qgis_host import Qgis

QUICK = ("--PRESET=preview", "--SCALE=2")
POISON = {"PROJ_LIB": "/usr/share/proj", "PROJ_DATA": "/usr/share/proj", "GDAL_DATA": "/usr/share/gdal"}
"""What some installers of QGIS set: the data of another PROJ and GDAL than those of the worker."""


@pytest.fixture
def field(qgis: Qgis, example_raster: Path, tmp_path: Path) -> Path:
    """Real pixels as 16-bit numbers in four named bands, turned, with a gap; where the host sees it."""
    return write_field(qgis.home / f"{tmp_path.name}.tif", example_raster, side=48)


def write_field(path: Path, example: Path, side: int) -> Path:
    with rasterio.open(example) as dataset:
        pixels = dataset.read()[:, :side, : side + 8].astype("uint16") * 37 + 100
        crs = dataset.crs
    pixels = np.concatenate([pixels, pixels[:1] + 5])
    pixels[:, :6, :9] = 0
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint16", "count": 4, "nodata": 0, "crs": crs}
    turned = Affine.translation(5e5, 9.2e6) * Affine.rotation(10) * Affine.scale(2, -2)
    with rasterio.open(path, "w", height=side, width=side + 8, transform=turned, **profile) as dataset:
        dataset.write(pixels)
        dataset.descriptions = ("B04", "B03", "B02", "B08")
    return path


def check_kept(before: dict[str, Any], after: dict[str, Any], factor: int) -> None:
    """Place, size, type, nodata and names, as osgeo sees them."""
    a, b, c, d, e, f = before["transform"]
    assert after["size"] == [side * factor for side in before["size"]]
    assert after["transform"] == pytest.approx([a, b / factor, c / factor, d, e / factor, f / factor], abs=1e-9)
    assert after["wkt"] == before["wkt"]
    for fact in ("names", "types", "nodata"):
        assert after[fact] == before[fact]
    assert after["zido"]["VERSION"]


def test_the_plugin_is_listed_with_its_algorithms(qgis: Qgis) -> None:
    listed = qgis.process("list").stdout
    for name in ("upscale", "tagtiles", "upscalewithprompts", "compare"):
        assert f"zido:{name}\t" in listed


def test_the_help_names_every_option_of_zido(qgis: Qgis) -> None:
    from zido.zido_core.options import OPTIONS

    text = qgis.process("help", "zido:upscale").stdout
    absent = {name for name in OPTIONS if f"\n{name.upper()}:" not in text}
    assert absent == {"overwrite", "dry_run", "offline"}


def test_a_16_bit_raster_keeps_what_makes_it_one(qgis: Qgis, field: Path) -> None:
    output = field.with_name("upscaled.tif")
    text = ("--SEED=7", "--BANDS=1", "--BANDS=2", "--BANDS=3", "--CREATION_OPTIONS=COMPRESS=DEFLATE")
    ran = qgis.process("run", "zido:upscale", f"--INPUT={field}", f"--OUTPUT={output}", *QUICK, *text, **POISON)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "56 x 48 px become 112 x 96 px" in ran.stdout
    assert f"OUTPUT:\t{output}" in ran.stdout
    check_kept(qgis.look(field), qgis.look(output), 2)
    assert qgis.look(output)["zido"]["SEED"] == "7"


def test_a_real_raster_in_a_system_without_a_code(qgis: Qgis, data_dir: Path) -> None:
    source = qgis.home / "sentinel.tif"
    source.write_bytes((data_dir / "pack-eval/rasters/geo2ml/s2_lataseno_ex.tif").read_bytes())
    output = source.with_name("sentinel_x2.tif")
    ran = qgis.process("--json", "run", "zido:upscale", f"--INPUT={source}", f"--OUTPUT={output}", *QUICK)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = json.loads(ran.stdout)
    assert told["results"]["OUTPUT"] == str(output)
    assert told["inputs"]["SCALE"] == "2"
    check_kept(qgis.look(source), qgis.look(output), 2)


def test_the_commands_in_the_documents_do_what_they_say(qgis: Qgis, example_raster: Path) -> None:
    text = (ROOT / "docs" / "qgis.md").read_text(encoding="utf-8")
    lines = [line.partition("#")[0] for line in text.replace("\\\n", " ").splitlines() if "qgis_process run" in line]
    folder = qgis.home / "documents"
    folder.mkdir()
    write_field(folder / "ortho.tif", example_raster, side=64)
    for line in lines:
        arguments = [word.replace("=", f"={folder}/", 1) if "." in word else word for word in shlex.split(line)[1:]]
        ran = qgis.process(*arguments)
        assert ran.returncode == 0, line + ran.stdout + ran.stderr
    named = {word.split("=")[1] for line in lines for word in shlex.split(line) if "." in word}
    assert {path.name for path in folder.iterdir() if path.suffix != ".xml"} == named
    assert "kept" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--OUTPUT=OUT.tif", "--NODATA=many"], {}, "nodata is many; expected a number or auto"),
        (["--OUTPUT=/proc/no.tif"], {}, "/proc"),
        (["--OUTPUT=OUT.tif"], {"ZIDO_PYTHON": "/no/python"}, "chosen by the variable ZIDO_PYTHON will not do"),
    ],
    ids=["number", "output", "python"],
)
def test_an_error_is_one_clear_line_and_code_1(
    qgis: Qgis, field: Path, arguments: list[str], environment: dict[str, str], expected: str
) -> None:
    output = field.with_name("never.tif")
    given = [f"--INPUT={field}", *QUICK, *(text.replace("OUT.tif", str(output)) for text in arguments)]
    ran = qgis.process("run", "zido:upscale", *given, **environment)
    assert ran.returncode == 1
    assert expected in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert not output.exists()


def test_an_interrupt_ends_the_run_without_a_trace(qgis: Qgis, example_raster: Path) -> None:
    folder = qgis.home / "interrupted"
    folder.mkdir()
    source = write_field(folder / "field.tif", example_raster, side=240)
    before = set(folder.iterdir())
    files = (f"--INPUT={source}", f"--OUTPUT={folder / 'out.tif'}")
    process = qgis.start("run", "zido:upscale", *files, "--PRESET=quality", "--TILE_SIZE=128")
    assert process.stdout is not None
    for line in iter(process.stdout.readline, ""):
        if line.startswith("denoising"):
            break
    assert qgis.workers()
    said = interrupt(qgis, process)
    assert "stopped on request; nothing was written" in said
    assert {path for path in folder.iterdir() if path.suffix != ".xml"} == before


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_an_interrupt_is_heard_before_there_is_any_progress(qgis: Qgis, field: Path, flags: list[str]) -> None:
    output = field.with_name("early.tif")
    process = qgis.start(*flags, "run", "zido:upscale", f"--INPUT={field}", f"--OUTPUT={output}", "--PRESET=quality")
    assert wait_until(lambda: bool(qgis.workers()), 60)
    assert "stopped on request; nothing was written" in interrupt(qgis, process)
    assert not output.exists()


def test_a_worker_that_does_not_listen_keeps_nobody_waiting(qgis: Qgis, field: Path) -> None:
    python = qgis.home / "deaf_python"
    fake = f"exec {worker_python()} {ROOT}/tests/fake_worker.py"
    python.write_text(f'#!/bin/sh\ncase "$*" in *worker*) {fake} ;; *) exec {worker_python()} "$@" ;; esac\n')
    python.chmod(0o755)
    source = field.rename(qgis.home / "keeps_and_is_deaf")
    output = field.with_name("heard.tif")
    asked = ("run", "zido:upscale", f"--INPUT={source}", f"--OUTPUT={output}")
    process = qgis.start(*asked, ZIDO_PYTHON=str(python))
    kept = Path(f"{output}.zido")
    assert wait_until((kept / "job.json").exists, 60)
    assert f"what is done is kept in {kept}; to go on, run it again" in interrupt(qgis, process)
    shutil.rmtree(kept)


def test_a_run_that_was_interrupted_goes_on(qgis: Qgis, example_raster: Path) -> None:
    """With all that is copied for a run: an extent, and a layer of prompts."""
    folder = qgis.home / "gone_on"
    folder.mkdir()
    source, tiles, output = (folder / name for name in ("field.tif", "tiles.gpkg", "output.tif"))
    write_field(source, example_raster, side=120)
    assert qgis.process("run", "zido:tagtiles", f"--INPUT={source}", f"--OUTPUT={tiles}").returncode == 0
    west, _, _, north = extent_of(qgis.look(source))
    part = f"--EXTENT={west},{west + 220},{north - 220},{north}"
    prompts = (f"--PROMPTS_LAYER={tiles}", "--FIELD=prompt")
    asked = ("run", "zido:upscalewithprompts", f"--INPUT={source}", f"--OUTPUT={output}", part, *prompts)
    blocks = Path(f"{output}.zido/blocks")
    process = qgis.start(*asked, "--BLOCK_SIZE=256", "--PRESET=preview")
    assert wait_until(lambda: any(blocks.glob("*.block")), 120)
    assert f"what is done is kept in {blocks.parent}; to go on, run it again" in interrupt(qgis, process)
    ran = qgis.process(*asked, "--BLOCK_SIZE=256", "--PRESET=preview", "--RESUME=true")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert output.exists()
    assert not blocks.parent.exists()


def interrupt(qgis: Qgis, process: subprocess.Popen[str]) -> str:
    """What QGIS says when Ctrl-C ends it; afterwards all is gone."""
    os.kill(process.pid, signal.SIGINT)
    began = time.monotonic()
    said, errors = process.communicate(timeout=30)
    print(f"{qgis.host.name}: gone {time.monotonic() - began:.2f} s after SIGINT")
    assert process.returncode == 1
    assert wait_until(lambda: not qgis.workers(), 2)
    return said + errors


def extent_of(found: dict[str, Any]) -> tuple[float, float, float, float]:
    """West, south, east, north of a raster, which may be turned."""
    a, b, c, d, e, f = found["transform"]
    width, height = found["size"]
    xs = [a + b * col + c * row for col in (0, width) for row in (0, height)]
    ys = [d + e * col + f * row for col in (0, width) for row in (0, height)]
    return min(xs), min(ys), max(xs), max(ys)


def test_a_killed_host_leaves_no_worker(qgis: Qgis, example_raster: Path) -> None:
    source = write_field(qgis.home / "killed.tif", example_raster, side=240)
    output = qgis.home / "killed_out.tif"
    process = qgis.start("run", "zido:upscale", f"--INPUT={source}", f"--OUTPUT={output}", "--PRESET=quality")
    assert wait_until(lambda: bool(qgis.workers()), 60)
    process.kill()
    process.communicate()
    assert wait_until(lambda: not qgis.workers())
    assert not output.exists()


def wait_until(true: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()
