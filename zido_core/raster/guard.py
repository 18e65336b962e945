"""Which inputs are opened at all.

A raster may name other files or hosts: a VRT (also one called .tif) can show the bytes of any file of the
user, a `/vsicurl/` path reaches the network. By default zido reads one plain local file and its siblings,
nothing else. GDAL's GDAL_SKIP does nothing once rasterio is imported, so drivers are chosen by an allow-list
at every open.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, InputNotFound, InputRefused
from ..tiling.grid import Size

MAX_PIXELS = 2_000_000_000
"""Default limit of an input: a Sentinel-2 tile at 4x is 1.93 Gpx; a header may claim anything."""

DRIVERS = (
    *("GTiff", "COG", "PNG", "JPEG", "WEBP", "BMP", "GIF", "BIGGIF", "AVIF", "JPEGXL"),
    *("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "HFA", "ENVI", "EHdr", "AAIGrid", "GRASSASCIIGrid"),
    *(
        "PNM",
        "TGA",
        "SGI",
        "NITF",
        "RST",
        "SAGA",
        "RMF",
        "GRIB",
        "DTED",
        "SRTMHGT",
        "USGSDEM",
        "GSBG",
        "GS7BG",
    ),
)
"""GDAL drivers whose files hold their own pixels. Those that this GDAL lacks are ignored."""

LINKING_DRIVERS = ("netCDF", "HDF5", "HDF5Image", "MRF", "ERS", "PCIDSK", "ISIS3", "PDS4", "SENTINEL2")
"""Drivers whose files may point to other files; with `allow_vrt` or `allow_remote` only."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVER_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")
_SIBLINGS = (".msk", ".MSK", ".ovr", ".OVR")
_SIBLING_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"EHFA_HEADER_TAG")
VRT_MARK = b"<VRTDataset"
"""GDAL takes a file for a VRT that has this anywhere in its first kilobyte."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An input that may be opened."""

    name: str
    """Short name for messages."""

    path: Path | None
    """Absolute path of a local file, else None."""

    address: str
    """What GDAL is given."""

    network: bool
    """True if it may name things that are not local."""

    drivers: tuple[str, ...]
    """GDAL drivers that may open it."""

    @property
    def remote(self) -> bool:
        """True if it is no local file itself."""
        return self.path is None


def check_target(path: str | os.PathLike[str], *, allow_remote: bool, allow_vrt: bool) -> Target:
    """Find the file, or raise the one error that tells why it is not opened."""
    text = os.fsdecode(path)
    drivers = DRIVERS + LINKING_DRIVERS * (allow_vrt or allow_remote) + ("VRT",) * allow_vrt
    if not text or "\0" in text:
        raise InputNotFound("no input file given: expected a path")
    if text.lstrip().startswith("<"):
        if not allow_vrt:
            raise InputRefused("the input is XML, not a path; allow VRT with --allow-vrt")
        return Target(name="inline VRT", path=None, address=text, network=allow_remote, drivers=drivers)
    if not _local(text):
        name = _short(text)
        if not allow_remote:
            raise InputRefused(f"{name} is no local file; allow URLs and GDAL prefixes with --allow-remote")
        return Target(name=name, path=None, address=text, network=True, drivers=drivers)
    local = Path(text).absolute()
    _check_file(local, allow_vrt=allow_vrt)
    return Target(name=local.name, path=local, address=str(local), network=allow_remote, drivers=drivers)


def check_pixels(name: str, size: Size, max_pixels: int) -> None:
    """Refuse sizes that no sane input has before anything is allocated."""
    if size.height < 1 or size.width < 1:
        raise BadInput(f"{name} has no pixels ({size.width} x {size.height})")
    if size.height * size.width > max_pixels:
        found = f"{size.width} x {size.height} = {size.height * size.width / 1e6:,.0f} Mpx"
        limit = f"limit {max_pixels / 1e6:,.0f} Mpx; raise it with --max-pixels"
        raise BadInput(f"{name} is too large: {found}, {limit}")


def _local(text: str) -> bool:
    if text.startswith(("/vsi", "\\\\?\\")) or _SCHEME.match(text):
        return False
    return os.path.lexists(text) or not _DRIVER_PREFIX.match(text)


def _short(text: str) -> str:
    """Without credentials and query, which may hold a signature."""
    plain = re.sub(r"//[^/@]*@", "//", text.partition("?")[0])
    return plain if len(plain) <= 80 else "…" + plain[-79:]


def _check_file(path: Path, *, allow_vrt: bool) -> None:
    head = _head(path)
    if not head:
        raise BadInput(f"{path} is empty")
    if allow_vrt:
        return
    if VRT_MARK in head:
        raise InputRefused(f"{path.name} is a VRT, which may read any file; allow it with --allow-vrt")
    for suffix in _SIBLINGS:
        sibling = path.with_name(path.name + suffix)
        # GDAL opens masks and overviews with any driver, whatever list the image itself was opened with.
        if sibling.is_file() and not _head(sibling).startswith(_SIBLING_MAGIC):
            raise InputRefused(
                f"{sibling.name} is no TIFF and may read any file; move it away or allow it with --allow-vrt"
            )


def _head(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadInput(f"{path} is a folder; expected an image file")
        if not stat.S_ISREG(mode):
            raise BadInput(f"{path} is not a regular file; expected an image file")
        with path.open("rb") as file:
            return file.read(1024)
    except FileNotFoundError as error:
        raise InputNotFound(f"{path} does not exist") from error
    except OSError as error:
        raise InputNotFound(f"{path} cannot be read: {error.strerror or error}") from error
