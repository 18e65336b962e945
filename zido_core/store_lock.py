"""One process at a time changes a folder: the model store, or the work of a job.

The operating system holds the lock, so it ends with its owner, however that one dies.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .errors import OutputNotWritable

PAUSE = 0.1
"""Seconds between two looks at a lock that somebody else has."""

FAR = 2**30
"""Windows locks bytes, and nobody else can read those: this one is behind the text of the file."""


class StoreLock:
    """While this context lasts, no other process is in it."""

    def __init__(
        self,
        path: Path,
        *,
        check: Callable[[], None] = lambda: None,
        on_wait: Callable[[str], None] = lambda owner: None,
        remedy: str = "ZIDO_HOME chooses another folder",
    ) -> None:
        """``check`` is called while waiting and may raise; ``on_wait`` is told once who has the lock, and may, too.

        ``remedy``: what to do about a folder that cannot be locked.
        """
        self._path, self._check, self._on_wait, self._remedy = path, check, on_wait, remedy
        self._file: IO[str] | None = None

    def __enter__(self) -> StoreLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputNotWritable(
                f"cannot write to {self._path.parent} ({error.strerror}); {self._remedy}"
            ) from error
        try:
            self._wait(self._file)
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._file is not None
        self._file.truncate(0)
        self._file.close()

    def _wait(self, file: IO[str]) -> None:
        told = False
        while not self._taken(file):
            if not told:
                self._on_wait(self._owner())
                told = True
            self._check()
            time.sleep(PAUSE)

    def _owner(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8").strip() or "another process"
        except OSError:
            return "another process"

    def _taken(self, file: IO[str]) -> bool:
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return False
            raise OutputNotWritable(
                f"{self._path.parent} is on a disk without file locks ({error.strerror}); {self._remedy}"
            ) from error
        return True


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
