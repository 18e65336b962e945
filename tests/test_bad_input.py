"""Whatever is wrong: one line for people, the documented exit code, nothing written. Through the real command line."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from tests.conftest import ROOT, UTM, smooth_pixels
from tests.rasters import COARSE, DIFFUSED
from zido_core import cli
from zido_core.errors import OutputFailed
from zido_core.job import Progress

QUICK = ("--quiet", "--preset", "preview", "--device", "cpu")
CANARY = b"do not tell anybody"

Fails = Callable[..., str]


@pytest.fixture
def fails(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Run the command line; it must end with this code, one line on stderr and no new file. Returns the line."""
    monkeypatch.chdir(tmp_path)

    def run(code: int, *arguments: str | Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        capfd.readouterr()
        assert cli.execute([str(each) for each in (*arguments, *QUICK)]) == code
        out, err = capfd.readouterr()
        assert out == ""
        lines = [line for line in err.splitlines() if not line.startswith("zido: warning: ")]
        assert len(lines) == 1, err
        assert lines[0].startswith("zido: ")
        assert "Traceback" not in err
        assert "internal error" not in err
        assert len(lines[0]) < 700
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return run


@pytest.fixture
def good(make_raster) -> Path:
    return make_raster(shape=(3, 12, 12), name="good.tif", **UTM)


# --- inputs -----------------------------------------------------------------------------------------------


def test_missing(fails: Fails, tmp_path: Path) -> None:
    assert "does not exist" in fails(66, tmp_path / "no.tif")


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"II*\0", b"hello\n", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_no_image(fails: Fails, tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert f"a{suffix}" in fails(65, tmp_path / f"a{suffix}")


def test_folders(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "-o FOLDER" in fails(2, tmp_path / "in")
    (tmp_path / "out").mkdir()
    assert "empty" in fails(66, tmp_path / "in", "-o", tmp_path / "out")


@pytest.mark.parametrize(("name", "share"), [("a.tif", 0.5), ("a.tif", 0.95), ("a.png", 0.7), ("a.jpg", 0.6)])
def test_cut_off(fails: Fails, tmp_path: Path, name: str, share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 80, 90), np.uint8)
    path = tmp_path / name
    if name.endswith(".tif"):
        size = {"count": 3, "height": 80, "width": 90}
        with rasterio.open(path, "w", driver="GTiff", dtype="uint8", compress="deflate", **size, **UTM) as dataset:
            dataset.write(pixels)
    else:
        Image.fromarray(pixels.transpose(1, 2, 0).copy()).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    line = fails(65, path)
    assert name in line
    assert "cut off" in line or "damaged" in line


def vrt(source: Path) -> str:
    return (
        '<VRTDataset rasterXSize="8" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1"'
        f' subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{source}</SourceFilename>'
        "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>8</LineOffset>"
        "</VRTRasterBand></VRTDataset>"
    )


@pytest.mark.parametrize("name", ["a.tif", "a.vrt", "a.png", "a"])
def test_a_vrt_in_disguise_tells_nothing(fails: Fails, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(CANARY)
    (tmp_path / name).write_text(vrt(tmp_path / "secret"))
    line = fails(65, tmp_path / name)
    assert "--allow-vrt" in line
    assert CANARY.decode() not in line


def test_a_dataset_without_bands(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>')
    assert "bands" in fails(65, tmp_path / "a.vrt", "--allow-vrt")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize("form", ["http://{}/a.tif", "/vsicurl/http://{}/a.tif", "/vsizip//vsicurl/http://{}/a.zip"])
@pytest.mark.parametrize("more", [(), ("--allow-remote", "--offline")])
def test_addresses_are_not_asked(fails: Fails, listener: socket.socket, form: str, more: tuple[str, ...]) -> None:
    address = form.format("{}:{}".format(*listener.getsockname()))
    assert "--allow-remote" in fails(65, address, *more)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_header_that_promises_too_much(fails: Fails, tmp_path: Path) -> None:
    size = {"count": 3, "height": 65_535, "width": 65_535, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "SPARSE_OK": True}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **size, **tiles, **UTM):
        pass
    assert "--max-pixels" in fails(65, tmp_path / "a.tif")


def test_a_bomb(fails: Fails, tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(7_501 * 60_000), 9)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(bomb)
    assert len(bomb) < 500_000
    assert "--max-pixels" in fails(65, tmp_path / "a.png")


def test_complex_numbers(fails: Fails, make_raster) -> None:
    assert "complex" in fails(65, make_raster(np.ones((1, 8, 8), np.complex64), **UTM))


def test_what_is_odd_but_good(make_raster, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A palette without a table is gray; nothing valid in, nothing valid out, with a word about it."""
    palette = make_raster(smooth_pixels((1, 8, 8), "uint8"), name="palette.tif", photometric="PALETTE", **UTM)
    missing = make_raster(np.zeros((3, 8, 8), np.uint8), name="missing.tif", nodata=0, **UTM)
    unreal = make_raster(np.full((1, 8, 8), np.nan, np.float32), name="unreal.tif", **UTM)
    for path, words in ((palette, ""), (missing, "no valid pixel"), (unreal, "no valid pixel")):
        assert cli.execute([str(path), *QUICK]) == 0
        out, err = capfd.readouterr()
        assert out == ""
        assert words in err
        assert all(line.startswith("zido: warning: ") for line in err.splitlines())
        with rasterio.open(tmp_path / f"{path.stem}_x4.tif") as dataset:
            assert dataset.shape == (32, 32)
            if words:
                made = dataset.read()
                assert (np.isnan(made) | (made == 0)).all()


# --- outputs ----------------------------------------------------------------------------------------------


def test_outputs_that_cannot_be(fails: Fails, good: Path, tmp_path: Path) -> None:
    assert "no folder" in fails(73, good, "-o", tmp_path / "no" / "out.tif")
    assert "the input itself" in fails(73, good, "-o", good)
    assert "the input itself" in fails(73, good, "-o", good, "--overwrite")
    (tmp_path / "there.tif").write_text("old")
    assert "--overwrite" in fails(73, good, "-o", tmp_path / "there.tif")
    assert (tmp_path / "there.tif").read_text() == "old"
    assert "too long" in fails(73, good, "-o", f"{'x' * 252}.tif")
    assert "too long" in fails(73, good, "-o", f"{'x' * 300}.tif")
    assert ".xyz" in fails(2, good, "-o", tmp_path / "out.xyz")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody may write")
def test_a_folder_in_which_nobody_may_write(fails: Fails, good: Path) -> None:
    assert "cannot write" in fails(73, good, "-o", "/proc/out.tif")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_without_room(fails: Fails, make_raster, upscaler, tiny_disk: Path) -> None:
    source = make_raster(shape=(3, 300, 300), **UTM)
    assert "4 MB" in fails(73, source, "-o", tiny_disk)
    noise = np.random.default_rng(0).integers(0, 255, (3, 90, 90), np.uint8)

    def fill(event: Any) -> None:
        if isinstance(event, Progress):
            (tiny_disk / "other").write_bytes(bytes(1_900_000))

    with pytest.raises(OutputFailed, match="disk full: needs"):
        upscaler.upscale(make_raster(noise, name="noise.tif", **UTM), tiny_disk, on_event=fill, **COARSE)
    assert os.listdir(tiny_disk) == ["other"]


# --- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--sacle", "2"], 2, "did you mean --scale"),
        (["--scale", "nan"], 2, "scale"),
        (["--scale", "0.5"], 2, "1 to 8"),
        (["--bands", "7,8,9"], 2, "band 7"),
        (["--bands", "1,1,1"], 2, "three different"),
        (["--tile-size", "100"], 2, "multiple of 32"),
        (["--tile-size", "128", "--tile-overlap", "128"], 2, "smaller"),
        (["--nodata", "-9999"], 2, "nodata -9999"),
        (["--nodata", "0.5"], 2, "nodata 0.5"),
        (["--stretch", "range:5,5"], 2, "range"),
        (["--stretch", "percentile:50,200"], 2, "percentile"),
        (["-co", "COMPRESS=NONSENSE"], 2, "COMPRESS=NONSENSE"),
        (["-co", "nonsense"], 2, "KEY=VALUE"),
        (["--cog", "-o", "out.png"], 2, "use .tif"),
        (["--prompts", "no.geojson"], 78, "no.geojson"),
        (["--manifest", "no/made.json"], 73, "no folder"),
        (["--save-prompts", "good.tif"], 2, "another file of this run"),
        (["--max-pixels", "10"], 65, "--max-pixels"),
    ],
    ids=str,
)
def test_options_that_cannot_be(fails: Fails, good: Path, arguments: list[str], code: int, words: str) -> None:
    assert words in fails(code, good, *arguments)


def test_a_wrong_prompts_file(fails: Fails, good: Path, tmp_path: Path) -> None:
    (tmp_path / "p.geojson").write_text('{"type": "FeatureCollection", "features": [{"type": "Feature"}]}')
    assert "p.geojson" in fails(78, good, "--prompts", tmp_path / "p.geojson")


# --- whole processes --------------------------------------------------------------------------------------


def start(*arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "zido_core", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes, **more)


def test_a_process_ends_with_the_code_and_the_line(good: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text(vrt(good))
    with start(tmp_path / "a.tif") as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (65, "")
    assert err.startswith("zido: a.tif ")
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are sent in the POSIX way")
def test_an_interrupted_process_leaves_nothing(make_raster, tmp_path: Path) -> None:
    source, folder = make_raster(shape=(3, 400, 400), **UTM), tmp_path / "out"
    folder.mkdir()
    beside = ("--manifest", folder / "m.json", "--save-prompts", folder / "p.geojson", "--steps", "50")
    with start(source, "-o", folder, "--json", "--device", "cpu", *beside) as process:
        assert process.stdout is not None
        while '"progress"' not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []


def test_a_killed_process_leaves_no_result_and_the_next_one_cleans_up(make_raster, upscaler, tmp_path: Path) -> None:
    source, folder = make_raster(shape=(3, 400, 400), **UTM), tmp_path / "out"
    folder.mkdir()
    with start(source, "-o", folder, "--json", "--device", "cpu", "--steps", "50") as process:
        assert process.stdout is not None
        while '"progress"' not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=60)
    assert not (folder / "input_x4.tif").exists()
    small = make_raster(shape=(3, 8, 8), **UTM)
    upscaler.upscale(small, folder, **DIFFUSED)
    assert [path.name for path in folder.iterdir()] == ["input_x4.tif"]
