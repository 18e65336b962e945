"""sha256 of files that are too large to be read for it again and again: remembered by size and time of last change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from .folders import cache_folder
from .store_records import LOCK_FILE, Records

LARGE = 16 * 2**20
"""Bytes from which on it pays to remember a hash."""

REMEMBERED = 500
"""Files whose hashes are remembered; the oldest entries go first."""

STORE_DEPTH = 4
"""Folders above a file in which a model store may begin."""


def sha256_of(path: Path) -> str:
    """Of a file's content: as the model store or an earlier run noted it, if the file has not changed since."""
    status = path.stat()
    if status.st_size < LARGE:
        return _read(path)
    known = _of_store(path, status) or _remembered(path, status)
    if known is None:
        known = _read(path)
        _remember(path, status, known)
    return known


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_store(path: Path, status: os.stat_result) -> str | None:
    """What the store that a file lies in has noted of it."""
    for folder in list(path.parents)[:STORE_DEPTH]:
        if (folder / LOCK_FILE).is_file():
            with contextlib.suppress(OSError, ValueError):  # an unreadable list is told where the store is used
                record = Records(folder).files.get(path.relative_to(folder).as_posix())
                if record is not None and (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns):
                    return record.sha256
    return None


def _remembered(path: Path, status: os.stat_result) -> str | None:
    found = _notes().get(str(path.resolve()))
    if isinstance(found, list) and found[:2] == [status.st_size, status.st_mtime_ns]:
        return str(found[2])
    return None


def _remember(path: Path, status: os.stat_result, known: str) -> None:
    """Failing to write it is no failure."""
    own = str(path.resolve())
    notes = {name: note for name, note in _notes().items() if name != own}
    notes[own] = [status.st_size, status.st_mtime_ns, known]
    with contextlib.suppress(OSError, RuntimeError):  # also where there is no home
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"hashes.json.{os.getpid()}"
        part.write_text(json.dumps(dict(list(notes.items())[-REMEMBERED:])))
        part.replace(folder / "hashes.json")


def _notes() -> dict[str, object]:
    with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):
        return dict(json.loads((cache_folder() / "hashes.json").read_text()).items())
    return {}
