"""``zido models ...``: what models there are, and their files."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from .adopt import How, adopt
from .catalog import MODELS
from .errors import BadInput, InvalidOptions, ModelMissing
from .interrupt import Interrupt
from .job import CancelToken, Progress, Stage
from .model_files import ModelFile, Obtainable, is_embedded, licences_of
from .obtain import Transfer, get, lacking
from .runner import OK
from .store import PACKAGE, Store, everything, is_offered, listed, wanted
from .terminal import models_text
from .wire import encode
from .words import amount, duration

LINE_EVERY = 5.0
"""Seconds between two lines about a download, where there is no terminal to draw on."""


@click.group("models", help="What models there are, and their files.", invoke_without_command=True)
@click.pass_context
def models(ctx: click.Context) -> int:
    return OK if ctx.invoked_subcommand else list_models(as_json=False)


@models.command("list", help="All models, with licence, paper, and whether their files are here.")
@click.option("--json", "as_json", is_flag=True, help="a JSON list on stdout")
def list_command(as_json: bool) -> int:
    return list_models(as_json=as_json)


def list_models(*, as_json: bool) -> int:
    """Print the catalogue."""
    store = Store()
    if as_json:
        entries = [{**asdict(model), "lacking": _missing(model, store)} for model in MODELS.values()]
        click.echo(json.dumps(entries, ensure_ascii=False))
        return OK
    for model in MODELS.values():
        click.echo(f"{models_text([model])}\n{'':<16} {_where(model, store)}")
    return OK


@models.command("get", help="Fetch the files of models; the only command that uses the network.")
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option("--accept-licence", is_flag=True, help="do not ask; the licences are those that `models licence` shows")
@click.option("--offline", is_flag=True, help="never use the network")
@click.option("--json", "as_json", is_flag=True, help="events as JSON lines on stdout")
@click.option("-q", "--quiet", is_flag=True, help="say nothing but errors")
def get_command(names: tuple[str, ...], accept_licence: bool, offline: bool, as_json: bool, quiet: bool) -> int:
    store = Store()
    for model in [wanted(name) for name in names]:
        coming = () if is_embedded(model) else lacking(model, store)
        if not coming:
            _tell(_where(model, store), quiet=quiet or as_json)
        if coming and offline:
            raise ModelMissing(
                f"{model.name} lacks {len(coming)} files, and --offline forbids to fetch them; "
                f"`zido models import FOLDER {model.name}` takes them from a folder"
            )
        if coming:
            _agree(model, store, accepted=accept_licence, quiet=quiet or as_json)
        _fetch(model, store, as_json=as_json, quiet=quiet)
    return OK


def _agree(model: Obtainable, store: Store, *, accepted: bool, quiet: bool) -> None:
    """Show what comes and under which terms; ask, where there is somebody."""
    size = sum(file.expected_bytes for file in lacking(model, store))
    _tell(f"{model.name}: {model.title}\n{licence_text(model)}", quiet=quiet)
    _tell(f"about {amount(size)} to {store.folder}", quiet=quiet)
    if accepted:
        return
    if sys.stdin.isatty() and not quiet:
        click.confirm("Fetch it under these licences?", abort=True, err=True)
    elif not all(licence.commercial for licence in licences_of(model)):
        raise InvalidOptions(
            f"{model.name} has weights for non-commercial use only; read `zido models licence {model.name}`, "
            "then give --accept-licence"
        )


def _fetch(model: Obtainable, store: Store, *, as_json: bool, quiet: bool) -> None:
    if is_embedded(model):
        return
    report = _Report(as_json=as_json, quiet=quiet)
    try:
        with Interrupt(CancelToken()) as cancel:
            came = get(model, store, on_transfer=report, on_note=report.note, check=cancel.check)
    finally:
        report.close()
    if came:
        _tell(f"{model.name} is complete in {store.folder}", quiet=quiet or as_json)


class _Report:
    """How a download goes: JSON lines, a line that is drawn over, or a line now and then."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet
        self._drawn = sys.stderr.isatty() and not (as_json or quiet)
        self._last, self._file = time.monotonic(), ""

    def __call__(self, transfer: Transfer) -> None:
        if self._as_json:
            if transfer.file != self._file:
                click.echo(encode(Stage(name=transfer.file)))
            click.echo(encode(Progress(done=transfer.done, total=transfer.total, eta=transfer.eta)))
        elif self._drawn:
            click.echo(f"\r\x1b[K{transfer_line(transfer)}", err=True, nl=False)
        elif not self._quiet and time.monotonic() - self._last >= LINE_EVERY:
            click.echo(transfer_line(transfer), err=True)
            self._last = time.monotonic()
        self._file = transfer.file

    def note(self, line: str) -> None:
        self.close()
        if not (self._quiet or self._as_json):
            click.echo(line, err=True)

    def close(self) -> None:
        if self._drawn:
            click.echo("\r\x1b[K", err=True, nl=False)


def transfer_line(transfer: Transfer) -> str:
    """How far a download is, in one line."""
    rate = "" if transfer.rate is None else f", {amount(round(transfer.rate))}/s"
    left = "" if transfer.eta is None else f", {duration(transfer.eta)} left"
    return f"{amount(transfer.done)} of {amount(transfer.total)}{rate}{left}  {transfer.file}"


@models.command("verify", help="Read all files of models, and compare them with what they were when they came.")
@click.argument("names", nargs=-1, metavar="[MODEL...]")
def verify_command(names: tuple[str, ...]) -> int:
    store, faults = Store(), 0
    chosen = [wanted(name) for name in names] or [
        model for model in everything() if is_embedded(model) or model.name in store.records.chosen
    ]
    for file in dict.fromkeys(file for model in chosen for file in model.files):
        fault = store.verify(file)
        faults += fault is not None
        click.echo(f"{'ok  ' if fault is None else 'FAIL'} {file.path}{'' if fault is None else f' {fault}'}")
    if faults:
        raise ModelMissing(f"{faults} files are not as they should be; `zido models get` fetches them again")
    return OK


@models.command("import", help="Take files that you already have, also a hub's cache, into the store.")
@click.argument("folder", metavar="FOLDER")
@click.argument("names", nargs=-1, metavar="[MODEL...]")
@click.option("--copy", "how", flag_value="copy", help="always copy; otherwise linked where that is possible")
@click.option("--symlink", "how", flag_value="symlink", help="symbolic links: the files stay where they are")
def import_command(folder: str, names: tuple[str, ...], how: How | None) -> int:
    store = Store()
    chosen = [wanted(name) for name in names] or everything()
    with Interrupt(CancelToken()) as cancel:
        adopted = adopt(
            Path(folder).expanduser(), chosen, store, how=how or "link", on_note=click.echo, check=cancel.check
        )
    for name, missing in adopted.lacking.items():
        lacks = f"lacks {len(missing)} files: {listed([file.path for file in missing])}; `zido models get {name}`"
        click.echo(f"{name} {lacks if missing else 'is complete'}")
    for reason in adopted.refused:
        click.echo(f"zido: {reason}", err=True)
    return BadInput.exit_code if adopted.refused else OK


@models.command("path", help="Where the files of a model are, or would be.")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option("--files", is_flag=True, help="every file, and whether it is here")
def path_command(name: str | None, files: bool) -> int:
    store = Store()
    model = None if name is None else wanted(name)
    click.echo(PACKAGE if model is not None and is_embedded(model) else store.folder)
    for file in () if not files else model.files if model else _all_files():
        click.echo(f"{store.state(file):<8} {file.path}")
    return OK


@models.command("rm", help="Remove the files of models, but those that another one needs.")
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
def remove_command(names: tuple[str, ...]) -> int:
    store = Store()
    for model in [wanted(name) for name in names]:
        if is_embedded(model):
            raise InvalidOptions(f"{model.name} is a part of zido and cannot be removed alone")
        with store.lock(on_wait=click.echo):
            gone = store.remove(model)
        click.echo(f"{model.name}: {len(gone)} files removed")
    return OK


@models.command("licence", help="The licences of a model's weights.")
@click.argument("name", metavar="MODEL")
def licence_command(name: str) -> int:
    click.echo(licence_text(wanted(name)))
    return OK


def licence_text(model: Obtainable) -> str:
    """The licences of a model, one a line, and a notice if they forbid commercial use."""
    licences = licences_of(model)
    if not licences:
        return getattr(model, "licence", "no licence is known")
    lines = [f"{licence.name} ({licence.gist}): {licence.url}" for licence in licences]
    if not all(licence.commercial for licence in licences):
        lines.append("NOTICE: not for commercial use")
    return "\n".join(lines)


def _where(model: Obtainable, store: Store) -> str:
    """Whether its files are here."""
    if is_embedded(model):
        return "ships with zido"
    missing = _missing(model, store)
    if not missing:
        return f"complete in {store.folder}"
    size = amount(sum(file.expected_bytes for file in lacking(model, store)))
    of = "its files are not here" if len(missing) == len(model.files) else f"{len(missing)} files are not here"
    how = f"get {model.name}" if is_offered(model) else f"import FOLDER {model.name}"
    return f"{of} (about {size}): zido models {how}"


def _missing(model: Obtainable, store: Store) -> list[str]:
    return [] if is_embedded(model) else [file.path for file in lacking(model, store)]


def _all_files() -> list[ModelFile]:
    return list(dict.fromkeys(file for model in everything() for file in model.files))


def _tell(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)
