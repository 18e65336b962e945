"""The package `zido`, for tests and benchmarks of what runs in hosts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def load_as_host() -> None:
    """Make the repository root the package `zido`, as QGIS does, whatever the folder is called."""
    spec = importlib.util.spec_from_file_location("zido", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["zido"] = package
    spec.loader.exec_module(package)
