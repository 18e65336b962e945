"""The files that a mosaic is made of."""

from __future__ import annotations

import os
from pathlib import Path

import rasterio

from .gdal import session


def parts_of(path: Path) -> list[Path]:
    """The local files that a dataset names besides itself; it is open already, so that it may be opened again."""
    with session(), rasterio.open(path) as dataset:
        return [Path(name) for name in dataset.files if os.path.isfile(name) and not os.path.samefile(name, path)]
