"""Pixels between GIMP's layers and files, without a changed bit.

GIMP converts colours wherever a format of pixels is named, as a name means sRGB. So a layer is read in its own format,
and written into an image that has no colour profile; the profile comes afterwards, when it changes no numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gi.repository import Babl, Gegl, Gimp

from ..zido_core.errors import BadInput, OutputFailed
from .tiff import Layout, Numbers, Reader, Writer

CHUNK = 2**24
"""Bytes that go between GIMP and a file at once."""

TYPES = {
    "u8": (False, 8),
    "u16": (False, 16),
    "u32": (False, 32),
    "float": (True, 32),
    "double": (True, 64),
}
"""Whether such numbers are floating, and their bits."""

EXACT = {"u8": "u16", "u16": "float", "half": "float"}
"""Numbers that hold all of others also after a change of encoding: tested in GIMP, with every value.

Beyond 16 bits GIMP's change of encoding loses digits, so there is none.
"""


@dataclass(frozen=True, kw_only=True)
class Area:
    """A part of a layer."""

    x: int
    """Left edge."""

    y: int
    """Upper edge."""

    width: int
    """Pixels."""

    height: int
    """Pixels."""

    def strips(self, row_bytes: int) -> Iterator[Area]:
        """The area from top to bottom, in pieces that fit into memory."""
        rows = max(1, CHUNK // row_bytes)
        for top in range(0, self.height, rows):
            yield Area(x=self.x, y=self.y + top, width=self.width, height=min(rows, self.height - top))

    @property
    def rectangle(self) -> Gegl.Rectangle:
        """The area as GEGL has it."""
        return Gegl.Rectangle.new(self.x, self.y, self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """How the pixels of a layer travel."""

    own: str | None
    """The layer's format by its plain name; None for colours of a palette."""

    format: str
    """The format in the file: encoded for the eye, as models expect pictures, where that loses nothing."""

    @property
    def native(self) -> bool:
        """Whether the file holds the layer's numbers themselves."""
        return self.format == self.own

    @property
    def linear(self) -> bool:
        """Whether the file holds amounts of light."""
        return not ("'" in self.format or "~" in self.format)

    def layout(self, width: int, height: int) -> Layout:
        """The file's pixels."""
        names, numbers = self.format.split()
        floating, bits = TYPES[numbers]
        channels = sum(letter in "RGBAY" for letter in names)
        return Layout(width=width, height=height, channels=channels, floating=floating, bits=bits)


def exchange_of(layer: Gimp.Layer) -> Exchange:
    """How the pixels of that layer travel."""
    if layer.is_indexed():
        return Exchange(own=None, format="R'G'B'A u8" if layer.has_alpha() else "R'G'B' u8")
    own = Babl.format_get_encoding(layer.get_format())
    names, numbers = own.split()
    encoded = "'" in names or "~" in names
    if numbers in TYPES and (encoded or numbers not in EXACT):
        return Exchange(own=own, format=own)
    if not encoded:
        names = "".join(letter + "'" if letter in "RGBY" else letter for letter in names)
    return Exchange(own=own, format=f"{names} {EXACT[numbers]}")


def save(layer: Gimp.Layer, area: Area, exchange: Exchange, path: Path, geo: Numbers) -> None:
    """Write that part of a layer into a file."""
    buffer = layer.get_buffer()
    layout = exchange.layout(area.width, area.height)
    with Writer(path, layout, geo) as file:
        for strip in area.strips(layout.row_bytes):
            rows = _read(buffer, strip, exchange)
            if len(rows) != layout.row_bytes * strip.height:
                raise OutputFailed(f"GIMP gave {len(rows)} bytes for {strip.height} rows of {layout}; try again")
            file.write(rows)


def load(path: Path, part: Area, layer: Gimp.Layer, exchange: Exchange) -> None:
    """Fill a layer, of an image without colour profile, with a part of a file that has its channels."""
    reader, buffer = Reader(path), layer.get_buffer()
    layout = exchange.layout(part.width, part.height)
    for strip in part.strips(reader.layout.row_bytes):
        rows = reader.rows(strip.y, strip.height)
        if part.width != reader.layout.width:
            left, right = (x * layout.pixel_bytes for x in (part.x, part.x + part.width))
            starts = range(0, len(rows), reader.layout.row_bytes)
            rows = b"".join(rows[start + left : start + right] for start in starts)
        where = Area(x=0, y=strip.y - part.y, width=part.width, height=strip.height)
        buffer.set(where.rectangle, exchange.format, rows)
    buffer.flush()
    layer.update(0, 0, part.width, part.height)


def check_result(path: Path, exchange: Exchange) -> Layout:
    """What the worker has made. Raises BadInput unless its pixels are what was handed over."""
    found = Reader(path).layout
    expected = exchange.layout(found.width, found.height)
    if found != expected:
        raise BadInput(f"the result has {found}; expected {expected.channels} channels as in the image: {expected}")
    return found


def _read(buffer: Gegl.Buffer, area: Area, exchange: Exchange) -> bytes:
    nothing = Gegl.AbyssPolicy.NONE
    if exchange.own is None:
        return bytes(buffer.get(area.rectangle, 1.0, exchange.format, nothing))
    rows = bytes(buffer.get(area.rectangle, 1.0, None, nothing))
    if exchange.native:
        return rows
    scratch = Gegl.Buffer.new(exchange.own, area.x, area.y, area.width, area.height)
    scratch.set(area.rectangle, exchange.own, rows)
    return bytes(scratch.get(area.rectangle, 1.0, exchange.format, nothing))
