"""Scenes of four: each quadrant shows another image, degraded another way. Here tiles differ, so prompts may matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, InvalidOptions, ZidoError
from ..raster.source import Band
from ..raster.stretch import Stretch
from ..training.degrade import Degradation, degrade
from .cases import Case, Truth, known_below, read_truth
from .protocols import Protocol

MIXED = "mixed"
"""Stands for the degradation of such a scene."""

QUADRANTS: tuple[Degradation, ...] = ("clean", "light", "medium", "heavy")
"""How the quadrants are degraded, row by row."""

BYTES = Stretch(lo=0, hi=255, mode="dtype", whole=True)
"""Scenes are 8-bit pictures, whatever their quadrants are of."""


def mixed_cases(
    found: Sequence[tuple[str, Path]], protocol: Protocol, failed: Callable[[str, ZidoError], None]
) -> list[Case]:
    """As many scenes as there are images: every image is once in every quadrant, so in each degradation once.

    ``protocol.crop`` is the side of a scene. ``failed`` is told of images that cannot be used.
    """
    side = protocol.crop
    if side is None or side % (2 * protocol.scale):
        raise InvalidOptions(f"scenes of four need their side, a multiple of {2 * protocol.scale}: give --crop 384")
    quarter = replace(protocol, crop=side // 2)
    seen: list[Truth] = []
    for name, path in found:
        try:
            seen.append(read_truth(name, path, quarter))
        except ZidoError as error:
            failed(name, error)
    count = len(seen)
    if count < len(QUADRANTS):
        raise BadInput(f"{count} images can be used; a mixed scene needs {len(QUADRANTS)} different ones")
    step = count // len(QUADRANTS)  # neighbours in a folder are alike
    return [
        scene([seen[(first + place * step) % count] for place in range(len(QUADRANTS))], quarter)
        for first in range(count)
    ]


def scene(quadrants: Sequence[Truth], protocol: Protocol) -> Case:
    """One scene of four truths of the same size; ``protocol`` is that of a quadrant."""
    images, valid = [_colours(truth) for truth in quadrants], [truth.valid for truth in quadrants]
    scale = protocol.scale
    small = [
        degrade(image.transpose(1, 2, 0), degradation, protocol.random(truth.name, degradation), scale=scale)
        for image, truth, degradation in zip(images, quadrants, QUADRANTS, strict=True)
    ]
    truth = Truth(
        name=" + ".join(truth.name for truth in quadrants),
        kind="photo",
        bands=tuple(
            Band(index=index, interpretation=colour, dtype="uint8")
            for index, colour in enumerate(("red", "green", "blue"), start=1)
        ),
        image=joined(images),
        valid=joined(valid),
        stretch=BYTES,
        dtype="uint8",
    )
    return Case(
        truth=truth,
        degradation=MIXED,
        numbers=np.rint(joined([part.transpose(2, 0, 1) for part in small]) * 255).astype(np.uint8),
        valid=known_below(truth.valid, scale),
        scale=scale,
        border=protocol.border,
    )


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Four planes (..., h, w) as the quadrants of one (..., 2h, 2w)."""
    upper, lower = (np.concatenate(parts[row : row + 2], axis=-1) for row in (0, 2))
    return np.concatenate([upper, lower], axis=-2)


def _colours(truth: Truth) -> NDArray[np.float32]:
    """(3, H, W): a gray image has the same number in all bands."""
    return np.broadcast_to(truth.image, (3, *truth.image.shape[1:]))
