"""What steers the sampling besides the network: classifier-free guidance, and the protocol of all other kinds."""

from __future__ import annotations

from torch import Tensor


class Guidance:
    """Hooks of the denoising loop on the whole canvas; what a kind of guidance does not override changes nothing.

    Tensors are (channels, height, width). A hook may change what it is given in place, and returns what holds now.
    """

    def before_step(self, latents: Tensor, step: int) -> None:
        """Look at the canvas before its tiles are predicted (C-Upscale's regional attention prior)."""

    def on_prediction(self, prediction: Tensor, latents: Tensor, step: int) -> Tensor:
        """Correct the fused prediction, before the scheduler's step (DeeDSR's noise guidance, eq. 11)."""
        return prediction

    def on_latents(self, latents: Tensor, step: int) -> Tensor:
        """Correct the latents after the scheduler's step (C-Upscale's global structure prior)."""
        return latents


def classifier_free(positive: Tensor, negative: Tensor | None, scale: float) -> Tensor:
    """``negative + scale (positive - negative)`` (arXiv:2207.12598), in the place of `positive`."""
    if negative is None:
        return positive
    return positive.sub_(negative).mul_(scale).add_(negative)
