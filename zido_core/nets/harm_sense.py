"""A small network that sees what harmed an image: blur, noise, compression, each with a level.

What compression leaves of noise are blotches as wide as texture, so that no filter tells the two apart. Seen are
differences of neighbours only: brightness and colour say nothing of harm.
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

LEAST = 24
"""Pixels along a side of the smallest image that can be judged."""


class HarmSense(nn.Module):
    """Images (n, 3, h, w) in [0, 1], at least ``LEAST`` pixels a side, become logits (n, 3) of the levels.

    In the order of ``vocabulary.LEVELLED``; ``training.degrade.harm_of`` says what a level means.
    """

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(one, other, 3, 1 + (one > 3)) for one, other in pairs)
        self.head = nn.Linear(WIDTHS[-1], 3)

    def forward(self, image: Tensor, valid: Tensor | None = None) -> Tensor:
        """``valid`` (n, h, w): what is not is not looked at; images without any ``looks`` give the bias."""
        first, *others = cast("list[nn.Conv2d]", list(self.layers))
        differences = first.weight - first.weight.mean((2, 3), keepdim=True)
        x = torch.relu(F.conv2d(image * CONTRAST, differences, first.bias))
        for layer in others:
            x = torch.relu(layer(x))
        seen = torch.ones_like(x[:, :1]) if valid is None else looks(valid)[:, None]
        mean = (x * seen).sum((2, 3)) / seen.sum((2, 3)).clamp(min=1)
        said: Tensor = self.head(mean)
        return said


def looks(valid: Tensor) -> Tensor:
    """1 at the places of the last layer that see valid pixels alone, of (n, h, w); else 0."""
    return -F.max_pool2d(-valid.float(), REACH, STRIDE)
