"""``zido INPUT... [-o OUTPUT] [options]``: the command line. Its options are the fields of ``Options``."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from . import __version__
from .cli_compare import compare
from .cli_evaluate import evaluate
from .cli_models import models
from .cli_plugin import install_plugin
from .cli_window import window
from .errors import Cancelled, InvalidOptions
from .interrupt import Interrupt, continue_text, stopped_text
from .job import Cancelled as WasCancelled
from .job import CancelToken, Done, Event, Failed, Job, Plan
from .naming import jobs_for
from .option_spec import AUTOMATIC, HEADINGS, OptionSpec
from .options import OPTIONS, Options
from .runner import OK, exit_code, failure, rehearse, run
from .terminal import NOTICE, plan_text, sink_for, summary_line
from .wire import encode

DEFAULT_COMMAND = "upscale"


class UpscaleCommand(click.Command):
    """Upscale rasters and photographs."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The main options by group first, the advanced ones of all groups below."""
        own = [p for p in self.params if isinstance(p, click.Option) and p.name not in OPTIONS]
        for group, heading in HEADINGS.items():
            shown = [p for p in self.params if _belongs(p, group, advanced=False)]
            self._write(ctx, formatter, heading, [*own, *shown] if group == "main" else shown)
        advanced = [p for group in HEADINGS for p in self.params if _belongs(p, group, advanced=True)]
        self._write(ctx, formatter, "Advanced", advanced)

    def _write(
        self, ctx: click.Context, formatter: click.HelpFormatter, heading: str, shown: list[click.Parameter]
    ) -> None:
        records = [record for parameter in shown if (record := parameter.get_help_record(ctx))]
        if records:
            with formatter.section(heading):
                formatter.write_dl(records, col_max=28)


def _belongs(parameter: click.Parameter, group: str, *, advanced: bool) -> bool:
    spec = OPTIONS.get(parameter.name or "")
    return spec is not None and (spec.group, spec.advanced) == (group, advanced)


class Zido(click.Group):
    """A group whose default command is to upscale, so that ``zido picture.tif`` needs no other word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front where none is named; ``./doctor`` is a file of that name."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both ways to call it."""
        formatter.write_usage(ctx.command_path, "INPUT... [-o OUTPUT] [options]")
        formatter.write_usage(ctx.command_path, "COMMAND [options]", prefix=" " * len("Usage: "))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the default command, then the other commands."""
        default = self.commands[DEFAULT_COMMAND]
        default.format_options(click.Context(default, parent=ctx), formatter)
        shown = (name for name, command in self.commands.items() if not command.hidden)
        others = sorted(name for name in shown if name != DEFAULT_COMMAND)
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(80)) for name in others])


@click.group(
    cls=Zido,
    help="Upscale rasters and photographs by tiled diffusion, with a prompt for every tile. "
    "Georeferencing, bands, data type and nodata are kept.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, "--version", message="zido %(version)s")
def app() -> None:
    """Nothing happens before the command."""


app.add_command(compare)
app.add_command(evaluate)


@app.command("upscale", cls=UpscaleCommand, help="Upscale rasters and photographs.")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", metavar="PATH", help="file or, for several inputs, folder (default: INPUT_x4)")
@click.option(
    "--shard", metavar="I/N", help="compute every N-th block only, for `zido assemble`, which makes the output"
)
@click.option("--json", "as_json", is_flag=True, help="events as JSON lines on stdout")
@click.option("-q", "--quiet", is_flag=True, help="say nothing but warnings and errors")
def upscale(
    inputs: tuple[str, ...], output: str | None, shard: str | None, as_json: bool, quiet: bool, **values: Any
) -> int:
    given = {name: value for name, value in values.items() if value not in (None, False, ())}
    options = Options.from_dict(given)
    jobs = jobs_for(inputs, output, options)
    with Interrupt(CancelToken()) as cancel:
        if options.dry_run:
            return _plan_all(jobs, as_json=as_json)
        if shard is not None:
            return _compute_shards(jobs, shard, cancel, as_json=as_json, quiet=quiet)
        return _upscale_all(jobs, cancel, as_json=as_json, quiet=quiet)


def _click_option(spec: OptionSpec) -> click.Option:
    declarations = [*([spec.short] if spec.short else []), spec.flag, spec.name]
    words = [spec.help]
    if spec.effect:
        words.append(f"({spec.effect})")
    if spec.default not in (None, False, "", (), AUTOMATIC):
        words.append(f"[{spec.default}]")
    if spec.kind is bool:
        return click.Option(declarations, is_flag=True, help=" ".join(words))
    several = spec.many and spec.kind is str
    return click.Option(declarations, type=str, metavar=_metavar(spec), multiple=several, help=" ".join(words))


def _metavar(spec: OptionSpec) -> str:
    if spec.metavar or spec.choices:
        return spec.metavar or "|".join(spec.choices)
    if spec.minimum is not None and spec.maximum is not None and spec.maximum < 10_000:
        return f"{spec.minimum:g}..{spec.maximum:g}"
    return {int: "N", float: "X", str: "TEXT"}[spec.kind]


for _spec in OPTIONS.values():
    upscale.params.append(_click_option(_spec))


@app.command("doctor", help="Look whether everything needed is here and works.")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def doctor(as_json: bool) -> int:
    from . import doctor as examination

    checks = examination.examine()
    click.echo(examination.as_json(checks) if as_json else examination.as_text(checks))
    return examination.exit_code(checks)


@app.command(
    "resume",
    help="Go on with unfinished work: a folder OUTPUT.zido, the OUTPUT that it belongs to, or a folder with several.",
    short_help="Go on with unfinished work.",
)
@click.argument("places", nargs=-1, required=True, metavar="PLACE...")
@click.option("--json", "as_json", is_flag=True, help="events as JSON lines on stdout")
@click.option("-q", "--quiet", is_flag=True, help="say nothing but warnings and errors")
def resume(places: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    from .work.unfinished import jobs_in

    jobs = [job for place in places for job in jobs_in(place)]
    with Interrupt(CancelToken()) as cancel:
        return _upscale_all(jobs, cancel, as_json=as_json, quiet=quiet)


@app.command(
    "assemble",
    help="Make outputs of blocks that shards have computed: a folder OUTPUT.zido, the OUTPUT that it belongs to, or a "
    "folder with several. Blocks that are missing are named; `zido resume` computes them.",
    short_help="Make an output of the blocks of all shards.",
)
@click.argument("places", nargs=-1, required=True, metavar="PLACE...")
@click.option("--json", "as_json", is_flag=True, help="events as JSON lines on stdout")
@click.option("-q", "--quiet", is_flag=True, help="say nothing but warnings and errors")
def assemble(places: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    from . import pipeline
    from .work.unfinished import jobs_in

    jobs = [job for place in places for job in jobs_in(place)]
    with Interrupt(CancelToken()) as cancel:
        return _upscale_all(jobs, cancel, as_json=as_json, quiet=quiet, upscale=pipeline.assemble)


@app.command("blocks", hidden=True, help="Compute blocks of a job for another process of zido.")
@click.argument("folder")
@click.option("--device")
def blocks(folder: str, device: str | None) -> NoReturn:
    from . import block_server

    block_server.serve(Path(folder), device)


@app.command(
    "clean",
    help="Remove unfinished work that nobody is doing: a folder OUTPUT.zido, that of an OUTPUT, or all in a folder.",
    short_help="Remove unfinished work.",
)
@click.argument("places", nargs=-1, required=True, metavar="PLACE...")
@click.option("--dry-run", "only_list", is_flag=True, help="say what would be removed, and stop")
def clean(places: tuple[str, ...], only_list: bool) -> int:
    from .work.unfinished import remove_work

    for place in places:
        for line in remove_work(place, only_list=only_list):
            click.echo(line)
    return OK


app.add_command(models)
app.add_command(install_plugin)
app.add_command(window)


@app.command(
    "worker",
    help="Do jobs for another program, such as QGIS, with the model kept loaded: JSON lines come in on stdin and "
    "go out on stdout (docs/worker.md). Ends when stdin does.",
    short_help="Do jobs for another program: JSON lines on stdin and stdout.",
)
@click.option(
    "--idle",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="leave after so long without a job; 0: stay",
)
@click.option("--views", is_flag=True, help="make pictures of files and nothing else, without PyTorch")
def worker(idle: float, views: bool) -> NoReturn:
    from . import worker as serving

    serving.serve(idle, only_views=views)


def _compute_shards(jobs: Sequence[Job], shard: str, cancel: CancelToken, *, as_json: bool, quiet: bool) -> int:
    from . import pipeline
    from .sharing.shard import Shard

    chosen = Shard.of(shard)
    compute = partial(pipeline.compute_shard, shard=chosen)
    code = _upscale_all(jobs, cancel, as_json=as_json, quiet=True, upscale=compute)
    if code == OK and not (as_json or quiet):
        click.echo(f"shard {chosen} is done; when all are, make the output with: zido assemble PLACE")
    return code


def _upscale_all(
    jobs: Sequence[Job],
    cancel: CancelToken,
    *,
    as_json: bool,
    quiet: bool,
    upscale: Callable[..., Any] | None = None,
) -> int:
    sink = sink_for(as_json=as_json, quiet=quiet)
    ends: list[Event] = []
    one = upscale or (_OneModel() if len(jobs) > 1 else None)
    for index, job in enumerate(jobs, start=1):
        written = [end.output for end in ends if isinstance(end, Done) and end.output]
        ends.append(run(job, sink, cancel, index=index, count=len(jobs), written=written, upscale=one))
        _report(ends[-1])
        if isinstance(ends[-1], WasCancelled):
            break
    done = sum(isinstance(end, Done) for end in ends)
    if not (as_json or quiet):
        if len(jobs) > 1:
            click.echo(summary_line(done, len(jobs)))
        if done:
            click.echo(NOTICE)
    return exit_code(ends)


class _OneModel:
    """Upscales file after file with the model kept loaded; loads all that it needs when it is first called."""

    _upscale: Callable[..., Any] | None = None

    def __call__(self, *given: Any, **named: Any) -> Any:
        if self._upscale is None:
            from .pipeline import KeptModel

            self._upscale = KeptModel().upscale
        return self._upscale(*given, **named)


def _plan_all(jobs: Sequence[Job], *, as_json: bool) -> int:
    ends: list[Event] = []
    for job in jobs:
        ends.append(rehearse(job))
        if as_json:
            click.echo(encode(ends[-1]))
        elif isinstance(ends[-1], Plan):
            click.echo(plan_text(job.input, ends[-1]))
        _report(ends[-1])
    return exit_code(ends)


def _report(end: Event) -> None:
    """Say on stderr why there is no result."""
    if isinstance(end, WasCancelled):
        click.echo(stopped_text(end.work), err=True)
    if isinstance(end, Failed):
        if end.traceback:
            click.echo(end.traceback, err=True)
        click.echo(f"zido: {end.message}", err=True)
        if end.work is not None:
            click.echo(f"zido: {continue_text(end.work)}", err=True)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    code = execute(sys.argv[1:] if arguments is None else arguments)
    if code == Cancelled.exit_code:  # on a busy machine Python takes seconds to put torch away, and somebody waits
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run the command line; every error is one line on stderr and an exit code."""
    try:
        code = app.main(args=list(arguments), standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        _report(WasCancelled())
        return Cancelled.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return InvalidOptions.exit_code
    except click.ClickException as error:
        click.echo(f"zido: {_usage(error)}", err=True)
        return InvalidOptions.exit_code
    except Exception as error:
        failed = failure(error, debug="--debug" in arguments)
        _report(failed)
        return failed.code
    return code if isinstance(code, int) else OK


def _usage(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        if error.option_name in _FLAGS and error.ctx is not None:  # of another command
            return f"{error.option_name} is no option of this command; see {error.ctx.command_path} --help"
        near = difflib.get_close_matches(error.option_name, _FLAGS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see zido --help"
        return f"there is no option {error.option_name}; {hint}"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}; see zido --help"


_FLAGS = [flag for parameter in upscale.params for flag in parameter.opts]
