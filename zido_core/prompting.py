"""One prompt for every tile of the canvas: from the tagger, from a file, from the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from .finish import model_image, read_bands, within
from .job import CancelToken
from .prompts.base import NoPrompt, Prompt, Tagger, about, tagger_for
from .prompts.compose import combine
from .prompts.spool import Spool
from .prompts.vocabulary import clean_text, content_of, join
from .raster.source import Source
from .setup import Setup
from .survey import Survey
from .tiling.grid import Size, Tile

GLOBAL_SIDE = 1024
"""Input pixels along the side of what one prompt for all tiles is read from."""

WHOLE_SIDE = 1024
"""Pixels along the longer side of the picture from which words for the whole image are read."""

STRIP_TILES = 32
"""Neighbours that are read together; bounds the memory for wide rasters."""


def prompts_of(source: Source, setup: Setup, survey: Survey, cancel: CancelToken | None = None) -> list[Prompt]:
    """The prompts of ``setup.canvas.grid``, row by row. A file speaks for the tiles that it covers."""
    options, tiles = setup.options, setup.canvas.input_tiles
    steers = options.uses("rap", "rsp")
    tagger = tagger_for(options) if options.tags else NoPrompt()
    whole = whole_words(source, setup, survey, tagger) if steers else ""
    user = options.prompt or whole  # words that all tiles hear, and that those are told who describe tiles
    if options.prompts == "none":
        tagged = [Prompt() for _ in tiles]
    elif options.prompts == "global":
        tagged = global_prompts(source, setup, survey, tagger)
    else:
        tagged = local_prompts(source, setup, survey, about(tagger, user), cancel or CancelToken())
    everywhere = replace(options, prompt=user).everywhere
    told = combine(tagged, tiles, regions=setup.regions, prompt=everywhere, negative=options.negative_prompt)
    said = join(Prompt(), whole).text
    return [replace(prompt, whole=said) for prompt in told] if options.uses("rap") else told


def whole_words(source: Source, setup: Setup, survey: Survey, tagger: Tagger) -> str:
    """What is said of the whole image: the user's words, or the tagger's about a small picture of it."""
    if setup.options.prompt:
        return clean_text(setup.options.prompt)
    sample, bands = source.thumbnail(WHOLE_SIDE), setup.bands.model
    chosen = [setup.info.colour_bands.index(band) for band in bands]
    means = survey.fill_of(bands)[:, None, None]
    numbers = np.where(sample.every_band_valid[chosen], sample.array[chosen], means)
    image = np.asarray(setup.bands.to_model(survey.stretch.to_unit(numbers)), np.float32)
    (prompt,) = tagger.tag(image, [Tile.whole(Size(*image.shape[1:]))])
    return content_of(prompt)


def local_prompts(source: Source, setup: Setup, survey: Survey, tagger: Tagger, cancel: CancelToken) -> list[Prompt]:
    """What the tagger says of each tile alone (ZIDO, Algorithm 1); a few tiles of a row are in memory at a time."""
    prompts: list[Prompt] = []
    with Spool() as spool:
        for tiles in _strips(setup.canvas.input_tiles):
            cancel.check()
            first, last = tiles[0], tiles[-1]
            strip = Tile(first.row, first.col, first.height, last.right - first.col)
            image = model_image(read_bands(source, strip, setup.bands.model, survey), setup, survey)
            prompts += spool.kept(tagger.tag(image, [within(tile, strip) for tile in tiles]))
    return prompts


def _strips(tiles: Sequence[Tile]) -> Iterator[Sequence[Tile]]:
    """The tiles row by row, at most `STRIP_TILES` at once."""
    for _, group in groupby(tiles, key=lambda tile: tile.row):
        row = list(group)
        for start in range(0, len(row), STRIP_TILES):
            yield row[start : start + STRIP_TILES]


def global_prompts(source: Source, setup: Setup, survey: Survey, tagger: Tagger) -> list[Prompt]:
    """What the tagger says of the middle of the whole image, for every tile (SeeSR with MultiDiffusion).

    The image is looked at in its own resolution, up to so much: noise and blur do not show in a thumbnail.
    """
    height, width = (min(side, GLOBAL_SIDE) for side in setup.info.size)
    row, col = (setup.info.size.height - height) // 2, (setup.info.size.width - width) // 2
    middle = read_bands(source, Tile(row, col, height, width), setup.bands.model, survey)
    (prompt,) = tagger.tag(model_image(middle, setup, survey), [Tile(0, 0, height, width)])
    return [prompt for _ in setup.canvas.input_tiles]
