"""``models.lock.json``: what each file of the model store must be, and which models somebody asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import ConfigurationError

LOCK_FILE = "models.lock.json"

VERSION = 1
"""Of the file; a change that older readers would misunderstand raises it."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a file in the store must be."""

    size: int
    """Bytes."""

    sha256: str
    """Of its content."""

    mtime_ns: int
    """Time of its last change; while that is the same, its content is taken to be."""

    source: str
    """Where it came from."""

    revision: str | None = None
    """The commit there, if the server told."""

    original_sha256: str | None = None
    """Of the pickle that it was converted from."""

    licence: str | None = None
    """Its terms."""

    date: str = ""
    """When it came."""


class Records:
    """The file in a store's folder; every change is on the disk before anything else happens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def files(self) -> Mapping[str, Record]:
        """What each file must be, by its path in the store."""
        return {path: Record(**entry) for path, entry in self._read()["files"].items()}

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of what was asked for and not removed again."""
        return tuple(self._read()["models"])

    def keep(self, path: str, record: Record) -> None:
        """What that file must be from now on."""
        content = self._read()
        content["files"][path] = asdict(record)
        self._write(content)

    def choose(self, name: str) -> None:
        """Somebody wants this model, so its files are kept when another one goes."""
        content = self._read()
        if name not in content["models"]:
            content["models"].append(name)
            self._write(content)

    def forget(self, name: str) -> None:
        """Nobody wants this model any more."""
        content = self._read()
        content["models"] = [other for other in content["models"] if other != name]
        self._write(content)

    def drop(self, path: str) -> None:
        """That file is no more."""
        content = self._read()
        content["files"].pop(path, None)
        self._write(content)

    def _read(self) -> dict[str, Any]:
        path = self._folder / LOCK_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] > VERSION:
                raise ConfigurationError(f"{path} is of a newer zido; install that one")
            for entry in content["files"].values():
                Record(**entry)
            return {"version": VERSION, "models": list(content["models"]), "files": dict(content["files"])}
        except FileNotFoundError:
            return {"version": VERSION, "models": [], "files": {}}
        except ConfigurationError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} is not understood ({error}); remove it and run `zido models import {self._folder}`"
            ) from error

    def _write(self, content: Mapping[str, Any]) -> None:
        path = self._folder / LOCK_FILE
        part = path.with_name(f".{LOCK_FILE}.part")
        part.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(part, path)
