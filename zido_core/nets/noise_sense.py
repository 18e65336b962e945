"""A small network that tells noisy images from textured ones, of which the flattest places alone say too little.

What compression leaves of noise are blotches as wide as texture, so that no filter tells the two apart. Seen are
differences of neighbours only: brightness and colour say nothing of noise.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

WIDTHS = (16, 32, 48, 64)
"""Channels of the layers; each but the first halves the sides."""

REACH, STRIDE = 17, 8
"""Pixels along the side of what a place of the last layer sees, and from one to the next."""

CONTRAST = 8.0
"""What images are multiplied by: an eighth of the range is a large difference between neighbours."""


class NoiseSense(nn.Module):
    """Images (n, 3, h, w) in [0, 1], at least 24 pixels a side, become numbers (n,), above 0 where they are noisy.

    Noisy is what has, at its own resolution, noise of at least 4 of 255 (from DeeDSR's medium level on), compressed
    afterwards or not. Blur, light noise and compression alone are not meant.
    """

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(one, other, 3, 1 + (one > 3)) for one, other in pairs)
        self.head = nn.Linear(WIDTHS[-1], 1)

    def forward(self, image: Tensor, valid: Tensor | None = None) -> Tensor:
        """``valid`` (n, h, w): what is not is not looked at; images without any ``looks`` give the bias."""
        first, *others = cast("list[nn.Conv2d]", list(self.layers))
        differences = first.weight - first.weight.mean((2, 3), keepdim=True)
        x = torch.relu(F.conv2d(image * CONTRAST, differences, first.bias))
        for layer in others:
            x = torch.relu(layer(x))
        seen = torch.ones_like(x[:, :1]) if valid is None else looks(valid)[:, None]
        mean = (x * seen).sum((2, 3)) / seen.sum((2, 3)).clamp(min=1)
        said: Tensor = self.head(mean)[:, 0]
        return said


def looks(valid: Tensor) -> Tensor:
    """1 at the places of the last layer that see valid pixels alone, of (n, h, w); else 0."""
    return -F.max_pool2d(-valid.float(), REACH, STRIDE)
