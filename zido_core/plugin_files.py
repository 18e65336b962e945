"""The files of the plugins for QGIS and GIMP, and where each lies in the plugin's folder."""

from __future__ import annotations

import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from .errors import ModelMissing

Host = Literal["qgis", "gimp"]

PACKAGE = Path(__file__).parent

SHARED = ("__init__.py", ".bandit", "LICENSE", "README.md", "pyproject.toml", "constraints.txt", "zido_core", "plugin")
"""Files and folders that both plugins have. With `pyproject.toml` the folder can also be installed by pip."""

OWN: Mapping[Host, tuple[str, ...]] = {"qgis": ("metadata.txt", "qgis"), "gimp": ("gimp",)}
"""What each has besides."""

GIMP_ENTRY = "zido.py"
"""GIMP starts the file that is called like its folder."""

SHARE = "share/zido"
"""Where a wheel puts what is no part of `zido_core`, below the root of the Python."""

LEFT_OUT = {"__pycache__"}
"""Folders that do not belong to a plugin."""


def source() -> Path:
    """The folder from which plugins are installed: the repository, a plugin, or what a wheel has brought along."""
    for folder in (PACKAGE.parent, Path(sys.prefix, SHARE), Path(site.getuserbase(), SHARE)):
        if (folder / "plugin" / "client.py").is_file() and (folder / "pyproject.toml").is_file():
            return folder
    raise ModelMissing(f"{PACKAGE} came without the plugins; install zido from its repository or a plugin's zip")


def files_of(host: Host) -> dict[str, Path]:
    """Every file of a plugin by its place in the plugin's folder."""
    root = source()
    found = {}
    for name in (*SHARED, *OWN[host]):
        path = PACKAGE if name == "zido_core" else root / name
        for file in _files(path):
            place = PurePosixPath(name, *file.relative_to(path).parts)
            found[str(place)] = file
    if host == "gimp":
        found[GIMP_ENTRY] = root / "gimp" / GIMP_ENTRY
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for each in sorted(path.iterdir()):
            if each.name not in LEFT_OUT and not each.name.endswith((".pyc", ".part")):
                yield from _files(each)
