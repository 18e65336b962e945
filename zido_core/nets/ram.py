"""The Recognize Anything Model: Swin transformer, and a decoder in which every known tag asks the image for itself.

RAM (Zhang et al. 2023, arXiv:2306.03514) with the Swin encoder of Liu et al. 2021 (arXiv:2103.14030) and the
query decoder of Query2Label (Liu et al. 2021, arXiv:2107.10834), reduced to what tagging needs: its caption half is
left out, and the decoder has cross-attention only. DAPE (SeeSR, Wu et al. 2024, section 3.2) is this network with
LoRA weights, which are merged before it runs. Modules are named as in the published weights.

Tokens are ``(batch, tokens, channels)``, feature maps ``(batch, height, width, channels)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation of red, green and blue, by which inputs are normalised."""

FORBIDDEN = -100.0
"""Added to attention between pixels that are neighbours only because a shifted window wraps around the image."""


@dataclass(frozen=True, kw_only=True)
class RamConfig:
    """Sizes of the network. The defaults are those of the published one, Swin-L at 384 pixels."""

    tags: int = 4585
    """Words that it knows."""

    image_size: int = 384
    """Side of its square input, pixels."""

    patch: int = 4
    """Side of the squares that become the first tokens, pixels."""

    window: int = 12
    """Side of an attention window, tokens; of the whole map where that is smaller."""

    width: int = 192
    """Channels of the first stage; each of the next has twice as many."""

    depths: tuple[int, ...] = (2, 2, 18, 2)
    """Blocks of each stage."""

    heads: tuple[int, ...] = (6, 12, 24, 48)
    """Attention heads of each stage."""

    mlp_ratio: float = 4.0
    """Width of a block's inner layer, in widths of the block."""

    embedding: int = 512
    """Channels of the image embedding and of the tags' word vectors."""

    head_width: int = 768
    """Channels of the query decoder."""

    head_inner: int = 3072
    """Width of the inner layer of its blocks."""

    head_layers: int = 2
    """Its blocks."""

    head_heads: int = 4
    """Its attention heads."""

    head_eps: float = 1e-12
    """Epsilon of its LayerNorm."""

    @classmethod
    def of(
        cls,
        shapes: Mapping[str, Sequence[int]],
        *,
        image_size: int = image_size,
        head_heads: int = head_heads,
        head_eps: float = head_eps,
    ) -> RamConfig:
        """The sizes that weights of these shapes have; the rest leaves no trace in them. KeyError: no such weights."""
        encoder, head = "visual_encoder.layers.{}.blocks.{}.", "tagging_head.encoder.layer.{}."
        depths: list[int] = []
        while depth := _count(shapes, encoder.replace("{}", str(len(depths)), 1) + "norm1.weight"):
            depths.append(depth)
        tables = [
            shapes[encoder.format(stage, 0) + "attn.relative_position_bias_table"]
            for stage in range(max(len(depths), 1))
        ]
        width, _, patch, _ = shapes["visual_encoder.patch_embed.proj.weight"]
        inner, head_width = shapes[head.format(0) + "intermediate.dense.weight"]
        return cls(
            tags=shapes["label_embed"][0],
            image_size=image_size,
            patch=patch,
            window=(math.isqrt(tables[0][0]) + 1) // 2,
            width=width,
            depths=tuple(depths),
            heads=tuple(table[1] for table in tables),
            mlp_ratio=shapes[encoder.format(0, 0) + "mlp.fc1.weight"][0] / width,
            embedding=shapes["label_embed"][1],
            head_width=head_width,
            head_inner=inner,
            head_layers=_count(shapes, head + "intermediate.dense.weight"),
            head_heads=head_heads,
            head_eps=head_eps,
        )

    def stage_width(self, stage: int) -> int:
        """Channels of a stage."""
        return self.width << stage

    def stage_side(self, stage: int) -> int:
        """Side of its feature map, tokens."""
        return (self.image_size // self.patch) >> stage

    def stage_window(self, stage: int) -> int:
        """Side of its windows, tokens."""
        return min(self.window, self.stage_side(stage))

    @property
    def misfit(self) -> str | None:
        """Why the sizes do not belong together, or None."""
        last = len(self.depths) - 1
        if self.image_size % (self.patch << last):
            return f"images of {self.image_size} pixels are no multiple of {self.patch << last}"
        for stage in range(len(self.depths)):
            side, window = self.stage_side(stage), self.stage_window(stage)
            if side % window:
                return f"stage {stage + 1} is {side} tokens wide, which windows of {window} do not divide"
        if self.head_width % self.head_heads:
            return f"its decoder is {self.head_width} wide, which {self.head_heads} heads do not divide"
        return None


def _count(shapes: Mapping[str, Sequence[int]], name: str) -> int:
    """How many of the numbered tensors ``name`` there are, from 0 without a gap."""
    count = 0
    while name.format(count) in shapes:
        count += 1
    return count


class RamOutput(NamedTuple):
    """What the network says of images."""

    embedding: Tensor
    """(n, 1 + tokens, 512): the mean of the image's tokens, then the tokens."""
    logits: Tensor
    """(n, tags)."""


class Ram(nn.Module):
    """Tags of images."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.config = config
        self.visual_encoder = Swin(config)
        self.image_proj = nn.Linear(config.stage_width(len(config.depths) - 1), config.embedding)
        self.label_embed = nn.Parameter(0.02 * torch.randn(config.tags, config.embedding))
        self.wordvec_proj = nn.Linear(config.embedding, config.head_width)
        self.tagging_head = QueryDecoder(config)
        self.fc = nn.Linear(config.head_width, 1)

    def forward(self, images: Tensor) -> RamOutput:
        """Tag images (n, 3, size, size), normalised by ``normalise``."""
        embedding = self.embed(images)
        queries = F.relu(self.wordvec_proj(self.label_embed)).expand(len(images), -1, -1)
        return RamOutput(embedding, self.fc(self.tagging_head(queries, embedding)).squeeze(-1))

    def embed(self, images: Tensor) -> Tensor:
        """(n, 1 + tokens, 512): the first half of the work."""
        return self.image_proj(self.visual_encoder(images))


def normalise(image: Tensor, size: int) -> Tensor:
    """(n, 3, h, w) in [0, 1] -> (n, 3, size, size), as the network was shown images.

    Squashed to a square, bilinearly and without antialiasing: so did the torchvision that SeeSR was made with.
    """
    resized = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
    mean, std = (torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (resized - mean) / std


class Swin(nn.Module):
    """Attention in windows that are shifted in every second block; the map is halved from stage to stage."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(config)
        last = len(config.depths) - 1
        self.layers = nn.ModuleList(
            SwinStage(config, stage, shrinks=stage < last) for stage in range(len(config.depths))
        )
        self.norm = nn.LayerNorm(config.stage_width(last))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, size, size) -> (n, 1 + tokens, channels): the mean of the tokens goes first."""
        x = self.patch_embed(images)
        for layer in self.layers:
            x = layer(x)
        tokens = self.norm(x).flatten(1, 2)
        return torch.cat([tokens.mean(1, keepdim=True), tokens], 1)


class PatchEmbedding(nn.Module):
    """Squares of pixels -> tokens."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, stride=config.patch)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class SwinStage(nn.Module):
    """Blocks at one resolution, then half of it."""

    def __init__(self, config: RamConfig, stage: int, *, shrinks: bool) -> None:
        super().__init__()
        width, heads = config.stage_width(stage), config.heads[stage]
        self.window, self.side = config.stage_window(stage), config.stage_side(stage)
        self.blocks = nn.ModuleList(
            SwinBlock(width, heads, self.window, round(width * config.mlp_ratio)) for _ in range(config.depths[stage])
        )
        self.downsample = PatchMerging(width) if shrinks else None

    def forward(self, x: Tensor) -> Tensor:
        # A map that is a single window has nothing to be shifted into.
        shift = self.window // 2 if self.side > self.window else 0
        mask = wrap_mask(self.side, self.window, shift, x) if shift else None
        places = relative_places(self.window, x.device)
        for number, block in enumerate(self.blocks):
            x = block(x, places, shift, mask) if number % 2 else block(x, places, 0, None)
        return x if self.downsample is None else self.downsample(x)


class SwinBlock(nn.Module):
    """Attention within windows, then channel mixing; both normalised first and added."""

    def __init__(self, width: int, heads: int, window: int, inner: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, inner)

    def forward(self, x: Tensor, places: Tensor, shift: int, mask: Tensor | None) -> Tensor:
        y = torch.roll(self.norm1(x), (-shift, -shift), (1, 2)) if shift else self.norm1(x)
        y = merge_windows(self.attn(split_windows(y, self.window), places, mask), self.window, x.shape)
        x = x + (torch.roll(y, (shift, shift), (1, 2)) if shift else y)
        return x + self.mlp(self.norm2(x))


class WindowAttention(nn.Module):
    """Self-attention with a learned bias for each relative position of two tokens."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, places: Tensor, mask: Tensor | None) -> Tensor:
        """Windows (n * windows, tokens, c); ``mask`` (windows, tokens, tokens) is added to each image's windows."""
        count, tokens, width = x.shape
        query, key, value = self.qkv(x).view(count, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[places].permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(count // len(mask), 1, 1, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # Down before right: the order in which the weights expect the four.
        four = [x[:, row::2, col::2] for col in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, -1)))


def split_windows(x: Tensor, window: int) -> Tensor:
    """(n, h, w, c) -> (n * windows, tokens, c), windows row by row."""
    n, height, width, channels = x.shape
    x = x.view(n, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window * window, channels)


def merge_windows(x: Tensor, window: int, shape: Sequence[int]) -> Tensor:
    """The inverse of ``split_windows``."""
    n, height, width, channels = shape
    x = x.view(n, height // window, width // window, window, window, channels)
    return x.transpose(2, 3).reshape(n, height, width, channels)


def relative_places(window: int, device: torch.device) -> Tensor:
    """(tokens, tokens): where in the table the bias of two tokens of a window stands."""
    along = torch.arange(window, device=device)
    rows, cols = (part.flatten() for part in torch.meshgrid(along, along, indexing="ij"))
    down, right = (part[:, None] - part[None] + window - 1 for part in (rows, cols))
    return down * (2 * window - 1) + right


def wrap_mask(side: int, window: int, shift: int, like: Tensor) -> Tensor:
    """(windows, tokens, tokens): forbids attention across the border around which a shifted map wraps."""
    along = torch.arange(side, device=like.device)
    part = (along >= side - window).long() + (along >= side - shift).long()
    regions = (3 * part[:, None] + part[None])[None, :, :, None]
    region = split_windows(regions, window).squeeze(-1)
    apart = region[:, :, None] != region[:, None]
    return apart.to(like.dtype) * FORBIDDEN


class QueryDecoder(nn.Module):
    """Queries (n, tags, c) that gather what the image embedding (n, tokens, 512) has for them."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(QueryLayer(config) for _ in range(config.head_layers))

    def forward(self, queries: Tensor, embedding: Tensor) -> Tensor:
        for layer in self.encoder.get_submodule("layer").children():
            queries = layer(queries, embedding)
        return queries


class QueryLayer(nn.Module):
    """Cross-attention, then channel mixing; both added, then normalised."""

    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.crossattention = CrossAttention(config)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(config.head_width, config.head_inner)
        self.output = AddNorm(config.head_inner, config)

    def forward(self, queries: Tensor, embedding: Tensor) -> Tensor:
        queries = self.crossattention(queries, embedding)
        inner = F.gelu(self.intermediate.get_submodule("dense")(queries))
        return self.output(inner, queries)


class CrossAttention(nn.Module):
    def __init__(self, config: RamConfig) -> None:
        super().__init__()
        self.heads = config.head_heads
        self.self = nn.ModuleDict(
            {
                "query": nn.Linear(config.head_width, config.head_width),
                "key": nn.Linear(config.embedding, config.head_width),
                "value": nn.Linear(config.embedding, config.head_width),
            }
        )
        self.output = AddNorm(config.head_width, config)

    def forward(self, queries: Tensor, embedding: Tensor) -> Tensor:
        sources = {"query": queries, "key": embedding, "value": embedding}
        query, key, value = (
            self.self[name](source).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name, source in sources.items()
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).flatten(2), queries)


class AddNorm(nn.Module):
    def __init__(self, inner: int, config: RamConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.head_width)
        self.LayerNorm = nn.LayerNorm(config.head_width, eps=config.head_eps)

    def forward(self, x: Tensor, added: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + added)
