"""Captions that were written before, on this machine: large networks take seconds for each, and never say otherwise.

They lie in zido's cache folder, which may be deleted at any time. Captions that people should edit are a prompts file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from PIL import Image

from ..folders import cache_folder


class CaptionMemory:
    """What one network said of pictures, asked one question."""

    def __init__(self, model: Path, question: str | None) -> None:
        """``model``: the network's folder; other files in it, or another question, are another memory."""
        self._path = cache_folder() / "captions" / f"{_key_of(model, question)}.jsonl"
        self._said: dict[str, str] | None = None

    def said_of(self, picture: Image.Image) -> str | None:
        """The caption of a picture, or None if it has none yet."""
        if self._said is None:
            self._said = dict(_read(self._path))
        return self._said.get(_name_of(picture))

    def note(self, picture: Image.Image, caption: str) -> None:
        """Remember a caption; failing to write it is no failure."""
        name = _name_of(picture)
        if self._said is not None:
            self._said[name] = caption
        with contextlib.suppress(OSError, RuntimeError):  # also where there is no home
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(f"\n{json.dumps([name, caption])}\n")  # a line of its own, whatever came before


def _key_of(model: Path, question: str | None) -> str:
    files = sorted((path.name, path.stat()) for path in model.iterdir() if path.is_file())
    told = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    return hashlib.sha256(json.dumps([str(model.resolve()), told, question]).encode()).hexdigest()[:32]


def _name_of(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.mode} {picture.size}".encode() + picture.tobytes()).hexdigest()


def _read(path: Path) -> list[tuple[str, str]]:
    """All whole lines; a line that a killed process left unfinished says nothing."""
    with contextlib.suppress(OSError, RuntimeError):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [pair for line in lines if (pair := _pair(line)) is not None]
    return []


def _pair(line: str) -> tuple[str, str] | None:
    with contextlib.suppress(ValueError, TypeError):
        name, caption = json.loads(line)
        return str(name), str(caption)
    return None
