"""Where QGIS and GIMP look for plugins on this machine: all versions, all profiles, also those of Flatpak and Snap."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput
from .plugin_files import Host

NAME = "zido"
"""What a plugin's folder is called; both hosts know it by that name."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder of plugins, one for each version and profile of a host."""

    host: Host
    """Whose."""

    title: str
    """``QGIS 3, profile default``."""

    plugins: Path
    """The folder in which each plugin has one; need not exist yet."""

    @property
    def target(self) -> Path:
        """The folder of our plugin."""
        return self.plugins / NAME


def places(host: Host, environment: Mapping[str, str] = os.environ) -> list[Place]:
    """All that are found. Raises BadInput, naming where was looked, if there is none."""
    roots = list(_qgis_roots(environment) if host == "qgis" else _gimp_roots(environment))
    found = [place for root in roots for place in (_qgis(root) if host == "qgis" else _gimp(root))]
    if not found:
        title = "QGIS" if host == "qgis" else "GIMP 3"
        raise BadInput(
            f"no settings of {title} were found in {', '.join(map(str, roots))}; start {title} once, "
            "or name its folder of plugins with --folder"
        )
    return found


def at(host: Host, folder: Path) -> Place:
    """A folder of plugins that the user names."""
    return Place(host=host, title=str(folder), plugins=folder)


def _qgis_roots(environment: Mapping[str, str]) -> Iterator[Path]:
    """Folders of profiles."""
    home = Path.home()
    own = environment.get("QGIS_CUSTOM_CONFIG_PATH")
    if own:
        yield Path(own) / "profiles"
        return
    for version in ("QGIS3", "QGIS4"):
        within = Path("QGIS") / version / "profiles"
        if sys.platform == "win32":
            yield Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / within
        elif sys.platform == "darwin":
            yield home / "Library" / "Application Support" / within
        else:
            yield Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / within
            yield home / ".var" / "app" / "org.qgis.qgis" / "data" / within
            yield home / "snap" / "qgis" / "current" / ".local" / "share" / within


def _qgis(root: Path) -> Iterator[Place]:
    version = "4" if "QGIS4" in root.parts else "3"
    for profile in _folders(root):
        yield Place(
            host="qgis",
            title=f"QGIS {version}, profile {profile.name}{_packaged(root)}",
            plugins=profile / "python" / "plugins",
        )


def _gimp_roots(environment: Mapping[str, str]) -> Iterator[Path]:
    """Folders with one for each version."""
    home = Path.home()
    own = environment.get("GIMP3_DIRECTORY")
    if own:
        yield Path(own).parent
    elif sys.platform == "win32":
        yield Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / "GIMP"
    elif sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "GIMP"
    else:
        yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "GIMP"
        yield home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP"
        yield home / "snap" / "gimp" / "current" / ".config" / "GIMP"


def _gimp(root: Path) -> Iterator[Place]:
    for version in _folders(root):
        if version.name.startswith("3."):
            yield Place(host="gimp", title=f"GIMP {version.name}{_packaged(root)}", plugins=version / "plug-ins")


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _packaged(root: Path) -> str:
    if ".var" in root.parts:
        return " (Flatpak)"
    return " (Snap)" if "snap" in root.parts else ""
