"""Where no Python with zido is found, its own environment can be made from here, if the user wants."""

from __future__ import annotations

import gi

from ..plugin import environment
from ..plugin.torch_build import GIB, Build, build_for
from .work import Bar, Stopped, orphaned


def make_environment(missing: environment.Missing) -> str:
    """Ask, and make it; the path of its Python. Raises Stopped, and ZidoError."""
    build = build_for("auto")
    if not _agrees(missing, build):
        raise Stopped
    bar = Bar()
    return environment.create(on_event=bar.show, cancelled=orphaned).python


def _agrees(missing: environment.Missing, build: Build) -> bool:
    # Only here, as GIMP's console and other systems' GIMP run without.
    gi.require_version("Gtk", "3.0")
    gi.require_version("GimpUi", "3.0")
    from gi.repository import GimpUi, Gtk

    GimpUi.init("zido")
    question = Gtk.MessageDialog(
        message_type=Gtk.MessageType.QUESTION,
        buttons=Gtk.ButtonsType.NONE,
        text="Create zido's environment now?",
        title="zido",
    )
    question.format_secondary_text(
        f"{missing.reason}\n\nzido can create an environment of its own, with PyTorch ({build.title}). That takes some "
        f"minutes and up to {build.room / GIB:.0f} GB of disk, and downloads packages from the network. GIMP itself "
        "is not changed.\n\nIf you have zido already, cancel, and run there:\npython -m zido_core install-plugin gimp"
    )
    question.add_button("_Cancel", Gtk.ResponseType.CANCEL)
    question.add_button("C_reate", Gtk.ResponseType.ACCEPT)
    question.set_default_response(Gtk.ResponseType.CANCEL)
    answer = question.run()
    question.destroy()
    while Gtk.events_pending():
        Gtk.main_iteration()
    return bool(answer == Gtk.ResponseType.ACCEPT)
