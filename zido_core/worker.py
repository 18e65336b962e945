"""``python -m zido_core worker``: does jobs for another program, one after another, with the model kept loaded.

Requests come in as JSON lines on standard input, events go out on standard output (``job``, docs/worker.md). The
main thread works; one thread listens, so that a request to cancel is heard at once, one tells that the worker lives,
one writes. When the host is gone, its end of the pipe closes, and the worker leaves, in the middle of a job too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from . import __version__
from .catalog import MODELS
from .channel import Channel, claim_pipes
from .device import choose_device, describe_device
from .errors import Cancelled, ZidoError
from .interrupt import INSIST_AFTER, LEAVE_AFTER, interrupt_main_thread
from .job import (
    Bye,
    Cancel,
    CancelToken,
    Done,
    Event,
    EventSink,
    Fade,
    Failed,
    Heartbeat,
    Hello,
    Job,
    Plan,
    Request,
    Sample,
    Shutdown,
    Stage,
    Started,
    Tag,
    View,
)
from .job import Cancelled as WasCancelled
from .options import Options
from .runner import OK, failure, rehearse, run
from .store import resolve
from .wire import from_bytes

if TYPE_CHECKING:
    from .pipeline import KeptModel, UpscaleResult
    from .view import Viewer

HOST_GONE = 75
"""Exit code when the host went away without a word (EX_TEMPFAIL)."""

HEARTBEAT_EVERY = 2.0
"""Seconds between two signs of life."""

IDLE = 600.0
"""Seconds without a job after which the worker leaves and gives the memory back."""

LOG_LIMIT = 32 * 2**20
"""Bytes at which a log file begins anew: a library that complains all night must not fill the disk."""

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_OFFLINE": "1"}
"""A worker works with what is on this machine; only the model store gets more, and only when told to."""


def serve(idle: float = IDLE, *, only_views: bool = False) -> NoReturn:
    """Serve until the host wants no more, is gone, or has had no job for ``idle`` seconds (0: wait for ever).

    With ``only_views`` it makes pictures of files and nothing else, loads no model, and is there at once.

    Ends the process at once then: taking Python and its libraries down in order takes seconds on a busy machine, and
    nothing stops that any more.
    """
    _own_process_group()
    requests, answers = claim_pipes()
    faulthandler.enable()
    os.environ.update(OFFLINE)
    # Handlers run between two instructions of the main thread only, and may miss the moment before it falls asleep.
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    worker = Worker(requests, answers, ear, idle=idle or None, greet=greeting_of_a_viewer if only_views else greeting)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, worker.on_signal)
    code = worker.serve()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a full disk, or closed
            stream.flush()
    os._exit(code)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job that has come, or what was wrong with it."""

    job: Request | Failed
    token: CancelToken
    ended: threading.Event = field(default_factory=threading.Event)
    insist: threading.Lock = field(default_factory=threading.Lock)
    """Taken by whoever interrupts it: twice would interrupt the tidying up."""


class Worker:
    """The threads of a worker and what they know of each other."""

    def __init__(
        self,
        requests: BinaryIO,
        answers: int,
        signals: socket.socket,
        *,
        idle: float | None,
        greet: Callable[[], Hello],
    ) -> None:
        """``signals`` gives the number of every signal that comes."""
        self._requests, self._signals, self._idle, self._greet = requests, signals, idle, greet
        self._channel = Channel(answers, lambda: self._leave(HOST_GONE, "the host is gone"))
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._token = CancelToken()
        self._task: Task | None = None
        self._working, self._interrupts = False, 0
        self._stage: str | None = "starting"
        self._end: tuple[int, str] | None = None
        self._model: KeptModel | None = None
        self._viewer: Viewer | None = None

    def serve(self) -> int:
        """Greet, do what comes, and say goodbye; returns the exit code. For the main thread."""
        self._show_life()
        for target in (self._listen, self._heed_signals, self._live):
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True).start()
        try:
            self._channel.say(self._greet())
            self._do_jobs()
        except Exception as error:  # no torch, say: the host gets the reason instead of a greeting
            failed = failure(error)
            self._channel.say(failed)
            self._leave(failed.code, failed.message)
        code, reason = self._end or (OK, f"no job for {self._idle:g} s")
        self._channel.say(Bye(reason=reason))
        self._leave(code, reason)  # a library that does not want to end is not waited for
        self._channel.close(INSIST_AFTER)
        return code

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Interrupt work that was asked to stop and does not."""
        asked = self._task is not None and self._task.insist.locked()
        if number == signal.SIGINT and self._working and asked:
            raise KeyboardInterrupt

    def _heed_signals(self) -> None:
        while number := self._signals.recv(1):
            if number[0] == signal.SIGINT and self._interrupts:
                self._interrupts -= 1  # it was this worker that woke its own main thread
            else:
                self._leave(Cancelled.exit_code, "asked to by a signal")

    def _listen(self) -> None:
        for line in self._requests:
            if not line.endswith(b"\n"):
                break  # the host went away in the middle of it
            try:
                request = from_bytes(line)
            except ZidoError as error:
                self._tasks.put(Task(job=failure(error), token=self._token))
                continue
            match request:
                case Job() | Tag() | Sample() | Fade() | View():
                    self._tasks.put(Task(job=request, token=self._token))
                case Cancel():
                    self._cancel()
                case Shutdown():
                    self._leave(OK, "asked to by the host")
        self._leave(HOST_GONE, "the host is gone")

    def _live(self) -> None:
        while True:
            time.sleep(HEARTBEAT_EVERY)
            self._show_life()
            _bound_log()

    def _show_life(self) -> None:
        self._channel.say(Heartbeat(stage=self._stage, memory_bytes=resident_bytes()))

    def _cancel(self) -> None:
        """Stop all that was sent so far; what comes later is not meant. Who asks again does not want to wait."""
        task, again = self._task, self._task is not None and self._task.token.cancelled
        token, self._token = self._token, CancelToken()
        token.cancel()
        threading.Thread(target=self._insist, args=(task, 0.0 if again else INSIST_AFTER), daemon=True).start()

    def _insist(self, task: Task | None, after: float) -> None:
        """Interrupt the work where it stands if it does not end by itself."""
        if task is None or task.ended.wait(after) or not task.insist.acquire(blocking=False):
            return
        self._interrupts += 1
        interrupt_main_thread()

    def _leave(self, code: int, reason: str) -> None:
        """End this process soon, for the first reason given, whatever it is doing."""
        if self._end is None:
            self._end = code, reason
        timer = threading.Timer(LEAVE_AFTER, os._exit, [self._end[0]])
        timer.daemon = True
        timer.start()
        self._cancel()
        self._tasks.put(None)

    def _do_jobs(self) -> None:
        while self._end is None:
            self._stage = None
            try:
                self._task = self._tasks.get(timeout=self._idle)
            except queue.Empty:
                return
            if self._task is not None:
                self._stage = "preparing"
                self._do(self._task)
                self._task.ended.set()

    def _do(self, task: Task) -> None:
        if isinstance(task.job, Failed):
            self._channel.say(task.job)
        elif not isinstance(task.job, Job):
            self._answer(task.job, task.token)
        elif task.job.options.dry_run:
            self._plan(task.job)
        else:
            run(task.job, self._tell, task.token, upscale=self._upscale)

    def _plan(self, job: Job) -> None:
        """A dry run: the plan is all there is to it."""
        began = time.monotonic()
        self._channel.say(Started(input=job.input, output=job.output))
        planned = rehearse(job)
        self._channel.say(planned)
        if isinstance(planned, Plan):
            self._channel.say(Done(output=None, seconds=time.monotonic() - began))

    def _answer(self, asked: Tag | Sample | Fade | View, token: CancelToken) -> None:
        """What is no job, but ends like one."""
        began = time.monotonic()
        end: Event
        try:
            token.check()
            if isinstance(asked, View):
                self._show(asked, token)
            else:
                self._consider(asked, token)
            end = Done(output=asked.output, seconds=time.monotonic() - began)
        except (Cancelled, KeyboardInterrupt):
            end = WasCancelled()
        except Exception as error:
            end = failure(error, debug=asked.options.debug)
        self._channel.say(end)

    def _show(self, asked: View, token: CancelToken) -> None:
        """A picture of a file."""
        from .view import Viewer

        self._viewer = self._viewer or Viewer()
        self._channel.say(self._viewer.show(asked, token))

    def _consider(self, asked: Tag | Sample | Fade, token: CancelToken) -> None:
        """What the model would see or make."""
        from . import fade, glimpse, pipeline

        model = self._model = self._model or pipeline.KeptModel()
        try:
            self._working = True
            if isinstance(asked, Tag):
                self._tell(Stage(name="tagging"))
                options = replace(asked.options, save_prompts=asked.output, overwrite=True, dry_run=False)
                pipeline.tag(asked.input, options)
            elif isinstance(asked, Fade):
                self._tell(Stage(name="fading"))
                fade.fade(asked, self._tell, token)
            else:
                self._tell(glimpse.glimpse(asked, model.backbone_for, self._tell, token))
        except KeyboardInterrupt:
            self._model = None  # as below
            raise
        finally:
            self._working = False

    def _tell(self, event: Event) -> None:
        if isinstance(event, Stage):
            self._stage = event.name
        self._channel.say(event)

    def _upscale(
        self,
        src: str,
        dst: str | None,
        *,
        options: Options,
        on_event: EventSink,
        cancel: CancelToken,
        previews: str | None = None,
    ) -> UpscaleResult:
        """Only in here may the main thread be interrupted, so that what it says is never lost."""
        from .pipeline import KeptModel

        model = self._model = self._model or KeptModel()
        try:
            self._working = True
            return model.upscale(src, dst, options=options, on_event=on_event, cancel=cancel, previews=previews)
        except KeyboardInterrupt:
            self._model = None  # what stops between two tiles is whole, but this may have been anywhere
            raise
        finally:
            self._working = False


def greeting() -> Hello:
    """What this worker is and has; loads what every job needs, so that the first one starts at once."""
    from . import pipeline  # noqa: F401 - loaded for later, and its absence is known early

    device = describe_device(choose_device())
    return Hello(
        zido=__version__,
        python=platform.python_version(),
        pid=os.getpid(),
        device=device.name,
        device_title=device.title,
        device_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        models=tuple(name for name in MODELS if _is_here(name)),
    )


def greeting_of_a_viewer() -> Hello:
    """What a worker says that only makes pictures; loads what that needs."""
    from . import view  # noqa: F401 - as above

    return Hello(zido=__version__, python=platform.python_version(), pid=os.getpid(), device="cpu")


def _is_here(model: str) -> bool:
    try:
        resolve(MODELS[model])
    except (ZidoError, OSError, RuntimeError):  # RuntimeError: nobody's home
        return False
    return True


def resident_bytes() -> int | None:
    """Memory that this process occupies now; None where the system does not say it in a file."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _own_process_group() -> None:
    """So that a host can end the worker with all that it started, and Ctrl-C at the host's terminal spares it."""
    if os.name == "posix" and not os.isatty(0):
        with contextlib.suppress(OSError):  # it leads a session, and so a group, already
            os.setpgid(0, 0)


def _bound_log() -> None:
    with contextlib.suppress(OSError):
        if os.fstat(2).st_size > LOG_LIMIT:
            os.ftruncate(2, 0)
