"""The one door to Qt: QGIS's own binding where this is QGIS, else PyQt5 or PyQt6.

Everybody else imports from here, and spells enums in full (`Qt.Key.Key_F`), which both versions understand.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from ..zido_core.errors import ModelMissing

if TYPE_CHECKING:
    from PyQt5 import QtCore, QtGui, QtWidgets
    from PyQt5.QtCore import pyqtSignal as Signal
else:

    def _binding() -> str:
        """The package to import; `QT_API` has its usual meaning."""
        if "qgis.utils" in sys.modules:
            return "qgis.PyQt"
        known = {"pyqt5": "PyQt5", "pyqt6": "PyQt6"}
        asked = known.get(os.environ.get("QT_API", "").lower())
        reasons = {}
        for name in [asked] if asked else known.values():
            try:
                importlib.import_module(f"{name}.QtWidgets")
            except ModuleNotFoundError:
                continue
            except ImportError as error:  # it is here, and a library of the system is not
                reasons[name] = str(error)
            else:
                return name
        for name, reason in reasons.items():
            raise ModelMissing(
                f"{name} does not load ({reason}); install that library, on Debian and Ubuntu with: "
                "apt-get install libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon0"
            )
        raise ModelMissing(
            f"this Python ({sys.executable}) has no Qt for the window; install it there with: pip install PyQt5"
        )

    _name = _binding()
    QtCore = importlib.import_module(f"{_name}.QtCore")
    QtGui = importlib.import_module(f"{_name}.QtGui")
    QtWidgets = importlib.import_module(f"{_name}.QtWidgets")
    Signal = QtCore.pyqtSignal

Qt = QtCore.Qt

__all__ = ["Qt", "QtCore", "QtGui", "QtWidgets", "Signal", "application"]


_kept: list[QtWidgets.QApplication] = []
"""The application that was made here; Qt itself does not keep it."""


def application(name: str) -> QtWidgets.QApplication:
    """The application that runs, or a new one that is sharp on any screen."""
    running = QtWidgets.QApplication.instance()
    if isinstance(running, QtWidgets.QApplication):
        return running
    for attribute in ("AA_EnableHighDpiScaling", "AA_UseHighDpiPixmaps"):  # Qt 6 always does so
        if hasattr(Qt.ApplicationAttribute, attribute):
            QtCore.QCoreApplication.setAttribute(getattr(Qt.ApplicationAttribute, attribute))
    made = QtWidgets.QApplication([name])
    _kept.append(made)
    made.setApplicationName(name)
    made.setApplicationDisplayName(name)
    return made
