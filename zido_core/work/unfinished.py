"""Unfinished work, found again by whoever continues or removes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import InputNotFound, OutputNotWritable
from ..folders import WORK_SUFFIX
from ..job import Job
from ..options import Options
from ..words import amount
from .claims import is_busy
from .folder import WorkFolder, taken_by, work_folder


def work_in(place: str) -> list[WorkFolder]:
    """The work folders that a path means: itself, that of an output, or all in a folder."""
    path = Path(place)
    if path.suffix == WORK_SUFFIX or not path.is_dir():
        found = [WorkFolder(path if path.suffix == WORK_SUFFIX else work_folder(path))]
    else:
        found = [WorkFolder(each) for each in sorted(path.glob(f"*{WORK_SUFFIX}"))]
    return [folder for folder in found if folder.exists or (folder.path / "lock").exists()]


def jobs_in(place: str) -> Iterator[Job]:
    """The jobs to go on with there."""
    found = [folder for folder in work_in(place) if folder.exists]
    if not found:
        raise InputNotFound(
            f"there is no unfinished work in {place}; expected a folder OUTPUT{WORK_SUFFIX} or its OUTPUT"
        )
    for folder in found:
        told = folder.description()
        options = Options.from_dict({**told.options, "resume": True})
        yield Job(input=told.input, output=told.output, options=options)


def remove_work(place: str, *, only_list: bool = False) -> Iterator[str]:
    """Remove the work there, unless somebody is doing it; a line about each folder."""
    for folder in work_in(place):
        with folder.lock():
            if is_busy(folder):
                raise OutputNotWritable(f"other processes compute blocks in {folder.path}; stop them first")
            size = amount(taken_by(folder.path))
            if only_list:
                yield f"{folder.path}: {size}"
                continue
            folder.remove()
        folder.remove()  # Windows does not remove a lock that is held
        yield f"{folder.path}: removed, {size} are free again"
