"""What a diffusion model must offer to be run in tiles: encode, condition, predict, decode.

A backbone works on one region of an image at a time and keeps no state between regions. Images are float32 tensors
``(3, height, width)`` in [0, 1] at input resolution; latents are ``(channels, height, width)`` on the canvas of the
region, ``latent_stride`` output pixels each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..catalog import ModelDescriptor
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..tiling.grid import Tile

ConditionT = TypeVar("ConditionT")


class Told(NamedTuple):
    """A tile, and what it hears."""

    tile: Tile
    """In latents of the region."""
    prompt_id: int
    """Which prompt of the bank."""


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    """A noise schedule in the words of diffusers' scheduler configurations."""

    prediction_type: Literal["epsilon", "v_prediction", "sample", "flow"]
    """What the network predicts; ``flow``: the velocity of a rectified flow, which has no betas."""

    beta_start: float = 0.00085
    """Variance added by the first of 1000 steps."""

    beta_end: float = 0.012
    """Variance added by the last."""

    beta_schedule: Literal["linear", "scaled_linear"] = "scaled_linear"
    """How it grows between them."""

    zero_terminal_snr: bool = False
    """Whether the last step is pure noise (Lin et al. 2023, Algorithm 1)."""

    timestep_spacing: Literal["leading", "trailing", "linspace"] = "leading"
    """Which of the 1000 steps are taken."""

    set_alpha_to_one: bool = True
    """Whether the last step leaves no noise; else it leaves that of the first training time."""

    shift: float = 1.0
    """How far the times of a flow are shifted towards noise."""


class Backbone(Protocol[ConditionT]):
    """A model, loaded and placed on a device."""

    descriptor: ModelDescriptor
    """What the catalogue says of it."""

    device: torch.device
    """Where its weights are."""

    latent_channels: int
    """Channels of the latents."""

    schedule: ScheduleSpec
    """The noise schedule that it was trained with."""

    weights_hash: str
    """sha256 of the weights, for the manifest."""

    parallel: bool
    """Whether ``predict`` may be called from several threads at a time, as it is on a CPU."""

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
        told: Sequence[Told] = (),
    ) -> ConditionT:
        """All that predictions of this region depend on besides latents and time.

        ``place`` is where the region lies on the whole canvas, in latents; it is at least as large as the image.
        ``prompts`` become the bank that ``prompt_ids`` index. ``advance`` is told how much more work is done, in looks
        of the denoiser at a latent, now and while the region is encoded and decoded (``picture_work`` of the catalogue
        in all); it may raise Cancelled. ``told``: who hears what, for models that treat places differently.
        """
        ...

    def encode(self, condition: ConditionT) -> Tensor:
        """Clean latents (channels, H, W) to start from: the input itself, as the model sees it."""
        ...

    def predict(
        self,
        condition: ConditionT,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """Prediction (n, channels, h, w) for crops ``latents`` of the canvas at ``tiles`` (latent pixels)."""
        ...

    def predict_precisely(
        self,
        condition: ConditionT,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """As ``predict``, in float32: for tiles that half precision cannot hold."""
        ...

    def decode(self, condition: ConditionT, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        """Image (3, scale * height, scale * width), about [0, 1] and not clipped; without latents what is certain."""
        ...
