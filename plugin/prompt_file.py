"""A file of prompts as a window edits it: one row per tile. Everything else in the file stays as it is."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..zido_core.errors import ConfigurationError, OutputNotWritable
from .viewport import Box

MAX_BYTES = 50_000_000
"""Largest file that is read, as in the worker."""


@dataclass
class PromptFile:
    """The document, and its features that are polygons of prompts."""

    document: dict[str, Any]
    """GeoJSON."""

    edited: bool = False
    """Whether it differs from what was read."""

    def __len__(self) -> int:
        return len(self._features)

    def name(self, row: int) -> str:
        """What a row is called."""
        return str(self._properties(row).get("tile", row))

    def prompt(self, row: int) -> str:
        """What the network is told about a tile."""
        return str(self._properties(row).get("prompt") or "")

    def set_prompt(self, row: int, text: str) -> None:
        """Tell it something else."""
        properties = self._properties(row)
        if properties.get("prompt") != text:
            properties["prompt"] = text
            self.edited = True

    def tags(self, row: int) -> str:
        """What the tagger saw, with how sure it is."""
        tags = self._properties(row).get("tags") or []
        if isinstance(tags, str):  # QGIS saves lists as text
            tags = json.loads(tags)
        return ", ".join(f"{tag['name']} {float(tag['score']):.0%}" for tag in tags)

    def place(self, row: int) -> Box | None:
        """Where a tile is, input pixels; None for polygons that somebody drew."""
        properties = self._properties(row)
        values = [properties.get(name) for name in ("row", "col", "height", "width")]
        return Box(*(float(value) for value in values)) if None not in values else None  # type: ignore[arg-type]

    @property
    def _features(self) -> list[dict[str, Any]]:
        features: list[dict[str, Any]] = self.document["features"]
        return features

    def _properties(self, row: int) -> dict[str, Any]:
        properties: dict[str, Any] = self._features[row].setdefault("properties", {})
        return properties


def read(path: Path) -> PromptFile:
    """The prompts of a file; raises ConfigurationError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigurationError(f"{path} is larger than {MAX_BYTES // 10**6} MB; no file of prompts is")
        document = json.loads(path.read_text(encoding="utf-8"))
        file = PromptFile(document=document)
        for row in range(len(file)):
            file.tags(row)
            file.place(row)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"{path} is no file of prompts ({type(error).__name__}); expected GeoJSON, as zido saves it"
        ) from None
    return file


def write(file: PromptFile, path: Path) -> None:
    """Save it; the file appears complete or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(file.document, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputNotWritable(f"cannot write {path}: {error.strerror}; choose another folder") from None
    file.edited = False
