"""Writing photographs: PNG by ourselves, the other formats through Pillow."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from ..errors import OutputFailed
from ..tiling.grid import Tile
from .canvas import Canvas
from .exif import JPEG_LIMIT, edited_exif, edited_xmp, provenance_text
from .gdal import quiet_warnings, session
from .output import OutputWriter
from .png import LEVEL, density_chunk, profile_chunk, text_chunk, write_png

ICC_SPACES = {1: b"GRAY", 3: b"RGB "}
"""Colour space that a profile must have, by the number of colour bands."""


class PhotoWriter(OutputWriter):
    """Collects the pixels, then encodes them from top to bottom.

    Bands are stored as gray or red, green, blue, then alpha, whatever their order in the input.
    """

    _canvas: Canvas | None = None
    _encoded: int | None = None

    def _open(self) -> None:
        names = [band.interpretation for band in self.spec.bands]
        colours = [at for at in range(len(names)) if at != self.spec.alpha]
        if {names[at] for at in colours} == {"red", "green", "blue"}:
            colours.sort(key=lambda at: ("red", "green", "blue").index(names[at]))
        self._order = colours if self.spec.alpha is None else [*colours, self.spec.alpha]
        self._colours = len(colours)
        self._canvas = Canvas(self._part.target.parent, self.spec.size, self.spec.count, self.spec.dtype)
        self._part.path.touch()

    def _put(self, planes: NDArray[Any], window: Tile) -> None:
        assert self._canvas is not None
        self._canvas.write(planes[self._order], window)

    def _finish(self) -> None:
        assert self._canvas is not None
        if self.spec.format.driver == "PNG":
            with self._part.path.open("wb") as file:
                write_png(
                    file,
                    self.spec.size,
                    self._canvas.rows(),
                    channels=self.spec.count,
                    dtype=self.spec.dtype,
                    level=self._number("ZLEVEL", LEVEL),
                    chunks=self._png_chunks(),
                )
            return
        encoded = self._encode(self._canvas.whole())
        self._encoded = zlib.crc32(encoded)
        self._part.path.write_bytes(encoded)

    def _verify(self) -> None:
        if self.spec.format.driver == "PNG":
            with session(), quiet_warnings(), rasterio.open(self._part.path) as dataset:
                self._ledger.verify(lambda tile: self._in_file_order(dataset.read(window=_window(tile))))
            return
        content = self._part.path.read_bytes()
        if zlib.crc32(content) != self._encoded:
            raise OutputFailed(f"{self.spec.path.name} does not read back as it was written; check the disk")
        pixels = self._decode(content)
        self._ledger.verify(lambda tile: self._in_file_order(pixels[:, *tile.slices]), exact=self.spec.format.lossless)

    def _close(self) -> None:
        if self._canvas is not None:
            self._canvas.close()

    @property
    def _taken(self) -> int:
        return super()._taken + (self._canvas.taken if self._canvas else 0)

    def _in_file_order(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Bands as they were handed to `write`, which is what the ledger knows."""
        return stored[np.argsort(self._order)]

    def _encode(self, pixels: NDArray[Any]) -> bytes:
        file = io.BytesIO()
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        try:
            image.save(file, self.spec.format.driver, **self._save_arguments())
        except (ValueError, OSError) as error:
            name = self.spec.format.name
            raise OutputFailed(f"{name} cannot be written: {error}; use .png or .tif") from error
        return file.getvalue()

    def _decode(self, content: bytes) -> NDArray[Any]:
        """(bands, height, width). Not `Image.open`, which takes our own large pictures for an attack."""
        factory, _ = Image.OPEN[self.spec.format.driver]
        image = factory(io.BytesIO(content), "")
        image.load()
        if image.size != (self.spec.size.width, self.spec.size.height):
            name = self.spec.path.name
            raise OutputFailed(f"{name} reads back with a size of {image.size}; use .png or .tif")
        pixels = np.atleast_3d(np.asarray(image))
        return pixels.transpose(2, 0, 1)[: self.spec.count]

    def _save_arguments(self) -> dict[str, Any]:
        driver, arguments = self.spec.format.driver, {}
        if driver == "JPEG":
            arguments = {"quality": self._number("QUALITY", 95), "subsampling": "4:4:4"}
        elif driver == "WEBP":
            unlossy = self.spec.options.get("LOSSLESS", "NO").upper() in ("YES", "TRUE", "ON", "1")
            # Under full transparency, too, the colours stay.
            arguments = {"quality": self._number("QUALITY", 95), "lossless": unlossy, "exact": True}
        elif driver == "AVIF":
            arguments = {"quality": self._number("QUALITY", 90), "subsampling": "4:4:4"}
        if self.spec.dpi is not None and driver in ("JPEG", "BMP"):
            arguments["dpi"] = self.spec.dpi
        if driver == "JPEG" and "comment" in self._texts():
            arguments["comment"] = self._texts()["comment"]
        if driver in ("JPEG", "WEBP", "AVIF"):
            arguments |= self._metadata(limit=JPEG_LIMIT if driver == "JPEG" else None)
        return arguments

    def _metadata(self, limit: int | None) -> dict[str, Any]:
        photo, spec = self.spec.photo, self.spec
        old = photo.exif if photo else None
        exif = edited_exif(old, size=spec.size, dpi=spec.dpi, provenance=self.provenance, limit=limit)
        found: dict[str, Any] = {"exif": exif}
        if photo is not None and photo.xmp is not None:
            xmp = edited_xmp(photo.xmp, spec.size)
            if limit is None or len(xmp) < limit - 29:
                found["xmp"] = xmp
            else:
                self.warnings.append(f"{len(xmp)} bytes of XMP do not fit into {spec.format.name}; left out")
        icc = self._profile()
        if icc is not None:
            found["icc_profile"] = icc
        return found

    def _png_chunks(self) -> list[tuple[bytes, bytes]]:
        photo, chunks = self.spec.photo, []
        icc = self._profile()
        if icc is not None:
            chunks.append(profile_chunk(icc))
        if self.spec.dpi is not None:
            chunks.append(density_chunk(self.spec.dpi))
        if photo is not None and photo.exif is not None:
            exif = edited_exif(photo.exif, size=self.spec.size, dpi=self.spec.dpi, provenance={})
            chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
        if photo is not None and photo.xmp is not None:
            packet = edited_xmp(photo.xmp, self.spec.size).decode("utf-8", "replace")
            chunks.append(text_chunk("XML:com.adobe.xmp", packet))
        chunks += [text_chunk(key, text) for key, text in self._texts().items()]
        chunks.append(text_chunk("Software", "zido"))
        chunks.append(text_chunk("ZIDO", provenance_text(self.provenance)))
        return chunks

    def _texts(self) -> dict[str, str]:
        """Texts of the input that belong to the picture and not to another format or to what made it."""
        tags = self.spec.tags.get("", {})
        ours = {"ZIDO", "Software", "AREA_OR_POINT"}
        return {key: text for key, text in tags.items() if key not in ours and not key.startswith("TIFFTAG_")}

    def _profile(self) -> bytes | None:
        """The ICC profile, if it is one for this number of bands; decoders refuse others."""
        icc = self.spec.photo.icc if self.spec.photo else None
        if icc is None or icc[16:20] == ICC_SPACES[self._colours]:
            return icc
        self.warnings.append("the colour profile is not for these bands and was left out")
        return None

    def _number(self, option: str, default: int) -> int:
        return int(self.spec.options.get(option, default))


def _window(tile: Tile) -> Window:
    return Window(tile.col, tile.row, tile.width, tile.height)
