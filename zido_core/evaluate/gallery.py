"""The page of an evaluation: where methods differ most, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..report.page import Page, Picture, Place
from ..report.table import Table
from ..tiling.grid import Size, Tile, even_grid
from .evaluation import Evaluation, Result
from .tables import tables_of

SIDE = 320
"""Side of a place in output pixels."""

MOST = 6
"""So many inputs are shown, evenly spread over the evaluation."""


@dataclass
class Exhibit:
    """One input and the place where some method differs most from the first one."""

    title: str
    """Name and degradation."""
    label: str
    """The first method."""
    first: NDArray[np.float32] | None
    """Its result; let go when all methods are done."""
    window: Tile | None = None
    """The place."""
    pictures: dict[str, Picture] = field(default_factory=dict)
    """By the label of the method; ``truth`` is one of them."""


@dataclass
class Gallery:
    """Collects crops while an evaluation runs; whole results are let go with their input."""

    exhibits: list[Exhibit] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Take what is worth showing from a result; results of an input come one after the other."""
        score = result.score
        title = f"{PurePath(score.image).name}, {score.degradation}"
        if not self.exhibits or self.exhibits[-1].title != title:
            if self.exhibits:
                self.exhibits[-1].first = None
            self.exhibits.append(Exhibit(title=title, label=score.method, first=result.image))
            return
        shown = self.exhibits[-1]
        if shown.first is None or shown.first.shape != result.image.shape:
            return
        if shown.window is None:
            shown.window = _largest_difference(shown.first, result.image)
            shown.pictures[shown.label] = _crop(shown.first, shown.window)
            shown.pictures["truth"] = _crop(result.case.truth.image, shown.window)
        shown.pictures[score.method] = _crop(result.image, shown.window)

    def page(self, evaluation: Evaluation, made: dict[str, Any]) -> Page:
        """Tables as the terminal has them, and pairs under sliders: first against last method, that against truth."""
        machine = made["machine"]
        facts = [
            ["protocol", f"{evaluation.protocol.title}; x{evaluation.protocol.scale}, seed {evaluation.protocol.seed}"],
            ["command", made["command"]],
            ["date", made["date"]],
            ["zido", made["zido"]],
            *([name, str(value)] for name, value in machine.items()),
            *([f"sha256 of {name}", digest] for name, digest in evaluation.weights.items()),
        ]
        how = Table(title="How it was measured", headings=["", ""], rows=facts)
        return Page(
            title=f"zido evaluation, {made['date']}",
            warnings=[failure.message for failure in evaluation.failures],
            places=list(self._places()),
            tables=[*tables_of(evaluation), how],
        )

    def _places(self) -> Iterator[Place]:
        shown = [exhibit for exhibit in self.exhibits if exhibit.window is not None]
        for at in sorted({round(i) for i in np.linspace(0, len(shown) - 1, min(MOST, len(shown)))}):
            first, truth, *_, last = shown[at].pictures
            for names in ((first, last), (last, truth)):
                left, right = (shown[at].pictures[name] for name in names)
                yield Place(title=shown[at].title, names=names, pictures=(left, right))


def _largest_difference(first: NDArray[np.float32], other: NDArray[np.float32]) -> Tile:
    """The window in which two results differ most."""
    size = Size(*first.shape[1:])
    change = np.abs(first - other).mean(0)
    windows = even_grid(size, Size(min(SIDE, size.height), min(SIDE, size.width)), 0).tiles
    return max(windows, key=lambda window: float(change[window.slices].mean()))


def _crop(image: NDArray[np.float32], window: Tile) -> Picture:
    part = image[:, *window.slices]
    shown = np.rint(np.clip(np.broadcast_to(part, (3, *part.shape[1:])), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(shown.transpose(1, 2, 0))
