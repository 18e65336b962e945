"""What every writer does: take windows, keep checksums, finish under the final name or leave nothing."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from ..errors import OutputFailed, ZidoError
from ..tiling.grid import Size, Tile
from .atomic import DISK_FULL, PartFile, disk_full, is_disk_full
from .formats import Format
from .gdal import reason
from .geobox import GeoBox
from .ledger import Ledger
from .source import Band, PhotoMeta

WRITE_ERRORS = (OSError, RasterioError, CPLE_BaseError)
"""What GDAL, Pillow and the system raise when a file cannot be written."""


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """A file to be written; made by `choose_output`."""

    path: Path
    """Final name."""

    format: Format
    """File format, by the suffix of `path`."""

    geobox: GeoBox
    """Size and georeferencing of the output."""

    bands: tuple[Band, ...]
    """The bands in the order of the file, alpha included."""

    dtype: str
    """Numpy name of the data type of all bands."""

    source_size: Size
    """Size of the input, of which pixels per inch are multiplied."""

    nodata: float | None = None
    """Value of missing pixels."""

    has_mask: bool = False
    """True if a mask is written; then `write` takes `valid`."""

    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tags by domain to carry over; "" is the default domain."""

    photo: PhotoMeta | None = None
    """EXIF, ICC, XMP and DPI to carry over."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Creation options of the user; names in upper case."""

    cog: bool = False
    """Write a Cloud-Optimized GeoTIFF."""

    overwrite: bool = False
    """Replace an existing file."""

    warnings: tuple[str, ...] = ()
    """What cannot be carried over into this format."""

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.geobox.size

    @property
    def count(self) -> int:
        """Number of bands, alpha included."""
        return len(self.bands)

    @property
    def alpha(self) -> int | None:
        """Position of the alpha band in the file, from 0."""
        return next((at for at, band in enumerate(self.bands) if band.interpretation == "alpha"), None)

    @property
    def raw_bytes(self) -> int:
        """Bytes of the uncompressed pixels."""
        return self.count * self.size.height * self.size.width * np.dtype(self.dtype).itemsize

    @property
    def room(self) -> int:
        """Bytes of disk that must be free: the uncompressed size, twice if it is written in two stages."""
        staged = self.cog or self.format.driver != "GTiff"
        return self.raw_bytes * (1 + staged)

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch (horizontal, vertical) that keep the printed size of the input."""
        if self.photo is None or self.photo.dpi is None:
            return None
        horizontal, vertical = self.photo.dpi
        return (
            horizontal * self.size.width / self.source_size.width,
            vertical * self.size.height / self.source_size.height,
        )


class OutputWriter(ABC):
    """A context manager: leaving it verifies the file and gives it its name, an exception leaves nothing."""

    def __init__(self, spec: OutputSpec, provenance: Mapping[str, str] | None = None) -> None:
        self.spec = spec
        self.provenance = dict(provenance or {})
        """How the output was made; may be added to as long as the writer is open."""
        self.warnings: list[str] = []
        """What could not be written after all; complete when the writer is left."""
        self._part = PartFile(spec.path, overwrite=spec.overwrite)
        self._ledger = Ledger(spec.size)
        self._mask_ledger = Ledger(spec.size)

    def write(
        self,
        array: NDArray[Any],
        window: Tile,
        *,
        alpha: NDArray[Any] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write one window, as `Raster` has it: `array` (bands without alpha, height, width), `alpha` and
        `valid` (height, width). Windows may come in any order, but must not overlap; whole block rows are
        fastest.
        """
        planes = self._planes(array, alpha)
        self._ledger.add(window, planes)
        with self._explaining():
            self._check_room(planes.nbytes)
            self._put(planes, window)
        if self.spec.has_mask:
            mask = np.full(window.size, 255, np.uint8)
            if valid is not None:
                mask[~valid] = 0
            self._mask_ledger.add(window, mask[None])
            with self._explaining():
                self._put_mask(mask, window)

    def __enter__(self) -> Self:
        try:
            with self._explaining():
                self._part.begin()
                self._open()
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._drop()
            return
        try:
            with self._explaining():
                self._complete()
        finally:
            self._drop()

    def _complete(self) -> None:
        missing = self._ledger.missing
        if missing:
            raise OutputFailed(f"{self.spec.path.name} is incomplete: {missing} pixels were never written")
        self._finish()
        self._verify()
        self._part.commit()

    def _drop(self) -> None:
        try:
            self._close()
        finally:
            self._part.discard()

    def _planes(self, array: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
        """All bands in the order of the file."""
        position = self.spec.alpha
        given = len(array) + (alpha is not None)
        if (alpha is None) != (position is None) or given != self.spec.count:
            raise ValueError(f"got {given} bands, alpha {alpha is not None}; expected {self.spec.bands}")
        if str(array.dtype) != self.spec.dtype:
            raise ValueError(f"got {array.dtype} numbers, expected {self.spec.dtype}")
        if alpha is None or position is None:
            return array
        return np.insert(array, position, alpha, axis=0)

    def _check_room(self, coming: int) -> None:
        folder = self._part.target.parent
        if shutil.disk_usage(folder).free < coming:
            raise disk_full(folder, self._missing_bytes())

    def _missing_bytes(self) -> int:
        """Room to be made for the next run, which begins without what this one has taken."""
        return self.spec.room - self._taken - shutil.disk_usage(self._part.target.parent).free

    @property
    def _taken(self) -> int:
        """Bytes of disk that vanish with this run."""
        return self._part.written

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn what GDAL, Pillow and the system raise into errors for people."""
        try:
            yield
        except WRITE_ERRORS as error:
            folder = self._part.target.parent
            if isinstance(error, ZidoError) and not isinstance(error, OutputFailed):
                raise
            if not str(error).startswith(DISK_FULL) and is_disk_full(error, folder):
                raise disk_full(folder, self._missing_bytes()) from error
            if isinstance(error, OutputFailed):
                raise
            raise OutputFailed(f"writing {self.spec.path} failed: {reason(error)}") from error

    @abstractmethod
    def _open(self) -> None:
        """Begin the part file."""

    @abstractmethod
    def _put(self, planes: NDArray[Any], window: Tile) -> None:
        """Write (count, height, width) at `window`."""

    def _put_mask(self, mask: NDArray[np.uint8], window: Tile) -> None:
        """Write (height, width), 255 = valid; only formats that have a mask are asked to."""
        raise NotImplementedError

    @abstractmethod
    def _finish(self) -> None:
        """Close and complete the part file."""

    @abstractmethod
    def _verify(self) -> None:
        """Read the part file back; OutputFailed if it does not give what was written."""

    @abstractmethod
    def _close(self) -> None:
        """Release what is open, whatever state it is in; never raises."""
