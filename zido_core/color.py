"""Give the result the colours of the input: AdaIN, wavelet and CIELAB colour correction.

Tensors are (3, height, width) or (batch, 3, height, width), red, green, blue, about [0, 1], on any device;
results are not clipped. ``content`` is the model's image, ``style`` the input enlarged to the same size,
``valid`` (height, width) bool says which pixels are measurements: others take no part in any statistics.
The wavelet method is local (`REACH` pixels), so pieces with a margin agree; the other two take statistics of the
image that they are given, or those of a larger one: `Statistics` of its pieces can be merged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .catalog import ColorFix
from .errors import InvalidOptions

_LEVELS = 5
_EPS = 1e-5

REACH = 2**_LEVELS - 1
"""How far the wavelet method looks, pixels of the result."""

STRIP = 256
"""Rows that are smoothed at a time, with as many around them as the method looks at."""

_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to CIE XYZ, D65 (IEC 61966-2-1). White is the sum of each row."""

_DELTA = 6 / 29
"""Where CIE's cube root turns into a line."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Count, mean and squared deviations of the pixels of an image, channel by channel; those of parts add up."""

    count: int
    """Valid pixels."""
    mean: Tensor
    """(3, 1, 1), float64."""
    squares: Tensor
    """(3, 1, 1), float64: sum of the squared deviations from the mean."""

    @classmethod
    def of(cls, image: Tensor, valid: Tensor | None = None) -> Moments:
        """Of one image (3, height, width)."""
        count = _count(image, valid)
        mean = _row_sums(image, valid) / max(count, 1)
        return cls(count=count, mean=mean, squares=_row_sums((image - mean.to(image.dtype)).square_(), valid))

    def merged(self, other: Moments) -> Moments:
        """Of both images together (Chan et al. 1983)."""
        count = self.count + other.count
        share, apart = other.count / max(count, 1), other.mean - self.mean
        squares = self.squares + other.squares + apart.square() * (self.count * share)
        return Moments(count=count, mean=self.mean + apart * share, squares=squares)

    def as_mean_and_variance(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance (3, 1, 1) in the type of a tensor."""
        return self.mean.to(like), (self.squares / max(self.count - 1, 1)).to(like)


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What `adain` and `lab` need to know of a whole image, gathered from its pieces."""

    content: Moments
    """Of the model's image, in the colour space of the method."""
    style: Moments
    """Of the enlarged input."""

    @classmethod
    def of(
        cls, method: ColorFix, content: Tensor, style: Tensor, valid: Tensor | None, part: tuple[slice, slice]
    ) -> Statistics | None:
        """Of one piece; ``part`` are the rows and columns that count, the rest is margin. None: needs none."""
        if method not in ("adain", "lab"):
            return None
        if method == "lab":
            content, style = to_lab(wavelet(content, style, valid)), to_lab(style)
        valid = None if valid is None else valid[part]
        return cls(content=Moments.of(content[:, *part], valid), style=Moments.of(style[:, *part], valid))

    def merged(self, other: Statistics) -> Statistics:
        """Of both pieces together."""
        return Statistics(content=self.content.merged(other.content), style=self.style.merged(other.style))


def fix_color(
    method: ColorFix,
    content: Tensor,
    style: Tensor,
    valid: Tensor | None = None,
    statistics: Statistics | None = None,
) -> Tensor:
    """Correct the colours of ``content`` by those of ``style``; ``none`` hands ``content`` back.

    ``statistics``: of the whole image that these are a piece of; None: these are the whole.
    """
    if content.shape != style.shape:
        raise InvalidOptions(
            f"colour correction needs images of one size, got {tuple(content.shape)} and {tuple(style.shape)}"
        )
    if method == "none" or (valid is not None and not valid.any()):
        return content
    if method == "adain":
        return adain(content, style, valid, statistics)
    if method == "wavelet":
        return wavelet(content, style, valid)
    if method == "lab":
        return lab(content, style, valid, statistics)
    raise InvalidOptions(f"unknown colour correction {method!r}: use none, adain, wavelet or lab")


def adain(content: Tensor, style: Tensor, valid: Tensor | None = None, statistics: Statistics | None = None) -> Tensor:
    """Mean and standard deviation of each channel from ``style`` (StableSR eq. 2)."""
    (mean, variance), (wanted_mean, wanted_variance) = _pair(content, style, valid, statistics)
    gain = ((wanted_variance + _EPS) / (variance + _EPS)).sqrt()
    return _affine(content, gain, wanted_mean - mean * gain)


def wavelet(content: Tensor, style: Tensor, valid: Tensor | None = None) -> Tensor:
    """High frequencies of ``content`` on low frequencies of ``style``: StableSR eqs. 3-5, five levels.

    The decomposition is linear, hence ``H(content) + L(style) = content + L(style - content)``. With
    ``valid`` the low frequencies are means over the valid pixels in reach.
    """
    difference = style - content
    if valid is None or bool(valid.all()):
        return content + low_frequency(difference)
    weight = valid.to(content.dtype).expand(1, *valid.shape)
    total = low_frequency(torch.where(valid, difference, 0))
    return content + total / low_frequency(weight).clamp_min(torch.finfo(content.dtype).tiny)


def low_frequency(image: Tensor) -> Tensor:
    """What is left of (..., height, width) after five levels of the a trous decomposition (StableSR eqs. 3,
    4).

    Each level smooths by [1 2 1] / 4 along both axes, dilated 1, 2, 4, 8, 16; border pixels are repeated.
    """
    planes = image.reshape(-1, *image.shape[-2:])
    smooth, height = torch.empty_like(planes), image.shape[-2]
    for plane, out in zip(planes, smooth, strict=True):
        for top in range(0, height, STRIP):  # in the cache: a quarter of the time of all at once
            first, stop = max(top - REACH, 0), min(top + STRIP, height)
            out[top:stop] = _five_levels(plane[first : stop + REACH])[top - first : stop - first]
    return smooth.view(image.shape)


def _five_levels(image: Tensor) -> Tensor:
    for level in range(_LEVELS):
        image = _smooth(_smooth(image, 2**level, -1), 2**level, -2)
    return image


def lab(content: Tensor, style: Tensor, valid: Tensor | None = None, statistics: Statistics | None = None) -> Tensor:
    """Colour statistics in CIELAB (D65), after the wavelet correction.

    a* and b* take mean and standard deviation from ``style``, as in Reinhard et al. 2001. L* takes the mean
    only: the input is blurred, and its smaller spread would cost contrast of the generated detail.
    """
    image, wanted = to_lab(wavelet(content, style, valid)), to_lab(style)
    (mean, variance), (wanted_mean, wanted_variance) = _pair(image, wanted, valid, statistics)
    gain = ((wanted_variance + _EPS) / (variance + _EPS)).sqrt()
    gain[..., 0, :, :] = 1
    return from_lab(_affine(image, gain, wanted_mean - mean * gain))


def to_lab(image: Tensor) -> Tensor:
    """From sRGB to CIELAB, L* in 0..100; defined for all numbers, so that nothing is lost outside [0, 1]."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    x, y, z = _mix(linear, _white_scaled())
    x, y, z = (torch.where(t > _DELTA**3, t.clamp_min(_DELTA**3) ** (1 / 3), _line(t)) for t in (x, y, z))
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def from_lab(image: Tensor) -> Tensor:
    """The inverse of `to_lab`."""
    lightness, a, b = image.unbind(-3)
    y = (lightness + 16) / 116
    xyz = (torch.where(t > _DELTA, t**3, (t - 4 / 29) * 3 * _DELTA**2) for t in (y + a / 500, y, y - b / 200))
    inverse = torch.linalg.inv(torch.tensor(_white_scaled(), dtype=torch.float64)).tolist()
    linear = torch.stack(_mix(torch.stack(tuple(xyz), dim=-3), inverse), dim=-3)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curved)


def _line(t: Tensor) -> Tensor:
    return t / (3 * _DELTA**2) + 4 / 29


def _white_scaled() -> list[list[float]]:
    """Linear sRGB to XYZ relative to white."""
    return [[weight / sum(row) for weight in row] for row in _TO_XYZ]


def _mix(image: Tensor, rows: list[list[float]]) -> list[Tensor]:
    first, second, third = image.unbind(-3)
    return [row[0] * first + row[1] * second + row[2] * third for row in rows]


def _smooth(image: Tensor, reach: int, dim: int) -> Tensor:
    """[1 2 1] / 4 with taps ``reach`` pixels apart, border pixels repeated."""
    size = image.shape[dim]
    inner = max(size - reach, 0)
    smooth = image * 2
    smooth.narrow(dim, size - inner, inner).add_(image.narrow(dim, 0, inner))
    smooth.narrow(dim, 0, size - inner).add_(image.narrow(dim, 0, 1))
    smooth.narrow(dim, 0, inner).add_(image.narrow(dim, size - inner, inner))
    smooth.narrow(dim, inner, size - inner).add_(image.narrow(dim, size - 1, 1))
    return smooth.mul_(0.25)


def _affine(image: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    return (image * gain).add_(offset)


def _pair(
    content: Tensor, style: Tensor, valid: Tensor | None, statistics: Statistics | None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mean and variance of both images: of the whole that they are part of, where its statistics are known."""
    if statistics is None:
        return _moments(content, valid), _moments(style, valid)
    return statistics.content.as_mean_and_variance(content), statistics.style.as_mean_and_variance(style)


def _moments(image: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of each channel over the valid pixels, (..., 3, 1, 1).

    Rows first, and wide: the order of the sum, and with it the last bit, does not depend on the number of
    threads.
    """
    count = _count(image, valid)
    mean = _row_sums(image, valid) / max(count, 1)
    centred = image - mean.to(image.dtype)
    variance = _row_sums(centred.square_(), valid) / max(count - 1, 1)
    return mean.to(image.dtype), variance.to(image.dtype)


def _count(image: Tensor, valid: Tensor | None) -> int:
    return image.shape[-1] * image.shape[-2] if valid is None else int(valid.sum())


def _row_sums(image: Tensor, valid: Tensor | None) -> Tensor:
    if valid is not None:
        image = torch.where(valid, image, 0)
    wide = torch.float32 if image.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    return image.sum(-1, keepdim=True, dtype=wide).sum(-2, keepdim=True)
