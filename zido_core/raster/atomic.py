"""A file appears under its name complete, verified and on the disk, or not at all.

It is written under a hidden name in the same folder, so that the rename stays inside one file system::

    .fields_x4.tif.part-4711.tif          while it is written; 4711 is the process
    .fields_x4.tif.part-4711-tiled.tif    a stage on the way to a COG
    fields_x4.tif                         after `commit`
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputFailed, OutputNotWritable

SIDECARS = (".aux.xml", ".msk", ".ovr", ".msk.ovr")
"""Files beside a raster that GDAL reads as part of it; those of a replaced raster would spoil the new one."""

WORLD_FILES = (".tfw", ".wld", ".j2w")
"""Written on request (TFW=YES, WORLDFILE=YES); the suffix takes the place of the raster's."""

_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
FULL = 4 * 2**20
"""With less free space than this (bytes) a write that failed without a reason has failed for lack of it."""


class PartFile:
    """The unfinished form of one output."""

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        # A link stays a link: the file that it points to is replaced.
        self.target = Path(os.path.realpath(target))
        self.overwrite = overwrite
        self.path = self.stage("")

    def stage(self, name: str) -> Path:
        """Path for an intermediate file with the suffix of the target; it goes when the output is done."""
        return self.target.with_name(f".{self.target.name}.part-{os.getpid()}{name}{self.target.suffix}")

    def begin(self) -> None:
        """Remove what killed runs left for this target; a run that is alive keeps its own."""
        for path, process in self._parts():
            if process == os.getpid() or not _alive(process):
                # Windows refuses to remove a file that a living process has open.
                with contextlib.suppress(OSError):
                    path.unlink()

    def discard(self) -> None:
        """Remove all that this run has written and not committed."""
        for path, process in self._parts():
            if process == os.getpid():
                with contextlib.suppress(OSError):
                    path.unlink()

    def commit(self) -> None:
        """Bring the part file and its sidecars to the disk and under the final name."""
        folder = self.target.parent
        if not self.overwrite and self.target.exists():
            raise OutputNotWritable(f"{self.target} has appeared meanwhile; give --overwrite to replace it")
        fresh = {f"{self.path}{suffix}": f"{self.target}{suffix}" for suffix in SIDECARS}
        fresh |= {str(self.path.with_suffix(end)): str(self.target.with_suffix(end)) for end in WORLD_FILES}
        fresh = {part: final for part, final in fresh.items() if os.path.exists(part)}
        for part in (*fresh, str(self.path)):
            _sync(part)
        for part, final in fresh.items():
            os.replace(part, final)
        os.replace(self.path, self.target)
        for stale in {f"{self.target}{suffix}" for suffix in SIDECARS} - set(fresh.values()):
            Path(stale).unlink(missing_ok=True)
        sync_folder(folder)

    @property
    def written(self) -> int:
        """Bytes that this run has put on the disk so far."""
        return sum(path.stat().st_size for path, process in self._parts() if process == os.getpid())

    def _parts(self) -> Iterator[tuple[Path, int]]:
        pattern = re.compile(rf"\.{re.escape(self.target.name)}\.part-(\d+)\D")
        for entry in list(os.scandir(self.target.parent)):
            found = pattern.match(entry.name)
            if found:
                yield Path(entry.path), int(found[1])


DISK_FULL = "disk full"
"""How that message begins."""


def disk_full(folder: Path, missing: int) -> OutputFailed:
    """The error for a disk without room for `missing` more bytes."""
    needed = amount(max(missing, FULL))
    return OutputFailed(f"{DISK_FULL}: needs {needed} more in {folder}; free some space, then run again")


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """True if a write failed for lack of space, also where GDAL has swallowed the reason."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return True
        if "No space left" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return shutil.disk_usage(folder).free < FULL


def amount(count: int) -> str:
    """Bytes for people: 3.2 GB, 480 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(1, round(count / 1e6))} MB"


def _sync(path: str) -> None:
    # Opened for writing because Windows refuses to flush a file that is open for reading.
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut; Windows has no such call, some network drives refuse."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _alive(process: int) -> bool:
    if os.name == "nt":
        # os.kill(pid, 0) would end the process there; unlink refuses files in use, which is enough.
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
