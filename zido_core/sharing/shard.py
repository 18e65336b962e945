"""A part of the blocks, for one of several runs that know nothing of each other, such as the tasks of a SLURM array."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ..errors import InvalidOptions


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Every ``count``-th block."""

    index: int
    """Which, from 1 to ``count``."""
    count: int
    """How many there are."""

    @classmethod
    def of(cls, text: str) -> Self:
        """``2/8`` is the second of eight."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InvalidOptions(f"shard is {text}; expected which of how many, from 1/8 to 8/8")
        return cls(index=int(found[1]), count=int(found[2]))

    def has(self, block: int) -> bool:
        """Whether a block belongs to it."""
        return block % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
