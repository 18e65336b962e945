"""What becomes of a result: a new image, or a layer above the one it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gi.repository import Gegl, Gimp

from . import georef, pixels
from .pixels import Area, Exchange
from .tiff import Layout

MADE_BY = "zido"
"""Name of the parasite that says how a result was made, as JSON."""

KEPT = 1
"""GIMP's flag of parasites that are saved with the image."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What of which image was handed over."""

    image: Gimp.Image
    """The user's image."""

    layer: Gimp.Layer
    """Its layer that was selected."""

    wanted: Area
    """The part of the layer that the user sees changed."""

    handed: Area
    """That part with its surroundings, which the model sees."""

    exchange: Exchange
    """How its pixels travel."""


def parasites_of(image: Gimp.Image) -> dict[str, bytes]:
    """What says where the image lies on the ground."""
    names = [name for name in image.get_parasite_list() if name in georef.PARASITES]
    return {name: bytes(number & 255 for number in image.get_parasite(name).get_data()) for name in names}


def geo_of(request: Request) -> dict[int, tuple[float, ...] | bytes]:
    """Where what was handed over lies on the ground."""
    x, y = _offsets(request.layer)
    window = georef.Window(x0=x + request.handed.x, y0=y + request.handed.y)
    return georef.moved(georef.from_parasites(parasites_of(request.image)), window)


def new_image(request: Request, path: Path, name: str, made_by: str) -> Gimp.Image:
    """The result as an image of its own: with the colour profile, resolution and place of the user's."""
    source = request.image
    image, layer, window = _read(request, path, name)
    scales = (window.sx, window.sy)
    for key, raw in georef.to_parasites(georef.moved(georef.from_parasites(parasites_of(source)), window)).items():
        _attach(image, key, raw)
    _attach(image, MADE_BY, made_by.encode())
    metadata = source.get_metadata()
    if metadata is not None:
        image.set_metadata(metadata)
    _, *resolution = source.get_resolution()
    image.set_resolution(*(number * scale for number, scale in zip(resolution, scales, strict=True)))
    _mask_by_selection(request, layer)
    image.undo_enable()
    return image


def new_layer(request: Request, path: Path, name: str) -> Gimp.Layer:
    """The result as a layer above the one it was made from, masked by the selection; one step to undo."""
    image, below = request.image, request.layer
    made, read, _ = _read(request, path, name)
    image.undo_group_start()
    try:
        layer = Gimp.Layer.new_from_drawable(read, image)
        layer.set_name(name)
        parent = below.get_parent()
        image.insert_layer(layer, parent, image.get_item_position(below))
        x, y = _offsets(below)
        layer.set_offsets(x + request.wanted.x, y + request.wanted.y)
        if not Gimp.Selection.is_empty(image):
            layer.add_mask(layer.create_mask(Gimp.AddMaskType.SELECTION))
    finally:
        image.undo_group_end()
        made.delete()
    return layer


def _read(request: Request, path: Path, name: str) -> tuple[Gimp.Image, Gimp.Layer, georef.Window]:
    """The wanted part of the result in an image of its own, and which part of the user's image it shows."""
    layout = pixels.check_result(path, request.exchange)
    part, window = _within(request, layout)
    gray = layout.channels < 3
    precision = Gimp.Precision.U8_NON_LINEAR if request.exchange.own is None else request.image.get_precision()
    base = Gimp.ImageBaseType.GRAY if gray else Gimp.ImageBaseType.RGB
    image = Gimp.Image.new_with_precision(part.width, part.height, base, precision)
    image.undo_disable()
    kinds: Mapping[int, Gimp.ImageType] = {
        1: Gimp.ImageType.GRAY_IMAGE,
        2: Gimp.ImageType.GRAYA_IMAGE,
        3: Gimp.ImageType.RGB_IMAGE,
        4: Gimp.ImageType.RGBA_IMAGE,
    }
    layer = Gimp.Layer.new(image, name, part.width, part.height, kinds[layout.channels], 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    pixels.load(path, part, layer, request.exchange)
    profile = request.image.get_color_profile()
    if profile is not None and request.exchange.own is not None:  # colours of a palette have come out as sRGB
        image.set_color_profile(profile)
    return image, layer, window


def _within(request: Request, layout: Layout) -> tuple[Area, georef.Window]:
    """Where the wanted part lies in the result, in whole pixels, and what it shows of the user's image."""
    wanted, handed = request.wanted, request.handed
    sx, sy = layout.width / handed.width, layout.height / handed.height
    left, top = round((wanted.x - handed.x) * sx), round((wanted.y - handed.y) * sy)
    right, bottom = (
        round((wanted.x - handed.x + wanted.width) * sx),
        round((wanted.y - handed.y + wanted.height) * sy),
    )
    x, y = _offsets(request.layer)
    window = georef.Window(x0=x + handed.x + left / sx, y0=y + handed.y + top / sy, sx=sx, sy=sy)
    return Area(x=left, y=top, width=max(right - left, 1), height=max(bottom - top, 1)), window


def _mask_by_selection(request: Request, layer: Gimp.Layer) -> None:
    """Give the new image's layer the enlarged selection as its mask, unless that shows everything."""
    if Gimp.Selection.is_empty(request.image):
        return
    x, y = _offsets(request.layer)
    wanted = request.wanted
    area = Area(x=x + wanted.x, y=y + wanted.y, width=wanted.width, height=wanted.height)
    selected = bytes(request.image.get_selection().get_buffer().get(area.rectangle, 1.0, "Y u8", Gegl.AbyssPolicy.NONE))
    if selected.count(255) == len(selected):
        return
    width, height = layer.get_width(), layer.get_height()
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    layer.add_mask(mask)
    buffer = mask.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), "Y u8", _enlarged(selected, wanted, width, height))
    buffer.flush()
    mask.update(0, 0, width, height)


def _enlarged(selected: bytes, area: Area, width: int, height: int) -> bytes:
    """A selection of that area at another size."""
    image = Gimp.Image.new_with_precision(area.width, area.height, Gimp.ImageBaseType.GRAY, Gimp.Precision.U8_LINEAR)
    image.undo_disable()
    layer = Gimp.Layer.new(image, "", area.width, area.height, Gimp.ImageType.GRAY_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, area.width, area.height), "Y u8", selected)
    buffer.flush()
    Gimp.context_push()
    Gimp.context_set_interpolation(Gimp.InterpolationType.LINEAR)
    layer.scale(width, height, False)
    Gimp.context_pop()
    enlarged = bytes(
        layer.get_buffer().get(Gegl.Rectangle.new(0, 0, width, height), 1.0, "Y u8", Gegl.AbyssPolicy.NONE)
    )
    image.delete()
    return enlarged


def _attach(image: Gimp.Image, name: str, raw: bytes) -> None:
    image.attach_parasite(Gimp.Parasite.new(name, KEPT, [number - 256 if number > 127 else number for number in raw]))


def _offsets(layer: Gimp.Layer) -> tuple[int, int]:
    _, x, y = layer.get_offsets()
    return x, y
