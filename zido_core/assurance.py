"""Options of what tells how far a result can be trusted: means over views, spread over seeds, a report."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InvalidOptions
from .option_spec import option

DEFAULT_SAMPLES = 5
"""Results whose spread is measured where nobody says how many."""

VIEWS = 8
"""Ways in which a square can be turned and mirrored."""

_BOX = r"\s*\d+\s*(,\s*\d+\s*){3}"


# An option stays a paragraph:
# fmt: off
@dataclass(frozen=True, kw_only=True)
class Assurance:
    """What a user says of it."""

    tta: bool = option(
        False, group="sampling", advanced=True,
        help="mean over eight turned and mirrored views of the image",
        effect="a little truer and smoother, in eight times the time",
    )
    """Test-time augmentation: see ``backbones.turned``."""

    uncertainty: str | None = option(
        None, group="output", advanced=True, metavar="FILE", result=False,
        help="also write how much results differ from seed to seed: a raster of two standard deviations",
    )
    """Path of a GeoTIFF, float32, in units of the output; None: none."""

    samples: int | None = option(
        None, group="output", advanced=True, minimum=2, maximum=100, result=False,
        help=f"seeds for --uncertainty ({DEFAULT_SAMPLES} if not given)",
        effect="more is more exact, and takes as many times longer",
    )
    """The output is the first of them."""

    report: str | None = option(
        None, group="output", advanced=True, metavar="FILE", result=False,
        help="write an HTML page with pictures under sliders, prompts and figures",
    )
    """Path of one self-contained file; None: none."""

    report_boxes: tuple[str, ...] | None = option(
        None, group="output", advanced=True, metavar="ROW,COL,HEIGHT,WIDTH", result=False,
        pattern=_BOX, expected="ROW,COL,HEIGHT,WIDTH in pixels of the input",
        help="a place that the report shows first; may be repeated",
    )
    """Places in pixels of the input."""

    @property
    def boxes(self) -> tuple[tuple[int, int, int, int], ...]:
        """The places of the report: row, column, height, width."""
        found = (tuple(int(number) for number in re.findall(r"\d+", box)) for box in self.report_boxes or ())
        return tuple((row, col, height, width) for row, col, height, width in found)

    @property
    def views(self) -> int:
        """How often the network looks at the image."""
        return VIEWS if self.tta else 1

    def check_assurance(self) -> None:
        """InvalidOptions where one is given without the other that it belongs to."""
        if self.samples is not None and self.uncertainty is None:
            raise InvalidOptions("samples is given without uncertainty; name the file to write, or leave it out")
        if self.report_boxes and self.report is None:
            raise InvalidOptions("report_boxes is given without report; name the file to write, or leave it out")
