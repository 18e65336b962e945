"""Sizes, amounts and durations as people say them. Standard library only, so that hosts can use it, too."""

from __future__ import annotations


def pixels(size: tuple[int, int]) -> str:
    """Width times height, as people say it."""
    height, width = size
    return f"{width} x {height} px"


def amount(count: int) -> str:
    """Bytes in a unit that fits."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 100 else f"{value:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Seconds in units that fit."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
