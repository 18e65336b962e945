"""A job and what is told about it while it runs, as values and as JSON lines.

One JSON object per line, ``{"v": 1, "type": "progress", ...}``. Fields that have their default are left out,
unknown keys are ignored and an unknown type decodes to None, so that either side may be newer. Pixels never
travel: files do.

The order is Started, Plan, then Stage, Progress, Warning and Preview as they come, and exactly one of Done,
Failed and Cancelled at the end. The pipeline tells Plan to Preview; who runs it tells the others.

A worker says Hello before the first job, Heartbeat all the time, and Bye before it leaves; a host may ask it to
Cancel and to Shutdown.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import errors
from .options import Options

PROTOCOL = 1
"""Version of the lines; a change that an older reader would misunderstand raises it."""

LINE_LIMIT = 64 * 1024
"""Longest line, bytes, its break included; guards either side against the other."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Upscale one file."""

    input: str
    """Path of the raster or photograph (or, where allowed, its address)."""

    output: str | None = None
    """Path of the result, or of a folder for it; None: beside the input, named after it."""

    options: Options = field(default_factory=Options)
    """Everything else."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop the jobs sent so far; each of them still ends with one last event."""


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """Stop whatever runs, and leave."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Root of all that is told: of a running job, or of the worker that does it."""


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The job begins."""

    input: str
    """As in the job."""

    output: str | None = None
    """As in the job; the plan says which file it will be."""

    index: int = 1
    """Which of several jobs this is, from 1."""

    count: int = 1
    """How many jobs there are."""


@dataclass(frozen=True, kw_only=True)
class Plan(Event):
    """What the job will take; known before any work is done."""

    input_size: tuple[int, int]
    """Height and width of the input, pixels."""

    output_size: tuple[int, int]
    """Height and width of the output, pixels."""

    scale: float
    """Output pixels per input pixel along a side."""

    tiles: int
    """Number of tiles that the network sees per step."""

    tile_size: int
    """Side of a tile, output pixels at the model's native scale."""

    memory_bytes: int
    """Expected peak of memory: the device's, or on a CPU the process's."""

    disk_bytes: int
    """Room needed for the output and what is written on the way."""

    seconds: float | None = None
    """Expected time; None where nothing is known about this machine yet."""

    output: str | None = None
    """Where the result will be; None for images in memory."""

    crs: str | None = None
    """Coordinate reference system of input and output, in words; None where there is none."""

    device: str = "cpu"
    """What computes."""

    warnings: tuple[str, ...] = ()
    """What the user should know first."""


@dataclass(frozen=True, kw_only=True)
class Stage(Event):
    """A part of the work begins."""

    name: str
    """In words: ``reading``, ``denoising``."""

    index: int = 1
    """Which part, from 1."""

    count: int = 1
    """How many parts."""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How much of the whole job is done. Never goes back."""

    done: int
    """Units of work done."""

    total: int
    """Units of work in the whole job."""

    eta: float | None = None
    """Seconds left; None while there is no telling."""


@dataclass(frozen=True, kw_only=True)
class Warning(Event):  # noqa: A001 - the word people know; the built-in of that name is not used here
    """Something the user should know; the work goes on."""

    message: str
    """One line."""


@dataclass(frozen=True, kw_only=True)
class Preview(Event):
    """A part of the result can be looked at."""

    path: str
    """An image file, at most 2048 px a side."""

    box: tuple[int, int, int, int] | None = None
    """Row, col, height, width of what it shows, output pixels; None: all."""


@dataclass(frozen=True, kw_only=True)
class Done(Event):
    """The result is complete and in its place."""

    output: str | None
    """Where it is; None for images in memory."""

    seconds: float
    """From start to end."""

    output_size: tuple[int, int] | None = None
    """Height and width, pixels."""

    crs: str | None = None
    """Coordinate reference system in words."""

    manifest: str | None = None
    """JSON file that tells how it was made, where one was asked for."""


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """There is no result."""

    message: str
    """One line: what was found, what was expected, what to do."""

    kind: str = "ZidoError"
    """Class of the error."""

    code: int = errors.ZidoError.exit_code
    """Exit code of the command line for it."""

    traceback: str | None = None
    """Where it happened; only when debugging."""


@dataclass(frozen=True, kw_only=True)
class Cancelled(Event):
    """The job was stopped on request; there is no result."""


@dataclass(frozen=True, kw_only=True)
class Hello(Event):
    """A worker is ready for jobs."""

    zido: str
    """Its version."""

    python: str
    """The version of its Python."""

    pid: int
    """Its process."""

    device: str
    """What will compute unless a job says otherwise: ``cpu``, ``cuda:0``, ``mps``."""

    device_title: str = ""
    """The product's name."""

    device_bytes: int = 0
    """Memory of the device; on a CPU the machine's."""

    free_bytes: int = 0
    """What of it is free now."""

    models: tuple[str, ...] = ()
    """Models whose files are on this machine, so that they work at once."""


@dataclass(frozen=True, kw_only=True)
class Heartbeat(Event):
    """The worker lives; said every few seconds, whatever else it does."""

    stage: str | None = None
    """What it is doing; None: it waits for a job."""

    memory_bytes: int | None = None
    """Memory of its process; None where there is no telling."""


@dataclass(frozen=True, kw_only=True)
class Bye(Event):
    """The worker leaves."""

    reason: str
    """Why, in words."""


EventSink = Callable[[Event], None]
"""Takes every event as it happens; must be quick, because the work waits for it."""

Message = Job | Cancel | Shutdown | Event
"""What a line can hold: the first three go to a worker, events come back."""

_EVENTS = (Started, Plan, Stage, Progress, Warning, Preview, Done, Failed, Cancelled, Hello, Heartbeat, Bye)

MESSAGES: Mapping[str, type[Message]] = {
    "run": Job,
    **{cls.__name__.lower(): cls for cls in (Cancel, Shutdown, *_EVENTS)},
}
"""The classes by the ``type`` of their lines."""

_TYPES = {cls: name for name, cls in MESSAGES.items()}


def encode(message: Message) -> str:
    """The message as one line of JSON, without the line break."""
    body: dict[str, Any] = {"v": PROTOCOL, "type": _TYPES[type(message)]}
    for part in dataclasses.fields(message):
        value = getattr(message, part.name)
        if isinstance(value, Options):
            value = value.to_dict()
            if not value:
                continue
        if value != part.default:
            body[part.name] = value
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


def decode(line: str) -> Message | None:
    """The message of a line; None for a type that this version does not know."""
    try:
        body = json.loads(line)
        version, cls = body["v"], MESSAGES.get(body["type"])
    except (ValueError, TypeError, KeyError):
        shown = line if len(line) <= 80 else line[:77] + "..."
        raise errors.ConfigurationError(f"not a message of zido: {shown!r}") from None
    if version != PROTOCOL:
        raise errors.ProtocolMismatch(
            f"the other side speaks version {version} of the protocol and this one version {PROTOCOL}; "
            "install the same version of zido on both"
        )
    if cls is None:
        return None
    known = {part.name for part in dataclasses.fields(cls)}
    values = {name: _immutable(value) for name, value in body.items() if name in known}
    if "options" in values:
        values["options"] = Options.from_dict(body["options"])
    try:
        return cls(**values)
    except TypeError as error:
        raise errors.ConfigurationError(f"incomplete message {body['type']!r}: {error}") from None


def to_bytes(message: Message) -> bytes:
    """The line as it goes through a pipe; also for file names that are no valid Unicode."""
    return encode(message).encode("utf-8", "surrogatepass") + b"\n"


def from_bytes(line: bytes) -> Message | None:
    """The message of such a line."""
    try:
        return decode(line.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return decode(line.decode("utf-8", "replace"))


def _immutable(value: Any) -> Any:
    return tuple(_immutable(item) for item in value) if isinstance(value, list) else value


class CancelToken:
    """Asks a running job to stop; safe to use from any thread or signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled if somebody asked; the work calls this between its pieces."""
        if self.cancelled:
            raise errors.Cancelled("stopped on request; nothing was written")


class Eta:
    """Seconds left, from the recent pace: what lies a tenth of the work back counts half."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[float, int] | None = None
        self._pace: float | None = None

    def update(self, done: int, total: int) -> float | None:
        """Seconds left when ``done`` of ``total`` units are done; None until two readings differ."""
        now = self._clock()
        if self._last is None:
            self._last = (now, done)
        before, already = self._last
        if done > already:
            pace = (now - before) / (done - already)
            fresh = 1.0 if self._pace is None else 1.0 - 0.5 ** (10 * (done - already) / max(total, 1))
            self._pace = pace if self._pace is None else self._pace + fresh * (pace - self._pace)
            self._last = (now, done)
        return None if self._pace is None else self._pace * max(total - done, 0)
