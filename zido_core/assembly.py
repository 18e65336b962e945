"""All blocks become the output, piece by piece: blended, recoloured, brought to the numbers of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from .blend import Read, blended
from .color import Statistics
from .facts import Facts
from .finish import Finished, PieceEnds
from .pieces import Piece
from .raster.source import Source
from .setup import Setup
from .threads import side_by_side

AT_ONCE = 2
"""Pieces that are finished side by side, each in some 300 MB."""


def assembled(
    source: Source, setup: Setup, facts: Facts, read: Read, *, check: Callable[[], None]
) -> Iterator[tuple[Piece, Finished]]:
    """The output, piece by piece, row by row; ``read`` gives the model's images of blocks.

    In memory at a time are the piece that is taken and two that come. ``check`` is called for each, and while one is
    waited for; it may raise Cancelled.
    """

    def seen(piece: Piece) -> tuple[PieceEnds, NDArray[np.float32]]:
        check()
        image = blended(read, setup.blocks, piece.seen, setup.descriptor.native_scale)
        return PieceEnds(source, setup, piece, facts.survey), image

    statistics: Statistics | None = None

    # What numpy shall not complain of is known to the thread that said so, only.
    @np.errstate(over="ignore", invalid="ignore")
    def told(found: tuple[PieceEnds, NDArray[np.float32]]) -> Statistics | None:
        ends, image = found
        return ends.statistics(image)

    @np.errstate(over="ignore", invalid="ignore")
    def finish(found: tuple[PieceEnds, NDArray[np.float32]]) -> Finished:
        ends, image = found
        return ends.finish(image, statistics)

    # Also for a single piece: threads of torch that share such small steps mostly wait for each other.
    with side_by_side(min(AT_ONCE, torch.get_num_threads()), ahead=1) as threads:
        if setup.options.color_fix in ("adain", "lab"):  # of the whole image, hence of all its pieces first
            parts = threads.map(told, map(seen, setup.pieces), heed=check)
            statistics = reduce(Statistics.merged, (each for each in parts if each is not None))
        yield from zip(setup.pieces, threads.map(finish, map(seen, setup.pieces), heed=check), strict=True)
