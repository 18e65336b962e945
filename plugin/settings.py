"""What the window remembers from one time to the next: a JSON file in the folder where this system keeps settings.

A file that cannot be read, an option that no longer exists or a value that is no longer allowed is left out: old
settings never keep the window from opening.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..zido_core.errors import InvalidOptions
from ..zido_core.options import OPTIONS, Options

VERSION = 1
"""Of the file; another one is not read."""

OF_ONE_RUN = ("save_prompts", "manifest", "uncertainty", "report", "resume", "dry_run", "debug", "prompts")
"""Options that belong to one input, and are not remembered."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that is remembered."""

    options: Options = field(default_factory=Options)
    """As they were when the last run began."""

    folder: str = ""
    """Where the last input was."""

    geometry: tuple[int, int] = (0, 0)
    """Width and height of the window, pixels; zeros: none yet."""

    open_sections: tuple[str, ...] = ()
    """Groups of options that were unfolded."""


def config_folder() -> Path:
    """Where settings belong on this system; ``ZIDO_CONFIG`` says otherwise."""
    if os.environ.get("ZIDO_CONFIG"):
        return Path(os.environ["ZIDO_CONFIG"])
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "zido"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "zido"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "zido"


def load() -> Settings:
    """What was saved; the defaults where nothing was."""
    with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError, TypeError):
        body = json.loads(_file().read_text(encoding="utf-8"))
        if body["version"] == VERSION:
            return _checked(body)
    return Settings()


def save(settings: Settings) -> None:
    """Remember; failing to is no failure."""
    body = dataclasses.asdict(settings) | {"version": VERSION, "options": remembered(settings.options)}
    with contextlib.suppress(OSError, RuntimeError):
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8")
        part.replace(path)


def updated(
    settings: Settings,
    *,
    folder: str,
    geometry: tuple[int, int],
    open_sections: tuple[str, ...],
    options: Callable[[], Options],
) -> Settings:
    """As the window is now. ``options`` reads them off the form; what cannot be used is not kept."""
    with contextlib.suppress(InvalidOptions):
        settings = dataclasses.replace(settings, options=options())
    return dataclasses.replace(
        settings, folder=folder or settings.folder, geometry=geometry, open_sections=open_sections
    )


def remembered(options: Options) -> dict[str, Any]:
    """JSON-like values of the options that outlive a run."""
    return {name: value for name, value in options.to_dict().items() if name not in OF_ONE_RUN}


def _file() -> Path:
    return config_folder() / "window.json"


def _checked(body: Mapping[str, Any]) -> Settings:
    width, height = (int(side) for side in body.get("geometry", (0, 0)))
    return Settings(
        options=_allowed(dict(body.get("options", {}))),
        folder=str(body.get("folder", "")),
        geometry=(width, height),
        open_sections=tuple(str(name) for name in body.get("open_sections", ())),
    )


def _allowed(values: dict[str, Any]) -> Options:
    """Those of the values that are options today."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if name not in OPTIONS or name in OF_ONE_RUN:
            continue
        with contextlib.suppress(InvalidOptions):
            Options.from_dict(kept | {name: value})
            kept[name] = value
    return Options.from_dict(kept)
