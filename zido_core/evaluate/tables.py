"""The tables of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..report.table import Table
from .evaluation import Evaluation
from .scores import Metric, Topic

TITLES: dict[Topic, str] = {
    "truth": "likeness to the truth",
    "detail": "spectra, and what became of the detail",
    "input": "consistency with the input",
    "stability": "difference from seed to seed",
    "cost": "cost",
}
"""Titles of the tables."""

COMPARED = ("psnr", "ssim", "haarpsi", "gmsd", "spectrum")
"""Figures for which it is counted on how many images a method beats the first one."""

NOTHING = "–"


def tables_of(evaluation: Evaluation) -> Iterator[Table]:
    """All tables, degradation by degradation, then that of the tags."""
    for degradation in evaluation.degradations:
        for topic in TITLES:
            table = _topic_table(evaluation, degradation, topic)
            if len(table.headings) > 1:
                yield table
        if len(evaluation.methods) > 1:
            yield _against_first(evaluation, degradation)
    if evaluation.tag_counts:
        yield _tag_table(evaluation)


def _topic_table(evaluation: Evaluation, degradation: str, topic: Topic) -> Table:
    shown = [metric for metric in evaluation.metrics.values() if metric.topic == topic and _main(evaluation, metric)]
    means = {spec.label: evaluation.means(degradation, spec.label) for spec in evaluation.methods}
    told = [metric for metric in shown if any(not math.isnan(row[metric.name]) for row in means.values())]
    count = len({score.image for score in evaluation.scores if score.degradation == degradation})
    return Table(
        title=f"{degradation}, {count} image{'s' * (count != 1)}: {TITLES[topic]}",
        headings=["Method", *(metric.heading for metric in told)],
        rows=[[label, *(shown_number(row[m.name], m.digits) for m in told)] for label, row in means.items()],
    )


def _main(evaluation: Evaluation, metric: Metric) -> bool:
    """PSNR and SSIM stand in one channel, the protocol's; JSON and CSV have both."""
    other = ("psnr", "ssim") if evaluation.protocol.channel == "y" else ("psnr_y", "ssim_y")
    return metric.name not in other


def _against_first(evaluation: Evaluation, degradation: str) -> Table:
    """Gain in PSNR over the first method, and on how many images others are better than it."""
    first, *others = (spec.label for spec in evaluation.methods)
    suffix = "_y" if evaluation.protocol.channel == "y" else ""
    names = [name + suffix if name in ("psnr", "ssim") else name for name in COMPARED]
    rows = []
    for label in others:
        gain = evaluation.gain(degradation, label, names[0])
        counts = (evaluation.wins(degradation, label, name) for name in names)
        rows.append([label, signed(gain), *(f"{won}/{of}" if of else NOTHING for won, of in counts)])
    labels = [evaluation.metrics[name].label for name in names]
    return Table(
        title=f"{degradation}: against {first}",
        headings=["Method", f"{labels[0]} gain", *(f"{label} better" for label in labels)],
        rows=rows,
    )


def _tag_table(evaluation: Evaluation) -> Table:
    """Unique tags, ZIDO's figure 7 in numbers."""
    counts = evaluation.tag_counts
    numbers = [(each.tiles, each.local, each.whole, each.common) for each in counts]
    rows = [[c.image, c.degradation, *map(str, row)] for c, row in zip(counts, numbers, strict=True)]
    means = [sum(column) / len(counts) for column in zip(*numbers, strict=True)]
    return Table(
        title="unique tags of the inputs, by tile and of the whole (ZIDO, section 5.4)",
        headings=["Image", "Degradation", "Tiles", "Local", "Global", "Common"],
        rows=[*rows, ["mean", "", *(f"{mean:.1f}" for mean in means)]],
    )


def shown_number(value: float, digits: int) -> str:
    """A number as tables have it."""
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """A difference in dB."""
    return NOTHING if math.isnan(value) else f"{value:+.2f}"
