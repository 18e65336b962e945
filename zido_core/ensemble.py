"""The model's image of a region: of one view, or the mean over all eight (``--tta``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backbones.base import Backbone
from .backbones.turned import TURNS, Turned
from .blocks import Block
from .keeping import BlockSlot, Views
from .options import ResolvedOptions
from .prompts.base import Prompt
from .render import render, work_of


def render_views(
    backbone: Backbone[Any],
    image: NDArray[np.float32],
    block: Block,
    prompts: Sequence[Prompt],
    options: ResolvedOptions,
    advance: Callable[[int], None],
    slot: BlockSlot | None = None,
    on_image: Callable[[Callable[[], NDArray[np.float32]]], None] | None = None,
) -> NDArray[np.float32]:
    """As ``render``; all views see the same noise. Finished ones of an earlier run are not computed again."""
    if not options.tta:
        return render(backbone, image, block, prompts, options, advance, slot, on_image)
    views = Views(slot, options)
    advance(work_of(block, options) // len(TURNS) * views.done)
    for turn in TURNS[views.done :]:
        view = render(Turned(backbone, turn), image, block, prompts, options, advance, views)
        view /= len(TURNS)
        views.add(view)
    assert views.sum is not None
    return views.sum
