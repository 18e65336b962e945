"""``zido window``: the window on its own, as another process; zido_core itself knows nothing of windows."""

from __future__ import annotations

import subprocess  # nosec B404
import sys

import click

from .plugin_files import source


@click.command(
    "window",
    help="Open the window: preview, upscale, compare (docs/dialog.md). Needs PyQt5 or PyQt6.",
    short_help="Open the window: preview, upscale, compare.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[INPUT]")
def window(arguments: tuple[str, ...]) -> int:
    command = [sys.executable, str(source() / "plugin"), *arguments]
    return subprocess.call(command)  # a list, which no shell sees  # nosec B603
