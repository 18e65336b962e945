"""Whether the user wants an algorithm to stop.

`qgis_process` gets Ctrl-C as an event, and lets events through only while it shows progress, every two seconds at most
(with ``--json``, never). An algorithm that waits for its first progress would wait as long to hear it.
"""

from __future__ import annotations

from collections.abc import Callable

from qgis.core import QgsApplication, QgsProcessingFeedback
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QThread


def is_without_windows() -> bool:
    """Whether this is `qgis_process`: nobody can press anything while events go through, and a stop ends it."""
    return bool(QgsApplication.platform() == "qgis_process")


def asked_to_stop(feedback: QgsProcessingFeedback) -> Callable[[], bool]:
    """What says so; to be asked often, in the thread of the algorithm."""
    application = QCoreApplication.instance()
    hears = is_without_windows() and QThread.currentThread() == application.thread()

    def stopped() -> bool:
        if hears:
            QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        return bool(feedback.isCanceled())

    return stopped
