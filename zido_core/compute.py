"""One block, from the input to the model's image of it: a pure function of the job and the block's index."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backbones.base import Backbone
from .blocks import Block
from .ensemble import render_views
from .facts import Facts
from .finish import region_image, within
from .keeping import BlockSlot
from .previews import Previews
from .raster.source import Source
from .render import work_of
from .resample import resize
from .setup import Setup

SMALL = 512**2
"""Input pixels of a region that is decoded between steps, for a picture."""


def compute_block(
    backbone: Backbone[Any],
    source: Source,
    setup: Setup,
    facts: Facts,
    block: Block,
    *,
    advance: Callable[[int], None],
    slot: BlockSlot | None = None,
    watch: Previews | None = None,
) -> NDArray[np.float32]:
    """The model's image of the block's extent, (3, height, width) at the model's scale, about [0, 1].

    ``advance`` is told how much more work is done (see ``render.work_of``) and may raise Cancelled. ``slot`` keeps
    the state of the block between steps; ``watch`` is shown some of them.
    """
    factor, canvas = setup.descriptor.native_scale, setup.canvas
    image, any_valid = region_image(source, setup, block, facts.survey)
    if not any_valid:  # there is nothing for the model to see
        advance(work_of(block, setup.options))
        sr = resize(image, block.region.size.scaled(factor))
    else:
        prompts = [facts.prompts[index] for index in block.tile_ids]
        shown = np.clip(resize(image, canvas.shown), 0, 1) if canvas.enlarged else image
        on_image = None if watch is None or canvas.enlarged else partial(_show, watch, block)
        sr = render_views(backbone, shown, block, prompts, setup.options, advance, slot, on_image)
        if canvas.enlarged:
            sr = resize(sr, setup.native_size)
    part = within(block.extent, block.region).scaled(factor)
    return sr if part.size == sr.shape[1:] else np.ascontiguousarray(sr[:, *part.slices])


def _show(watch: Previews, block: Block, decode: Callable[[], NDArray[np.float32]]) -> None:
    """A step is done; what it gives is decoded only where a picture is due and decoding takes little."""
    if block.region.height * block.region.width <= SMALL and watch.due:
        watch.show_region(block, decode())
