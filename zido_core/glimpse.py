"""A glimpse of the result at one place, before the long run: what will be there, for the screen.

The tiles of the whole canvas that touch the place are computed, with their own prompts and noise, so this is what the
run will make of it, but for what reaches it from tiles farther away.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from .backbones.base import Backbone
from .blocks import Block, Layout
from .compute import compute_block
from .errors import InvalidOptions, OutputNotWritable
from .facts import Facts
from .finish import Finished, PieceEnds, within
from .job import CancelToken, EventSink, Preview, Progress, Sample, Stage
from .pace import Eta
from .picture import display_stretch, probe, to_display
from .pieces import Piece
from .pipeline import open_input
from .prompting import prompts_of
from .raster.source import Source
from .render import work_of
from .setup import Setup, prepare
from .survey import survey
from .tiling.grid import Tile
from .work.store import MemoryStore

LARGEST = 1024
"""Longest side of a place, input pixels: more is a run."""


def glimpse(asked: Sample, load: Callable[[Setup], Backbone[Any]], on_event: EventSink, cancel: CancelToken) -> Preview:
    """Write the picture of the place; ``load`` gives the model."""
    with open_input(asked.input, asked.options) as source:
        setup = prepare(source, None, replace(asked.options, dry_run=False), to_file=False)
        place = _place(asked.box, setup)
        on_event(Stage(name="reading", index=1, count=2))
        found = survey(source, setup)
        facts = Facts(survey=found, prompts=prompts_of(source, setup, found, cancel))
        on_event(Stage(name=setup.stages[2], index=2, count=2))
        finished = _finished(load(setup), source, setup, facts, place, on_event, cancel)
        _write(Path(asked.output), source, setup, finished)
        return Preview(path=os.fspath(asked.output), box=setup.target_of(place))


def block_at(layout: Layout, place: Tile) -> Block:
    """The block whose core is this place and no other, of the same canvas."""
    size = layout.canvas.size
    rows, cols = (
        tuple(sorted({0, start, stop, whole}))
        for start, stop, whole in ((place.row, place.bottom, size.height), (place.col, place.right, size.width))
    )
    around = replace(layout, rows=rows, cols=cols, reach=(0, 0))
    return around[rows.index(place.row) * (len(cols) - 1) + cols.index(place.col)]


def _place(box: tuple[int, int, int, int], setup: Setup) -> Tile:
    size = setup.info.size
    place = Tile(*box).intersect(Tile.whole(size))
    if place is None or max(place.size) > LARGEST:
        raise InvalidOptions(
            f"the place {tuple(box)} (row, col, height, width) is outside the input of {size.height} x {size.width} "
            f"pixels, or larger than {LARGEST}; choose one inside"
        )
    return place


def _finished(
    backbone: Backbone[Any],
    source: Source,
    setup: Setup,
    facts: Facts,
    place: Tile,
    on_event: EventSink,
    cancel: CancelToken,
) -> Finished:
    """The output's pixels of the place."""
    outer = place.pad(setup.pieces.margin, setup.info.size)
    piece = Piece(core=place, outer=outer, seen=outer.pad(setup.pieces.sight, setup.info.size))
    block = block_at(setup.blocks, piece.seen)
    total, eta, done = work_of(block, setup.options), Eta(), 0

    def advance(work: int) -> None:
        nonlocal done
        cancel.check()
        done += work
        on_event(Progress(done=min(done, total), total=total, eta=eta.update(done, total)))

    store = MemoryStore(setup.form)
    store.put(block.index, compute_block(backbone, source, setup, facts, block, advance=advance), 0)
    image = store.read(block.index, within(piece.seen, block.extent).scaled(setup.descriptor.native_scale))
    ends = PieceEnds(source, setup, piece, facts.survey)
    return ends.finish(image, ends.statistics(image))


def _write(path: Path, source: Source, setup: Setup, finished: Finished) -> None:
    """In the black and white in which the input is shown."""
    planes = [setup.colours.index(band) for band in setup.bands.model]
    stretch = display_stretch(probe(source, setup.bands.model))
    try:
        Image.fromarray(to_display(finished.array[planes], finished.valid, stretch)).save(path)
    except (OSError, ValueError) as error:
        raise OutputNotWritable(f"cannot write the picture {path}: {error}; name a .png") from None
