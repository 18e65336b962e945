"""Runs a job and tells how it ends: the one place where an exception becomes an event and an exit code."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from .errors import Cancelled, ModelMissing, OutOfMemory, OutputFailed, OutputNotWritable, ZidoError
from .job import Cancelled as WasCancelled
from .job import CancelToken, Done, Event, EventSink, Failed, Job, Plan, Started

OK = 0
SOME_FAILED = 3
"""Exit code when some of several files failed."""


def run(
    job: Job,
    on_event: EventSink,
    cancel: CancelToken,
    *,
    index: int = 1,
    count: int = 1,
    written: Collection[str] = (),
    upscale: Callable[..., Any] | None = None,
) -> Done | Failed | WasCancelled:
    """Do the job. Returns the last event, which ``on_event`` has also got.

    ``written``: results of earlier jobs, which this one must not replace whatever its options allow.
    ``upscale``: what does it, called like `pipeline.upscale`, which it is by default.
    """
    began, cancel.work = time.monotonic(), None
    plans: list[Plan] = []

    def listen(event: Event) -> None:
        if isinstance(event, Plan):
            plans.append(event)
            if event.output in written:
                raise OutputNotWritable(
                    f"{event.output} was made from another input just now; use another folder for {job.input}"
                )
        on_event(event)

    on_event(Started(input=job.input, output=job.output, index=index, count=count))
    try:
        from . import pipeline

        cancel.check()
        work = upscale or pipeline.upscale
        watched = {} if job.previews is None else {"previews": job.previews}
        result = work(job.input, job.output, options=job.options, on_event=listen, cancel=cancel, **watched)
        last: Done | Failed | WasCancelled = Done(
            output=None if result.path is None else str(result.path),
            seconds=time.monotonic() - began,
            output_size=plans[-1].output_size if plans else None,
            crs=plans[-1].crs if plans else None,
            manifest=job.options.manifest,
            skipped=getattr(result, "skipped", False),
        )
    except (Cancelled, KeyboardInterrupt):
        last = WasCancelled(work=cancel.work)
    except Exception as error:
        last = replace(failure(error, debug=job.options.debug), work=cancel.work)
    on_event(last)
    return last


def rehearse(job: Job) -> Plan | Failed:
    """What the job would take, or why it cannot be done; no work is done."""
    try:
        from . import pipeline

        planned: Plan = pipeline.plan(job.input, job.output, job.options)
        return planned
    except Exception as error:
        return failure(error, debug=job.options.debug)


def exit_code(ends: Sequence[Event]) -> int:
    """Exit code of the command line for the last events of its jobs."""
    if any(isinstance(end, WasCancelled) for end in ends):
        return Cancelled.exit_code
    failed = [end for end in ends if isinstance(end, Failed)]
    if not failed:
        return OK
    return failed[0].code if len(ends) == 1 else SOME_FAILED


def failure(error: BaseException, *, debug: bool = False) -> Failed:
    """The error as an event: one line for people; the traceback only when debugging."""
    kind, message = _explain(error)
    return Failed(
        message=" ".join(message.split()),
        kind=kind.__name__,
        code=kind.exit_code,
        traceback="".join(traceback.format_exception(error)) if debug else None,
    )


def _explain(error: BaseException) -> tuple[type[ZidoError], str]:
    if isinstance(error, ZidoError):
        return type(error), str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            OutOfMemory,
            "not enough memory; try a smaller --tile-batch or --tile-size, or close other programs",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return OutputFailed, "the disk is full; free some space or choose another folder with -o"
    if isinstance(error, OSError):
        return OutputFailed, str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and "zido_core" not in error.name:
        return (
            ModelMissing,
            f"Python package {error.name.partition('.')[0]} is not installed; `zido doctor` shows all that is missing",
        )
    described = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ZidoError, f"internal error ({described}); this is a bug: --debug shows where, please report it"
