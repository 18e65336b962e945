"""What is known of a whole input before any block of it is computed, the same for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .prompts.base import Prompt, Tag
from .prompts.spool import Spool, stacked
from .raster.stretch import Stretch
from .survey import Survey
from .tiling.grid import Tile
from .work.array_file import ArrayFile, DamagedFile, save_array
from .work.folder import WorkFolder
from .work.records import load_record, save_record

TOGETHER = 32
"""Embeddings that are read at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """Measured once."""

    survey: Survey
    """Of the pixels: stretch, means, gains."""
    prompts: Sequence[Prompt]
    """One for every tile of the canvas."""


def save_facts(folder: WorkFolder, facts: Facts) -> None:
    """Keep them: each different prompt once, and whose it is."""
    unique: dict[tuple[Prompt, int], int] = {}
    of_tile = [unique.setdefault((prompt, id(prompt.embedding)), len(unique)) for prompt in facts.prompts]
    prompts = [prompt for prompt, _ in unique]
    embeddings = [prompt.embedding for prompt in prompts if prompt.embedding is not None]
    if embeddings:
        rows = stacked(embeddings).reshape(1, -1, embeddings[0].shape[-1])
        save_array(folder.path / "facts.embeddings", rows, count=len(embeddings))
    found = facts.survey
    save_record(
        folder.path / "facts.json",
        {
            "stretch": asdict(found.stretch),
            "means": sorted(found.means.items()),
            "gains": found.gains.tolist(),
            "hard_alpha": found.hard_alpha,
            "noise": found.noise,
            "prompts": [_to_record(prompt) for prompt in prompts],
            "of_tile": of_tile,
        },
    )


def load_facts(folder: WorkFolder) -> Facts | None:
    """What was kept; None where nothing was, or it is damaged."""
    record = load_record(folder.path / "facts.json")
    if record is None:
        return None
    try:
        embeddings = _embeddings(folder.path / "facts.embeddings", record["prompts"])
    except (FileNotFoundError, DamagedFile):
        return None
    prompts = [_from_record(each, embedding) for each, embedding in zip(record["prompts"], embeddings, strict=True)]
    found = Survey(
        stretch=Stretch(**record["stretch"]),
        means={int(band): mean for band, mean in record["means"]},
        gains=np.array(record["gains"], np.float64),
        hard_alpha=record["hard_alpha"],
        noise=record["noise"],
    )
    return Facts(survey=found, prompts=[prompts[index] for index in record["of_tile"]])


def _embeddings(path: Path, records: Sequence[dict[str, Any]]) -> list[NDArray[np.float32] | None]:
    if not any(record["seen"] for record in records):
        return [None for _ in records]
    found: list[NDArray[np.float32]] = []
    with ArrayFile(path) as file, Spool() as spool:
        _, height, width = file.shape
        tokens = height // file.facts["count"]
        for row in range(0, height, tokens * TOGETHER):
            rows = file.read(Tile(row, 0, min(tokens * TOGETHER, height - row), width))
            found += spool.keep(list(rows.reshape(-1, tokens, width)))
    stored = iter(found)
    return [next(stored) if record["seen"] else None for record in records]


def _to_record(prompt: Prompt) -> dict[str, Any]:
    words = {part.name: getattr(prompt, part.name) for part in fields(prompt) if part.name not in ("tags", "embedding")}
    tags = [[tag.name, float(tag.score)] for tag in prompt.tags]
    return {**words, "tags": tags, "seen": prompt.embedding is not None}


def _from_record(record: dict[str, Any], embedding: NDArray[np.float32] | None) -> Prompt:
    words = {name: value for name, value in record.items() if name not in ("tags", "seen")}
    return Prompt(**words, tags=tuple(Tag(name, score) for name, score in record["tags"]), embedding=embedding)
