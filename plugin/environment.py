"""Where zido can work on this machine: finds the Python that has it, or says what is missing; makes one if asked.

::

    place = environment.find(settings.python)
    if isinstance(place, environment.Missing):
        place = environment.create(on_event=show, cancelled=token)  # asks nobody: the user has been asked before
    client = Client(worker_command(place.python))

Everything here waits for other processes: tenths of a second to find, minutes to create. So it belongs into a
background thread of a host, and ``on_event`` and ``cancelled`` are called there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..zido_core import __version__
from ..zido_core.errors import ModelMissing, ZidoError
from ..zido_core.job import Event, EventSink
from . import candidates, managed
from .probe import ask, fault
from .torch_build import Kind
from .wheel import ROOT

NOTE = "python.txt"
"""File in the plugin's folder with the path of a Python; `zido install-plugin` writes it."""

Origin = Literal["setting", "ZIDO_PYTHON", "note", "managed", "PATH"]
"""Who named a Python: the user in a dialog, the variable, `zido install-plugin`, zido itself, or nobody."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A Python in which zido works."""

    python: str
    """Its path, for ``launch.worker_command``."""

    origin: Origin
    """Who named it."""

    zido: str
    """Version of zido in it."""

    version: str
    """``Python 3.12.4``."""

    torch: str
    """Version of PyTorch in it: ``2.13.0+cpu``."""

    @property
    def is_older(self) -> bool:
        """Whether zido there is older than this plugin. The worker understands newer and older ones all the same."""
        return _numbers(self.zido) < _numbers(__version__)

    def __str__(self) -> str:
        return f"{self.python} ({self.version}, zido {self.zido}, torch {self.torch})"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """There is no Python in which zido works."""

    reason: str
    """What was looked at and is not right, in one sentence."""

    advice: str
    """What to do, in one sentence."""

    looked: tuple[str, ...] = ()
    """Every Python that was looked at, and why it will not do; for a report."""

    def __str__(self) -> str:
        return f"{self.reason} {self.advice}"


def find(setting: str | None = None) -> Found | Missing:
    """The Python for the worker.

    What the user names, by ``setting`` or by ``ZIDO_PYTHON``, is taken or refused; nothing else is tried then. zido's
    own environment is brought up to the version of this plugin on the way, which takes seconds after an update.
    """
    for origin, python in (("setting", setting), ("ZIDO_PYTHON", os.environ.get("ZIDO_PYTHON"))):
        if python:
            found = _look(os.path.expanduser(python), origin)  # type: ignore[arg-type]
            return found if isinstance(found, Found) else _refused(found, origin)
    looked = []
    for origin, python in _automatic():
        found = _look(python, origin)
        if isinstance(found, Found):
            return _renewed(found) if origin == "managed" and found.is_older else found
        looked.append(found)
    return Missing(
        reason="No Python with zido was found on this computer.",
        advice="Let zido create its environment, or choose a Python in which you have installed zido.",
        looked=tuple(looked),
    )


def create(
    kind: Kind = "auto",
    *,
    wheelhouse: str | os.PathLike[str] | None = None,
    base: str | None = None,
    extras: Sequence[str] = ("gui",),
    on_event: EventSink | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Found:
    """Make zido's own environment, or make it anew; minutes, and gigabytes from the network. Ask the user before.

    ``wheelhouse``: a folder with all packages, instead of the network. ``base``: the Python to make it from, by default
    the first suitable one on this computer; nothing is installed into that. ``on_event`` gets Stage, Progress and
    Warning. Whatever goes wrong, an environment that was there before stays as it is; the error, a ZidoError, says
    what to do. Raises Cancelled if stopped.
    """
    python = managed.make(
        kind,
        wheelhouse=None if wheelhouse is None else Path(wheelhouse).expanduser().absolute(),
        base=base,
        extras=extras,
        on_event=on_event or _ignore,
        cancelled=cancelled or _never,
    )
    return _sure(python)


def remove() -> bool:
    """Delete zido's own environment; returns whether there was one. End the worker before."""
    return managed.remove()


def _renewed(found: Found) -> Found:
    """The environment with zido of this plugin; as it is where that cannot be done, such as for lack of a package."""
    with contextlib.suppress(ZidoError, OSError):
        return _sure(managed.refresh())
    return found


def _automatic() -> Iterator[tuple[Origin, str]]:
    with contextlib.suppress(OSError, UnicodeError):
        noted = (ROOT / NOTE).read_text(encoding="utf-8").strip()
        if noted:
            yield "note", noted
    own = managed.current()
    if own is not None:
        yield "managed", str(candidates.python_of(own))
    for path in candidates.on_path():
        yield "PATH", path


def _look(python: str, origin: Origin) -> Found | str:
    """The Python, or its name and what is wrong with it."""
    facts = ask(python)
    wrong = facts if isinstance(facts, str) else fault(facts)
    if wrong is not None:
        return f"{python} {wrong}"
    assert not isinstance(facts, str)
    return Found(python=python, origin=origin, zido=facts.zido, version=facts.named, torch=facts.torch)


def _refused(found: str, origin: str) -> Missing:
    where = "in the settings" if origin == "setting" else "by the variable ZIDO_PYTHON"
    return Missing(
        reason=f"The Python that is chosen {where} will not do: {found}.",
        advice="Choose another one, or none, so that zido looks for itself.",
        looked=(found,),
    )


def _sure(python: Path) -> Found:
    found = _look(str(python), "managed")
    if isinstance(found, Found):
        return found
    raise ModelMissing(f"the environment was made, but {found}; make it again")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _ignore(event: Event) -> None:
    """For callers that do not listen."""


def _never() -> bool:
    """For callers that do not stop."""
    return False
