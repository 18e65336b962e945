"""zido_core packed from where it lies, as pip takes it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from zido.plugin import wheel
from zido.zido_core import __version__, errors

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = wheel.make_wheel(tmp_path_factory.mktemp("wheel"))
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_has_the_package_with_its_weights_and_the_plugins(packed):
    names = set(packed.namelist())
    assert Path(packed.filename).name == f"zido-{__version__}-py3-none-any.whl"
    shared = f"zido-{__version__}.data/data/share/zido"
    for name in ("zido_core/cli.py", "zido_core/weights/mini.safetensors", f"{shared}/plugin/client.py"):
        assert name in names
    assert not any("__pycache__" in name or name.startswith(("tests", "plugin", "qgis", "gimp")) for name in names)


def test_every_file_is_recorded_with_its_hash(packed):
    rows = list(csv.reader(io.StringIO(packed.read(f"zido-{__version__}.dist-info/RECORD").decode())))
    assert [row[0] for row in rows] == packed.namelist()
    for name, digest, size in rows[:-1]:
        content = packed.read(name)
        assert int(size) == len(content)
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def test_it_asks_for_what_the_project_asks_for(packed):
    told = Parser().parsestr(packed.read(f"zido-{__version__}.dist-info/METADATA").decode())
    wanted = told.get_all("Requires-Dist")
    assert (told["Name"], told["Version"], told["Requires-Python"]) == ("zido", __version__, PROJECT["requires-python"])
    assert [each for each in wanted if ";" not in each] == PROJECT["dependencies"]
    assert 'PyQt5>=5.15; extra == "gui"' in wanted
    assert set(told.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


def test_it_brings_the_command(packed):
    points = packed.read(f"zido-{__version__}.dist-info/entry_points.txt").decode()
    assert points == "[console_scripts]\nzido = zido_core.cli:main\n"


def test_a_plugin_that_is_not_whole_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(wheel, "ROOT", tmp_path)
    with pytest.raises(errors.ConfigurationError, match="install the plugin again"):
        wheel.make_wheel(tmp_path)
