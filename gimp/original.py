"""Whether an image still is what its file says, so that the worker can be given the file itself.

A GeoTIFF says more than GIMP keeps of it: missing pixels, tags, what its bands are. GIMP may have changed its numbers
on the way in (turned, premultiplied, of a palette, signed), and scripts change pixels without making the image
"dirty". So the numbers are compared.
"""

from __future__ import annotations

from pathlib import Path

from gi.repository import Gimp

from ..plugin.launch import spawn

SUFFIXES = (".tif", ".tiff")

COMPARE = Path(__file__).with_name("same_pixels.py")


def original_of(image: Gimp.Image, copy: Path, python: str) -> Path | None:
    """The file that the image was imported from, if it holds exactly the pixels of ``copy``."""
    file = image.get_imported_file()
    name = file.get_path() if file is not None else None
    if name is None or Path(name).suffix.lower() not in SUFFIXES or image.is_dirty() or not Path(name).is_file():
        return None
    try:
        process = spawn([python, str(COMPARE), name, str(copy)], None, {})
    except OSError:
        return None
    with process:
        process.communicate()
    return Path(name) if process.returncode == 0 else None
