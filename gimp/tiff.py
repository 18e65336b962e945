"""TIFF files as GIMP and the worker exchange them: uncompressed, so that no bit changes and no library is needed."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..zido_core.errors import BadInput

Numbers = Mapping[int, tuple[float, ...] | bytes]
"""Values of tags; texts are bytes."""

ORDERS = {b"II": "<", b"MM": ">"}
OWN_MARK = b"II" if sys.byteorder == "little" else b"MM"

CODES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "Q", 6: "b", 7: "s", 8: "h", 9: "i", 10: "q", 11: "f", 12: "d", 13: "I"}
CODES |= {16: "Q", 17: "q", 18: "Q"}
"""How the types of tags are packed. A fraction, 5 or 10, is taken as one number that nobody here looks at."""

ASCII, SHORT, LONG, DOUBLE, LONG8 = 2, 3, 4, 12, 16

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, STRIP_ROWS, COUNTS, PLANAR, TILE_OFFSETS = 277, 278, 279, 284, 324
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339

GEO_TYPES = {33550: DOUBLE, 33922: DOUBLE, 34264: DOUBLE, 34735: SHORT, 34736: DOUBLE, 34737: ASCII}
"""GeoTIFF's tags and their types."""

UNASSOCIATED = 2
"""An extra sample that is opacity, by which the colours are not multiplied."""

STRIP_BYTES = 2**20
LARGEST_CLASSIC = 2**32 - 2**24
"""Bytes of pixels from which the offsets need 64 bits."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What an array of pixels is."""

    width: int
    """Pixels."""

    height: int
    """Pixels."""

    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha."""

    floating: bool
    """Floating-point numbers, else unsigned integers."""

    bits: int
    """Of one number: 8, 16, 32 or 64."""

    @property
    def alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.channels in (2, 4)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel."""
        return self.channels * self.bits // 8

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * self.pixel_bytes

    def __str__(self) -> str:
        numbers = f"{'float' if self.floating else 'uint'}{self.bits}"
        return f"{self.width} x {self.height} px, {self.channels} channels of {numbers}"


class Writer:
    """Writes a file from top to bottom; a context."""

    def __init__(self, path: Path, layout: Layout, geo: Numbers | None = None) -> None:
        """``geo`` holds values of GeoTIFF's tags."""
        self._layout, self._geo = layout, geo or {}
        self._file: IO[bytes] = path.open("wb")

    def __enter__(self) -> Writer:
        self._file.write(self._head())
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def write(self, rows: bytes) -> None:
        """The next rows."""
        self._file.write(rows)

    def _head(self) -> bytes:
        """Everything before the pixels. Its length does not depend on the offsets that stand in it."""
        return self._directory(len(self._directory(0)))

    def _directory(self, first_pixel: int) -> bytes:
        layout = self._layout
        big = layout.row_bytes * layout.height > LARGEST_CLASSIC
        wide = LONG8 if big else LONG
        rows = max(1, STRIP_BYTES // layout.row_bytes)
        strips = range(0, layout.height, rows)
        colours = layout.channels - layout.alpha
        entries: list[tuple[int, int, Sequence[float] | bytes]] = [
            (WIDTH, LONG, [layout.width]),
            (HEIGHT, LONG, [layout.height]),
            (BITS, SHORT, [layout.bits] * layout.channels),
            (COMPRESSION, SHORT, [1]),
            (PHOTOMETRIC, SHORT, [2 if colours == 3 else 1]),
            (OFFSETS, wide, [first_pixel + row * layout.row_bytes for row in strips]),
            (SAMPLES, SHORT, [layout.channels]),
            (STRIP_ROWS, LONG, [rows]),
            (COUNTS, wide, [min(rows, layout.height - row) * layout.row_bytes for row in strips]),
            (PLANAR, SHORT, [1]),
            *([(EXTRA_SAMPLES, SHORT, [UNASSOCIATED])] if layout.alpha else []),
            (SAMPLE_FORMAT, SHORT, [3 if layout.floating else 1] * layout.channels),
            *((tag, GEO_TYPES[tag], values) for tag, values in sorted(self._geo.items())),
        ]
        return _packed(entries, big)


def _packed(entries: Sequence[tuple[int, int, Sequence[float] | bytes]], big: bool) -> bytes:
    """Header, directory and the values that do not fit into it, in this machine's order of bytes."""
    offset, count, room = ("Q", "Q", 8) if big else ("I", "H", 4)
    header = OWN_MARK + (struct.pack("=HHHQ", 43, 8, 0, 16) if big else struct.pack("=HI", 42, 8))
    entry = f"=HH{offset}"
    size = struct.calcsize(f"={count}") + len(entries) * (struct.calcsize(entry) + room) + room
    table, values_behind = struct.pack(f"={count}", len(entries)), b""
    for tag, kind, values in entries:
        raw = values if isinstance(values, bytes) else struct.pack(f"={len(values)}{CODES[kind]}", *values)
        table += struct.pack(entry, tag, kind, len(values))
        if len(raw) <= room:
            table += raw.ljust(room, b"\0")
        else:
            table += struct.pack(f"={offset}", len(header) + size + len(values_behind))
            values_behind += raw + b"\0" * (-len(raw) % 8)
    return header + table + bytes(room) + values_behind


def read_tags(path: Path) -> dict[int, tuple[float, ...] | bytes]:
    """The tags of a file's first page. Raises BadInput if it is no TIFF, and OSError."""
    with path.open("rb") as file:
        try:
            return dict(_tags(file))
        except (struct.error, ValueError, KeyError, OverflowError, MemoryError):
            raise BadInput(f"{path} is no TIFF file, or it is damaged") from None


def _tags(file: IO[bytes]) -> Iterator[tuple[int, tuple[float, ...] | bytes]]:
    order = ORDERS[file.read(2)]

    def take(code: str) -> tuple[int, ...]:
        return struct.unpack(order + code, file.read(struct.calcsize(order + code)))

    (version,) = take("H")
    big = {42: False, 43: True}[version]
    room, offset = (8, "Q") if big else (4, "I")
    if big:
        take("HH")
    file.seek(take(offset)[0])
    for _ in range(take("Q" if big else "H")[0]):
        tag, kind, count = take(f"HH{offset}")
        inline, after = file.read(room), file.tell()
        if kind not in CODES:
            continue
        code = f"{order}{count}{CODES[kind]}"
        raw = inline
        if struct.calcsize(code) > room:
            file.seek(struct.unpack(order + offset, inline)[0])
            raw = file.read(struct.calcsize(code))
            file.seek(after)
        values = struct.unpack(code, raw[: struct.calcsize(code)])
        yield tag, values[0] if code.endswith("s") else values


class Reader:
    """The pixels of a file that the worker has written as it was asked to: uncompressed, in strips."""

    def __init__(self, path: Path) -> None:
        """Raises BadInput if the file is not such a one, and OSError."""
        self.path = path
        with path.open("rb") as file:
            self._swapped = file.read(2) != OWN_MARK
        tags = read_tags(path)

        def numbers(tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
            return tuple(int(value) for value in tags.get(tag, default))

        self.layout = layout_of(tags)
        self._rows = min(numbers(STRIP_ROWS, (self.layout.height,))[0], self.layout.height)
        self._offsets = numbers(OFFSETS)
        plain = numbers(COMPRESSION, (1,)) == (1,) and TILE_OFFSETS not in tags
        pixelwise = numbers(PLANAR, (1,)) == (1,) or self.layout.channels == 1
        if not plain or not pixelwise or self._swapped or len(self._offsets) * self._rows < self.layout.height:
            raise BadInput(f"{path} is not laid out as GIMP needs it; expected uncompressed strips, pixel by pixel")

    def rows(self, first: int, count: int) -> bytes:
        """Some rows. Raises BadInput if the file ends before them."""
        parts = []
        with self.path.open("rb") as file:
            while count > 0:
                strip, skipped = divmod(first, self._rows)
                taken = min(self._rows - skipped, count)
                file.seek(self._offsets[strip] + skipped * self.layout.row_bytes)
                parts.append(file.read(taken * self.layout.row_bytes))
                first, count = first + taken, count - taken
                if len(parts[-1]) != taken * self.layout.row_bytes:
                    raise BadInput(f"{self.path} ends too early")
        return b"".join(parts)


def layout_of(tags: Numbers) -> Layout:
    """What the pixels of a file are. Raises BadInput if it is nothing that a `Layout` can say."""
    channels = int(tags.get(SAMPLES, (1,))[0])
    bits, formats = set(tags.get(BITS, (1,))), set(tags.get(SAMPLE_FORMAT, (1,)))
    if len(bits) != 1 or formats not in ({1}, {3}) or not bits <= {8, 16, 32, 64} or WIDTH not in tags:
        raise BadInput(f"pixels of {sorted(bits)} bits in the formats {sorted(formats)} are nothing that GIMP has")
    width, height = int(tags[WIDTH][0]), int(tags[HEIGHT][0])
    return Layout(width=width, height=height, channels=channels, floating=formats == {3}, bits=int(bits.pop()))
