"""The zips of the plugins are what the hosts and the plugin repository of QGIS want."""

from __future__ import annotations

import importlib.util
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from zido_core import __version__

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("qgis", "gimp")


def _load():
    spec = importlib.util.spec_from_file_location("zido_package", ROOT / ".ci" / "package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


package = _load()


@pytest.fixture(scope="module")
def zips(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dist")
    return {host: package.build(host, folder) for host in HOSTS}


@pytest.mark.parametrize("host", HOSTS)
def test_the_zip_is_as_it_should_be(zips, host):
    assert package.faults(zips[host], host) == []
    assert __version__ in zips[host].name
    assert zips[host].stat().st_size < 25_000_000


@pytest.mark.parametrize("host", HOSTS)
def test_equal_files_make_an_equal_zip(zips, host, tmp_path):
    assert package.build(host, tmp_path).read_bytes() == zips[host].read_bytes()


def test_the_scanners_of_the_repository_find_nothing(zips):
    pytest.importorskip("bandit", reason="pip install bandit")
    pytest.importorskip("detect_secrets", reason="pip install detect-secrets")
    assert package.findings(*zips.values()) == []


def test_the_scanners_do_find_what_is_there(tmp_path):
    pytest.importorskip("bandit", reason="pip install bandit")
    pytest.importorskip("detect_secrets", reason="pip install detect-secrets")
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zido/a.py", f"eval(input())\nx = '{'0f1e2d3c4b5a69788796a5b4c3d2e1f0' * 2}'\n")  # fmt: skip
    found = "\n".join(package.findings(path))
    assert "B307" in found
    assert "Hex High Entropy String" in found


@pytest.mark.parametrize(
    ("name", "content", "mode", "told"),
    [
        ("other/a.py", b"", 0o644, "is not in the folder zido"),
        ("zido/../a.py", b"", 0o644, "is not in the folder zido"),
        ("zido/__MACOSX/a", b"", 0o644, "may not be in a plugin"),
        ("zido/plugin/__pycache__/a.pyc", b"", 0o644, "may not be in a plugin"),
        ("zido/lib/c.so", b"", 0o644, "may not be in a plugin"),
        ("zido/run.bat", b"", 0o644, "may not be in a plugin"),
        ("zido/.env", b"", 0o644, "is hidden"),
        ("zido/a.py", b"", 0o755, "may not be executable"),
        ("zido/program", b"\x7fELF\xff\xfe", 0o644, "neither text nor a known kind of data"),
    ],
)
def test_what_may_not_be_in_it_is_found(zips, tmp_path, name, content, mode, told):
    path = tmp_path / "zido.zip"
    path.write_bytes(zips["qgis"].read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, content)
    (fault, *more) = package.faults(path, "qgis")
    assert told in fault
    assert more == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (f"version={__version__}", "version=9.9", "version=9.9, expected"),
        ("qgisMinimumVersion=3.22", "qgisMinimumVersion=3.0", "qgisMinimumVersion=3.0"),
        ("qgisMaximumVersion=4.99\n", "", "qgisMaximumVersion=None"),
        ("email=", "mail=", "lacks email"),
        ("icon=", "icon=no/", "names the icon no/"),
        ("name=zido", "name=zido plugin", "the word plugin"),
        ("tracker=https://", "tracker=http://", "pyproject.toml Issues"),
    ],
)
def test_what_is_wrong_in_the_metadata_is_found(old, new, told):
    text = (ROOT / "metadata.txt").read_text(encoding="utf-8")
    assert old in text
    found = list(package._faults_of_metadata(text.replace(old, new), {"zido/qgis/icon.svg"}))
    assert any(told in fault for fault in found)


def test_what_is_missing_is_found(tmp_path):
    path = tmp_path / "zido.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zido/metadata.txt", (ROOT / "metadata.txt").read_text(encoding="utf-8"))
    assert "lacks zido/LICENSE" in package.faults(path, "qgis")


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_gimps_entry_keeps_its_mode_and_nothing_else_has_one(zips):
    with zipfile.ZipFile(zips["gimp"]) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert {name for name, mode in modes.items() if mode & stat.S_IXUSR} == {"zido/zido.py"}


def test_the_unpacked_plugin_reaches_its_modules_with_the_standard_library(zips, tmp_path):
    with zipfile.ZipFile(zips["qgis"]) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import zido; from zido.plugin import environment, wheel;"
        "from pathlib import Path; print(environment.ROOT); wheel.make_wheel(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()) == tmp_path / "zido"
    assert (tmp_path / f"zido-{__version__}-py3-none-any.whl").is_file()


@pytest.mark.parametrize("version", [(3, 9), (3, 10)])
def test_an_old_python_gets_one_message(monkeypatch, version, capsys):
    import zido

    said = []

    class Bar:
        def messageBar(self):
            return self

        def pushWarning(self, *words):
            said.append(words)

    monkeypatch.setattr(zido.sys, "version_info", (*version, 0))
    plugin = zido.classFactory(Bar())
    plugin.initGui()
    plugin.initProcessing()
    plugin.unload()
    assert said == [("zido", plugin.message())]
    assert f"has Python {version[0]}.{version[1]}, and zido needs 3.11" in capsys.readouterr().err


def test_the_entry_can_be_read_by_the_oldest_python_that_a_qgis_has():
    import ast

    ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"), feature_version=(3, 7))
