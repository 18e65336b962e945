"""``zido evaluate IMAGES...``: the command line of the evaluation."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import InvalidOptions, OutputNotWritable
from .runner import OK, SOME_FAILED

if TYPE_CHECKING:
    from .evaluate.evaluation import Evaluation, Score
    from .evaluate.gallery import Gallery

METHODS = "bicubic,lanczos,mini:fidelity=1,mini"
"""What is compared where nobody says."""


@click.command(
    "evaluate",
    help="Measure methods on images whose truth is known: reduce and degrade IMAGES (files or folders of pictures and "
    "rasters), enlarge them again by each method, compare. Nothing is downloaded.",
    short_help="Measure models and interpolation on images whose truth is known.",
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option(
    "-m",
    "--methods",
    multiple=True,
    metavar="LIST",
    help=f"bicubic, lanczos, or models with options: {METHODS},mini:prompts=none,steps=8. May be repeated; the first "
    "is what the others are measured against.",
)
@click.option(
    "--protocol",
    default="zido",
    metavar="zido|stablesr|classical",
    help="whole images in RGB, 512 crops in Y, or whole images in Y with their borders cut off",
)
@click.option("--degradation", metavar="LIST", help="clean, light, medium, heavy, sensor; default: the protocol's")
@click.option("--mixed", is_flag=True, help="scenes of four images each, degraded four ways; needs --crop")
@click.option("--lr", metavar="DIR", help="take the inputs from this folder (same names, x4 after them allowed)")
@click.option("--scale", type=int, help="factor, 2 to 8 [4]")
@click.option("--crop", type=int, help="use the middle square of so many pixels of each image")
@click.option("--limit", type=click.IntRange(min=1), help="use the first N images only")
@click.option("--seed", type=click.IntRange(min=0), help="of degradations and models [0]")
@click.option("--runs", type=click.IntRange(min=1), default=1, help="seeds of every model, for G-STD and L-STD [1]")
@click.option("--device", default="auto", metavar="auto|cpu|cuda[:N]|mps", help="what computes")
@click.option("--tags", is_flag=True, help="count the tags of every input, local against global prompts")
@click.option("--json", "json_file", metavar="FILE", help="everything as JSON; - writes it to stdout, without tables")
@click.option("--csv", "csv_file", metavar="FILE", help="every score as CSV")
@click.option("--markdown", "markdown_file", metavar="FILE", help="the tables and how they were made, as Markdown")
@click.option("--report", "report_file", metavar="FILE", help="tables and pictures under sliders as one HTML file")
@click.option("--histogram", metavar="FILE", help="picture of the numbers of tags; implies --tags")
@click.option("--save", metavar="FOLDER", help="keep the results as PNG")
@click.option("--overwrite", is_flag=True, help="replace existing files")
@click.option("-q", "--quiet", is_flag=True, help="say nothing but the tables, warnings and errors")
@click.option("--debug", is_flag=True, help="show where an error happened")
def evaluate(
    images: tuple[str, ...],
    methods: tuple[str, ...],
    protocol: str,
    degradation: str | None,
    mixed: bool,
    lr: str | None,
    scale: int | None,
    crop: int | None,
    limit: int | None,
    seed: int | None,
    runs: int,
    device: str,
    tags: bool,
    json_file: str | None,
    csv_file: str | None,
    markdown_file: str | None,
    report_file: str | None,
    histogram: str | None,
    save: str | None,
    overwrite: bool,
    quiet: bool,
    debug: bool,
) -> int:
    from .evaluate import records
    from .evaluate.evaluation import Evaluation
    from .evaluate.gallery import Gallery
    from .evaluate.methods import parse_methods
    from .evaluate.protocols import choose_protocol

    named = {"json": json_file if json_file != "-" else None, "csv": csv_file, "markdown": markdown_file}
    named |= {"report": report_file, "histogram": histogram}
    targets = {kind: Path(name) for kind, name in named.items() if name}
    for target in targets.values():
        records.check_writable(target, overwrite=overwrite)
    if mixed and (degradation or lr):
        raise InvalidOptions("--mixed makes its own inputs; leave --degradation and --lr out")
    degradations = [word.strip() for word in (degradation or "").split(",") if word.strip()]
    evaluation = Evaluation(
        methods=parse_methods(methods or (METHODS,)),
        protocol=choose_protocol(protocol, crop=crop, degradations=degradations, scale=scale, seed=seed, mixed=mixed),
        device=device,
        runs=runs,
        tags=tags or histogram is not None,
    )
    gallery = Gallery()
    results = None if save is None else _folder(save)
    try:
        for result in evaluation.run(images, lr_folder=None if lr is None else Path(lr), limit=limit):
            if report_file is not None:
                gallery.add(result)
            if results is not None:
                records.save_result(results, result)
            if not quiet:
                click.echo(_line(result.score), err=True)
    finally:
        # Also what there is when somebody stops it: hours may lie behind it.
        if evaluation.scores:
            _write(evaluation, gallery, targets, device, to_stdout=json_file == "-")
    for failure in evaluation.failures:
        click.echo(f"zido: warning: {failure.message}", err=True)
    if evaluation.failures and not evaluation.scores:
        raise evaluation.failures[0].error
    return SOME_FAILED if evaluation.failures else OK


def _line(score: Score) -> str:
    """What is said of a result as soon as it is there."""
    gained, took = f"{score.values['psnr']:.2f} dB", f"{score.values['seconds']:.1f} s"
    return f"{score.image}, {score.degradation}, {score.method}: {gained}, {took}"


def _write(evaluation: Evaluation, gallery: Gallery, targets: dict[str, Path], device: str, *, to_stdout: bool) -> None:
    """The tables, and the files that were asked for."""
    from .evaluate import records, tags
    from .evaluate.tables import tables_of
    from .report.page import as_html

    made = records.provenance(_command(), device)
    if to_stdout:
        click.echo(records.as_json(evaluation, made), nl=False)
    else:
        click.echo("\n\n".join(table.as_text() for table in tables_of(evaluation)))
        if evaluation.skipped:
            click.echo(f"\n{records.skipped_line(evaluation)}")
    texts = {
        "json": lambda: records.as_json(evaluation, made),
        "csv": lambda: records.as_csv(evaluation),
        "markdown": lambda: records.as_markdown(evaluation, made),
        "report": lambda: as_html(gallery.page(evaluation, made)),
    }
    for kind, path in targets.items():
        if kind == "histogram":
            tags.save_histogram(evaluation.tag_counts, path)
        else:
            records.write_file(path, texts[kind]())


def _command() -> str:
    """The command as it was typed."""
    program = Path(sys.argv[0])
    shown = ["python", "-m", "zido_core"] if program.name == "__main__.py" else [program.name]
    return shlex.join([*shown, *sys.argv[1:]])


def _folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritable(f"cannot make the folder {name}: {error.strerror}") from error
    return folder
