"""Why a worker died, in words: from its exit code and the last lines of its log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..zido_core import errors
from ..zido_core.job import Failed

OUT_OF_MEMORY = "memory ran out. Take a smaller tile batch or tile size, or close other programs, and try again"
KILLED = f"the system ended it, mostly because {OUT_OF_MEMORY}"
CRASHED = (
    "it crashed inside a native library, mostly a graphics driver. Update the driver, or choose the device cpu, and "
    "try again"
)
NO_RUNTIME = "a system library is missing. Install the Microsoft Visual C++ Redistributable (x64), and try again"
NO_ZIDO = "zido is not installed in that Python. Install it there, or choose another Python"
NO_PACKAGE = "the Python package {0} is not installed there. Install it, or choose another Python"
OLD_PYTHON = "that Python is too old. Choose Python 3.11 or newer"
OLD_PROCESSOR = "its libraries use instructions that this processor does not have. Install zido on a newer computer"
BROKEN_DRIVER = "the graphics driver does not work with it. Update the driver, or choose the device cpu, and try again"
STOPPED = "it was told to end by somebody else. Try again"

_Explanation = tuple[type[errors.ZidoError], str]

IN_THE_LOG: Sequence[tuple[str, _Explanation]] = (
    (r"No module named '?zido_core\b", (errors.ModelMissing, NO_ZIDO)),
    (r"No module named '?([\w.]+)", (errors.ModelMissing, NO_PACKAGE)),
    (r"argument 'kw_only'|cannot import name '\w+' from 'typing'|^SyntaxError", (errors.ModelMissing, OLD_PYTHON)),
    (r"\[WinError (?:126|127|1114)\]", (errors.ModelMissing, NO_RUNTIME)),
    (
        r"([^\s:]+): cannot open shared object file|Library not loaded: (\S+)",
        (errors.ModelMissing, "the library {0} is missing. Install it, or choose another Python"),
    ),
    (
        r"OutOfMemoryError|CUDA out of memory|DefaultCPUAllocator|std::bad_alloc|MemoryError",
        (errors.OutOfMemory, OUT_OF_MEMORY),
    ),
    (
        r"driver version is insufficient|driver on your system is too old|no kernel image is available"
        r"|Driver/library version mismatch|CUDA error|HIP error|unknown error.*cuInit",
        (errors.DeviceUnavailable, BROKEN_DRIVER),
    ),
)
"""What is looked for in the log, first match first; ``{0}`` is what the brackets found."""

BY_SIGNAL: dict[int, _Explanation] = {
    4: (errors.DeviceUnavailable, OLD_PROCESSOR),
    7: (errors.ZidoError, CRASHED),
    9: (errors.OutOfMemory, KILLED),
    11: (errors.ZidoError, CRASHED),
    15: (errors.ZidoError, STOPPED),
}
"""By the number of the signal that ended it."""

BY_STATUS: dict[int, _Explanation] = {
    0xC0000005: (errors.ZidoError, CRASHED),
    0xC000001D: (errors.DeviceUnavailable, OLD_PROCESSOR),
    0xC0000017: (errors.OutOfMemory, OUT_OF_MEMORY),
    0xC0000135: (errors.ModelMissing, NO_RUNTIME),
    0xC0000139: (errors.ModelMissing, NO_RUNTIME),
    0xC000007B: (errors.ModelMissing, NO_RUNTIME),
}
"""By Windows' status."""


def explain(status: int | None, log: Sequence[str], python: str) -> Failed:
    """What to tell the user. ``status`` is an exit code, negative for a signal; None if the process never ended."""
    kind, reason = _by_code(status) or _by_log(log) or _by_last_words(status, log)
    return Failed(
        message=f"zido's worker ({python}) ended without a result: {reason}",
        kind=kind.__name__,
        code=kind.exit_code,
    )


def not_started(error: OSError, python: str) -> Failed:
    """What to tell the user where the process could not even be started."""
    reason = {
        FileNotFoundError: "there is no such program",
        PermissionError: "it may not be run, or is no program",
    }.get(type(error), " ".join(str(error).split()))
    return Failed(
        message=f"cannot start {python}: {reason}. Choose the Python in which zido is installed",
        kind=errors.ModelMissing.__name__,
        code=errors.ModelMissing.exit_code,
    )


def _by_code(status: int | None) -> _Explanation | None:
    if status is None:
        return None
    if -64 <= status < 0 or 128 < status <= 192:  # as Python tells of a signal, and as a shell between does
        return BY_SIGNAL.get(-status if status < 0 else status - 128)
    return BY_STATUS.get(status & 0xFFFFFFFF)


def _by_log(log: Sequence[str]) -> _Explanation | None:
    for line in reversed(log):
        for pattern, (kind, reason) in IN_THE_LOG:
            found = re.search(pattern, line)
            if found:
                return kind, reason.format(*(group for group in found.groups() if group))
    return None


def _by_last_words(status: int | None, log: Sequence[str]) -> _Explanation:
    code = "it stopped answering" if status is None else f"exit code {status}"
    words = next((line.strip() for line in reversed(log) if line.strip()), "")
    reason = f"its last words were: {words[:200]}" if words else "its log is empty"
    return errors.ZidoError, f"{code}, and {reason}"
