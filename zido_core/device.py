"""What computes, in which precision, how much memory and how many threads; torch comes in when needed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import Precision
from .errors import DeviceUnavailable, InvalidOptions

if TYPE_CHECKING:
    import torch

_DTYPES: Mapping[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """A device, for people and for planning."""

    name: str
    """As torch names it: ``cpu``, ``cuda:0``, ``mps``."""

    title: str
    """The product's name."""

    total_bytes: int
    """Memory it has; what the container allows, where there is one."""

    free_bytes: int
    """Memory that a job may take now."""

    def __str__(self) -> str:
        free, total = self.free_bytes / 2**30, self.total_bytes / 2**30
        return f"{self.name}: {self.title}, {free:.1f} of {total:.1f} GiB free"


def choose_device(requested: str = "auto") -> str:
    """The torch name of the device to use; ``auto`` prefers CUDA (also ROCm), then MPS, then the CPU."""
    if requested == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if requested == "auto":
        return "cuda:0" if count else "mps" if has_mps else "cpu"
    kind, _, number = requested.partition(":")
    if kind == "cuda" and int(number or 0) < count:
        return f"cuda:{number or 0}"
    if requested == "mps" and has_mps:
        return "mps"
    found = ", ".join(["cpu", *(f"cuda:{index}" for index in range(count)), *(["mps"] if has_mps else [])])
    raise DeviceUnavailable(f"there is no device {requested} here; found {found}. Try --device auto")


def choose_precision(requested: Precision, device: str, preferred: Mapping[str, Precision]) -> Precision:
    """The precision to use; ``auto`` is what the model prefers on such a device, if it can do it."""
    kind = device.partition(":")[0]
    if requested == "fp16" and kind == "cpu":
        raise InvalidOptions("precision fp16 needs a GPU; on a CPU use fp32 or bf16")
    if requested != "auto":
        return requested
    chosen = preferred.get(kind, "fp32")
    return "fp32" if chosen == "bf16" and not _bf16_in_hardware(device) else chosen


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a chosen precision."""
    import torch

    dtype: torch.dtype = getattr(torch, _DTYPES[precision])
    return dtype


def _bf16_in_hardware(device: str) -> bool:
    import torch

    if device == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return torch.cuda.get_device_capability(device)[0] >= 8


def describe_device(device: str) -> DeviceInfo:
    """The device with its memory as it is now."""
    if not device.startswith("cuda"):
        count = thread_count()
        cores = f"{count} thread{'' if count == 1 else 's'}"
        title = "Apple GPU, memory shared" if device == "mps" else cores
        return DeviceInfo(name=device, title=title, total_bytes=total_ram(), free_bytes=free_ram())
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return DeviceInfo(name=device, title=torch.cuda.get_device_name(device), total_bytes=total, free_bytes=free)


def thread_count() -> int:
    """Threads worth starting: what OMP_NUM_THREADS says, else the cores this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, _cgroup_cores()), 1)


def _cgroup_cores() -> int:
    """A container's CPU quota in whole cores; threads beyond it only wait for each other."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            return max(round(int(quota) / int(period)), 1)
    return _UNLIMITED


def free_ram() -> int:
    """Bytes of memory that this process may still take without anything being swapped out or killed."""
    limit, used = _cgroup_bytes("memory.max"), _cgroup_bytes("memory.current")
    allowed = limit - used if limit is not None and used is not None else _UNLIMITED
    return max(min(_system_ram().free, allowed), 0)


def total_ram() -> int:
    """Bytes of memory of the machine, or of the container, if that is less."""
    limit = _cgroup_bytes("memory.max")
    return min(_system_ram().total, _UNLIMITED if limit is None else limit)


def _cgroup_bytes(name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((_CGROUP / name).read_text())
    return None


@dataclass(frozen=True, kw_only=True)
class _Ram:
    total: int
    free: int


def _system_ram() -> _Ram:
    if sys.platform == "win32":
        return _windows_ram()
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return _Ram(total=kilobytes["MemTotal"] * 1024, free=kilobytes["MemAvailable"] * 1024)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _Ram(total=total, free=total // 2)  # macOS tells the total only


def _windows_ram() -> _Ram:
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "c", "d", "e", "f", "g")),
        )

    status = MemoryStatus()
    status.length = ctypes.sizeof(MemoryStatus)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return _Ram(total=status.total, free=status.free)
