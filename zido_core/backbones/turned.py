"""A model that sees everything turned or mirrored, and whose every result is turned back.

Networks treat directions a little differently; the mean over the eight views of a square (Timofte et al. 2016, "Seven
ways to improve example-based single image super-resolution", section 3.6) has no preferred direction. Grid, noise,
windows and prompts stay as they are: only the network's view changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.grid import Size, Tile
from .base import Backbone, ConditionT, Told


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One of the eight views of a square: rows reversed, columns reversed, then rows and columns exchanged."""

    flip_rows: bool
    """Upside down."""
    flip_cols: bool
    """Left to right."""
    transpose: bool
    """Rows become columns."""

    def of(self, tensor: Tensor) -> Tensor:
        """The last two axes turned."""
        axes = [axis for axis, flips in ((-2, self.flip_rows), (-1, self.flip_cols)) if flips]
        turned = tensor.flip(axes) if axes else tensor
        return turned.transpose(-2, -1).contiguous() if self.transpose else turned

    def back(self, tensor: Tensor) -> Tensor:
        """The inverse of ``of``."""
        upright = tensor.transpose(-2, -1) if self.transpose else tensor
        axes = [axis for axis, flips in ((-2, self.flip_rows), (-1, self.flip_cols)) if flips]
        return upright.flip(axes) if axes else upright.contiguous()

    def of_tile(self, tile: Tile, canvas: Size) -> Tile:
        """Where a tile of the canvas lies on the turned canvas."""
        row = canvas.height - tile.bottom if self.flip_rows else tile.row
        col = canvas.width - tile.right if self.flip_cols else tile.col
        return Tile(col, row, tile.width, tile.height) if self.transpose else Tile(row, col, *tile.size)


TURNS = tuple(Turn(flip_rows=r, flip_cols=c, transpose=t) for t, r, c in product((False, True), repeat=3))
"""All eight, the upright one first."""


@dataclass(frozen=True)
class TurnedCondition(Generic[ConditionT]):
    """What the model knows of a turned region."""

    own: ConditionT
    """The model's own condition."""
    size: Size
    """Of the image, upright."""
    canvas: Size
    """Of the latents, upright."""


class Turned(Generic[ConditionT]):
    """A backbone around another one."""

    def __init__(self, backbone: Backbone[ConditionT], turn: Turn) -> None:
        self.backbone, self.turn = backbone, turn
        self.descriptor, self.device = backbone.descriptor, backbone.device
        self.latent_channels, self.schedule = backbone.latent_channels, backbone.schedule
        self.weights_hash, self.parallel = backbone.weights_hash, backbone.parallel

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
        told: Sequence[Told] = (),
    ) -> TurnedCondition[ConditionT]:
        """The image fills the canvas before it is turned, or its corner would come to lie elsewhere."""
        per_latent = self.descriptor.latent_stride // self.descriptor.native_scale
        missing = [(0, n * per_latent - side) for n, side in zip(place.size, image.shape[1:], strict=True)]
        filled = torch.from_numpy(np.pad(image.numpy(), [(0, 0), *missing], mode="edge"))
        turned = self.turn.of_tile(Tile.whole(place.size), place.size)
        heard = [Told(self.turn.of_tile(tile, place.size), prompt) for tile, prompt in told]
        own = self.backbone.condition(self.turn.of(filled), turned, prompts, advance, options, heard)
        return TurnedCondition(own, Size(*image.shape[1:]), place.size)

    def encode(self, condition: TurnedCondition[ConditionT]) -> Tensor:
        return self.turn.back(self.backbone.encode(condition.own))

    def predict(
        self,
        condition: TurnedCondition[ConditionT],
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        turned = self._tiles(condition, tiles)
        return self.turn.back(self.backbone.predict(condition.own, self.turn.of(latents), timestep, turned, prompt_ids))

    def predict_precisely(
        self,
        condition: TurnedCondition[ConditionT],
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        turned = self._tiles(condition, tiles)
        return self.turn.back(
            self.backbone.predict_precisely(condition.own, self.turn.of(latents), timestep, turned, prompt_ids)
        )

    def decode(
        self, condition: TurnedCondition[ConditionT], latents: Tensor | None, *, fidelity: float
    ) -> NDArray[np.float32]:
        turned = None if latents is None else self.turn.of(latents)
        image = torch.from_numpy(self.backbone.decode(condition.own, turned, fidelity=fidelity))
        height, width = condition.size.scaled(self.descriptor.native_scale)
        upright: NDArray[np.float32] = self.turn.back(image)[:, :height, :width].contiguous().numpy()
        return upright

    def _tiles(self, condition: TurnedCondition[ConditionT], tiles: Sequence[Tile]) -> list[Tile]:
        return [self.turn.of_tile(tile, condition.canvas) for tile in tiles]
