"""``zido doctor``: is everything here that an upscaling needs, and does it load?"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from . import __version__
from .catalog import MODELS
from .errors import ModelMissing, ZidoError
from .model_files import ModelFile

PACKAGE = Path(__file__).parent

LOADED = ("numpy", "PIL", "torch", "rasterio", "click", "tqdm", "safetensors")
"""Packages that are really imported, because a broken build shows only then."""

INSTALLED = ("diffusers", "transformers")
"""Packages that are only looked up, because the embedded model does without them and they load slowly."""

_NEEDED_DISK = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What."""

    ok: bool
    """Whether an upscaling would work with it."""

    found: str
    """What is there."""

    advice: str = ""
    """What to do if not."""


def examine() -> list[Check]:
    """All checks, in the order in which a person would make them."""
    return [
        Check(name="zido", ok=True, found=f"{__version__} in {PACKAGE}"),
        Check(name="python", ok=True, found=f"{platform.python_version()}, {platform.platform(terse=True)}"),
        *(_loaded(name) for name in LOADED),
        *(_installed(name) for name in INSTALLED),
        _gdal(),
        _device(),
        _disk(),
        *(_weights(model.name, file) for model in MODELS.values() for file in model.files if file.embedded),
    ]


def exit_code(checks: list[Check]) -> int:
    """0 if all is well, else that of something missing."""
    return 0 if all(check.ok for check in checks) else ModelMissing.exit_code


def as_text(checks: list[Check]) -> str:
    """The checks as lines for people."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        advice = f" -> {check.advice}" if check.advice and not check.ok else ""
        lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name:<{width}}  {check.found}{advice}")
    return "\n".join(lines)


def as_json(checks: list[Check]) -> str:
    """The checks as one JSON object."""
    return json.dumps({"ok": exit_code(checks) == 0, "checks": [asdict(check) for check in checks]})


def _loaded(name: str) -> Check:
    advice = f"pip install --force-reinstall {'pillow' if name == 'PIL' else name}"
    try:
        importlib.import_module(name)
    except Exception as error:  # a broken package may raise anything while it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(name=name, ok=False, found=f"does not load ({reason})", advice=advice)
    return _installed(name)


def _installed(name: str) -> Check:
    distribution = "pillow" if name == "PIL" else name
    try:
        return Check(name=name, ok=True, found=importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return Check(name=name, ok=False, found="is not installed", advice=f"pip install {distribution}")


def _gdal() -> Check:
    try:
        from rasterio import __gdal_version__
    except ImportError as error:
        return Check(name="GDAL", ok=False, found=str(error), advice="comes with rasterio")
    return Check(name="GDAL", ok=True, found=__gdal_version__)


def _device() -> Check:
    from .device import choose_device, describe_device

    try:
        return Check(name="device", ok=True, found=str(describe_device(choose_device())))
    except (ZidoError, ImportError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        return Check(name="device", ok=False, found=reason, advice="--device cpu works without a driver")


def _disk() -> Check:
    places = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    free = {place: shutil.disk_usage(path).free for place, path in places.items()}
    found = ", ".join(f"{room / 2**30:.1f} GiB free ({place})" for place, room in free.items())
    return Check(name="disk", ok=min(free.values()) >= _NEEDED_DISK, found=found, advice="2 GiB or more are advisable")


def _weights(model: str, file: ModelFile) -> Check:
    name, path = f"model {model}", PACKAGE / file.path
    advice = "install zido again"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        expected = str(json.loads((PACKAGE / file.card).read_text())["sha256"]) if file.card else digest
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(name=name, ok=False, found=f"{file.path}: {reason}", advice=advice)
    expected = expected.removeprefix("sha256:")
    if digest != expected:
        found = f"{file.path} has sha256 {digest[:12]}..., its card says {expected[:12]}..."
        return Check(name=name, ok=False, found=found, advice=advice)
    size = path.stat().st_size / 2**20
    return Check(name=name, ok=True, found=f"{file.path}, {size:.1f} MiB, sha256 {digest[:12]}...")
