"""Asks a Python what it is and what it has, by running it; nothing of it is loaded into the host."""

from __future__ import annotations

import json
import subprocess  # for the class of an error  # nosec B404
from dataclasses import dataclass

from .launch import spawn

OLDEST = (3, 11)
"""What zido needs."""

NEEDED = ("torch", "numpy", "PIL", "rasterio", "safetensors", "diffusers", "transformers", "click", "tqdm")
"""Packages without which zido does not work, as they are imported."""

PATIENCE = 30.0
"""Seconds for an answer: a cold disk and a virus scanner take their time."""

_QUESTION = f"""
import importlib.util as u, json, struct, sys, sysconfig
def version(name):
    try:
        from importlib import metadata
        return metadata.version(name)
    except Exception:
        return ""
zido = ""
if u.find_spec("zido_core") and sys.version_info >= {OLDEST!r}:
    import zido_core
    zido = getattr(zido_core, "__version__", "")
print(json.dumps({{
    "executable": sys.executable or "",
    "version": list(sys.version_info[:3]),
    "bits": 8 * struct.calcsize("P"),
    "platform": sysconfig.get_platform(),
    "isolated": sys.prefix != sys.base_prefix,
    "can_make": bool(u.find_spec("venv") and u.find_spec("ensurepip")),
    "zido": zido,
    "torch": version("torch"),
    "lacking": [name for name in {NEEDED!r} if not u.find_spec(name)],
}}))
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a Python says of itself."""

    executable: str
    """Its own path."""

    version: tuple[int, ...]
    """Three numbers."""

    bits: int
    """64 or 32."""

    platform: str
    """As `sysconfig.get_platform` has it: ``linux-x86_64``, ``win-amd64``, ``mingw_x86_64``..."""

    isolated: bool
    """Whether it is a virtual environment."""

    can_make: bool
    """Whether it can make virtual environments with pip in them."""

    zido: str
    """Version of zido_core, empty if it is not there."""

    torch: str
    """Version of PyTorch, empty if it is not there."""

    lacking: tuple[str, ...]
    """Packages that zido needs and that are not there."""

    @property
    def named(self) -> str:
        """Its version in words."""
        return "Python " + ".".join(map(str, self.version))

    @property
    def is_foreign(self) -> bool:
        """Whether it is built with MinGW, as GIMP's on Windows: packages from the network do not load in it."""
        return self.platform.startswith("mingw")


def ask(python: str, patience: float = PATIENCE) -> Facts | str:
    """What that Python says of itself, or why it says nothing."""
    try:
        process = spawn([python, "-c", _QUESTION], None, {})
    except (OSError, ValueError) as error:
        return _unstartable(error)
    with process:
        try:
            answer, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"does not answer within {patience:g} s"
    try:
        told = json.loads(answer.decode("utf-8", "replace").splitlines()[-1])
        told |= {"version": tuple(told["version"]), "lacking": tuple(told["lacking"])}
        return Facts(**told)
    except (IndexError, ValueError, TypeError, KeyError):
        return f"is not a working Python (exit code {process.returncode})"


def fault(facts: Facts) -> str | None:
    """Why zido cannot work in that Python; None if it can."""
    if facts.version < OLDEST:
        return f"is {facts.named}, and zido needs {'.'.join(map(str, OLDEST))} or newer"
    if not facts.zido:
        return f"is {facts.named} without zido"
    if facts.lacking:
        return f"has zido {facts.zido}, but lacks {', '.join(facts.lacking)}"
    return None


def _unstartable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "may not be run, or is no program"
    return f"cannot be started ({' '.join(str(error).split())})"
