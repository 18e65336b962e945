"""The embedded model's two networks: a coarse regression and a refining denoiser, both at input resolution.

The hybrid follows the outlook of ZIDO (Moser et al. 2024, section 6): a light network restores what is certain, a
diffusion adds what is likely. Blocks are gated convolutions with channel LayerNorm (NAFNet, Chen et al. 2022) without
its global pooling, which would make a pixel depend on the tile it lies in. Every layer sees a bounded neighbourhood
(``Coarse.reach``), so tiles with that much margin give what the whole image gives.

Tensors are ``(batch, channels, height, width)`` outside and channels-last inside, where the 1x1 convolutions are
plain matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from .depthwise import Depthwise

SCALE = 4
"""Enlargement of both networks; one input pixel owns 4 x 4 output pixels."""

DETAIL_CHANNELS = 3 * SCALE * SCALE
"""Channels of an unshuffled RGB image: the latent of the refining diffusion."""

HARM_SEEN = (0.3, 0.65, 0.4)
"""Levels of blur, noise and compression up to which the coarse network was taught; more is told as so much."""

HARM_CHANNELS = len(HARM_SEEN) + 1
"""What the coarse network is told of the harm: each level, from 0 to 1, and 1 where anything is known of it."""

STRIP = 1 << 19
"""Numbers of a map that a block computes at a time on a CPU: few enough for all between to stay in its cache."""


class CoarseOutput(NamedTuple):
    """What the coarse network says of an input ``(n, 3, h, w)``."""

    residual: Tensor
    """(n, 48, h, w): expected detail over the bicubic enlargement, unshuffled."""
    amplitude: Tensor
    """(n, 1, h, w): standard deviation expected of the detail that it could not predict; 0 on constants."""
    features: Tensor
    """(n, width, h, w): last feature map, the refiner's condition."""


def local_activity(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbours in a 5 x 5 window, (n, 1, h, w); exactly 0 where the image is constant."""
    rows = F.pad((image[:, :, 1:] - image[:, :, :-1]).abs().mean(1, keepdim=True), (0, 0, 0, 1))
    cols = F.pad((image[:, :, :, 1:] - image[:, :, :, :-1]).abs().mean(1, keepdim=True), (0, 1))
    return F.avg_pool2d(rows + cols, 5, stride=1, padding=2)


class Gate(nn.Module):
    """Product of the two halves of the channels: NAFNet's only non-linearity."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return a * b


def middle(x: Tensor, size: Sequence[int], dim: int = -2) -> Tensor:
    """The middle ``size`` pixels of the dimensions ``dim`` and the next."""
    for axis, count in enumerate(size, dim):
        x = x.narrow(axis, (x.shape[axis] - count) // 2, count)
    return x


def briefly(condition: Tensor) -> Tensor:
    """A condition (n, h, w, c) as one (n, c) where everybody is told the same: nothing, or one thing fully.

    Being told takes a seventh of the coarse network's time otherwise. Products with 0 and 1 are exact, and so are sums
    of one term, so that bytes are the same; other levels could differ in the last bit from what a neighbour is told.
    """
    first = condition[0, 0, 0]
    plain = bool(((first == 0) | (first == 1)).all()) and int(first.count_nonzero()) <= 1 and (condition == first).all()
    return first.expand(len(condition), -1) if plain else condition


def quieten(layer: nn.Module, std: float = 0.0) -> None:
    """Start a layer with weights of this deviation and no bias, so that a block begins close to the identity."""
    if isinstance(layer, (nn.Linear, nn.Conv2d)) and layer.bias is not None:
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)


class GatedBlock(nn.Module):
    """Depthwise mixing of neighbours, then channel mixing, both gated and normalised; ``(n, h, w, c)``.

    The two normalisations are scaled and shifted by a vector of ``condition`` channels, of each sample (time and
    prompt) or of each of its pixels (harm). ``reach``: how many pixels away a neighbour may be. Unless ``padded``, that
    many pixels at the borders are left out.
    """

    def __init__(self, width: int, condition: int, *, reach: int = 1, padded: bool = True) -> None:
        super().__init__()
        self.reach, self.padding = reach, reach * padded
        self.norm_space = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = Depthwise(2 * width, reach=reach, padded=padded)
        self.project = nn.Linear(width, width)
        self.norm_channels = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), Gate(), nn.Linear(width, width))
        self.gate = Gate()
        self.modulation = nn.Linear(condition, 4 * width)
        quieten(self.project, 0.1 / math.sqrt(width))
        quieten(self.feed[2], 0.1 / math.sqrt(width))
        quieten(self.modulation)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``condition``: (n, c), or (n, h, w, c) of at least as many pixels."""
        mapped = condition.ndim == 4
        if mapped:
            condition = middle(condition, x.shape[1:3], 1)
        height, reach, padding = x.shape[1], self.reach, self.padding
        rows = max(STRIP // x[0, 0].numel(), 1)
        if rows >= height or x.device.type != "cpu" or torch.is_grad_enabled():
            return self._of(x, condition)
        strips = []
        for start in range(reach - padding, height - reach + padding, rows):
            first = max(start - reach, 0)
            seen = slice(first, start + rows + reach)
            strip = self._of(x[:, seen], briefly(condition[:, seen]) if mapped else condition)
            strips.append(strip[:, start - first - reach + padding :][:, :rows])
        return torch.cat(strips, 1)

    def _of(self, x: Tensor, condition: Tensor) -> Tensor:
        space = self._told(self.norm_space(x), condition, 0)
        mixed = self.depthwise(self.expand(space).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = middle(x, mixed.shape[1:3], 1) + self.project(self.gate(mixed))
        del space, mixed  # three times as large as an image of features
        return torch.add(x, self.feed(self._told(self.norm_channels(x), condition, 1)))

    def _told(self, normed: Tensor, condition: Tensor, which: int) -> Tensor:
        """A normalised map, scaled and shifted by what the condition says for the first or the second of them."""
        ours = slice(2 * which * normed.shape[-1], 2 * (which + 1) * normed.shape[-1])
        weight, bias = self.modulation.weight[ours], self.modulation.bias[ours]
        told = F.linear(condition, weight, bias)
        told = told[:, None, None] if told.ndim == 2 else middle(told, normed.shape[1:3], 1)
        scale, shift = told.chunk(2, dim=-1)
        return torch.addcmul(shift, normed, scale + 1)


class Coarse(nn.Module):
    """Deterministic 4x regression: expected detail, and how much detail is left to chance.

    What harmed the input can be told, everywhere or place by place: the same pixels are noise or texture, then.
    The last map is multiplied by a soft gate on local activity, so that constants stay constant whatever the weights.
    If ``padded``, the output is as large as the image, and ``reach`` pixels at its borders know of the zeros around
    it. Without, they are left out, and every layer computes the margin that the ones after it need, no more.
    """

    def __init__(
        self, *, width: int = 64, blocks: int = 12, block_reach: int = 2, quiet: float = 0.25 / 255, padded: bool = True
    ) -> None:
        super().__init__()
        self.reach = blocks * block_reach + 2
        self.quiet = quiet
        self.head = nn.Conv2d(3, width, 3, padding=int(padded))
        block = partial(GatedBlock, width, HARM_CHANNELS, reach=block_reach, padded=padded)
        self.body = nn.ModuleList(block() for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.tail = nn.Conv2d(width, DETAIL_CHANNELS + 1, 3, padding=int(padded))
        quieten(self.tail, 1e-3)

    def forward(
        self, image: Tensor, harm: Tensor | None = None, between: Callable[[], None] = lambda: None
    ) -> CoarseOutput:
        """Image (n, 3, h, w) in [0, 1].

        ``harm`` (n, ``HARM_CHANNELS``) or (n, ``HARM_CHANNELS``, h, w); None where nothing is known of it. ``between``
        is called before every block, and may raise.
        """
        told = image.new_zeros(len(image), HARM_CHANNELS) if harm is None else harm
        told = told.permute(0, 2, 3, 1) if told.ndim == 4 else told
        x = self.head((image - 0.5).contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        for block in self.body:
            between()
            x = block(x, told)
        features = self.norm(x).permute(0, 3, 1, 2)
        out = self.tail(features).float()
        activity = middle(local_activity(image), out.shape[-2:])
        gate = activity / (activity + self.quiet)
        amplitude = gate * torch.exp(out[:, DETAIL_CHANNELS:].clamp(-4, 4) - 4.5)
        return CoarseOutput(gate * out[:, :DETAIL_CHANNELS], amplitude, middle(features, out.shape[-2:]))


def time_embedding(timestep: Tensor, channels: int) -> Tensor:
    """Sinusoidal embedding (n, channels) of timesteps (n,) in 0..999 (Vaswani et al. 2017)."""
    half = channels // 2
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(half, device=timestep.device) / half)
    phase = timestep.float()[:, None] * frequency
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


class TagAttention(nn.Module):
    """Cross-attention from pixels ``(n, h, w, c)`` to the prompt's tag tokens ``(n, k, c_tokens)``."""

    def __init__(self, width: int, tokens: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(tokens, 2 * width, bias=False)
        self.project = nn.Linear(width, width)
        quieten(self.project)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        n, h, w, c = x.shape
        query = self.query(self.norm(x)).view(n, h * w, self.heads, -1).transpose(1, 2)
        key, value = self.key_value(tokens).view(n, tokens.shape[1], 2, self.heads, -1).unbind(2)
        mixed = F.scaled_dot_product_attention(query, key.transpose(1, 2), value.transpose(1, 2))
        return x + self.project(mixed.transpose(1, 2).reshape(n, h, w, c))


class TagEmbedding(nn.Module):
    """Prompt -> tokens: one per tag of the vocabulary, weighted by its level, after a token that is always there.

    Levels ``(n, vocabulary)`` in [0, 1]; a tag at level 0 is absent: its token falls back to the learned null token,
    so that the empty prompt is a prompt too (classifier-free guidance).
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.names = nn.Parameter(torch.randn(vocabulary, width) * 0.5)
        self.null = nn.Parameter(torch.randn(1, width) * 0.5)

    def forward(self, levels: Tensor) -> Tensor:
        tokens = self.null + levels[..., None] * self.names
        return torch.cat([self.null.expand(len(levels), 1, -1), tokens], dim=1)


class Refiner(nn.Module):
    """Small UNet that predicts v (Salimans & Ho 2022) of the normalised detail, given the coarse network's view."""

    def __init__(
        self,
        *,
        vocabulary: int,
        condition_width: int = 64,
        widths: tuple[int, int, int] = (64, 128, 192),
        blocks: tuple[int, int, int] = (3, 2, 4),
        embedding: int = 128,
    ) -> None:
        super().__init__()
        outer, middle, inner = widths
        self.embedding = embedding
        self.tags = TagEmbedding(vocabulary, embedding)
        self.time = nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.prompt = nn.Linear(vocabulary, embedding)
        self.head = nn.Linear(DETAIL_CHANNELS + condition_width + 4, outer)

        def stack(count: int, width: int) -> nn.ModuleList:
            return nn.ModuleList(GatedBlock(width, embedding) for _ in range(count))

        self.down = nn.ModuleList([stack(blocks[0], outer), stack(blocks[1], middle)])
        self.shrink = nn.ModuleList([nn.Conv2d(outer, middle, 2, 2), nn.Conv2d(middle, inner, 2, 2)])
        self.inner = stack(blocks[2], inner)
        self.attention = nn.ModuleList(TagAttention(inner, embedding) for _ in range(2))
        self.grow = nn.ModuleList([nn.Linear(inner, 4 * middle), nn.Linear(middle, 4 * outer)])
        self.up = nn.ModuleList([stack(blocks[1], middle), stack(blocks[0], outer)])
        self.norm = nn.LayerNorm(outer)
        self.tail = nn.Linear(outer, DETAIL_CHANNELS)
        quieten(self.tail)

    multiple = 4
    """Height and width of the latents must be multiples of this."""

    def forward(self, latents: Tensor, timestep: Tensor, condition: Tensor, levels: Tensor) -> Tensor:
        """Return v (n, 48, h, w).

        ``latents`` (n, 48, h, w) normalised detail with noise; ``timestep`` (n,); ``condition`` (n, 68, h, w) from
        :func:`refiner_condition`; ``levels`` (n, vocabulary) of the tags in [0, 1].
        """
        vector = F.silu(self.time(time_embedding(timestep, self.embedding)) + self.prompt(levels))
        tokens = self.tags(levels)
        x = self.head(torch.cat([latents, condition], 1).permute(0, 2, 3, 1))
        skips = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            x = run(level.children(), x, vector)
            skips.append(x)
            x = shrink(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        half = len(self.inner) // 2
        x = self.attention[0](run(self.inner[:half], x, vector), tokens)
        x = self.attention[1](run(self.inner[half:], x, vector), tokens)
        for level, grow in zip(self.up, self.grow, strict=True):
            x = F.pixel_shuffle(grow(x).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1) + skips.pop()
            x = run(level.children(), x, vector)
        return self.tail(self.norm(x)).permute(0, 3, 1, 2).float()


def run(blocks: Iterable[nn.Module], x: Tensor, condition: Tensor) -> Tensor:
    """Apply a stack of conditioned blocks."""
    for block in blocks:
        x = block(x, condition)
    return x


def refiner_condition(image: Tensor, coarse: CoarseOutput) -> Tensor:
    """Condition map (n, 68, h, w): coarse features, the image around 0, and the log amplitude around 0."""
    log_amplitude = torch.log(coarse.amplitude + 1e-4) / 4 + 1
    return torch.cat([coarse.features.float(), image - 0.5, log_amplitude], 1)


def unshuffle(image: Tensor) -> Tensor:
    """(n, 3, 4h, 4w) -> (n, 48, h, w)."""
    return F.pixel_unshuffle(image, SCALE)


def shuffle(detail: Tensor) -> Tensor:
    """(n, 48, h, w) -> (n, 3, 4h, 4w)."""
    return F.pixel_shuffle(detail, SCALE)
