"""All blocks become the output, piece by piece: blended, recoloured, brought to the numbers of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from .blend import Read, blended
from .color import Statistics
from .facts import Facts
from .finish import Finished, PieceEnds
from .pieces import Piece
from .raster.source import Source
from .setup import Setup


def assembled(
    source: Source, setup: Setup, facts: Facts, read: Read, *, check: Callable[[], None]
) -> Iterator[tuple[Piece, Finished]]:
    """The output, piece by piece, row by row; ``read`` gives the model's images of blocks.

    What is in memory at a time is a piece. ``check`` is called between pieces and may raise Cancelled.
    """

    def seen(piece: Piece) -> tuple[PieceEnds, NDArray[np.float32]]:
        check()
        image = blended(read, setup.blocks, piece.seen, setup.descriptor.native_scale)
        return PieceEnds(source, setup, piece, facts.survey), image

    statistics: Statistics | None = None
    if setup.options.color_fix in ("adain", "lab"):  # of the whole image, hence of all its pieces first
        found = (ends.statistics(image) for ends, image in map(seen, setup.pieces))
        statistics = reduce(Statistics.merged, (each for each in found if each is not None))
    for piece in setup.pieces:
        ends, image = seen(piece)
        yield piece, ends.finish(image, statistics)
