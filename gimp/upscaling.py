"""The whole way: from GIMP's image to a file, to the worker, and back into GIMP."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gi.repository import Gegl, Gimp

from ..plugin import environment
from ..zido_core import __version__
from ..zido_core.catalog import describe
from ..zido_core.job import Job
from ..zido_core.options import Options
from . import pixels, placing, window, work
from .arguments import options_from, remember
from .first_time import make_environment
from .original import original_of
from .pixels import Area
from .placing import Request
from .scratch import scratch_folder
from .work import Refused

SURROUNDINGS = 64
"""Pixels around a selection that the model sees as well."""

AS_IT_IS = ("COMPRESS=NONE", "TILED=NO", "INTERLEAVE=PIXEL")
"""Creation options of a file that `tiff.Reader` reads."""

Results = tuple[Gimp.Image | None, Gimp.Layer | None]
"""A new image, or else a new layer."""


def run(
    mode: Gimp.RunMode, image: Gimp.Image, drawables: Sequence[Gimp.Drawable], config: Gimp.ProcedureConfig
) -> Results:
    """Do what the arguments say, or in interactive mode what the user says in zido's window.

    Raises ZidoError, and what `work` raises.
    """
    Gegl.init(None)
    layer = _one_layer(drawables)
    options = options_from(config)
    Gimp.progress_init("zido: starting")
    python = _python(mode)
    with scratch_folder(Path(Gimp.temp_directory())) as folder:
        request = _request(image, layer)
        source = _hand_over(request, folder, python)
        if mode == Gimp.RunMode.INTERACTIVE:
            options, python = _ask(request, python, source, options, folder)
            remember(config, options)
        output = folder / "result.tif"
        asked = Job(input=str(source), output=str(output), options=_tailored(options, request))
        result = work.upscale(python, asked)
        results = _placed(request, result.path, options)
    if results[0] is not None and mode != Gimp.RunMode.NONINTERACTIVE:
        with contextlib.suppress(TypeError):  # GIMP's console has no displays
            Gimp.Display.new(results[0])
    Gimp.displays_flush()
    Gimp.progress_end()
    if result.warnings:
        Gimp.message("zido: " + "\n".join(dict.fromkeys(result.warnings)))
    return results


def _python(mode: Gimp.RunMode) -> str:
    """The Python that does the work."""
    place = environment.find()
    if isinstance(place, environment.Found):
        return place.python
    if mode == Gimp.RunMode.INTERACTIVE and not os.environ.get("ZIDO_PYTHON"):
        return make_environment(place)
    advice = "Install zido in a Python, and run with it: python -m zido_core install-plugin gimp"
    raise Refused(f"{place.reason} {advice}")


def _one_layer(drawables: Sequence[Gimp.Drawable]) -> Gimp.Layer:
    if len(drawables) != 1:
        raise Refused(f"zido works on one layer, and {len(drawables)} are selected; select one")
    (layer,) = drawables
    if not isinstance(layer, Gimp.Layer):
        raise Refused("zido works on layers, and a channel or mask is selected; select a layer")
    return layer


def _request(image: Gimp.Image, layer: Gimp.Layer) -> Request:
    meet, x, y, width, height = layer.mask_intersect()
    if not meet or not width or not height:
        raise Refused("the selection and the layer have no pixel in common; select a part of the layer, or nothing")
    left, top = max(x - SURROUNDINGS, 0), max(y - SURROUNDINGS, 0)
    right = min(x + width + SURROUNDINGS, layer.get_width())
    bottom = min(y + height + SURROUNDINGS, layer.get_height())
    return Request(
        image=image,
        layer=layer,
        wanted=Area(x=x, y=y, width=width, height=height),
        handed=Area(x=left, y=top, width=right - left, height=bottom - top),
        exchange=pixels.exchange_of(layer),
    )


def _hand_over(request: Request, folder: Path, python: str) -> Path:
    """The file that the worker gets."""
    path = folder / "image.tif"
    pixels.save(request.layer, request.handed, request.exchange, path, placing.geo_of(request))
    return original_of(request.image, path, python) or path


def _ask(request: Request, python: str, source: Path, options: Options, folder: Path) -> tuple[Options, str]:
    """What the user wants. The window begins with what suits this image; where that stays, it is not remembered."""
    suited = _suited(options, request)
    begin = dataclasses.replace(options, **suited)
    answer = window.ask(python, source, begin, folder, f"zido: {request.image.get_name()}")
    untouched = {
        name: getattr(options, name) for name, value in suited.items() if getattr(answer.options, name) == value
    }
    return dataclasses.replace(answer.options, **untouched), answer.python


def _tailored(options: Options, request: Request) -> Options:
    """The options for a file that only GIMP will read."""
    values: dict[str, Any] = {"creation_options": AS_IT_IS, "overwrite": True, "cog": False, "keep_work": False}
    values |= {"dry_run": False, "resume": False}
    values |= {"dtype": None, "nodata": None, "bands": None, "extra_bands": "bicubic"}
    return dataclasses.replace(options, **values | _suited(options, request))


def _suited(options: Options, request: Request) -> dict[str, Any]:
    """What the user has left open, for a picture: TIFF files are taken for rasters, which these are on the ground."""
    model = describe(options.model)
    values: dict[str, Any] = {}
    if placing.parasites_of(request.image):
        return values
    if options.consistency == "auto":
        values["consistency"] = model.consistency_photo
    if options.color_fix is None:
        values["color_fix"] = model.color_fix_photo
    if options.stretch == "auto" and not request.exchange.linear:
        values["stretch"] = "none"  # black is 0, white is 1 or the largest number, as GIMP shows them
    return values


def _placed(request: Request, path: Path, options: Options) -> Results:
    scale = pixels.check_result(path, request.exchange).width / request.handed.width
    title = f"zido {scale:.3g}× ({options.model})"
    if scale != 1 or request.exchange.own is None:
        made_by = json.dumps({"zido": __version__, "scale": scale, "options": options.to_dict()}, ensure_ascii=False)
        return placing.new_image(request, path, title, made_by), None
    return None, placing.new_layer(request, path, title)
