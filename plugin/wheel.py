"""Packs `zido_core`, as it lies beside this package, into a wheel, so that pip installs it like any other package.

pip could do it from the folder itself, but would need a build tool from the network for it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..zido_core import __version__
from ..zido_core.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `zido_core` and `pyproject.toml`; in a host that of the plugin."""

LEFT_OUT = {"__pycache__"}


def make_wheel(folder: Path) -> Path:
    """Write the wheel into the folder; returns its path."""
    told = _pyproject()
    project, info = told["project"], f"zido-{__version__}.dist-info"
    path = folder / f"zido-{__version__}-py3-none-any.whl"
    own = {
        f"{info}/METADATA": _metadata(project),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: zido\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": _entry_points(project),
    }
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for name, content in itertools.chain(_contents(told), ((name, text.encode()) for name, text in own.items())):
            wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path


def _pyproject() -> dict[str, Any]:
    path = ROOT / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); install the plugin again") from error


def _contents(told: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """What any wheel of zido has, by its name there: the package, and what `zido install-plugin` needs besides."""
    shared = told["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    origins = {"zido_core": "zido_core"} | {name: f"zido-{__version__}.data/data/{to}" for name, to in shared.items()}
    for origin, place in origins.items():
        root = ROOT / origin
        for path in sorted([root, *root.rglob("*")]):
            if path.is_file() and not LEFT_OUT & set(path.parts):
                yield str(PurePosixPath(place, *path.relative_to(root).parts)), path.read_bytes()


def _metadata(project: dict[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.1",
        "Name: zido",
        f"Version: {__version__}",
        f"Summary: {project['description']}",
        f"License: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {needed}" for needed in project["dependencies"]),
    ]
    for extra, needs in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {needed}; extra == "{extra}"' for needed in needs]
    return "\n".join([*lines, ""])


def _entry_points(project: dict[str, Any]) -> str:
    commands = [f"{name} = {target}" for name, target in project.get("scripts", {}).items()]
    return "\n".join(["[console_scripts]", *commands, ""])
