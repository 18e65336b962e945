"""An input and its truth: read, cut, degraded, and handed to methods as what it was, raster or photograph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, InputNotFound
from ..naming import READABLE
from ..raster.band_plan import plan_bands
from ..raster.fill import fill_invalid
from ..raster.formats import GEOTIFF
from ..raster.geobox import GeoBox
from ..raster.output import OutputSpec
from ..raster.radiometry import limits_of
from ..raster.reader import open_source
from ..raster.source import Band, Raster, Source
from ..raster.stretch import Stretch, fit_stretch
from ..raster.writer import open_output
from ..resample import resize
from ..tiling.grid import Size, Tile
from ..training.degrade import Degradation, degrade
from ..training.degrade import reduce as reduce_clean
from .protocols import GIVEN, Protocol

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What a result should be. Images are (1 or 3, H, W)."""

    name: str
    """Of the image, below the folder that was given."""
    kind: str
    """"raster" or "photo": models treat them differently."""
    bands: tuple[Band, ...]
    """The bands that a model sees."""
    image: NDArray[np.float32]
    """In units of the stretch, [0, 1], gaps filled."""
    valid: Mask
    """(H, W): where all bands are measured."""
    stretch: Stretch
    """Which numbers of the file are 0 and 1."""
    dtype: str
    """Of the file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One input and its truth."""

    truth: Truth
    """What a result should be."""
    degradation: str
    """How the input was made; ``given`` if it is a file."""
    numbers: NDArray[Any]
    """(1 or 3, h, w) in the file's data type, gaps filled: the input."""
    valid: Mask
    """(h, w): where the input is measured."""
    scale: int
    """Factor of enlargement."""
    border: int = 0
    """Pixels of the truth along its borders that do not count."""

    @property
    def image(self) -> NDArray[np.float32]:
        """The input in units of the truth's stretch."""
        return self.truth.stretch.to_unit(self.numbers)

    @property
    def known(self) -> Mask:
        """(H, W): where truth and input are measured, and count."""
        size, border = Size(*self.truth.valid.shape), self.border
        inner = np.zeros(size, bool)
        inner[border : size.height - border, border : size.width - border] = True
        return np.asarray(inner & self.truth.valid & resize(self.valid[None], size, "nearest")[0])

    def given(self, folder: Path) -> Path | NDArray[Any]:
        """What a model is handed: a file in ``folder`` for a raster, with a mask where it has gaps, else an array."""
        if self.truth.kind == "photo":
            planes = self.numbers
            return np.ascontiguousarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0))
        path = folder / "input.tif"
        size = Size(*self.valid.shape)
        spec = OutputSpec(
            path=path,
            format=GEOTIFF,
            geobox=GeoBox(size=size),
            bands=tuple(replace(band, nodata=None, tags={}) for band in self.truth.bands),
            dtype=self.truth.dtype,
            source_size=size,
            has_mask=not self.valid.all(),
            overwrite=True,
        )
        with open_output(spec) as writer:
            writer.write(self.numbers, Tile.whole(size), valid=self.valid)
        return path


def truths(inputs: Sequence[str], limit: int | None = None) -> list[tuple[str, Path]]:
    """Name and path of every image among the inputs; folders are searched with all below them, in order of names."""
    found: list[tuple[str, Path]] = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in READABLE and p.is_file())
            visible = [p for p in below if not any(part.startswith(".") for part in p.relative_to(path).parts)]
            if not visible:
                raise InputNotFound(f"folder {given}: there is no picture or raster in it; expected .tif, .png...")
            found += [(p.relative_to(path).as_posix(), p) for p in visible]
        else:
            found.append((path.name, path))
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        found = [(path.as_posix(), path) for _, path in found]
    return found[:limit]


def read_truth(name: str, path: Path, protocol: Protocol) -> Truth:
    """The part of an image that the protocol uses."""
    with open_source(path) as source:
        info = source.info
        chosen = _model_bands(source)
        raster = source.read(protocol.window(info.size, name), chosen)
        valid = _valid(raster)
        if not valid.any():
            raise BadInput(f"{name} has no valid pixel where it would be measured; use another crop, or leave it out")
        stretch = fit_stretch(raster.array, valid, info.dtype, kind=info.kind)
        return Truth(
            name=name,
            kind=info.kind,
            bands=tuple(info.bands[band - 1] for band in chosen),
            image=stretch.to_unit(_filled(raster)),
            valid=valid,
            stretch=stretch,
            dtype=info.dtype,
        )


def cases(name: str, path: Path, protocol: Protocol, lr_folder: Path | None = None) -> Iterator[Case]:
    """Every input of one image: made by the protocol's degradations, or the one in ``lr_folder``."""
    truth = read_truth(name, path, protocol)
    if lr_folder is not None:
        yield _given_case(truth, path, protocol, lr_folder)
        return
    for degradation in protocol.degradations:
        yield Case(
            truth=truth,
            degradation=degradation,
            numbers=_degraded(truth, degradation, protocol),
            valid=known_below(truth.valid, protocol.scale),
            scale=protocol.scale,
            border=protocol.border,
        )


def known_below(valid: Mask, scale: int) -> Mask:
    """(H // scale, W // scale): a pixel of the input is known if all of the truth under it is."""
    height, width = (side // scale for side in valid.shape)
    return np.asarray(valid.reshape(height, scale, width, scale).all((1, 3)))


def _degraded(truth: Truth, degradation: Degradation, protocol: Protocol) -> NDArray[Any]:
    """The input in the file's numbers. Degradations give 8-bit levels; ``clean`` keeps the file's own precision."""
    image = truth.image.transpose(1, 2, 0)
    if degradation == "clean" and truth.dtype != "uint8":
        small = reduce_clean(image, protocol.scale)
    else:
        rgb = np.broadcast_to(image, (*image.shape[:2], 3))
        small = degrade(rgb, degradation, protocol.random(truth.name, degradation), scale=protocol.scale)
    planes = np.ascontiguousarray(small.transpose(2, 0, 1)[: len(truth.image)])
    return _as_numbers(truth.stretch.from_unit(planes), truth.dtype)


def _as_numbers(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    limits = limits_of(dtype)
    return (values if limits is None else np.rint(values).clip(*limits)).astype(dtype)


def _given_case(truth: Truth, path: Path, protocol: Protocol, folder: Path) -> Case:
    """The input file that belongs to a truth, cut alike."""
    found = given_input(folder, path, protocol.scale)
    with open_source(found) as source, open_source(path) as large:
        expected = Size(*(side // protocol.scale for side in large.info.size))
        if source.info.size != expected or source.info.dtype != truth.dtype:
            raise BadInput(
                f"{found.name} is {source.info.size.height} x {source.info.size.width} {source.info.dtype}; expected "
                f"{expected.height} x {expected.width} {truth.dtype}, {truth.name} reduced by {protocol.scale}"
            )
        window = protocol.window(large.info.size, truth.name)
        row, col, height, width = (value // protocol.scale for value in window)
        raster = source.read(Tile(row, col, height, width), _model_bands(source))
    return Case(
        truth=truth,
        degradation=GIVEN,
        numbers=_as_numbers(_filled(raster), truth.dtype),
        valid=_valid(raster),
        scale=protocol.scale,
        border=protocol.border,
    )


def given_input(folder: Path, path: Path, scale: int) -> Path:
    """The file in ``folder`` for a truth: of the same name, or with ``x4`` after it as in DIV2K; any suffix."""
    stems = (path.stem, f"{path.stem}x{scale}", f"{path.stem}_x{scale}")
    for stem in stems:
        for suffix in (path.suffix, *READABLE):
            candidate = folder / f"{stem}{suffix}"
            if candidate.is_file():
                return candidate
    raise InputNotFound(f"no input for {path.name} in {folder}; expected {' or '.join(stems)} with any suffix")


def _model_bands(source: Source) -> tuple[int, ...]:
    bands = source.info.bands
    return plan_bands([b.interpretation for b in bands], descriptions=[b.description for b in bands]).model


def _valid(raster: Raster) -> Mask:
    """(h, w): where all bands are measured."""
    return np.asarray(raster.every_band_valid.all(0))


def _filled(raster: Raster) -> NDArray[Any]:
    return fill_invalid(raster.array, raster.every_band_valid)
