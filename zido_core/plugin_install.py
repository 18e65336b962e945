"""Puts a plugin into a folder of plugins, looks whether it is whole there, and takes it away again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import __version__
from .errors import OutputNotWritable
from .plugin_files import GIMP_ENTRY, files_of
from .plugin_places import NAME, Place

RECEIPT = "installed.json"
"""What was installed: version, and the hash of every file. It tells our folder from another one of that name."""

NOTE = "python.txt"
"""The Python with zido, which the plugin tries first."""


def install(place: Place, python: str | None) -> None:
    """Copy the plugin there, in the place of an older one; it is there whole, or as before.

    ``python`` is noted for the plugin, unless None. Raises OutputNotWritable where something is in the way.
    """
    _refuse_foreign(place)
    part = _beside(place, "new")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        _fill(part, place, python)
        place.plugins.mkdir(parents=True, exist_ok=True)
        _exchange(part, place)
    except OSError as error:
        _remove(part)
        raise OutputNotWritable(f"cannot install into {place.target}: {error.strerror or error}") from error
    except BaseException:
        _remove(part)
        raise


def uninstall(place: Place) -> bool:
    """Take the plugin away; returns whether there was one. Raises OutputNotWritable if the folder is not ours."""
    if not place.target.exists() and not place.target.is_symlink():
        return False
    _refuse_foreign(place)
    part = _beside(place, "old")
    try:
        place.target.rename(part)
    except OSError as error:
        raise OutputNotWritable(f"cannot remove {place.target}: {error.strerror or error}; is it in use?") from error
    _remove(part)
    return True


def version_at(place: Place) -> str | None:
    """The version that is installed there; None if there is nothing of ours."""
    receipt = _receipt(place)
    if receipt is not None:
        return str(receipt["version"])
    with contextlib.suppress(OSError, UnicodeError):
        lines = dict(line.split("=", 1) for line in _lines(place.target / "metadata.txt") if "=" in line)
        if lines.get("name") == NAME:
            return lines.get("version", "unknown")
    return None


def faults(place: Place, works: Callable[[str], str | None]) -> list[str]:
    """What is not right with the plugin there. ``works`` says what is wrong with a Python."""
    version, receipt = version_at(place), _receipt(place)
    if version is None:
        return ["is not installed"]
    found = [] if version == __version__ else [f"is version {version}, and this is {__version__}"]
    if receipt is None:
        return [*found, "was not put there by `zido install-plugin`, so its files cannot be checked"]
    for name, digest in receipt["files"].items():
        path = place.target / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif _sha256(path) != digest:
            found.append(f"{name} has changed")
    if place.host == "gimp" and os.name != "nt" and not os.access(place.target / GIMP_ENTRY, os.X_OK):
        found.append(f"{GIMP_ENTRY} is not executable, so GIMP does not load it")
    noted = _lines(place.target / NOTE)
    wrong = works(noted[0]) if noted else None
    return [*found, f"its Python {noted[0]} {wrong}"] if wrong else found


def _fill(part: Path, place: Place, python: str | None) -> None:
    """Make the plugin's folder complete, away from where the host looks."""
    digests = {}
    for name, origin in files_of(place.host).items():
        copy = part / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, copy)
        digests[name] = _sha256(copy)
    if place.host == "gimp":
        entry = part / GIMP_ENTRY
        entry.chmod(entry.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    if python is not None:
        (part / NOTE).write_text(f"{python}\n", encoding="utf-8")
    receipt = {"version": __version__, "host": place.host, "files": digests}
    (part / RECEIPT).write_text(json.dumps(receipt, indent=1), encoding="utf-8")


def _exchange(part: Path, place: Place) -> None:
    """Put the new folder in the place of the old one, which comes back if that fails."""
    old = _beside(place, "old")
    _remove(old)
    had = place.target.exists()
    if had:
        place.target.rename(old)
    try:
        part.rename(place.target)
    except OSError:
        if had:
            old.rename(place.target)
        raise
    _remove(old)


def _refuse_foreign(place: Place) -> None:
    """Raise if the folder is there and is not ours alone."""
    target = place.target
    if target.is_symlink():
        raise OutputNotWritable(f"{target} is a link to {os.readlink(target)}; remove the link first")
    if not target.exists():
        return
    if version_at(place) is None:
        raise OutputNotWritable(f"{target} is there and is not a plugin of zido's; move it away first")
    receipt = _receipt(place)
    if receipt is None:  # from the plugin repository, which replaces whole folders, too
        return
    known = {*receipt["files"], RECEIPT, NOTE}
    strange = [
        name
        for path in sorted(target.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
        for name in [path.relative_to(target).as_posix()]
        if name not in known
    ]
    if strange:
        names = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
        raise OutputNotWritable(f"{target} has files that are not zido's: {names}; move them away first")


def _beside(place: Place, word: str) -> Path:
    """A folder on the same disk in which the host does not look for plugins."""
    return place.plugins.parent / f".zido-{word}"


def _receipt(place: Place) -> dict[str, Any] | None:
    try:
        told = json.loads((place.target / RECEIPT).read_text(encoding="utf-8"))
        return told if isinstance(told["files"], dict) and told["version"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return []


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
