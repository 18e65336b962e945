"""Plugins are put where hosts find them, whole or not at all, and nothing else is touched."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from zido_core import __version__, cli, cli_plugin, plugin_install, plugin_places
from zido_core.errors import BadInput, OutputNotWritable
from zido_core.plugin_files import files_of
from zido_core.plugin_install import NOTE, RECEIPT, faults, install, uninstall, version_at
from zido_core.plugin_places import Place, at, places

ROOT = Path(__file__).resolve().parents[1]


def works(python: str) -> None:
    """Every Python has zido."""


@pytest.fixture(params=["qgis", "gimp"])
def place(request, tmp_path) -> Place:
    return at(request.param, tmp_path / "host" / "plugins")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The home of a user of Linux, and nothing set."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "QGIS_CUSTOM_CONFIG_PATH", "GIMP3_DIRECTORY", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "host", "folder", "title", "plugins"),
    [
        ("linux", "qgis", ".local/share/QGIS/QGIS3/profiles/default", "QGIS 3, profile default", "python/plugins"),
        ("linux", "qgis", ".local/share/QGIS/QGIS4/profiles/work", "QGIS 4, profile work", "python/plugins"),
        (
            *("linux", "qgis", ".var/app/org.qgis.qgis/data/QGIS/QGIS3/profiles/default"),
            *("QGIS 3, profile default (Flatpak)", "python/plugins"),
        ),
        (
            *("darwin", "qgis", "Library/Application Support/QGIS/QGIS3/profiles/default"),
            *("QGIS 3, profile default", "python/plugins"),
        ),
        ("win32", "qgis", "AppData/Roaming/QGIS/QGIS3/profiles/a b", "QGIS 3, profile a b", "python/plugins"),
        ("linux", "gimp", ".config/GIMP/3.0", "GIMP 3.0", "plug-ins"),
        ("linux", "gimp", ".config/GIMP/3.2", "GIMP 3.2", "plug-ins"),
        ("linux", "gimp", ".var/app/org.gimp.GIMP/config/GIMP/3.0", "GIMP 3.0 (Flatpak)", "plug-ins"),
        ("linux", "gimp", "snap/gimp/current/.config/GIMP/3.0", "GIMP 3.0 (Snap)", "plug-ins"),
        ("darwin", "gimp", "Library/Application Support/GIMP/3.0", "GIMP 3.0", "plug-ins"),
        ("win32", "gimp", "AppData/Roaming/GIMP/3.0", "GIMP 3.0", "plug-ins"),
    ],
)
def test_where_a_host_looks_for_plugins(home, monkeypatch, platform, host, folder, title, plugins):
    (home / folder).mkdir(parents=True)
    monkeypatch.setattr(sys, "platform", platform)
    assert places(host) == [Place(host=host, title=title, plugins=home / folder / plugins)]
    assert places(host)[0].target.name == "zido"


def test_all_versions_and_profiles_are_found_and_no_others(home):
    for name in ("2.10", "3.0", "3.2", ".hidden"):
        (home / ".config" / "GIMP" / name).mkdir(parents=True)
    for name in ("default", "work"):
        (home / ".local/share/QGIS/QGIS3/profiles" / name).mkdir(parents=True)
    (home / ".local/share/QGIS/QGIS3/profiles/profiles.ini").touch()
    assert [place.title for place in places("gimp")] == ["GIMP 3.0", "GIMP 3.2"]
    assert [place.title for place in places("qgis")] == ["QGIS 3, profile default", "QGIS 3, profile work"]


def test_folders_that_the_user_has_moved(home):
    (home / "own" / "profiles" / "default").mkdir(parents=True)
    (home / "gimp" / "3.0").mkdir(parents=True)
    (found,) = places("qgis", {"QGIS_CUSTOM_CONFIG_PATH": str(home / "own")})
    assert found.plugins == home / "own" / "profiles" / "default" / "python" / "plugins"
    (found,) = places("gimp", {"GIMP3_DIRECTORY": str(home / "gimp" / "3.0")})
    assert found.plugins == home / "gimp" / "3.0" / "plug-ins"


@pytest.mark.parametrize("host", ["qgis", "gimp"])
def test_a_host_that_is_not_there_is_told(home, host):
    with pytest.raises(BadInput, match=r"no settings of .* were found in .*--folder"):
        places(host)


def test_what_is_installed_is_whole(place):
    install(place, "/opt/python")
    assert faults(place, works) == []
    assert version_at(place) == __version__
    assert (place.target / NOTE).read_text() == "/opt/python\n"
    assert {path.name for path in place.plugins.parent.iterdir()} == {"plugins"}
    for name in (
        "__init__.py",
        "LICENSE",
        "plugin/client.py",
        "zido_core/job.py",
        "zido_core/weights/mini.safetensors",
    ):
        assert (place.target / name).read_bytes() == (ROOT / name).read_bytes()
    assert not list(place.target.rglob("__pycache__"))


def test_each_host_gets_its_own_files(tmp_path):
    assert {"metadata.txt", "qgis/shell.py"} <= files_of("qgis").keys()
    assert not any(name.startswith("gimp/") for name in files_of("qgis"))
    assert {"zido.py", "gimp/zido.py"} <= files_of("gimp").keys()
    assert not any(name.startswith("qgis/") or name == "metadata.txt" for name in files_of("gimp"))


@pytest.mark.skipif(os.name == "nt", reason="Windows goes by the name of a file")
def test_gimp_finds_a_program_named_like_its_folder(tmp_path):
    place = at("gimp", tmp_path)
    install(place, None)
    entry = tmp_path / "zido" / "zido.py"
    assert os.access(entry, os.X_OK)
    entry.chmod(0o644)
    assert faults(place, works) == ["zido.py is not executable, so GIMP does not load it"]


def test_installing_again_takes_the_place_of_the_older_one(place):
    install(place, "/old/python")
    receipt = json.loads((place.target / RECEIPT).read_text())
    receipt["files"]["plugin/gone.py"] = "0"
    (place.target / "plugin" / "gone.py").touch()
    (place.target / RECEIPT).write_text(json.dumps(receipt | {"version": "0.0.1"}))
    (place.target / "plugin" / "__pycache__").mkdir()
    (place.target / "plugin" / "__pycache__" / "client.pyc").touch()
    assert version_at(place) == "0.0.1"
    install(place, None)
    assert version_at(place) == __version__
    assert not (place.target / NOTE).exists()
    assert not (place.target / "plugin" / "gone.py").exists()


def test_a_version_from_the_plugin_repository_is_replaced(tmp_path):
    place = at("qgis", tmp_path)
    place.target.mkdir()
    (place.target / "metadata.txt").write_text("[general]\nname=zido\nversion=0.0.9\n")
    assert version_at(place) == "0.0.9"
    install(place, None)
    assert version_at(place) == __version__


@pytest.mark.parametrize("act", [lambda place: install(place, None), uninstall])
def test_what_is_not_zidos_is_left_alone(place, act):
    place.target.mkdir(parents=True)
    (place.target / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputNotWritable, match="is not a plugin of zido's"):
        act(place)
    assert (place.target / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("act", [lambda place: install(place, None), uninstall])
def test_files_of_the_user_within_it_are_left_alone(place, act):
    install(place, None)
    (place.target / "mine.txt").write_text("mine")
    with pytest.raises(OutputNotWritable, match=r"files that are not zido's: mine\.txt"):
        act(place)
    assert (place.target / "mine.txt").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_of_a_developer_is_left_alone(place, tmp_path):
    (tmp_path / "checkout").mkdir()
    place.plugins.mkdir(parents=True)
    place.target.symlink_to(tmp_path / "checkout")
    with pytest.raises(OutputNotWritable, match="is a link to"):
        install(place, None)
    with pytest.raises(OutputNotWritable, match="is a link to"):
        uninstall(place)
    assert place.target.is_symlink()


def test_a_copy_that_fails_leaves_the_older_one(place, monkeypatch):
    install(place, "/opt/python")
    calls = []

    def fail(origin, copy):
        calls.append(copy)
        if len(calls) == 20:
            raise OSError(28, "No space left on device")
        return Path(copy).write_bytes(Path(origin).read_bytes())

    monkeypatch.setattr(plugin_install.shutil, "copyfile", fail)
    with pytest.raises(OutputNotWritable, match="No space left"):
        install(place, None)
    monkeypatch.undo()
    assert faults(place, works) == []
    assert {path.name for path in place.plugins.parent.iterdir()} == {"plugins"}


def test_what_is_wrong_with_it_is_told(place):
    assert faults(place, works) == ["is not installed"]
    install(place, "/opt/python")
    (place.target / "LICENSE").write_text("changed")
    (place.target / "plugin" / "client.py").unlink()
    found = faults(place, lambda python: "does not start")
    assert set(found) == {"LICENSE has changed", "plugin/client.py is missing", "its Python /opt/python does not start"}


def test_uninstalling_leaves_nothing(place):
    assert uninstall(place) is False
    install(place, None)
    assert uninstall(place) is True
    assert list(place.plugins.iterdir()) == []
    assert {path.name for path in place.plugins.parent.iterdir()} == {"plugins"}


class TestCommand:
    @pytest.fixture(autouse=True)
    def pythons(self, monkeypatch):
        monkeypatch.setattr(cli_plugin, "_fault_of", lambda python: "is broken" if "broken" in python else None)

    def test_from_nothing_to_nothing(self, home, capsys):
        (home / ".config" / "GIMP" / "3.0").mkdir(parents=True)
        steps = [["--list"], [], ["--verify"], ["--list"], ["--uninstall"], ["--verify"]]
        codes = [cli.execute(["install-plugin", "gimp", *step]) for step in steps]
        said = capsys.readouterr()
        assert codes == [0, 0, 0, 0, 0, 69]
        assert [line.partition(" in /")[0].partition(": /")[0] for line in said.out.splitlines()] == [
            "GIMP 3.0: not installed",
            "GIMP 3.0",
            f"The plugin works with {sys.executable}.",
            cli_plugin.NEXT["gimp"],
            "ok   GIMP 3.0",
            f"GIMP 3.0: zido {__version__}",
            "GIMP 3.0: removed",
            "FAIL GIMP 3.0: is not installed",
        ]
        assert "zido: not everything is as it should be" in said.err

    def test_one_place_that_refuses_does_not_keep_the_others(self, home, capsys):
        (home / ".config" / "GIMP" / "3.0" / "plug-ins" / "zido").mkdir(parents=True)
        (home / ".config" / "GIMP" / "3.2").mkdir(parents=True)
        assert cli.execute(["install-plugin", "gimp", "--python", "none"]) == 73
        said = capsys.readouterr()
        assert "GIMP 3.0: " in said.err
        assert (home / ".config" / "GIMP" / "3.2" / "plug-ins" / "zido" / "zido.py").is_file()

    def test_a_python_without_zido_is_refused_if_named_and_not_noted_if_not(self, tmp_path, monkeypatch, capsys):
        folder = ["--folder", str(tmp_path)]
        assert cli.execute(["install-plugin", "qgis", *folder, "--python", "/broken"]) == 2
        assert "/broken is broken" in capsys.readouterr().err
        monkeypatch.setattr(sys, "executable", "/broken")
        assert cli.execute(["install-plugin", "qgis", *folder]) == 0
        assert not (tmp_path / "zido" / NOTE).exists()
        assert "looks for a Python" in capsys.readouterr().out

    def test_an_unknown_host_is_told(self, capsys):
        assert cli.execute(["install-plugin", "krita"]) == 2
        assert "'qgis', 'gimp'" in capsys.readouterr().err


def test_a_python_with_zido_is_known_by_running_it():
    assert cli_plugin._fault_of("/gone/python").startswith("cannot be started")


def test_windows_places_follow_appdata(monkeypatch, tmp_path):
    monkeypatch.setattr(plugin_places.sys, "platform", "win32")
    (tmp_path / "GIMP" / "3.0").mkdir(parents=True)
    (found,) = places("gimp", {"APPDATA": str(tmp_path)})
    assert found.plugins == tmp_path / "GIMP" / "3.0" / "plug-ins"
