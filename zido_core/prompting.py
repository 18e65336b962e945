"""One prompt for every tile of the canvas: from the tagger, from a file, from the user."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .finish import read_bands, validity
from .job import CancelToken
from .prompts.base import Prompt, Tagger, tagger_for
from .prompts.compose import Region, combine
from .prompts.regions import load_regions, save_prompts
from .raster.radiometry import Stretch, fill_invalid
from .raster.source import Source
from .setup import Setup
from .tiling.grid import Tile

WORDS = ("local", "global", "none")
"""Values of ``prompts`` that are no file."""


def prompts_of(
    source: Source, setup: Setup, stretch: Stretch, cancel: CancelToken | None = None
) -> list[Prompt]:
    """The prompts of ``setup.canvas.grid``, row by row; written to ``save_prompts`` if that is given.

    A file speaks for the tiles that it covers; the tagger for the others.
    """
    options, tiles = setup.options, setup.canvas.input_tiles
    regions: Sequence[Region] = ()
    if options.prompts not in WORDS:
        regions = load_regions(Path(options.prompts), setup.info.geobox)
    if options.prompts == "none":
        tagged = [Prompt() for _ in tiles]
    elif options.prompts == "global":
        tagged = global_prompts(source, setup, stretch, tagger_for(options))
    else:
        tagged = local_prompts(source, setup, stretch, tagger_for(options), cancel or CancelToken())
    prompts = combine(tagged, tiles, regions=regions, prompt=options.prompt, negative=options.negative_prompt)
    if options.save_prompts is not None:
        save_prompts(options.save_prompts, setup.info.geobox, tiles, prompts, overwrite=options.overwrite)
    return prompts


def local_prompts(
    source: Source, setup: Setup, stretch: Stretch, tagger: Tagger, cancel: CancelToken
) -> list[Prompt]:
    """What the tagger says of each tile alone (ZIDO, Algorithm 1); one row of tiles is in memory at a time."""
    prompts: list[Prompt] = []
    for (row, height), group in groupby(setup.canvas.input_tiles, key=lambda tile: (tile.row, tile.height)):
        cancel.check()
        band = Tile(row, 0, height, setup.info.size.width)
        inside = [tile.shifted(-row, 0) for tile in group]
        prompts += tagger.tag(_unit_image(source, setup, stretch, band), inside)
    return prompts


def global_prompts(source: Source, setup: Setup, stretch: Stretch, tagger: Tagger) -> list[Prompt]:
    """What the tagger says of the middle of the whole image, for every tile (SeeSR with MultiDiffusion).

    The image is looked at in its own resolution, up to a block: noise and blur do not show in a thumbnail.
    """
    height, width = (min(side, setup.block_size) for side in setup.info.size)
    row, col = (setup.info.size.height - height) // 2, (setup.info.size.width - width) // 2
    image = _unit_image(source, setup, stretch, Tile(row, col, height, width))
    (prompt,) = tagger.tag(image, [Tile(0, 0, height, width)])
    return [prompt for _ in setup.canvas.input_tiles]


def _unit_image(source: Source, setup: Setup, stretch: Stretch, window: Tile) -> NDArray[np.float32]:
    raster = read_bands(source, setup, window, setup.bands.model)
    filled = fill_invalid(raster.array, validity(raster), origin=(window.row, window.col))
    return np.ascontiguousarray(setup.bands.to_model(stretch.to_unit(filled)))
