"""How much a result is left to chance: two standard deviations of every pixel over several seeds.

Each sample is a whole run with the next seed on the same grid, to a file beside the uncertainty that is removed in the
end; memory stays that of one run. What differs between samples is what the model made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from .assurance import DEFAULT_SAMPLES
from .job import CancelToken, Event, EventSink, Progress, Stage
from .metrics.stability import Spread
from .options import Options
from .raster.formats import GEOTIFF
from .raster.output import OutputSpec
from .raster.reader import open_source
from .raster.source import Band, Source
from .raster.writer import open_output
from .setup import Setup
from .tiling.grid import Tile, partition

SIDE = 1024
"""Side of the windows that are compared at a time, output pixels."""


def keep_uncertainty(
    setup: Setup,
    options: Options,
    run: Callable[[Path, Options, EventSink], object],
    emit: EventSink,
    cancel: CancelToken,
) -> None:
    """Make the samples besides the output, which is the first, and write what differs between them.

    ``run`` upscales the input again, by these options to this file; samples that are complete are not made again when
    an interrupted run goes on.
    """
    assert setup.output is not None
    assert options.uncertainty is not None
    place, count = Path(options.uncertainty), options.samples or DEFAULT_SAMPLES
    others = [place.with_name(f".{place.stem}.sample-{index}.tif") for index in range(2, count + 1)]
    for index, path in enumerate(others, start=1):
        alone = dict.fromkeys(("uncertainty", "samples", "report", "report_boxes", "manifest", "save_prompts"))
        chosen = Options.from_dict(options.to_dict() | alone | {"seed": options.seed + index, "resume": True})
        run(path, chosen, _one_of(emit, index + 1, count))
    _write(setup, [setup.output.path, *others], cancel.check)
    for path in others:
        path.unlink()


def _one_of(emit: EventSink, index: int, count: int) -> EventSink:
    """Tells of a sample what belongs on a screen: its stages and its progress."""

    def listen(event: Event) -> None:
        if isinstance(event, Stage):
            emit(replace(event, name=f"sample {index} of {count}: {event.name}"))
        elif isinstance(event, Progress):
            emit(event)

    return listen


def _write(setup: Setup, samples: Sequence[Path], check: Callable[[], None]) -> None:
    """Two standard deviations over the samples, band by band, as a GeoTIFF with the place of the output."""
    assert setup.options.uncertainty is not None
    size, chosen = setup.size, tuple(setup.bands.position(band) + 1 for band in setup.colours)
    with ExitStack() as opened:
        sources: list[Source] = [opened.enter_context(open_source(path)) for path in samples]
        spec = OutputSpec(
            path=Path(setup.options.uncertainty),
            format=GEOTIFF,
            geobox=setup.info.geobox.resized(size),
            bands=tuple(_band(setup, index, band) for index, band in enumerate(setup.colours, start=1)),
            dtype="float32",
            source_size=setup.info.size,
            has_mask=True,
            overwrite=setup.options.overwrite or setup.options.resume,
        )
        writer = opened.enter_context(open_output(spec))
        for window in partition(size, SIDE):
            check()
            spread, valid = Spread(), np.ones(window.size, bool)
            for source in sources:
                raster = source.read(Tile(*window), chosen)
                spread.add(np.where(raster.valid, raster.array, 0).astype(np.float32))
                valid &= raster.valid
            writer.write(2 * spread.deviation, window, valid=valid)


def _band(setup: Setup, index: int, band: int) -> Band:
    """Named after the band whose spread it is."""
    given = setup.info.bands[band - 1]
    name = given.description or given.interpretation
    return Band(
        index=index, interpretation="undefined", dtype="float32", description=f"2 sigma of {name}", unit=given.unit
    )
