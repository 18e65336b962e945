"""Protocols of papers by name: which part of an image is used, how the input is made, in which channel is measured."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..errors import BadInput, InvalidOptions
from ..tiling.grid import Size, Tile
from ..training.degrade import DEGRADATIONS, Degradation

GIVEN = "given"
"""Stands for the degradation where the inputs are files."""

Channel = Literal["rgb", "y"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How an evaluation is done."""

    name: str
    """Name on the command line and in records."""

    title: str
    """What it is, and of which paper."""

    channel: Channel
    """What PSNR and SSIM of the main table are measured in: all bands, or Y of YCbCr (BT.601)."""

    crop: int | None
    """Side of the square taken from the middle of the truth, pixels; None: the whole image."""

    degradations: tuple[Degradation, ...]
    """How inputs are made from the truth where none are given."""

    scale: int = 4
    """Factor of enlargement."""

    shaved: bool = False
    """Whether ``scale`` pixels along the borders of a result do not count."""

    mixed: bool = False
    """Whether four images share a scene, each degraded another way, instead of ``degradations`` of every image."""

    seed: int = 0
    """Of noise, kernels and qualities of the degradations, together with the image's name."""

    def record(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "name": self.name,
            "title": self.title,
            "channel": self.channel,
            "crop": self.crop,
            "degradations": list(self.degradations),
            "scale": self.scale,
            "shaved": self.shaved,
            "mixed": self.mixed,
            "seed": self.seed,
        }

    def window(self, size: Size, name: str) -> Tile:
        """The part of the truth that is used: whole input pixels, at the middle or from the corner."""
        if self.crop is None:
            height, width = (side // self.scale * self.scale for side in size)
            row = col = 0
        else:
            height = width = self.crop
            row, col = ((side - self.crop) // 2 // self.scale * self.scale for side in size)
        if min(height, width) < self.scale or height > size.height or width > size.width:
            least = self.scale if self.crop is None else self.crop
            raise BadInput(f"{name} has {size.height} x {size.width} pixels; expected {least} x {least} or more")
        return Tile(row, col, height, width)

    @property
    def border(self) -> int:
        """Pixels along the borders of a result that do not count."""
        return self.scale if self.shaved else 0

    def random(self, name: str, degradation: Degradation) -> np.random.Generator:
        """The same numbers for the same image, whatever else is evaluated."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), DEGRADATIONS.index(degradation)])


ZIDO = Protocol(
    name="zido",
    title="ZIDO, tables 1 to 3: the whole image, bicubic reduction, RGB",
    channel="rgb",
    crop=None,
    degradations=("clean",),
)

STABLESR = Protocol(
    name="stablesr",
    title="StableSR and those after it: crops of 512 pixels, Y channel",
    channel="y",
    crop=512,
    degradations=("medium",),
)

CLASSICAL = Protocol(
    name="classical",
    title="SRCNN and those after it (Set5, Set14, BSD100, Urban100): bicubic reduction, Y channel, shaved borders",
    channel="y",
    crop=None,
    degradations=("clean",),
    shaved=True,
)

PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in (ZIDO, STABLESR, CLASSICAL)}


def choose_protocol(
    name: str,
    *,
    crop: int | None = None,
    degradations: Sequence[str] = (),
    scale: int | None = None,
    seed: int | None = None,
    mixed: bool = False,
) -> Protocol:
    """The protocol of that name, changed where something is given; it then says so in its title."""
    if name not in PROTOCOLS:
        raise InvalidOptions(f"there is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    wanted = _known(degradations) or None
    given: dict[str, Any] = {"crop": crop, "degradations": wanted, "scale": scale, "seed": seed}
    given["mixed"] = mixed or None
    changed = {key: value for key, value in given.items() if value is not None and value != getattr(protocol, key)}
    if changed:
        protocol = replace(protocol, **changed, title=f"{protocol.title} (changed: {', '.join(changed)})")
    if protocol.scale not in range(2, 9):
        raise InvalidOptions(f"scale is {protocol.scale}; expected a whole number from 2 to 8")
    if protocol.crop is not None and (protocol.crop < protocol.scale or protocol.crop % protocol.scale):
        raise InvalidOptions(f"crop is {protocol.crop}; expected a multiple of the scale, {protocol.scale}")
    return protocol


def _known(degradations: Sequence[str]) -> tuple[Degradation, ...]:
    for name in degradations:
        if name not in DEGRADATIONS:
            near = difflib.get_close_matches(name, DEGRADATIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose among {', '.join(DEGRADATIONS)}"
            raise InvalidOptions(f"there is no degradation {name!r}; {hint}")
    return tuple(known for known in DEGRADATIONS if known in degradations)
