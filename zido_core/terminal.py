"""What the command line shows: events as a bar, sparse lines or JSON lines; plans and lists as text."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from . import job
from .catalog import ModelDescriptor
from .job import Done, Event, EventSink, Plan, Progress, Stage, Started
from .wire import encode
from .words import amount, duration, pixels

if TYPE_CHECKING:
    from tqdm import tqdm

NOTICE = "Fine detail in it is synthesised: good to look at, not to measure."

_LINE_EVERY = 2.0
_LINE_SHARE = 0.1


def sink_for(*, as_json: bool, quiet: bool) -> EventSink:
    """What shows events here: JSON for programs, a bar for terminals, sparse lines for logs."""
    if as_json:
        return lambda event: click.echo(encode(event))
    return People(quiet=quiet, bar=sys.stderr.isatty() and not quiet)


class People:
    """Shows events to a person: progress and problems on stderr, results on stdout."""

    def __init__(self, *, quiet: bool, bar: bool) -> None:
        self._quiet = quiet
        self._progress = _Bar() if bar else _Lines(quiet=quiet)
        self._input = ""

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._input = event.input
            case Plan():
                for message in event.warnings:
                    self._say(f"zido: warning: {message}")
                if not self._quiet:
                    self._say(f"{os.path.basename(self._input)}: {plan_line(event)}")
            case job.Warning():
                self._say(f"zido: warning: {event.message}")
            case Stage():
                self._progress.stage(event)
            case Progress():
                self._progress.advance(event)
            case Done():
                self._progress.close()
                if not self._quiet:
                    click.echo(done_line(event))
            case _:
                self._progress.close()

    def _say(self, text: str) -> None:
        self._progress.hide()
        click.echo(text, err=True)


class _Lines:
    """A line every tenth of the work, but not more often than every two seconds."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage = "working"
        self._shown = (0.0, time.monotonic())

    def stage(self, event: Stage) -> None:
        self._stage = event.name

    def advance(self, event: Progress) -> None:
        share, now = event.done / max(event.total, 1), time.monotonic()
        before, at = self._shown
        if self._quiet or share - before < _LINE_SHARE or now - at < _LINE_EVERY:
            return
        self._shown = (share, now)
        click.echo(f"{self._stage}: {share:.0%}{_left(event.eta)}", err=True)

    def hide(self) -> None:
        """Nothing is in the way of other lines."""

    def close(self) -> None:
        self._shown = (0.0, time.monotonic())


class _Bar(_Lines):
    """A bar that stays on the last line of the terminal."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self._bar: tqdm[None] | None = None

    def advance(self, event: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            layout = "{desc} {percentage:3.0f} % |{bar}|{postfix}"
            self._bar = tqdm(
                desc=self._stage,
                total=event.total,
                initial=event.done,
                bar_format=layout,
                leave=False,
                dynamic_ncols=True,
            )
        self._bar.total = event.total
        self._bar.set_description_str(self._stage, refresh=False)
        self._bar.set_postfix_str(_left(event.eta), refresh=False)
        self._bar.update(event.done - self._bar.n)

    def hide(self) -> None:
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def plan_line(plan: Plan) -> str:
    """A plan in one line."""
    tiles = f"{plan.tiles} tile{'' if plan.tiles == 1 else 's'}"
    expected = "" if plan.seconds is None else f", about {duration(plan.seconds)}"
    return f"{pixels(plan.input_size)} to {pixels(plan.output_size)}, {tiles} on {plan.device}{expected}"


def plan_text(source: str, plan: Plan) -> str:
    """A plan in full, for ``--dry-run``."""
    rows = (
        ("input", f"{source}, {pixels(plan.input_size)}"),
        ("output", f"{plan.output}, {pixels(plan.output_size)} (x{plan.scale:g})"),
        ("CRS", plan.crs or "none"),
        ("tiles", f"{plan.tiles} of {plan.tile_size} px"),
        ("memory", f"about {amount(plan.memory_bytes)} on {plan.device} (estimated)"),
        ("disk", f"about {amount(plan.disk_bytes)} (estimated)"),
        ("time", "not known yet" if plan.seconds is None else f"about {duration(plan.seconds)} (estimated)"),
        *(("warning", message) for message in plan.warnings),
    )
    return "\n".join(f"{name:<8} {value}" for name, value in rows)


def done_line(done: Done) -> str:
    """Where the result is and what it is."""
    if done.skipped:
        return f"{done.output}: was finished before"
    size = f", {pixels(done.output_size)}" if done.output_size else ""
    crs = f", {done.crs} kept" if done.crs else ""
    return f"{done.output}{size}{crs}, {duration(done.seconds)}"


def summary_line(done: int, count: int) -> str:
    """How several jobs ended."""
    return f"{done} of {count} files upscaled" + ("" if done == count else "; see above for the others")


def models_text(models: Iterable[ModelDescriptor]) -> str:
    """The catalogue as a list for people."""
    return "\n".join(
        f"{model.name:<12} x{model.native_scale}  {model.title}\n"
        f"{'':<16} {model.memory}; {_licence(model)}\n"
        f"{'':<16} {model.paper}\n"
        f"{'':<16} {model.citation}"
        for model in models
    )


def _licence(model: ModelDescriptor) -> str:
    return model.licence if model.commercial else f"{model.licence}, not for commercial use"


def _left(eta: float | None) -> str:
    return "" if eta is None else f" {duration(eta)} left"
