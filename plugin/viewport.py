"""Which part of a picture a widget shows, and how large. Pure geometry; positions in the picture are input pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

SMALLEST, LARGEST = 1 / 256, 64.0
"""Bounds of the zoom."""


class Box(NamedTuple):
    """A part of a picture."""

    row: float
    col: float
    height: float
    width: float

    def intersect(self, other: Box) -> Box | None:
        """What both cover."""
        top, left = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Box(top, left, bottom - top, right - left) if bottom > top and right > left else None


@dataclass(frozen=True, kw_only=True)
class Viewport:
    """What is seen. Widgets and screens are measured in Qt's own pixels."""

    picture: tuple[int, int] = (1, 1)
    """Height and width of the whole picture, input pixels."""

    widget: tuple[int, int] = (1, 1)
    """Height and width of the widget."""

    zoom: float = 1.0
    """Pixels of the widget per input pixel."""

    centre: tuple[float, float] = (0.5, 0.5)
    """Row and column in the middle of the widget, input pixels."""

    @property
    def visible(self) -> Box:
        """The part of the picture that is seen; the whole where the picture is smaller than the widget."""
        height, width = (side / self.zoom for side in self.widget)
        whole = Box(0, 0, *self.picture)
        seen = Box(self.centre[0] - height / 2, self.centre[1] - width / 2, height, width)
        return seen.intersect(whole) or whole

    def on_widget(self, box: Box) -> tuple[float, float, float, float]:
        """Left, top, width and height of a part of the picture on the widget."""
        (height, width), (row, col) = self.widget, self.centre
        left, top = width / 2 + (box.col - col) * self.zoom, height / 2 + (box.row - row) * self.zoom
        return left, top, box.width * self.zoom, box.height * self.zoom

    def in_picture(self, x: float, y: float) -> tuple[float, float]:
        """Row and column under a point of the widget."""
        (height, width), (row, col) = self.widget, self.centre
        return row + (y - height / 2) / self.zoom, col + (x - width / 2) / self.zoom

    def fitted(self) -> Self:
        """All of the picture."""
        zoom = min(side / whole for side, whole in zip(self.widget, self.picture, strict=True))
        return replace(self, zoom=_bounded(zoom), centre=(self.picture[0] / 2, self.picture[1] / 2))

    def zoomed(self, zoom: float, at: tuple[float, float] | None = None) -> Self:
        """Another zoom; what lies under the point ``at`` (x, y; default: the middle) stays there."""
        x, y = at or (self.widget[1] / 2, self.widget[0] / 2)
        row, col = self.in_picture(x, y)
        zoom = _bounded(zoom)
        centre = row - (y - self.widget[0] / 2) / zoom, col - (x - self.widget[1] / 2) / zoom
        return replace(self, zoom=zoom, centre=centre)._inside()

    def moved(self, right: float, down: float) -> Self:
        """The picture dragged by so many pixels of the widget."""
        row, col = self.centre
        return replace(self, centre=(row - down / self.zoom, col - right / self.zoom))._inside()

    def showing(self, box: Box) -> Self:
        """A part of the picture, as large as it can be seen in whole."""
        zoom = min(side / max(part, 1e-9) for side, part in zip(self.widget, (box.height, box.width), strict=True))
        centre = box.row + box.height / 2, box.col + box.width / 2
        return replace(self, zoom=_bounded(zoom), centre=centre)._inside()

    def resized(self, widget: tuple[int, int]) -> Self:
        """The same on a widget of another size."""
        return replace(self, widget=widget)._inside()

    def _inside(self) -> Self:
        """No further off than the edge of the picture; in the middle where all of it is seen."""
        centre = tuple(
            whole / 2 if whole * self.zoom <= side else min(max(at, side / 2 / self.zoom), whole - side / 2 / self.zoom)
            for at, whole, side in zip(self.centre, self.picture, self.widget, strict=True)
        )
        return replace(self, centre=(centre[0], centre[1]))


def _bounded(zoom: float) -> float:
    return min(max(zoom, SMALLEST), LARGEST)
