"""``zido compare INPUT RESULT``."""

from __future__ import annotations

import click


@click.command(
    "compare",
    help="Look what an enlargement kept of its input: place, data type, nodata, and the mean of the pixels that "
    "replace each of its pixels.",
    short_help="Look what an enlargement kept of its input.",
)
@click.argument("before", metavar="INPUT")
@click.argument("after", metavar="RESULT")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def compare(before: str, after: str, as_json: bool) -> None:
    from . import compare as comparing

    found = comparing.compare(before, after)
    click.echo(found.as_json() if as_json else found.as_text())
