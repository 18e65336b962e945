"""Variational autoencoders at any image size: diffusers' ``AutoencoderKL``, whole or in tiles.

``exact`` runs every layer over all tiles before the next one (``lockstep``): the result is that of the untiled network
but for rounding. The device holds a tile; the features of the whole image wait on the device, in memory or in a file,
where there is room. ``fast`` keeps only the middle block, with its attention, over the whole image and estimates the
moments of all other normalisations on a reduced one; then tiles are independent, and nothing has to wait. ``off`` is
the network as it is, for images that fit.

Images are (3, height, width) in [-1, 1], latents (channels, height, width) as ``vae.decode`` takes them: the scaling
factor is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..catalog import VaeMode
from ..tiling.grid import Size, Tile, partition
from .feature_maps import Allocate, FeatureMap, Moments, storage
from .lockstep import Affine, Lockstep, in_type, not_finite
from .vae_stages import Stage, Tap, decoder_stages, encoder_stages, peak_numbers, run, size_of, work

FAST_MARGIN = 4
"""Latents around a tile of the fast mode: what lies farther away changes it less than estimated moments do."""

TILE_SIZE = {"cpu": 512, "cuda": 1024}
"""Tiles by default, output pixels."""

OnTiles = Callable[[float], None]


@torch.no_grad()
def encode_tiled(
    vae: Any,
    image: Tensor,
    *,
    mode: VaeMode = "exact",
    tile_size: int | None = None,
    on_tiles: OnTiles | None = None,
    tap: Tap | None = None,
) -> Tensor:
    """Mean and log-variance of the latents, one after the other: (2 * latent channels, height, width), float32.

    ``tile_size`` is in pixels; None: what suits the device. ``on_tiles`` hears which part of the work is newly
    done (the parts sum to 1), and may raise Cancelled. A ``tap`` wants whole maps: with one, ``fast`` is ``exact``.
    """
    weight, canvas = next(vae.parameters()), Size(*image.shape[1:])
    if mode == "off" and tap is None:
        moments = _plain(vae.encoder, image.to(weight), on_tiles)
    else:
        job = _Job.of(vae, encoder_stages(vae.encoder), canvas, tile_size, on_tiles)
        if mode == "fast" and tap is None and job.needs_tiles:
            moments = _encode_fast(job, image)
        else:
            moments = job.exact(image, tap=tap, one_tile=mode == "off")
    moments = moments.to(weight.device)
    return moments if vae.quant_conv is None else in_type(vae.quant_conv, moments[None])[0]


@torch.no_grad()
def decode_tiled(
    vae: Any,
    latents: Tensor,
    *,
    mode: VaeMode = "exact",
    tile_size: int | None = None,
    on_tiles: OnTiles | None = None,
    tap: Tap | None = None,
) -> Tensor:
    """The image of latents (channels, height, width): (3, height, width), float32 on the CPU, not clipped.

    The other arguments are those of ``encode_tiled``; ``tile_size`` is in output pixels.
    """
    weight = next(vae.parameters())
    latents = latents.float().to(weight.device)
    if vae.post_quant_conv is not None:
        latents = in_type(vae.post_quant_conv, latents[None])[0]
    if mode == "off" and tap is None:
        return _plain(vae.decoder, latents.to(weight), on_tiles).cpu()
    stages = decoder_stages(vae.decoder)
    canvas = size_of(Size(*latents.shape[1:]), stages)
    job = _Job.of(vae, stages, canvas, tile_size, on_tiles)
    if mode == "fast" and tap is None and job.needs_tiles:
        return _decode_fast(job, latents)
    return job.exact(latents, tap=tap, one_tile=mode == "off").cpu()


def _plain(network: nn.Module, source: Tensor, on_tiles: OnTiles | None) -> Tensor:
    """The network as it is; in float32 where its own type does not suffice."""
    for dtype in dict.fromkeys((source.dtype, torch.float32)):
        result = in_type(network, source.to(dtype)[None])[0].float()
        if bool(torch.isfinite(result).all()):
            if on_tiles is not None:
                on_tiles(1.0)
            return result
    raise not_finite(Tile.whole(Size(*max(source.shape[1:], result.shape[1:]))))


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A network, an image, and how they are run."""

    device: torch.device
    dtype: torch.dtype
    stages: tuple[Stage, ...]
    canvas: Size
    """Image pixels."""
    tile_size: int
    """Image pixels."""
    base: int
    """Channels at full resolution; tiles hold as many numbers at every level."""
    on_tiles: OnTiles

    @classmethod
    def of(
        cls, vae: Any, stages: tuple[Stage, ...], canvas: Size, tile_size: int | None, on_tiles: OnTiles | None
    ) -> _Job:
        weight = next(vae.parameters())
        return cls(
            device=weight.device,
            dtype=weight.dtype,
            stages=stages,
            canvas=canvas,
            tile_size=tile_size or TILE_SIZE.get(weight.device.type, 512),
            base=vae.config.block_out_channels[0],
            on_tiles=on_tiles or (lambda part: None),
        )

    @property
    def needs_tiles(self) -> bool:
        return max(self.canvas) > self.tile_size

    def exact(self, source: Tensor, *, tap: Tap | None, one_tile: bool) -> Tensor:
        """All stages in lockstep."""
        total = work(Size(*source.shape[1:]), self.stages)
        with self.room(source, self.stages) as allocate:
            lockstep = self.lockstep(allocate, one_tile=one_tile, on_work=lambda done: self.on_tiles(done / total))
            return run(lockstep, FeatureMap(source), self.stages, tap).tensor.clone()

    def room(self, source: Tensor, stages: Sequence[Stage]) -> AbstractContextManager[Allocate]:
        """Where the maps between the layers are kept."""
        numbers = peak_numbers(Size(*source.shape[1:]), stages)
        return storage(self.device, numbers * self.dtype.itemsize)

    def lockstep(
        self,
        allocate: Allocate | None = None,
        *,
        place: Tile | None = None,
        one_tile: bool = True,
        on_work: OnTiles | None = None,
        measure: Callable[[nn.GroupNorm, FeatureMap], Affine] | None = None,
    ) -> Lockstep:
        """Layers on maps of the whole image, or of the part of it at ``place``; kept on the device by default."""
        return Lockstep(
            device=self.device,
            dtype=self.dtype,
            tile_numbers=inf if one_tile else self.tile_size**2 * self.base,
            allocate=allocate or self._on_device,
            place=place or Tile.whole(self.canvas),
            on_work=on_work or (lambda done: None),
            measure=measure,
        )

    def _on_device(self, channels: int, size: Size, dtype: torch.dtype) -> Tensor:
        return torch.empty(channels, *size, dtype=dtype, device=self.device)

    def estimated(self, source: Tensor, stages: Sequence[Stage], most: int) -> Mapping[nn.GroupNorm, Affine]:
        """What the normalisations of some stages do when their input is reduced to ``most`` pixels a side.

        The nearest pixels are taken, not means: means would have less variance.
        """
        reduced = [min(side, most) for side in source.shape[1:]]
        small = interpolate(source[None].to(self.device, self.dtype), reduced, mode="nearest-exact")[0]
        features = FeatureMap(torch.empty_like(small))
        features.write(Tile.whole(features.size), small, Moments.of(small))
        found: dict[nn.GroupNorm, Affine] = {}

        def measure(norm: nn.GroupNorm, features: FeatureMap) -> Affine:
            found[norm] = features.affine(norm, self.device)
            return found[norm]

        run(self.lockstep(measure=measure), features, stages)
        return found


def _decode_fast(job: _Job, latents: Tensor) -> Tensor:
    """The middle of the network on the whole image, then its levels tile by tile, by estimated moments."""
    middle, *levels = job.stages
    with job.room(latents, (middle,)) as allocate:
        features = run(job.lockstep(allocate, one_tile=False), FeatureMap(latents), (middle,))
        stride = job.canvas.height // features.size.height
        found = job.estimated(features.tensor, levels, job.tile_size // stride)
        image: Tensor | None = None
        for tile in partition(features.size, max(job.tile_size // stride, 1)):
            region = tile.pad(FAST_MARGIN, features.size)
            lockstep = job.lockstep(place=region.scaled(stride), measure=lambda norm, _: found[norm])
            seen = FeatureMap(features.read(region, job.device)[0].clone())
            inner = tile.shifted(-region.row, -region.col).scaled(stride)
            part = run(lockstep, seen, levels).tensor[:, *inner.slices]
            image = torch.empty(len(part), *job.canvas) if image is None else image
            image[:, *tile.scaled(stride).slices] = part
            job.on_tiles(tile.height * tile.width / (features.size.height * features.size.width))
    assert image is not None
    return image


def _encode_fast(job: _Job, image: Tensor) -> Tensor:
    """The levels of the network tile by tile, by estimated moments, then its middle on the whole image."""
    *levels, middle, head = job.stages
    size, stride = size_of(job.canvas, levels), 2 ** sum(stage.resample is not None for stage in levels)
    found = job.estimated(image, levels, job.tile_size)
    first: Any = middle.layers[0]
    with storage(job.device, peak_numbers(size, (middle, head)) * job.dtype.itemsize) as allocate:
        features = FeatureMap(allocate(first.in_channels, size, job.dtype))
        for tile in partition(size, max(job.tile_size // stride, 1)):
            region = tile.pad(FAST_MARGIN, size)
            # The last row and column of latents also see the pixels that do not make a whole latent.
            below = job.canvas.height if region.bottom == size.height else region.bottom * stride
            right = job.canvas.width if region.right == size.width else region.right * stride
            row, col = region.row * stride, region.col * stride
            place = Tile(row, col, below - row, right - col)
            lockstep = job.lockstep(place=place, measure=lambda norm, _: found[norm])
            seen = FeatureMap(image[:, *place.slices])
            inner = tile.shifted(-region.row, -region.col)
            part = run(lockstep, seen, levels).tensor[:, *inner.slices]
            features.write(tile, part, Moments.of(part))
            job.on_tiles(tile.height * tile.width / (size.height * size.width))
        return run(job.lockstep(allocate, one_tile=False), features, (middle, head)).tensor.clone()
