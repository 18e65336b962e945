"""Entry point of the QGIS plugin: the repository root is its folder. The work is done by `zido_core`."""

from __future__ import annotations

import sys
from typing import Any


def classFactory(iface: Any) -> object:
    """Called by QGIS when the plugin is switched on; ``iface`` is None in ``qgis_process``."""
    if sys.version_info < (3, 11):  # noqa: UP036 - QGIS brings its own
        return _TooOld(iface)
    from .qgis.shell import ZidoPlugin

    return ZidoPlugin(iface)


class _TooOld:
    """Stands in for the plugin where Python cannot even read its code, and says so, without a traceback."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface

    def initGui(self) -> None:
        self.iface.messageBar().pushWarning("zido", self.message())

    def initProcessing(self) -> None:
        print("zido:", self.message(), file=sys.stderr)

    def unload(self) -> None:
        """There is nothing to take back."""

    def message(self) -> str:
        found = ".".join(map(str, sys.version_info[:2]))
        return f"This QGIS has Python {found}, and zido needs 3.11. Install a newer QGIS, such as the current LTR."
