"""Which bands the model sees, which come along, and the words that tell the reader of the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, InvalidOptions

ExtraBands = Literal["bicubic", "detail", "drop"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (BT.601)."""

_COLOURS = ("red", "green", "blue")
_SENTINEL2 = ("b04", "b03", "b02")
"""Names that Sentinel-2 and HLS products give to red, green and blue."""

_ACCOUNT = {
    "model": "synthesised by the model",
    "bicubic": "interpolated (bicubic), no detail added",
    "detail": "interpolated, with luminance detail of the synthesised bands added",
    "alpha": "interpolated opacity",
}


@dataclass(frozen=True, kw_only=True)
class BandPlan:
    """What happens to each band. Bands are counted from 1, as in the file."""

    count: int
    """Number of bands of the file, alpha included."""

    model: tuple[int, ...]
    """Red, green and blue for the model, or one band that it sees as gray."""

    extra: tuple[int, ...] = ()
    """Bands that the model does not see, without alpha and without dropped ones, in the order of the file."""

    dropped: tuple[int, ...] = ()
    """Bands left out of the output."""

    alpha: int | None = None
    """The band of opacity; it stays in the output."""

    policy: ExtraBands = "bicubic"
    """How extra bands are enlarged."""

    @property
    def written(self) -> tuple[int, ...]:
        """Bands of the input in the order of the output's bands."""
        return tuple(band for band in range(1, self.count + 1) if band not in self.dropped)

    def position(self, band: int) -> int:
        """Index from 0, in arrays of the output, of a band of the input."""
        return self.written.index(band)

    def to_model(self, image: NDArray[Any]) -> NDArray[Any]:
        """The bands `model` (1 or 3, h, w) as three; a gray band is a view of itself three times."""
        return image if len(self.model) == 3 else np.broadcast_to(image, (3, *image.shape[1:]))

    def from_model(self, image: NDArray[Any]) -> NDArray[Any]:
        """The model's three bands (3, h, w) as the bands `model`: luminance if that is one."""
        return image if len(self.model) == 3 else luminance(image)

    def account(self, band: int) -> str:
        """How the output's numbers of a band of the input came about."""
        if band == self.alpha:
            return _ACCOUNT["alpha"]
        return _ACCOUNT["model" if band in self.model else self.policy]

    def tags(self) -> dict[str, str]:
        """For the output's tags; output band numbers from 1, in the keys and in SYNTHETIC_BANDS."""
        written = self.written
        made = [band in self.model or (self.policy == "detail" and band in self.extra) for band in written]
        tags = {
            "MODEL_BANDS": ",".join(str(written.index(band) + 1) for band in self.model),
            "SYNTHETIC_BANDS": ",".join(str(place) for place, yes in enumerate(made, 1) if yes),
            "SYNTHETIC_DETAIL": "YES",
        }
        tags |= {f"BAND_{place}": self.account(band) for place, band in enumerate(written, 1)}
        if self.dropped:
            tags["DROPPED_INPUT_BANDS"] = ",".join(map(str, self.dropped))
        return tags


def luminance(image: NDArray[Any]) -> NDArray[Any]:
    """BT.601 luminance (1, h, w) of red, green, blue (3, h, w); one band is its own luminance."""
    if image.shape[0] == 1:
        return image
    # Differences to green: gray comes back exactly gray.
    red, green, blue = image
    total = (red - green) * image.dtype.type(LUMA[0])
    total += (blue - green) * image.dtype.type(LUMA[2])
    total += green
    return np.asarray(total[None])


def plan_bands(
    interpretations: Sequence[str],
    *,
    requested: Sequence[int] | None = None,
    extra_bands: ExtraBands = "bicubic",
    descriptions: Sequence[str | None] | None = None,
) -> BandPlan:
    """Choose the model's bands by request, else colour interpretation, else band names, else order.

    ``interpretations`` holds the colour interpretation of every band of the file ("red", "alpha",
    "undefined", ...), ``descriptions`` their names if there are any. Two bands that are not alpha: the
    first is gray, the second extra.
    """
    words = [word.lower() for word in interpretations]
    alpha = words.index("alpha") + 1 if "alpha" in words else None  # a second one is a band like any other
    colours = [band for band in range(1, len(words) + 1) if band != alpha]
    if not colours:
        raise BadInput("nothing to enlarge: the file has no band but alpha")
    if requested is not None:
        model = _requested(requested, colours, len(words))
    else:
        names = [(name or "").lower() for name in descriptions or ()]
        model = _named(words, _COLOURS) or _named(names, _COLOURS) or _named(names, _SENTINEL2)
        model = model or tuple(colours[:3] if len(colours) >= 3 else colours[:1])
    others = tuple(band for band in colours if band not in model)
    drop = extra_bands == "drop"
    return BandPlan(
        count=len(words),
        model=model,
        extra=() if drop else others,
        dropped=others if drop else (),
        alpha=alpha,
        policy=extra_bands,
    )


def _requested(requested: Sequence[int], colours: Sequence[int], count: int) -> tuple[int, ...]:
    bands = tuple(requested)
    unknown = [band for band in bands if band not in colours]
    if unknown:
        raise InvalidOptions(
            f"band {unknown[0]} cannot be shown to the model: the file has {count} band(s), "
            f"choose from {', '.join(map(str, colours))}"
        )
    if len(bands) not in (1, 3) or len(set(bands)) != len(bands):
        listed = ",".join(map(str, bands))
        raise InvalidOptions(f"the model sees one band or three different ones, got {listed}: try --bands 3,2,1")
    return bands


def _named(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    if not all(name in names for name in wanted):
        return ()
    return tuple(names.index(name) + 1 for name in wanted)
