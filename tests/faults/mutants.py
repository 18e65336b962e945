"""Damaged files: deterministic mutations of real ones, and files that nobody should have made."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutant(parents: Sequence[bytes], seed: int) -> bytes:
    """The ``seed``-th damaged file: one to four mutations of one of the parents."""
    rng = np.random.default_rng([5, seed])
    data = bytearray(parents[int(rng.integers(len(parents)))])
    for _ in range(int(rng.integers(1, 5))):
        MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, parents, rng)
    return bytes(data)


def _flip(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    """An extreme number, in either byte order, mostly near an end, where headers and directories are."""
    value, size = EXTREMES[int(rng.integers(len(EXTREMES)))], int(rng.choice([1, 2, 4, 8]))
    place = _place(data, rng)
    order = "little" if rng.random() < 0.7 else "big"
    data[place : place + size] = (value & (256**size - 1)).to_bytes(size, order)


def _truncate(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _erase(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    place, length = _place(data, rng), int(rng.integers(1, 64))
    data[place : place + length] = bytes(min(length, len(data) - place))


def _cut(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    del data[place : place + int(rng.integers(1, 64))]


def _insert(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    data[place:place] = rng.bytes(int(rng.integers(1, 64)))


def _splice(data: bytearray, parents: Sequence[bytes], rng: np.random.Generator) -> None:
    """Half of another file behind half of this one."""
    other = parents[int(rng.integers(len(parents)))]
    data[len(data) // 2 :] = other[len(other) // 2 :]


MUTATIONS = (_flip, _flip, _overwrite, _overwrite, _overwrite, _truncate, _erase, _cut, _insert, _splice)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, but half of the time within the first or last 400 bytes."""
    if not data:
        return 0
    if rng.random() < 0.5:
        near = int(rng.integers(min(400, len(data))))
        return near if rng.random() < 0.6 else len(data) - 1 - near
    return int(rng.integers(len(data)))


def oddities(address: str, secret: Path) -> Iterator[tuple[str, bytes]]:
    """Hand-made files: name and content. They name ``address`` (a server) and ``secret`` (a file)."""
    yield "empty.tif", b""
    yield "text.tif", b"this is not a raster\n" * 40
    yield "zeros.png", bytes(4096)
    yield "html.jpg", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "pointer.tif", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    yield "bomb.png", _png(60_000, 60_000)
    yield "flat.png", _png(1, 2_000_000_000)
    yield "huge.tif", _tiff(width=2**31 - 1, height=2**31 - 1)
    yield "none.tif", _tiff(width=0, height=0)
    yield "bands.tif", _tiff(width=4, height=4, samples=65_535)
    yield "bits.tif", _tiff(width=4, height=4, bits=57)
    yield "loop.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"
    raw = f"<SourceFilename>{secret}</SourceFilename>"
    for name, body in {
        "raw.vrt": f'<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">{raw}</VRTRasterBand>',
        "simple.vrt": f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{raw}</SimpleSource></VRTRasterBand>',
        "remote.vrt": '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>/vsicurl/'
        f"{address}/a.tif</SourceFilename></SimpleSource></VRTRasterBand>",
        "python.vrt": '<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>f'
        "</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>def f(*a):"
        f" open({str(secret)!r}, 'w')</PixelFunctionCode></VRTRasterBand>",
    }.items():
        text = f'<VRTDataset rasterXSize="8" rasterYSize="8">{body}</VRTDataset>'.encode()
        yield name, text
        yield f"{name}.tif", text
    service = f'<GDAL_WMS><Service name="TMS"><ServerUrl>{address}/${{z}}</ServerUrl></Service></GDAL_WMS>'.encode()
    yield "service.tif", service
    yield "service.xml", service
    yield "drawing.svg", f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}/a.png"/></svg>'.encode()
    yield "page.pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n"


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def _tiff(*, width: int, height: int, samples: int = 1, bits: int = 8) -> bytes:
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: samples, 278: height or 1, 279: 16}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8) + directory
