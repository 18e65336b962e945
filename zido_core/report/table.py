"""Tables that people read: as text for a terminal, as Markdown for documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text."""

    title: str
    """Above the table."""
    headings: Sequence[str]
    """Of the columns."""
    rows: Sequence[Sequence[str]]
    """One text per column."""

    def as_text(self) -> str:
        """Aligned columns."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.headings))]
        texts = [
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([self.title, *texts])

    def as_markdown(self) -> str:
        """A table of GitHub's kind under a bold title."""
        rule = ["---", *["---:"] * (len(self.headings) - 1)]
        lines = ["| " + " | ".join(line) + " |" for line in (self.headings, rule, *map(_escaped, self.rows))]
        return "\n".join([f"**{self.title}**", "", *lines])


def _escaped(row: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]
