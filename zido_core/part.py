"""A file on its way: ``NAME.part`` beside its place, with a note of where it comes from."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from .errors import OutputFailed


def begun(target: Path) -> str | None:
    """The address that a part of this file has come from, if there is one."""
    part = Part(target)
    found = part.noted().get("url")
    return found if isinstance(found, str) and part.size else None


class Part:
    """The beginning of a file, as far as it has come."""

    def __init__(self, target: Path, url: str | None = None) -> None:
        """Without an address it is only looked at; otherwise what came from another one is discarded."""
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self._url = url
        if url is not None and self.noted().get("url") != url:
            self.discard()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str | None:
        """What the server called this version of the file; it goes on only if that is still the same."""
        found = self.noted().get("validator")
        return found if isinstance(found, str) else None

    def describe(self, validator: str | None) -> None:
        """Note what this part is of."""
        try:
            self._note.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")
        except OSError as error:
            raise unwritable(self, error, 0) from error

    def discard(self) -> None:
        """Begin anew next time."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Bring it to the disk and under its name."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.target)
        self._note.unlink(missing_ok=True)

    def noted(self) -> dict[str, object]:
        """Where it came from."""
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}


def unwritable(part: Part, error: OSError, missing: int) -> OutputFailed:
    """The error for a part that cannot be written, or not further; so many bytes are missing."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return OutputFailed(
            f"disk full: {part.target.name} needs {amount(missing)} more in {part.path.parent}; "
            "free some space and run the command again: it goes on from here"
        )
    return OutputFailed(f"cannot write {part.path}: {error.strerror}")


def amount(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(1, round(count / 1e6))} MB"
