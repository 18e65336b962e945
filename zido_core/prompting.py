"""One prompt for every tile of the canvas: from the tagger, from a file, from the user."""

from __future__ import annotations

from itertools import groupby

from .finish import model_image, read_bands
from .job import CancelToken
from .prompts.base import Prompt, Tagger, tagger_for
from .prompts.compose import combine
from .raster.source import Source
from .setup import Setup
from .survey import Survey
from .tiling.grid import Tile


def prompts_of(source: Source, setup: Setup, survey: Survey, cancel: CancelToken | None = None) -> list[Prompt]:
    """The prompts of ``setup.canvas.grid``, row by row. A file speaks for the tiles that it covers."""
    options, tiles = setup.options, setup.canvas.input_tiles
    if options.prompts == "none":
        tagged = [Prompt() for _ in tiles]
    elif options.prompts == "global":
        tagged = global_prompts(source, setup, survey, tagger_for(options))
    else:
        tagged = local_prompts(source, setup, survey, tagger_for(options), cancel or CancelToken())
    return combine(tagged, tiles, regions=setup.regions, prompt=options.prompt, negative=options.negative_prompt)


def local_prompts(source: Source, setup: Setup, survey: Survey, tagger: Tagger, cancel: CancelToken) -> list[Prompt]:
    """What the tagger says of each tile alone (ZIDO, Algorithm 1); one row of tiles is in memory at a time."""
    prompts: list[Prompt] = []
    for (row, height), group in groupby(setup.canvas.input_tiles, key=lambda tile: (tile.row, tile.height)):
        cancel.check()
        strip = read_bands(source, Tile(row, 0, height, setup.info.size.width), setup.bands.model, survey)
        prompts += tagger.tag(model_image(strip, setup, survey), [tile.shifted(-row, 0) for tile in group])
    return prompts


def global_prompts(source: Source, setup: Setup, survey: Survey, tagger: Tagger) -> list[Prompt]:
    """What the tagger says of the middle of the whole image, for every tile (SeeSR with MultiDiffusion).

    The image is looked at in its own resolution, up to a block: noise and blur do not show in a thumbnail.
    """
    height, width = (min(side, setup.block_size) for side in setup.info.size)
    row, col = (setup.info.size.height - height) // 2, (setup.info.size.width - width) // 2
    middle = read_bands(source, Tile(row, col, height, width), setup.bands.model, survey)
    (prompt,) = tagger.tag(model_image(middle, setup, survey), [Tile(0, 0, height, width)])
    return [prompt for _ in setup.canvas.input_tiles]
