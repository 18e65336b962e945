"""The model's image of a region: of one view, or the mean over all eight (``--tta``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backbones.base import Backbone
from .backbones.turned import TURNS, Turned
from .blocks import Block
from .keeping import Slot
from .options import ResolvedOptions
from .prompts.base import Prompt
from .render import render


def render_views(
    backbone: Backbone[Any],
    image: NDArray[np.float32],
    block: Block,
    prompts: Sequence[Prompt],
    options: ResolvedOptions,
    advance: Callable[[int], None],
    slot: Slot | None = None,
    on_image: Callable[[Callable[[], NDArray[np.float32]]], None] | None = None,
) -> NDArray[np.float32]:
    """As ``render``; all views see the same noise. Only the state of a single view is kept between steps."""
    if not options.tta:
        return render(backbone, image, block, prompts, options, advance, slot, on_image)
    mean: NDArray[np.float32] | None = None
    for turn in TURNS:
        view = render(Turned(backbone, turn), image, block, prompts, options, advance)
        view /= len(TURNS)
        mean = view if mean is None else np.add(mean, view, out=mean)
    assert mean is not None
    return mean
