"""The folder beside an unfinished output that holds what is done of it::

    fields_x4.tif.zido/
        job.json             what is to be done: input, output, options, and the fingerprint of all that counts
        facts.json           what was measured of the whole input, and the prompts of all tiles
        facts.embeddings     what taggers saw, for models that attend to it
        journal.jsonl        what was done when; other processes write a journal-HOST-4711.jsonl each
        blocks/000017.block      the model's image of a block, complete and checked by CRC-32
        blocks/000018.latents    the state of a block between two steps
        blocks/000018.views      the sum of those of its views that are finished (--tta)
        blocks/000018.claim      held by the process that computes the block, where several share the work
        lock                 held by the process at work; the system lets go of it however that one ends

Everything but the journal appears complete or not at all. Whoever computes a block needs the folder and the input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, OutputNotWritable
from ..folders import WORK_FILE, WORK_SUFFIX
from ..store_lock import StoreLock
from .records import Journal, load_record, save_record

ELSEWHERE = "choose another folder for the output"
"""What to do about a folder that cannot be locked."""

VERSION = 2
"""Of the folder's layout; another is not continued."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A job, so that any process can compute any of its blocks."""

    input: str
    """Absolute path, or address."""
    output: str
    """Absolute path."""
    options: dict[str, Any]
    """Those of ``Options.to_dict``, with all that the machine decided."""
    blocks: int
    """How many there are."""
    fingerprint: dict[str, Any]
    """All that the result depends on; see ``fingerprint``."""
    version: int = VERSION
    """Of the layout."""


class WorkFolder:
    """One such folder, there or not yet."""

    def __init__(self, path: Path, writer: str = "") -> None:
        """``writer``: who keeps a journal, where several processes share the work; never two in one file."""
        self.path = path
        self.journal = Journal(path / f"journal{writer and '-'}{writer}.jsonl")

    @property
    def exists(self) -> bool:
        """Whether there is anything to continue."""
        return (self.path / WORK_FILE).exists()

    @property
    def has_facts(self) -> bool:
        """Whether the input has been measured."""
        return (self.path / "facts.json").exists()

    @property
    def has_blocks(self) -> bool:
        """Whether any block is done, or partly."""
        kinds = ("*.block", "*.latents", "*.views")
        return any(True for kind in kinds for _ in (self.path / "blocks").glob(kind))

    def make(self) -> None:
        """Make the folder, empty, unless it is there."""
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputNotWritable(f"cannot make the work folder {self.path}: {error.strerror}") from error

    def describe(self, description: Description) -> None:
        """Say what is to be done here; from now on it can be continued."""
        save_record(self.path / WORK_FILE, asdict(description))
        self.journal.add(event="begun", process=os.getpid())

    def description(self) -> Description:
        """What is to be done here."""
        record = load_record(self.path / WORK_FILE)
        if record is None or record.get("version") != VERSION:
            raise ConfigurationError(
                f"{self.path} holds no job that this version of zido can continue; start anew with --overwrite"
            )
        return Description(**record)

    def lock(self, name: str = "lock") -> StoreLock:
        """While this context lasts, no other process works here; an error if one does."""

        def refuse(owner: str) -> None:
            raise OutputNotWritable(f"{owner} is working in {self.path}; wait for it, or stop it first")

        return StoreLock(self.path / name, on_wait=refuse, remedy=ELSEWHERE)

    def block(self, index: int) -> Path:
        """The finished image of a block."""
        return self.path / "blocks" / f"{index:06d}.block"

    def latents(self, index: int) -> Path:
        """The state of a block between two steps."""
        return self.path / "blocks" / f"{index:06d}.latents"

    def views(self, index: int) -> Path:
        """The sum of a block's finished views."""
        return self.path / "blocks" / f"{index:06d}.views"

    def claim(self, index: int) -> Path:
        """What the process holds that computes a block."""
        return self.path / "blocks" / f"{index:06d}.claim"

    def clear(self) -> None:
        """Remove all work; the lock stays, and what somebody else put there."""
        for pattern in (WORK_FILE, "facts.*", "journal*.jsonl", ".*.part-*"):
            for path in self.path.glob(pattern):
                path.unlink()
        shutil.rmtree(self.path / "blocks", ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder with all work, if it is there; only who holds its lock may."""
        self.clear()
        with contextlib.suppress(OSError):  # something of somebody else's is in it
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()


def work_folder(output: Path) -> Path:
    """Where the work of an output lies; beside the file itself where the output is a link to one."""
    return Path(f"{os.path.realpath(output)}{WORK_SUFFIX}")


def taken_by(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
