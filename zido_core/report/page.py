"""The page itself: values in, one self-contained HTML text out.

It asks for nothing from outside and runs only its own script: the content security policy names the hashes of the one
style sheet and the one script. Every text is escaped: prompts and file names come from strangers.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..manifest import STATEMENT
from ..tiling.grid import Size, Tile
from .table import Table

Picture = NDArray[np.uint8]
"""(height, width, 3), as shown on the screen."""

LARGEST = 5 * 2**20
"""Most bytes of a page: what mail and issue trackers still take."""

QUALITIES = (90, 80, 70, 55, 40, 25)
"""JPEG qualities of the pictures, from the one tried first."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Two pictures of the same place, under one slider."""

    title: str
    """What is to be seen."""
    names: tuple[str, str]
    """Of the left and the right picture."""
    pictures: tuple[Picture, Picture]
    """Both of one size."""
    window: Tile | None = None
    """Where it lies on the overview."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A tile on the overview."""

    window: Tile
    """Where it lies."""
    text: str
    """Its prompt."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The whole image, small, under its tiles."""

    picture: Picture
    """What is shown."""
    size: Size
    """Of the image in the pixels in which windows are given."""
    outlines: Sequence[Outline] = ()
    """The tiles."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that is on a page, from top to bottom."""

    title: str
    """Headline."""
    warnings: Sequence[str] = ()
    """What the reader must know first."""
    overview: Overview | None = None
    """The image as a whole."""
    places: Sequence[Place] = ()
    """The places worth a look."""
    tables: Sequence[Table] = ()
    """Figures, options, hashes; the first column names the row."""


def as_html(page: Page) -> str:
    """The page as text; pictures are compressed more where it would grow beyond ``LARGEST``."""
    for quality in QUALITIES:
        text = "\n".join(_parts(page, quality)) + "\n"
        if len(text) <= LARGEST:
            break
    return text


def _parts(page: Page, quality: int) -> Iterator[str]:
    style, script = _asset("page.css"), _asset("page.js")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}; base-uri 'none'; form-action 'none'\">"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(page.title)}</title>\n<style>{style}</style>\n</head>\n<body>"
    yield f'<h1>{escape(page.title)}</h1>\n<p class="statement">{escape(STATEMENT)}</p>'
    if page.warnings:
        yield f'<ul class="warnings">{"".join(f"<li>{escape(text)}</li>" for text in page.warnings)}</ul>'
    if page.overview is not None:
        yield "<h2>Overview</h2>"
        yield from _overview(page.overview, page.places, quality)
    if page.places:
        yield "<h2>Places</h2>"
        for number, place in enumerate(page.places, 1):
            yield from _place(number, place, quality)
    if page.tables:
        yield "<h2>Figures</h2>"
        for table in page.tables:
            yield from _table(table)
    yield f"<script>{script}</script>\n</body>\n</html>"


def _overview(overview: Overview, places: Sequence[Place], quality: int) -> Iterator[str]:
    height, width = overview.size
    yield f'<div class="overview">{_image(overview.picture, "the whole image", quality)}'
    yield f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="tiles and places">'
    for outline in overview.outlines:
        yield f"{_rectangle(outline.window)}<title>{escape(outline.text)}</title></rect>"
    for number, place in enumerate(places, 1):
        if place.window is not None:
            row, col = place.window.row, place.window.col
            letter = f'<text x="{col}" y="{row}" dy="1em" font-size="{max(height, width) / 40:g}">{number}</text>'
            title = f"<title>{escape(place.title)}</title>"
            yield f'<a href="#place-{number}">{_rectangle(place.window)}{title}</rect>{letter}</a>'
    yield "</svg></div>"


def _rectangle(window: Tile) -> str:
    return f'<rect x="{window.col}" y="{window.row}" width="{window.width}" height="{window.height}">'


def _place(number: int, place: Place, quality: int) -> Iterator[str]:
    yield f'<figure id="place-{number}"><figcaption>{number}. {escape(place.title)}</figcaption>\n<div class="pair">'
    for name, picture in zip(place.names, place.pictures, strict=True):
        yield f"<div>{_image(picture, f'{place.title}: {name}', quality)}<span>{escape(name)}</span></div>"
    yield "</div></figure>"


def _table(table: Table) -> Iterator[str]:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.headings)
    yield f'<div class="wide"><table><caption>{escape(table.title)}</caption><thead><tr>{head}</tr></thead><tbody>'
    for first, *others in table.rows:
        cells = "".join(f"<td>{escape(text)}</td>" for text in others)
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _image(picture: Picture, name: str, quality: int) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling=0)
    height, width = picture.shape[:2]
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{escape(name)}">'


@cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
