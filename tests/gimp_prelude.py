"""What scripts inside GIMP share; they run after this file, in the same namespace, and fill `answer`.

It is no module: GIMP's Python console has `Gimp` and the others already.
"""

# ruff: noqa: E402, F821, F401 - names that GIMP's console gives, and that scripts use

import base64
import json
import os
import struct

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
from gi.repository import Babl, Gegl, Gio, GLib, GObject

Gegl.init(None)
answer = {}


def call(image, drawables, mode=Gimp.RunMode.NONINTERACTIVE, **options):
    """Run the plug-in; its status, new image, new layer and message."""
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-zido")
    config = procedure.create_config()
    config.set_property("run-mode", mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", drawables)
    for name, value in options.items():
        config.set_property(name.replace("_", "-"), value)
    values = procedure.run(config)
    status = values.index(0)
    if status != Gimp.PDBStatusType.SUCCESS:
        error = values.index(1) if values.length() > 1 else None
        return status.value_nick, None, None, getattr(error, "message", str(error))
    return status.value_nick, values.index(1), values.index(2), None


def make(precision, kind, pixels, *, width, height, margin=0):
    """An image with one layer, filled with these bytes of its own format; profiles come later."""
    base = {"RGB": Gimp.ImageBaseType.RGB, "GRAY": Gimp.ImageBaseType.GRAY}[kind.replace("A_", "_").split("_")[0]]
    image = Gimp.Image.new_with_precision(width, height, base, getattr(Gimp.Precision, precision))
    layer = Gimp.Layer.new(image, "layer", width, height, getattr(Gimp.ImageType, kind), 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    write(layer, pixels)
    return image, layer


def write(layer, pixels):
    rectangle = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    form = Babl.format_get_encoding(layer.get_format())
    expected = Babl.format_get_bytes_per_pixel(layer.get_format()) * layer.get_width() * layer.get_height()
    assert len(pixels) == expected, (len(pixels), expected)
    buffer = layer.get_buffer()
    buffer.set(rectangle, form, pixels)
    buffer.flush()
    layer.update(0, 0, layer.get_width(), layer.get_height())


def read(drawable, form=None):
    """All of a drawable, in its own format unless another is named."""
    rectangle = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    return bytes(drawable.get_buffer().get(rectangle, 1.0, form, Gegl.AbyssPolicy.NONE))


def text(raw):
    return base64.b64encode(raw).decode()


def load(path):
    return Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))


def save(image, path):
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path), None)
