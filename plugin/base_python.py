"""The Python from which an environment is made; packages never go into that one itself."""

from __future__ import annotations

from ..zido_core.errors import ModelMissing
from . import candidates
from .probe import OLDEST, Facts, ask


def find_base(chosen: str | None = None) -> str:
    """The chosen Python, or the first on this computer, from which an environment can be made."""
    refused = []
    for python in [chosen] if chosen else candidates.for_environments():
        facts = ask(python)
        fault = facts if isinstance(facts, str) else unfit(facts)
        if fault is None:
            return python
        refused.append(f"{python} {fault}")
    found = f": {'; '.join(refused)}" if refused else ""
    raise ModelMissing(
        f"no Python {'.'.join(map(str, OLDEST))} or newer that can make an environment was found{found}. "
        "Install Python 3.12 (64 bit) from python.org, or with your system's packages, and try again"
    )


def unfit(facts: Facts) -> str | None:
    """Why no environment can be made from it; None if one can."""
    if facts.version < OLDEST:
        return f"is {facts.named}, too old"
    if facts.bits != 64 or facts.is_foreign:
        return f"is a {facts.bits}-bit Python for {facts.platform}, for which there are no packages"
    if not facts.can_make:
        return "lacks venv (on Debian and Ubuntu: sudo apt install python3-venv)"
    return None
