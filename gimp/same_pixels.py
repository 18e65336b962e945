"""Whether two TIFF files hold the same numbers; ends with code 0 if so. zido's Python runs this, not GIMP's.

python same_pixels.py ORIGINAL COPY
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

ROWS = 512
"""Read at once."""


def same(original: str, copy: str) -> bool:
    """Compare all pixels; a palette is something else than the numbers that point into it."""
    with rasterio.open(original, driver="GTiff") as one, rasterio.open(copy, driver="GTiff") as other:
        if (one.shape, one.dtypes) != (other.shape, other.dtypes) or ColorInterp.palette in one.colorinterp:
            return False
        strips = [Window(0, row, one.width, min(ROWS, one.height - row)) for row in range(0, one.height, ROWS)]
        floating = np.dtype(one.dtypes[0]).kind == "f"
        return all(
            np.array_equal(one.read(window=strip), other.read(window=strip), equal_nan=floating) for strip in strips
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        sys.exit(0 if same(*sys.argv[1:]) else 1)
    except RasterioError:  # a file that GDAL does not read is not the same as one that it does
        sys.exit(1)
