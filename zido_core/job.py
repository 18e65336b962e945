"""A job and what is told about it while it runs, as values. Pixels never travel: files do.

The order is Started, Plan, then Stage, Progress, Warning and Preview as they come, and exactly one of Done,
Failed and Cancelled at the end. The pipeline tells Plan to Preview; who runs it tells the others.

A worker says Hello before the first job, Heartbeat all the time, and Bye before it leaves; a host may ask it to
Cancel and to Shutdown. Beside jobs it is asked for prompts (Tag), for the result at one place (Sample) and for
pictures of files (View), each of which ends like a job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from . import errors
from .options import Options


@dataclass(frozen=True, kw_only=True)
class Job:
    """Upscale one file."""

    input: str
    """Path of the raster or photograph (or, where allowed, its address)."""

    output: str | None = None
    """Path of the result, or of a folder for it; None: beside the input, named after it."""

    options: Options = field(default_factory=Options)
    """Everything else."""

    previews: str | None = None
    """Folder for small pictures of what is done so far, which `Preview` tells of; None: none."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """Write the prompts of all tiles of a file, and do no more."""

    input: str
    """Path of the raster or photograph."""

    output: str
    """Path of the GeoJSON file to write; one that exists is replaced."""

    options: Options = field(default_factory=Options)
    """Those of the job whose prompts they are: model, tiles, tagger, prompts..."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Make a picture of the result at one place. `Preview` tells what it shows, before Done."""

    input: str
    """Path of the raster or photograph."""

    output: str
    """Path of the picture to write (``.png``)."""

    box: tuple[int, int, int, int]
    """Row, col, height, width of the place, input pixels; at most 1024 a side."""

    options: Options = field(default_factory=Options)
    """Those of the job."""


@dataclass(frozen=True, kw_only=True)
class Fade:
    """Write a finished result with a greater fidelity, without another diffusion."""

    input: str
    """Path of the job's input."""

    result: str
    """Path of its result."""

    certain: str
    """Path of its result with fidelity 1."""

    output: str
    """Path of the file to write."""

    fidelity: float
    """From that of the result to 1."""

    options: Options = field(default_factory=Options)
    """Those of the job."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Make a picture of a part of a file, for the screen. `Shown` tells what it shows, before Done."""

    input: str
    """Path of the file: an input, or a result."""

    output: str
    """Path of the picture to write, a portable pixmap (``.ppm``)."""

    box: tuple[float, float, float, float] | None = None
    """Row, col, height, width of the part, pixels of the file; None: all of it."""

    zoom: float = 1.0
    """Pixels of the picture per pixel of the file, along a side; less where the picture would become too large."""

    like: str | None = None
    """File whose black and white it is shown with, so that pictures can be compared; None: its own."""

    smooth: bool = False
    """Interpolate where it is enlarged, instead of showing the pixels."""

    options: Options = field(default_factory=Options)
    """Bands, nodata, and what may be opened at all; the rest does not matter."""


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
class Shown(Event):
    """A picture has been made."""

    path: str
    """Where it is."""

    size: tuple[int, int]
    """Height and width of the whole file, pixels."""

    box: tuple[int, int, int, int]
    """Row, col, height, width of what it shows, pixels of the file: whole ones, so a little more than asked."""

    kind: str = "raster"
    """``raster`` or ``photo``: what the file is taken for."""


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

    skipped: bool = False
    """True if it was complete before: nothing was done."""


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

    work: str | None = None
    """Folder with what is done, from which the job can be continued."""


@dataclass(frozen=True, kw_only=True)
class Cancelled(Event):
    """The job was stopped on request; there is no result."""

    work: str | None = None
    """Folder with what is done, from which the job can be continued."""


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

Request = Job | Tag | Sample | Fade | View
"""Work for a worker."""

Message = Request | Cancel | Shutdown | Event
"""What a line can hold: requests, Cancel and Shutdown go to a worker, events come back."""


class CancelToken:
    """Asks a running job to stop; safe to use from any thread or signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.work: str | None = None
        """Folder from which the job can be continued, once it has ended too early."""

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
