"""How an output was made: what goes into its tags, and as JSON to whoever asks."""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import __version__
from .backbones.base import Backbone
from .errors import OutputNotWritable
from .fingerprint import fingerprint, identity, versions
from .finish import Finished
from .metrics.consistency import borders, consistency, seam_ratio
from .prompts.base import Prompt
from .raster.stretch import Stretch
from .setup import Setup
from .tiling.grid import Tile

STATEMENT = "Detail is synthesised by a generative model. It looks plausible; it is not a measurement."
"""Stands in every output."""

COMMON_TAGS = 12
"""So many of the most frequent tags are listed."""


class Manifest:
    """Filled while a run goes on."""

    def __init__(self, setup: Setup, backbone: Backbone[Any]) -> None:
        self.setup = setup
        self.weights_hash = backbone.weights_hash
        self.device = str(backbone.device)
        self.fingerprint = fingerprint(setup, backbone)
        self.tagger_hash: str | None = self.fingerprint["tagger"]
        self.stretch: Stretch | None = None
        self.prompts: Mapping[str, Any] = {}
        self.warnings = list(setup.warnings)
        self.seconds: dict[str, float] = {}
        self._figures: list[tuple[int, dict[str, float]]] = []

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the time that this takes to ``part``."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - began

    def note_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Remember how many different prompts there are, and the most frequent tags."""
        tags = Counter(tag.name for prompt in prompts for tag in prompt.tags)
        self.prompts = {
            "tiles": len(prompts),
            "unique": len({prompt.text for prompt in prompts}),
            "tags": dict(tags.most_common(COMMON_TAGS)),
        }

    def observe(self, piece: Finished, core: Tile) -> None:
        """Measure how true a piece stays to its input; ``core`` is where it lies, in input pixels."""
        found = consistency(piece.made, piece.seen, piece.measured)
        factor = max(1, round(piece.made.shape[1] / piece.seen.shape[1]))
        rows, cols = tile_borders(self.setup, core)
        seams = seam_ratio(piece.made, rows, cols, period=factor, reference=piece.seen, valid=piece.valid)
        figures = {
            "reflectance": found.reflectance,
            "spectral_angle_degrees": found.spectral,
            "shift_pixels": found.spatial,
            "seam_ratio": seams,
        }
        self._figures.append((int(piece.measured.sum()), figures))

    @property
    def measured(self) -> int:
        """Number of input pixels that hold a measurement, in the pieces so far."""
        return sum(count for count, _ in self._figures)

    @property
    def consistency(self) -> dict[str, float | None]:
        """Means over the pieces, by their measured pixels; None where nothing can be said."""
        names = self._figures[0][1] if self._figures else {}
        return {name: _mean([(count, figures[name]) for count, figures in self._figures]) for name in names}

    def record(self) -> dict[str, Any]:
        """Everything, JSON-like."""
        setup, info = self.setup, self.setup.info
        return {
            "zido": __version__,
            "statement": STATEMENT,
            "input": {
                "name": info.name,
                "size": list(info.size),
                "bands": info.count,
                "dtype": info.dtype,
                "driver": info.driver,
            },
            "output": {"size": list(setup.size), "dtype": setup.dtype, **setup.bands.tags()},
            "model": {
                "name": setup.descriptor.name,
                "sha256": self.weights_hash,
                "licence": setup.descriptor.licence,
            },
            "tagger": {"name": setup.options.tagger, "sha256": self.tagger_hash} if setup.options.tags else None,
            "options": setup.options.record(),
            "stretch": None if self.stretch is None else self.stretch.to_dict(),
            "prompts": dict(self.prompts),
            "tiles": len(setup.canvas.grid),
            "blocks": len(setup.blocks),
            "block_size": setup.block_size,
            "consistency": self.consistency,
            "warnings": list(self.warnings),
            "seconds": {part: round(seconds, 3) for part, seconds in self.seconds.items()},
            "device": self.device,
            "versions": dict(versions()),
        }

    def tags(self) -> dict[str, str]:
        """The same, flat, for the ``ZIDO`` tag domain; without timings, so that equal runs give equal files."""
        record, setup = self.record(), self.setup
        flat = {"VERSION": __version__, "STATEMENT": STATEMENT, "MODEL": setup.descriptor.name}
        flat |= {"WEIGHTS_SHA256": self.weights_hash, "SEED": str(setup.options.seed), "DEVICE": self.device}
        flat |= {"FINGERPRINT": identity(self.fingerprint)}
        parts = ("input", "options", "stretch", "prompts", "consistency", "warnings", "versions")
        return flat | {part.upper(): json.dumps(record[part]) for part in parts} | setup.bands.tags()

    def write(self, path: Path) -> None:
        """As a JSON file, complete or not at all."""
        part = path.with_name(f".{path.name}.part-{os.getpid()}")
        try:
            part.write_text(json.dumps(self.record(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputNotWritable(f"the manifest {path} cannot be written: {error.strerror}") from error


def _mean(parts: Sequence[tuple[int, float]]) -> float | None:
    known = [(count, value) for count, value in parts if math.isfinite(value) and count]
    total = sum(count for count, _ in known)
    return round(sum(count * value for count, value in known) / total, 6) if total else None


def tile_borders(setup: Setup, core: Tile) -> tuple[list[int], list[int]]:
    """Rows and columns of borders of tiles and blocks in the output pixels of a piece's core."""
    place, blocks = setup.target_of(core), setup.blocks
    near = [*setup.canvas.tiles_near(core), *blocks.cores_near(core)]
    return borders([setup.target_of(tile).shifted(-place.row, -place.col) for tile in near], place.size)
