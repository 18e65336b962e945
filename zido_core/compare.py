"""``zido compare INPUT RESULT``: what an enlargement kept of its input, read from the two files alone.

Place, size, data type and nodata are compared as they are written; the values by the means of the result over each
pixel of the input, strip by strip.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput
from .raster.geobox import GeoBox
from .raster.reader import open_source
from .raster.source import Source, SourceInfo
from .resample import resize_window, source_window
from .tiling.grid import Size, Tile

STRIP = 1 << 22
"""Pixels of the result that are in memory at a time, at least a row of the input."""

CORNER_TOLERANCE = 1e-6
"""Input pixels by which corners may lie apart: text in files rounds."""

FLOAT_TOLERANCE = 1e-3
"""Mean difference of floating-point bands that counts as none, in standard deviations of the band."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that should be kept."""

    name: str
    """What."""
    ok: bool
    """Whether it was."""
    found: str
    """What is there."""


@dataclass(frozen=True, kw_only=True)
class BandDifference:
    """The result's means over the input's pixels, against these, where both are valid. None where nothing is."""

    band: str
    """Number and name in the input."""
    mean: float | None
    """Mean absolute difference, in units of the file."""
    largest: float | None
    """Largest absolute difference."""
    deviation: float | None
    """Standard deviation of the input's band, for scale."""
    ok: bool
    """No more than rounding: half a step of whole numbers, a thousandth of the deviation of others."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that was found."""

    input: str
    result: str
    findings: tuple[Finding, ...]
    bands: tuple[BandDifference, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was kept."""
        return all(finding.ok for finding in self.findings) and all(band.ok for band in self.bands)

    def as_json(self) -> str:
        """One object."""
        return json.dumps(asdict(self) | {"ok": self.ok}, ensure_ascii=False, allow_nan=False)

    def as_text(self) -> str:
        """Lines for a terminal."""
        lines = [f"{_mark(each.ok)} {each.name}: {each.found}" for each in self.findings]
        return "\n".join([*lines, *(f"{_mark(each.ok)} {band_text(each)}" for each in self.bands)])


def compare(before: str | os.PathLike[str], after: str | os.PathLike[str]) -> Comparison:
    """Look at an input and its result. Raises BadInput where one cannot be the enlargement of the other."""
    with open_source(before) as first, open_source(after) as second:
        a, b = first.info, second.info
        if any(large < small for small, large in zip(a.size, b.size, strict=True)):
            raise BadInput(
                f"{b.name} has {b.size.width} x {b.size.height} px and {a.name} {a.size.width} x {a.size.height} px; "
                "give the input first, then its enlargement"
            )
        sums = _sums(first, second)
        return Comparison(input=a.name, result=b.name, findings=tuple(_findings(a, b)), bands=tuple(_bands(a, sums)))


def band_text(band: BandDifference) -> str:
    """A band in a line."""
    if band.mean is None:
        return f"band {band.band}: no pixel is valid in both"
    return f"band {band.band}: block means differ by {band.mean:.4g} on average, {band.largest:.4g} at most"


def _mark(ok: bool) -> str:
    return "ok " if ok else "NO "


def _findings(a: SourceInfo, b: SourceInfo) -> Iterator[Finding]:
    factors = b.size.height / a.size.height, b.size.width / a.size.width
    sizes = f"{a.size.width} x {a.size.height} px became {b.size.width} x {b.size.height} px"
    same = abs(factors[0] - factors[1]) * max(a.size) <= 1
    yield Finding(name="size", ok=same, found=f"{sizes}, factor {factors[1]:.4g}")
    yield Finding(name="reference system", ok=a.geobox.crs == b.geobox.crs, found=_both(_crs(a), _crs(b)))
    apart = _corners_apart(a.geobox, b.geobox)
    where = f"corners {apart:.2g} input px apart" if apart is not None else "no transform to the ground in either"
    if apart == math.inf:
        where = "only one of them has a transform to the ground"
    yield Finding(name="place", ok=apart is None or apart <= CORNER_TOLERANCE, found=where)
    yield Finding(name="data type", ok=a.dtype == b.dtype, found=_both(a.dtype, b.dtype))
    yield Finding(name="nodata", ok=_same_number(a.nodata, b.nodata), found=_both(str(a.nodata), str(b.nodata)))
    yield Finding(name="bands", ok=a.count == b.count, found=_both(str(a.count), str(b.count)))
    names = [", ".join(band.description or "-" for band in info.bands) for info in (a, b)]
    yield Finding(name="band names", ok=names[0] == names[1], found=_both(*names))


def _both(before: str, after: str) -> str:
    return before if before == after else f"{before} became {after}"


def _crs(info: SourceInfo) -> str:
    crs = info.geobox.crs
    return "none" if crs is None else str(crs.to_string())[:60]


def _corners_apart(a: GeoBox, b: GeoBox) -> float | None:
    """Distance of the farthest pair of corners, input pixels; None if neither has a transform."""
    if a.transform is None or b.transform is None:
        return None if a.transform is b.transform else math.inf
    columns_rows = [~a.transform * corner for corner in b.footprint()]
    height, width = a.size
    wanted = [(0, 0), (width, 0), (width, height), (0, height), (0, 0)]
    return max(math.dist(found, corner) for found, corner in zip(columns_rows, wanted, strict=True))


def _same_number(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


@dataclass(kw_only=True, eq=False)
class _Sums:
    """Running sums of one band over the strips."""

    count: int = 0
    difference: float = 0.0
    largest: float = 0.0
    moments: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, mean: NDArray[np.float64], seen: NDArray[np.float64]) -> None:
        if not seen.size:
            return
        apart = np.abs(mean - seen)
        self.count += seen.size
        self.difference += float(apart.sum())
        self.largest = max(self.largest, float(apart.max()))
        self.moments[0] += float(seen.sum())
        self.moments[1] += float(np.square(seen).sum())


def _sums(before: Source, after: Source) -> list[_Sums]:
    small, large = before.info.size, after.info.size
    count = min(len(before.info.colour_bands), len(after.info.colour_bands))
    ours, theirs = before.info.colour_bands[:count], after.info.colour_bands[:count]
    sums = [_Sums() for _ in range(count)]
    rows = max(1, STRIP * small.height // (large.height * large.width * count))
    for top in range(0, small.height, rows):
        strip = Tile(top, 0, min(rows, small.height - top), small.width)
        seen = before.read(strip, ours)
        window = source_window(strip, large, small, "area")
        made = after.read(window, theirs)
        means = _means(made.array.astype(np.float64), window, large, small, strip)
        whole = _means(made.every_band_valid.astype(np.float64), window, large, small, strip) > 1 - 1e-9
        valid = seen.every_band_valid & whole
        for index, band in enumerate(sums):
            band.add(means[index][valid[index]], seen.array[index][valid[index]].astype(np.float64))
    return sums


def _means(array: NDArray[np.float64], window: Tile, large: Size, small: Size, strip: Tile) -> NDArray[np.float64]:
    finite = np.where(np.isfinite(array), array, 0.0)
    return np.asarray(resize_window(finite, (window.row, window.col), large, small, strip, "area"), np.float64)


def _bands(info: SourceInfo, sums: list[_Sums]) -> Iterator[BandDifference]:
    whole_numbers = np.issubdtype(np.dtype(info.dtype), np.integer)
    for band, total in zip([each for each in info.bands if each.index != info.alpha], sums, strict=False):
        name = f"{band.index} ({band.description})" if band.description else str(band.index)
        if not total.count:
            yield BandDifference(band=name, mean=None, largest=None, deviation=None, ok=True)
            continue
        mean, centre = total.difference / total.count, total.moments[0] / total.count
        deviation = math.sqrt(max(total.moments[1] / total.count - centre**2, 0.0))
        limit = 0.5 if whole_numbers else FLOAT_TOLERANCE * deviation
        yield BandDifference(
            band=name, mean=mean, largest=total.largest, deviation=deviation, ok=mean <= max(limit, 1e-12)
        )
