"""Every way in which a worker can die has its words: what happened, and what to do."""

from __future__ import annotations

import pytest
from zido.plugin.death import explain, not_started

MISSING = ["/usr/bin/python3: No module named zido_core"]
PACKAGE = ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'rasterio'"]
RUNTIME = ["OSError: [WinError 1114] A dynamic link library routine failed. Error loading c10.dll or a dependency"]
LIBRARY = ["ImportError: libexpat.so.1: cannot open shared object file: No such file or directory", ""]


@pytest.mark.parametrize(
    ("status", "log", "kind", "code", "told"),
    [
        (-9, [], "OutOfMemory", 71, "mostly because memory ran out. Take a smaller tile batch"),
        (137, [], "OutOfMemory", 71, "memory ran out"),
        (-11, ["Fatal Python error: Segmentation fault"], "ZidoError", 70, "Update the driver"),
        (139, [], "ZidoError", 70, "crashed inside a native library"),
        (-7, [], "ZidoError", 70, "crashed"),
        (-4, [], "DeviceUnavailable", 69, "instructions that this processor does not have"),
        (-15, [], "ZidoError", 70, "told to end by somebody else"),
        (0xC0000005, [], "ZidoError", 70, "crashed"),
        (0xC0000005 - 2**32, [], "ZidoError", 70, "crashed"),
        (0xC0000135, [], "ModelMissing", 69, "Visual C++ Redistributable"),
        (0xC0000017, [], "OutOfMemory", 71, "memory ran out"),
        (1, MISSING, "ModelMissing", 69, "zido is not installed in that Python"),
        (1, PACKAGE, "ModelMissing", 69, "Python package rasterio is not installed"),
        (1, RUNTIME, "ModelMissing", 69, "Visual C++ Redistributable"),
        (1, LIBRARY, "ModelMissing", 69, "library libexpat.so.1 is missing"),
        (1, ["ImportError: cannot import name 'Self' from 'typing'"], "ModelMissing", 69, "Python 3.11 or newer"),
        (1, ["torch.OutOfMemoryError: CUDA out of memory. Tried to"], "OutOfMemory", 71, "memory ran out"),
        (-6, ["terminate called after throwing 'std::bad_alloc'"], "OutOfMemory", 71, "memory ran out"),
        (1, ["RuntimeError: CUDA error: no kernel image is available"], "DeviceUnavailable", 69, "graphics driver"),
        (1, ["RuntimeError: The NVIDIA driver on your system is too old"], "DeviceUnavailable", 69, "graphics driver"),
        (-6, ["what?", "", " "], "ZidoError", 70, "exit code -6, and its last words were: what?"),
        (3, [], "ZidoError", 70, "exit code 3, and its log is empty"),
        (None, [], "ZidoError", 70, "stopped answering"),
    ],
)
def test_a_death_is_explained(status, log, kind, code, told):
    failed = explain(status, log, "/opt/python")
    assert (failed.kind, failed.code) == (kind, code)
    assert told in failed.message
    assert failed.message.startswith("zido's worker (/opt/python) ended without a result: ")
    assert "\n" not in failed.message


def test_the_last_cause_in_the_log_counts():
    log = ["ModuleNotFoundError: No module named 'xformers'", "that was optional", "torch.OutOfMemoryError: no room"]
    assert explain(1, log, "python").kind == "OutOfMemory"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(2, "No such file"), "cannot start /opt/python: there is no such program. Choose the Python"),
        (PermissionError(13, "Permission denied"), "may not be run"),
        (OSError(8, "Exec format error"), "Exec format error"),
    ],
)
def test_a_program_that_does_not_start_is_told(error, told):
    assert told in not_started(error, "/opt/python").message
