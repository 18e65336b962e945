"""Where the output goes and whether it can be written there: all that can be known before the work begins."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InvalidOptions, OutputNotWritable, ZidoError
from ..tiling.grid import Size, Tile
from .atomic import PartFile, amount
from .creation import parse_creation_options
from .formats import FORMATS, GEOTIFF, Content, Format, check_holds, find_format, format_of
from .gdal import session
from .output import OutputSpec
from .source import Band, SourceInfo
from .writer import open_output

REHEARSAL = Size(48, 64)
"""Size of the sample that is written to a temporary folder to try the creation options."""


def choose_output(
    info: SourceInfo,
    destination: str | os.PathLike[str] | None = None,
    *,
    scale: float,
    size: Size,
    bands: Sequence[Band] | None = None,
    dtype: str | None = None,
    nodata: float | None = None,
    creation_options: Iterable[str] = (),
    cog: bool = False,
    overwrite: bool = False,
    reserve: int = 0,
) -> OutputSpec:
    """Decide on name, format and content of the output, and make sure that it can be written.

    `destination`: a file, a folder, or None for ``<name>_x4`` beside the input. `size`: of the output.
    `bands`, `dtype` and `nodata`: None for the input's. `reserve`: bytes that the job needs on that disk
    beside the output.
    """
    bands = info.bands if bands is None else tuple(bands)
    spec = OutputSpec(
        path=Path(),
        format=GEOTIFF,
        geobox=info.geobox.resized(size),
        bands=bands,
        dtype=dtype or info.dtype,
        source_size=info.size,
        nodata=info.nodata if nodata is None else nodata,
        has_mask=info.has_mask,
        tags=info.tags,
        photo=info.photo,
        options=parse_creation_options(creation_options),
        cog=cog,
        overwrite=overwrite,
    )
    content = Content(
        size=size,
        dtype=spec.dtype,
        colours=len(bands) - (spec.alpha is not None),
        alpha=spec.alpha is not None,
        georeferenced=info.geobox.georeferenced,
        mask=info.has_mask,
    )
    path = _place(info, destination, scale, content, cog=cog)
    form = format_of(path)
    check_holds(form, content)
    spec = replace(spec, path=path, format=form)
    spec = replace(spec, warnings=_losses(spec, info))
    _check_options(spec)
    _check_place(spec, info.path)
    check_room(spec, reserve)
    rehearse(spec)
    return spec


def default_name(info: SourceInfo, scale: float, suffix: str) -> str:
    """``fields_x4.tif``, ``fields_x2.5.png``."""
    return f"{Path(info.name).stem}_x{scale:.4g}{suffix}"


def rehearse(spec: OutputSpec) -> None:
    """Write a few pixels of such a file to a temporary folder, to find wrong options now, not at the end."""
    with tempfile.TemporaryDirectory(prefix="zido-") as folder:
        small = replace(spec, geobox=spec.geobox.resized(REHEARSAL), path=Path(folder, "rehearsal" + spec.path.suffix))
        whole = Tile.whole(REHEARSAL)
        array = np.zeros((spec.count - (spec.alpha is not None), *REHEARSAL), spec.dtype)
        alpha = None if spec.alpha is None else array[0]
        with session() as messages:
            try:
                with open_output(small) as writer:
                    writer.write(array, whole, alpha=alpha)
            except (ZidoError, ValueError, TypeError) as error:
                given = " ".join(f"-co {key}={value}" for key, value in spec.options.items())
                text = str(error).replace(str(small.path), spec.path.name)
                text = text.replace(small.path.name, spec.path.name)
                raise InvalidOptions(f"{given}: {text}" if given else text) from error
    for key, value in spec.options.items():
        complaint = next((message for message in messages if key in message.upper()), None)
        if complaint:
            raise InvalidOptions(f"-co {key}={value}: {complaint}")


def _place(
    info: SourceInfo, destination: str | os.PathLike[str] | None, scale: float, content: Content, *, cog: bool
) -> Path:
    folder = info.path.parent if info.path else Path.cwd()
    if destination is not None:
        path = Path(destination).expanduser().absolute()
        if not os.path.isdir(path):  # unlike Path.is_dir, False also for a name that is too long
            return path
        folder = path
    own = find_format(Path(info.name)) if info.kind == "photo" and not cog else GEOTIFF
    candidates: list[Format] = [own] if own else []
    candidates += [form for form in FORMATS if form.driver in ("PNG", "GTiff")][::-1]
    form = next(form for form in candidates if not form.objections(content))
    suffix = Path(info.name).suffix.lower()
    kept = form is own and suffix in form.suffixes and info.kind == "photo"
    return folder / default_name(info, scale, suffix if kept else form.suffixes[0])


def _check_options(spec: OutputSpec) -> None:
    if spec.cog and spec.format is not GEOTIFF:
        raise InvalidOptions(f"--cog makes a GeoTIFF, but the output is {spec.path.name}; end it in .tif")
    if spec.format.through == "photo":
        unknown = sorted(set(spec.options) - spec.format.options)
        if unknown:
            known = ", ".join(sorted(spec.format.options)) or "none"
            raise InvalidOptions(f"{spec.format.name} has no creation option {unknown[0]}; it has: {known}")
        for key, value in spec.options.items():
            if key != "LOSSLESS" and not (value.isdigit() and int(value) <= (9 if key == "ZLEVEL" else 100)):
                raise InvalidOptions(f"-co {key}={value}: expected a whole number")
    if spec.nodata is not None and not _fits(spec.nodata, spec.dtype):
        raise InvalidOptions(f"nodata {spec.nodata:g} is no {spec.dtype} number; give another with --nodata")


def _fits(value: float, dtype: str) -> bool:
    if np.issubdtype(np.dtype(dtype), np.floating):
        return True
    if not float(value).is_integer():
        return False
    limits = np.iinfo(dtype)
    # GDAL keeps it as a double and prints large ones with an exponent that it cannot read back.
    return limits.min <= value <= limits.max and abs(value) <= 2**53


def _check_place(spec: OutputSpec, source: Path | None) -> None:
    path, part = spec.path, PartFile(spec.path, overwrite=spec.overwrite)
    folder = part.target.parent
    if not folder.is_dir():
        raise OutputNotWritable(f"there is no folder {folder}; make it, or choose another output")
    if os.path.lexists(part.target):
        if source is not None and source.exists() and os.path.samefile(part.target, source):
            raise OutputNotWritable(f"{path} is the input itself; choose another output")
        if not part.target.is_file():
            raise OutputNotWritable(f"{path} is no regular file; choose another output")
        if not spec.overwrite:
            raise OutputNotWritable(f"{path} exists; give --overwrite to replace it, or another output")
    trial = part.path.with_name(part.path.name + ".aux.xml")
    try:
        trial.touch()
        trial.unlink(missing_ok=True)  # shards on two machines may have the same process number, and so the same trial
    except OSError as error:
        why = error.strerror or error
        raise OutputNotWritable(f"cannot write {path}: {why}; choose another output") from error


def check_room(spec: OutputSpec, reserve: int = 0) -> None:
    """Raise OutputNotWritable unless there is room for the output and so many bytes more."""
    folder = Path(os.path.realpath(spec.path)).parent
    needed, free = spec.room + reserve, shutil.disk_usage(folder).free
    if free < needed:
        raise OutputNotWritable(
            f"the output may take {amount(needed)}, but {folder} has {amount(free)} free: "
            f"needs {amount(needed - free)} more; free some space or choose another output"
        )


def _losses(spec: OutputSpec, info: SourceInfo) -> tuple[str, ...]:
    """What this format does not carry, for the user to know."""
    found = []
    raster = spec.format.through == "rasterio"
    if len({band.nodata for band in spec.bands if band.interpretation != "alpha"}) > 1:
        found.append("the bands have different nodata values, which the output cannot say; they are left out")
    if spec.nodata is not None and not raster:
        found.append(f"{spec.format.name} cannot say which value means nodata ({spec.nodata:g})")
    if info.geobox.transform is not None and info.geobox.gcps:
        found.append("the input has an affine and ground control points; the points are left out")
    if raster and info.photo is not None and info.photo.exif is not None:
        found.append(f"of the EXIF data {spec.format.name} keeps only author, description and date")
    if spec.format.driver in ("BMP", "TGA", "PPM") and info.photo is not None:
        lost = [name for name in ("exif", "icc", "xmp") if getattr(info.photo, name) is not None]
        if lost:
            found.append(f"{spec.format.name} cannot hold {', '.join(lost).upper()} data; it is left out")
    return tuple(found)
