"""A folder for the files of one run. It goes when the run ends; if the run is killed, at the beginning of the next."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..zido_core.errors import OutputNotWritable

PREFIX = "zido-run-"
OWNER = "owner"
"""A file that is open, and locked, as long as its process lives."""


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """The folder, empty; those that others have left behind are removed."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for other in parent.glob(f"{PREFIX}*"):
            _remove_if_left(other)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise OutputNotWritable(
            f"cannot write to {parent} ({error.strerror}); choose another temporary folder in GIMP's preferences"
        ) from error
    try:
        with (folder / OWNER).open("w") as owner:
            _lock(owner.fileno())
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    """Windows does not remove an open file; elsewhere its lock tells."""
    with contextlib.suppress(OSError):
        with (folder / OWNER).open("r+") as owner:
            _lock(owner.fileno())
        (folder / OWNER).unlink()
        shutil.rmtree(folder, ignore_errors=True)


if os.name == "nt":

    def _lock(handle: int) -> None:
        """An open file is enough."""
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
