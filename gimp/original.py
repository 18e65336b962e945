"""Whether an image still is what its file says, so that the worker can be given the file itself.

A GeoTIFF says more than GIMP keeps of it: missing pixels, tags, points on the ground. GIMP changes others on the way
in (turned, premultiplied, of a palette, of signed numbers): those are handed over as GIMP shows them.
"""

from __future__ import annotations

from pathlib import Path

from gi.repository import Gimp

from ..zido_core.errors import BadInput
from . import tiff
from .pixels import Exchange

SUFFIXES = (".tif", ".tiff")


def original_of(image: Gimp.Image, layer: Gimp.Layer, exchange: Exchange) -> Path | None:
    """The file whose pixels are exactly those of the layer; None if there is no such file."""
    file = image.get_imported_file()
    path = Path(file.get_path()) if file is not None and file.get_path() else None
    if path is None or path.suffix.lower() not in SUFFIXES or image.is_dirty() or not exchange.native:
        return None
    if len(image.get_layers()) != 1 or (layer.get_width(), layer.get_height()) != (
        image.get_width(),
        image.get_height(),
    ):
        return None
    try:
        tags = tiff.read_tags(path)
        same = tiff.layout_of(tags) == exchange.layout(layer.get_width(), layer.get_height())
    except (BadInput, OSError):
        return None
    return path if same and _read_as_it_is(tags) and tags.get(tiff.ICC) == _profile(image) else None


def _read_as_it_is(tags: tiff.Numbers) -> bool:
    """Whether GIMP takes the numbers of such a file over unchanged."""
    photometric, orientation = tags.get(tiff.PHOTOMETRIC), tags.get(tiff.ORIENTATION, (1,))
    channels = int(tags.get(tiff.SAMPLES, (1,))[0])
    colours = 3 if photometric == (2,) else 1
    extras = tuple(tags.get(tiff.EXTRA_SAMPLES, ()))
    opaque = channels == colours and not extras
    unassociated = channels == colours + 1 and extras == (tiff.UNASSOCIATED,)
    return photometric in ((1,), (2,)) and orientation == (1,) and (opaque or unassociated)


def _profile(image: Gimp.Image) -> bytes | None:
    profile = image.get_color_profile()
    return None if profile is None else bytes(profile.get_icc_profile())
