"""Palette images: indices are no quantities, so they become the colours they stand for before anything is
resized.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from ..errors import BadInput
from .source import Band, SourceInfo

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True, kw_only=True, eq=False)
class Palette:
    """A colour table."""

    colours: NDArray[np.uint8]
    """(bands, entries): one row for grey, three for red, green, blue."""

    opacity: NDArray[np.uint8] | None
    """(entries,) alpha, None where all entries are opaque."""

    def expand(self, indices: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Colours (bands, height, width) and alpha of an array of indices."""
        entries = np.clip(indices, 0, self.colours.shape[1] - 1)
        return self.colours[:, entries], None if self.opacity is None else self.opacity[entries]

    def describe(self, info: SourceInfo) -> SourceInfo:
        """`info` of the expanded image."""
        names = ["gray"] if len(self.colours) == 1 else ["red", "green", "blue"]
        alpha = None if self.opacity is None else len(names) + 1
        interpretations = names + ["alpha"] * (alpha is not None)
        bands = tuple(
            Band(index=index, interpretation=name, dtype="uint8") for index, name in enumerate(interpretations, 1)
        )
        warning = f"palette expanded to {'gray' if len(names) == 1 else 'RGB'}: indices cannot be upscaled"
        if info.count > 1:
            warning += "; only the first of its pictures is read"
        return replace(
            info,
            count=len(bands),
            dtype="uint8",
            bands=bands,
            nodata=None,
            # The nodata index has no colour of its own, so the output needs a mask in its place.
            has_mask=info.has_mask or any(band.nodata is not None for band in info.bands[:1]),
            alpha=alpha,
            warnings=(warning, *info.warnings),
        )


def as_gray(info: SourceInfo) -> SourceInfo:
    """`info` of an image that is called palette, but has no table or one that changes nothing."""
    bands = tuple(
        replace(band, interpretation="gray") if band.interpretation == "palette" else band for band in info.bands
    )
    return replace(info, bands=bands, warnings=("palette without colours: read as gray", *info.warnings))


def read_palette(name: str, dataset: DatasetReader) -> Palette | None:
    """The palette of the first band; None where numbers are to be taken as they are."""
    palettes = [item == ColorInterp.palette for item in dataset.colorinterp]
    if not any(palettes):
        return None
    if dataset.count > 1 and dataset.driver not in {"GIF", "BIGGIF"}:
        raise BadInput(f"{name} mixes a palette with other bands; convert it to RGB first")
    try:
        table = dataset.colormap(1)
    except ValueError:
        # Declared as palette, but there is no table: GDAL's readers show such a band as grey.
        return None
    entries = np.zeros((max(table) + 1, 4), np.uint8)
    entries[list(table)] = list(table.values())
    red, green, blue, alpha = entries.T
    if (red == green).all() and (red == blue).all() and (alpha == 255).all():
        return None if (red == np.arange(len(red))).all() else Palette(colours=red[None], opacity=None)
    return Palette(colours=entries[:, :3].T.copy(), opacity=None if (alpha == 255).all() else alpha.copy())
