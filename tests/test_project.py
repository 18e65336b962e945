"""What is installed and what the project says about itself."""

from __future__ import annotations

import configparser
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import rasterio
from packaging.requirements import Requirement
from PIL import Image

import zido_core

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, comes with `make test`")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def plugin_metadata() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    return parser["general"]


def test_version_has_one_source(wheel: zipfile.ZipFile, pyproject: dict) -> None:
    assert pyproject["project"]["dynamic"] == ["version"]
    assert wheel.filename is not None
    assert Path(wheel.filename).name.startswith(f"zido-{zido_core.__version__}-")
    assert plugin_metadata()["version"] == zido_core.__version__


def test_wheel_holds_the_core_with_its_weights_and_what_hosts_are_given(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    shared = {name for name in names if name.startswith("zido-") and ".data/data/share/zido/" in name}
    assert {name.partition("/")[0] for name in names - shared} == {"zido_core"}
    assert {name.partition("share/zido/")[2].partition("/")[0] for name in shared} >= {"plugin", "qgis", "gimp"}
    assert {"zido_core/weights/mini.safetensors", "zido_core/weights/mini.json"} <= names
    assert "zido_core/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]


def test_console_script_exists(pyproject: dict) -> None:
    module, _, function = pyproject["project"]["scripts"]["zido"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_dependency_is_pinned_to_a_version_that_is_allowed(pyproject: dict) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = pyproject["project"]["optional-dependencies"].values()
    for line in [*pyproject["project"]["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[requirement.name.lower()]), line
    assert pins["torch"] == "2.13.0"


def test_plugin_metadata_has_the_keys_qgis_asks_for() -> None:
    general = plugin_metadata()
    required = {"name", "description", "about", "version", "qgisMinimumVersion", "author", "email"}
    assert required | {"repository", "tracker"} <= set(general)
    assert re.fullmatch(r"\d+\.\d+\.\d+", general["version"])
    assert "plugin" not in general["name"].lower()
    assert (ROOT / "__init__.py").is_file()


def test_root_is_the_package_zido_as_in_qgis() -> None:
    package = importlib.import_module("zido")
    assert callable(package.classFactory)
    assert importlib.import_module("zido.zido_core").__version__ == zido_core.__version__


def test_example_raster_is_small_and_georeferenced(example_raster: Path) -> None:
    assert example_raster.stat().st_size <= 300_000
    with rasterio.open(example_raster) as dataset:
        assert (dataset.count, dataset.shape, dataset.dtypes[0]) == (3, (256, 256), "uint8")
        assert dataset.crs.to_epsg() == 32737
        assert dataset.transform.a == pytest.approx(0.2324, abs=1e-4)


def test_example_photo_is_small(example_photo: Path) -> None:
    assert example_photo.stat().st_size <= 150_000
    with Image.open(example_photo) as image:
        assert (image.mode, image.size) == ("RGB", (256, 192))


def test_every_example_is_attributed() -> None:
    attribution = (ROOT / "examples" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "examples").iterdir()} - {"ATTRIBUTION.md"}
    assert files
    assert {name for name in files if f"`{name}`" not in attribution} == set()
