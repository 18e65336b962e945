#!/usr/bin/env python3
"""The plug-in that GIMP loads. It needs GIMP's own Python only; the work is done by another one.

GIMP runs this file once to ask what it offers, and again for each use. Its modules are `zido.gimp.*`, beside `plugin`
and `zido_core`: in this file's folder where it is installed, one folder above in the repository.
"""

from __future__ import annotations

import sys
import traceback
import types
from pathlib import Path

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GLib, GObject  # noqa: E402

PROCEDURE = "plug-in-zido"
MENU = "<Image>/Filters/Enhance"
BLURB = "Upscale by diffusion, with a local prompt for every tile"
HELP = (
    "Enlarges the selected layer, or the selected part of it, into a new image; at scale 1 it puts a refined layer "
    "above. Precision, colour profile, resolution and place on the ground are kept. Fine detail is synthesised: good "
    "to look at, not to measure."
)


def _make_package() -> None:
    """Make the folder that holds `plugin` and `zido_core` the package `zido`, whatever it is called."""
    here = Path(__file__).resolve().parent
    package = types.ModuleType("zido")
    package.__path__ = [str(here if (here / "plugin").is_dir() else here.parent)]
    sys.modules["zido"] = package


_make_package()

from zido.gimp.arguments import add_arguments  # noqa: E402


class Zido(Gimp.PlugIn):
    """One procedure, in the menu and for scripts."""

    def do_query_procedures(self) -> list[str]:
        """Asked by GIMP."""
        return [PROCEDURE]

    def do_set_i18n(self, name: str) -> bool:
        """There are no translations."""
        return False

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        """Asked by GIMP."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, self.run, None)
        procedure.set_image_types("*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label("_zido…")
        procedure.add_menu_path(MENU)
        procedure.set_documentation(BLURB, HELP, name)
        procedure.set_attribution("The zido authors", "The zido authors", "2026")
        add_arguments(procedure)
        flags = GObject.ParamFlags.READWRITE
        procedure.add_image_return_value("new-image", "New image", "The result, unless it is a layer", True, flags)
        procedure.add_layer_return_value("new-layer", "New layer", "The result, at scale 1", True, flags)
        return procedure

    def run(
        self,
        procedure: Gimp.Procedure,
        mode: Gimp.RunMode,
        image: Gimp.Image,
        drawables: list[Gimp.Drawable],
        config: Gimp.ProcedureConfig,
        data: object,
    ) -> Gimp.ValueArray:
        """Called by GIMP. Whatever happens, it gets a status and a text, as it shows nothing of exceptions."""
        from zido.gimp import upscaling, work
        from zido.zido_core.errors import ZidoError

        try:
            results = upscaling.run(mode, image, drawables, config)
        except work.Stopped:
            return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, GLib.Error())
        except (work.Refused, ZidoError) as error:
            return _failed(procedure, str(error))
        except Exception as error:
            traceback.print_exc()
            return _failed(procedure, f"zido has a bug: {type(error).__name__}: {error}")
        values = procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())
        for place, (kind, value) in enumerate(zip((Gimp.Image, Gimp.Layer), results, strict=True), 1):
            values.remove(place)
            values.insert(place, GObject.Value(kind, value))
        return values


def _failed(procedure: Gimp.Procedure, message: str) -> Gimp.ValueArray:
    error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), message, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)


Gimp.main(Zido.__gtype__, sys.argv)
