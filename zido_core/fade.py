"""Less synthesised detail in a finished result, without another diffusion.

Detail comes as ``(1 - fidelity) * sampled`` over what is certain, so that the result of any fidelity above that of the
run lies on the line between the run's result and its certain part, but for rounding, for what was cut off at the ends
of the data type, and for colour corrections that look at statistics (adain, lab). What is on both ends of that line
stays: nodata, opacity, the mean over each input pixel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput, InvalidOptions
from .job import CancelToken, EventSink, Fade, Progress
from .pipeline import open_input
from .raster.provenance import provenance_of
from .raster.reader import open_source
from .raster.source import Raster, Source
from .raster.writer import open_output
from .setup import Setup, prepare

MOST_PIXELS = 64
"""A result has at most so many times the pixels of its input."""


def fade(asked: Fade, on_event: EventSink, cancel: CancelToken) -> str:
    """Write the result of a greater fidelity; returns where it is."""
    options, limit = asked.options, asked.options.max_pixels * MOST_PIXELS
    with (
        open_input(asked.input, options) as source,
        open_source(asked.result, max_pixels=limit) as made,
        open_source(asked.certain, max_pixels=limit) as certain,
    ):
        setup = prepare(source, asked.output, options, to_file=True)
        assert setup.output is not None
        share, pieces = _share(asked.fidelity, setup), list(setup.pieces)
        for each in (made, certain):
            _check(each, setup)
        with open_output(setup.output) as writer:
            for done, piece in enumerate(pieces, start=1):
                cancel.check()
                target = setup.target_of(piece.core)
                large = made.read(target)
                mixed = between(certain.read(target), large, share, made.info.nodata)
                writer.write(mixed, target, alpha=large.alpha, valid=large.valid)
                on_event(Progress(done=done, total=len(pieces)))
            writer.provenance.update(_told(asked))
        return str(setup.output.path)


def between(certain: Raster, made: Raster, share: float, nodata: float | None) -> NDArray[Any]:
    """The numbers (bands, h, w) between the two, so much of the way to ``made``; what is no measurement stays."""
    start, end = (raster.array.astype(np.float64) for raster in (certain, made))
    mixed = start + share * (end - start)
    dtype = made.array.dtype
    if dtype.kind in "iu":
        np.rint(mixed, out=mixed)
    measured = made.every_band_valid & certain.every_band_valid
    numbers = np.where(measured, mixed, 0).astype(dtype)
    if nodata is not None:  # a measurement must not become nodata
        measured = measured & (numbers != nodata)
    return np.where(measured, numbers, made.array)


def _share(fidelity: float, setup: Setup) -> float:
    least = setup.options.fidelity
    if not setup.descriptor.certain_at_one or not least <= fidelity <= 1 or least == 1:
        raise InvalidOptions(
            f"fidelity {fidelity:g} cannot be had from a result of model {setup.descriptor.name} with fidelity "
            f"{least:g}; expected {least:g} to 1, of a model whose fidelity 1 needs no diffusion"
        )
    return (1 - fidelity) / (1 - least)


def _check(source: Source, setup: Setup) -> None:
    found, wanted = (source.info.size, len(source.info.colour_bands)), (setup.size, len(setup.colours))
    if found != wanted or source.info.dtype != setup.dtype:
        raise BadInput(
            f"{source.info.name} has {found[1]} bands of {found[0].height} x {found[0].width} {source.info.dtype} "
            f"pixels, and this job gives {wanted[1]} of {wanted[0].height} x {wanted[0].width} {setup.dtype}; give "
            "results of this very job"
        )


def _told(asked: Fade) -> dict[str, str]:
    """What the result said of itself, with the new fidelity; it is no longer what the job makes by itself."""
    tags = dict(provenance_of(Path(asked.result)))
    tags.pop("FINGERPRINT", None)
    options = json.loads(tags.get("OPTIONS", "{}"))
    tags["FADED"] = json.dumps({"fidelity": asked.fidelity, "from": options.get("fidelity")})
    return tags
