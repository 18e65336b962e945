"""zido's own environment: a virtual environment in zido's folder, outside of any host and its profile.

Each one is made under a name of its own and counts only when the file ``current`` names it, which happens at the very
end. So a run that is stopped, fails or is killed leaves the environment from before as it was. (A virtual environment
cannot be renamed: its commands know where it lies.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..zido_core.errors import Cancelled, ConfigurationError, ModelMissing, OutputFailed
from ..zido_core.folders import home
from ..zido_core.job import Event, EventSink
from ..zido_core.job import Warning as Notice
from ..zido_core.store_lock import StoreLock
from .base_python import find_base
from .making import Making, remove_tree
from .torch_build import GIB, Build, Kind, build_for


def folder() -> Path:
    """Where environments lie."""
    return home() / "environments"


def current() -> Path | None:
    """The environment in use, if there is one."""
    with contextlib.suppress(OSError, RuntimeError, UnicodeError):
        name = (folder() / "current").read_text(encoding="utf-8").strip()
        if name and (folder() / name).is_dir():
            return folder() / name
    return None


def make(
    kind: Kind,
    *,
    wheelhouse: Path | None,
    base: str | None,
    extras: Sequence[str],
    on_event: EventSink,
    cancelled: Callable[[], bool],
) -> Path:
    """Make an environment and put it in the place of the one before; returns its Python."""
    with StoreLock(folder() / "lock", check=lambda: _check(cancelled), on_wait=lambda owner: on_event(_waiting(owner))):
        _clean_up(keep=current())
        build = build_for(kind)
        _room_for(build)
        _usable(wheelhouse)
        python = find_base(base)
        place = folder() / time.strftime("env-%Y%m%d-%H%M%S")
        try:
            made = Making(place, build, wheelhouse, on_event, cancelled).run(python, extras)
            _switch_to(place)
        except BaseException:
            remove_tree(place)
            raise
        _clean_up(keep=place)
        return made


def refresh() -> Path:
    """Bring zido in the environment up to the version of this plugin, without the network; returns its Python.

    Raises an error, and changes nothing, if there is no environment, if it lacks a package that this version needs, or
    if somebody else is changing it.
    """
    place = current()
    if place is None:
        raise ModelMissing("there is no environment of zido's own; let zido create one")
    with StoreLock(folder() / "lock", check=_busy):
        return Making(place, Build(name="", room=0, title=""), None, _ignore, _never).refresh()


def remove() -> bool:
    """Delete zido's environments; returns whether there were any."""
    with StoreLock(folder() / "lock"):
        had = current() is not None
        (folder() / "current").unlink(missing_ok=True)
        _clean_up(keep=None)
    return had


def _switch_to(place: Path) -> None:
    part = folder() / f"current.{os.getpid()}"
    part.write_text(place.name, encoding="utf-8")
    part.replace(folder() / "current")


def _clean_up(keep: Path | None) -> None:
    """Remove environments that are not in use, such as those that were never finished. Logs of the last days stay."""
    for place in folder().glob("env-*"):
        if place.is_dir() and place != keep:
            remove_tree(place)
        elif place.suffix == ".log" and time.time() - place.stat().st_mtime > 30 * 86400:
            place.unlink(missing_ok=True)


def _room_for(build: Build) -> None:
    folder().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder()).free
    if free < build.room:
        raise OutputFailed(
            f"the environment ({build.title}) takes up to {build.room / GIB:.0f} GiB, and {free / GIB:.1f} GiB are "
            f"free in {folder()}; free some, choose the CPU build, or set ZIDO_HOME to a folder on another disk"
        )


def _usable(wheelhouse: Path | None) -> None:
    if wheelhouse is None:
        return
    if not wheelhouse.is_dir():
        raise ConfigurationError(f"there is no folder {wheelhouse}; name the one that holds the wheels")
    if not any(wheelhouse.glob("torch-*.whl")):
        raise ConfigurationError(
            f"there is no wheel of torch in {wheelhouse}; docs/install.md says how to fill a folder of wheels"
        )


def _check(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("stopped on request; nothing has changed")


def _busy() -> None:
    raise ConfigurationError(f"another process is changing {folder()}; try again when it is done")


def _ignore(event: Event) -> None:
    """Nobody listens."""


def _never() -> bool:
    """Nobody stops it."""
    return False


def _waiting(owner: str) -> Event:
    return Notice(message=f"{owner} is changing zido's environment; waiting until it is done")
