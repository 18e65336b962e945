"""What steers the sampling besides the network: classifier-free guidance, and hooks for all other kinds."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Guidance:
    """Hooks of the denoising loop on the whole canvas; those that a kind does not override change nothing.

    Tensors are (channels, height, width). A hook may work in place, and returns what holds now.
    """

    def before_step(self, latents: Tensor, step: int) -> None:
        """Look at the canvas before its tiles are predicted (C-Upscale's regional attention prior)."""

    def on_prediction(self, prediction: Tensor, latents: Tensor, step: int) -> Tensor:
        """Correct the fused prediction, before the scheduler's step (DeeDSR's noise guidance, eq. 11)."""
        return prediction

    def on_latents(self, latents: Tensor, step: int) -> Tensor:
        """Correct the latents after the scheduler's step (C-Upscale's global structure prior)."""
        return latents


def classifier_free(predictions: Sequence[Tensor], scale: float) -> Tensor:
    """``negative + scale (positive - negative)`` (arXiv:2207.12598), in the place of the positive.

    A positive prediction alone stays what it is.
    """
    if len(predictions) == 1:
        return predictions[0]
    positive, negative = predictions
    return positive.sub_(negative).mul_(scale).add_(negative)
