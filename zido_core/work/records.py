"""Facts of a running job as JSON on disk: one record that is whole or not there, and a journal that only grows."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ZidoError
from ..raster.atomic import disk_full, is_disk_full, sync_folder


def part_of(path: Path) -> Path:
    """Where a file is written before it gets its name: nobody else's, on any machine that shares the disk."""
    return path.with_name(f".{path.name}.part-{secrets.token_hex(6)}")


@contextmanager
def told_if_full(folder: Path, coming: int) -> Iterator[None]:
    """Say so, and how many bytes are missing, where a disk is full while this context lasts; else where it failed."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ZidoError):
            raise
        if is_disk_full(error, folder):
            raise disk_full(folder, coming) from error
        if error.errno is None or error.filename is not None:
            raise
        said = f"{error.strerror}, writing in {folder}; check the disk, then go on with --resume"
        raise OSError(error.errno, said) from error


def save_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object and its checksum; the file appears complete, and is on the disk when this returns."""
    text = json.dumps(record, indent=1)
    part = part_of(path)
    try:
        with told_if_full(path.parent, len(text)), part.open("w", encoding="utf-8") as file:
            file.write(f"{zlib.crc32(text.encode()):08x}\n{text}\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def load_record(path: Path) -> dict[str, Any] | None:
    """The object; None if there is none or it is damaged."""
    try:
        checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
        if int(checksum, 16) != zlib.crc32(text.removesuffix("\n").encode()):
            return None
        record: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return record


class Journal:
    """What has happened, one JSON object a line; a line is on the disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **entry: Any) -> None:
        """Append an entry, after a line break if a power cut left half a line."""
        with told_if_full(self._path.parent, 0), self._path.open("ab") as file:
            torn = file.tell() > 0 and not self._ends_whole()
            file.write(b"\n" * torn + json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[dict[str, Any]]:
        """All entries that can be read, oldest first."""
        found = []
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                found.append(entry)
        return found

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
