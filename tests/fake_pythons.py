"""Programs that answer like a Python that is asked what it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = {
    "executable": "/opt/python",
    "version": [3, 12, 4],
    "bits": 64,
    "platform": "linux-x86_64",
    "isolated": False,
    "can_make": True,
    "zido": "0.1.0",
    "torch": "2.13.0",
    "lacking": [],
}


def fake_python(path: Path, **facts: Any) -> str:
    """Write such a program; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return script(path, f"echo 'some noise'; echo '{json.dumps(FACTS | facts)}'")


def script(path: Path, body: str) -> str:
    """Write a program of the shell; returns its path."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
