"""Starts the Python that does the work: with an environment cleaned of the host's, unseen, and with a log file."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess  # here alone a process is started  # nosec B404
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..zido_core.folders import cache_folder

LOGS_KEPT = 10
"""Logs in a folder; when a new one begins, the oldest ones go."""

FOREIGN = {
    "VIRTUAL_ENV",
    "PROJ_DATA",
    "PROJ_LIB",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "__PYVENV_LAUNCHER__",
}
"""Variables that hosts set for their own libraries and that make another Python load those, or the wrong data."""

FOREIGN_PREFIXES = ("PYTHON", "PIP_", "QGIS_", "GIMP", "DYLD_")
"""Beginnings of more such names."""

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that are kept only where what they name exists."""

OURS = {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
"""Every text in UTF-8, no module out of the current folder, and the log is complete when the process is killed."""

_numbers = itertools.count(1)


def worker_command(python: str | os.PathLike[str], *, idle: float = 600) -> list[str]:
    """What to run for a worker that leaves after ``idle`` seconds without a job (0: never)."""
    return [os.fspath(python), "-m", "zido_core", "worker", "--idle", f"{idle:g}"]


def runnable(message: str, python: str) -> str:
    """A message with zido's commands as they can be typed where that Python has zido, and nothing is on PATH."""
    program = f'"{python}"' if " " in python else python
    return message.replace("`zido ", f"`{program} -m zido_core ")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as another Python can live in it."""

    def is_foreign(name: str, value: str) -> bool:
        name = name.upper()
        dead = name in CERTIFICATES and not os.path.exists(value)
        return dead or name in FOREIGN or name.startswith(FOREIGN_PREFIXES)

    kept = {name: value for name, value in environment.items() if not is_foreign(name, value)}
    return kept | OURS


def new_log(folder: Path | None = None) -> Path | None:
    """An empty log file in the folder, by default zido's own; None where none can be made."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: nobody's home
        folder = folder or cache_folder() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = folder / f"worker-{stamp}-{os.getpid()}-{next(_numbers)}.log"
        path.touch()
        oldest_first = sorted(folder.glob("worker-*.log"), key=lambda log: log.stat().st_mtime)
        for old in oldest_first[:-LOGS_KEPT]:
            with contextlib.suppress(OSError):  # Windows does not remove what another process writes
                old.unlink()
        return path
    return None


def spawn(command: Sequence[str], log: Path | None, extra: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the command in a process group of its own, talking through pipes, its errors going to the log.

    ``extra`` joins the cleaned environment. A host's threads come and go, so the process is not tied to the thread
    that starts it, as Linux could do: it ends when its standard input does.
    """
    with open(log or os.devnull, "ab") as errors:
        return subprocess.Popen(  # a list, which no shell sees  # nosec B603
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=clean_environment(os.environ) | dict(extra),
            **_apart(),
        )


def _apart() -> dict[str, Any]:
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        return {"creationflags": flags}
    return {"start_new_session": True}
