"""StableSR's controllable feature wrapping on images of any size: two looks into the tiled autoencoder.

What the encoder sees of the input on its way down is kept, and mixed into the decoder's features of the same
resolution, w times (arXiv:2305.07015, eq. 6)::

    seen = {}
    encode_tiled(vae, image, tap=keep(cfw, seen))
    decode_tiled(vae, latents, tap=wrap(cfw, seen, weight=0.5))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from math import isqrt

import torch
from torch import Tensor

from ..nets.stablesr import Cfw, FeatureWrapping
from ..tiling.grid import Tile, partition
from .feature_maps import FeatureMap, Moments
from .lockstep import Lockstep
from .vae_stages import Tap


def keep(cfw: Cfw, seen: MutableMapping[int, Tensor]) -> Tap:
    """For the encoder: copies of the features that are wrapped, by their stride."""

    def tap(stride: int, features: FeatureMap, lockstep: Lockstep) -> FeatureMap:
        if cfw.at(stride) is not None:
            kept = lockstep.allocate(features.channels, features.size, features.tensor.dtype)
            seen[stride] = kept.copy_(features.tensor)
        return features

    return tap


def wrap(cfw: Cfw, seen: Mapping[int, Tensor], *, weight: float) -> Tap:
    """For the decoder: its features, and ``weight`` times what the input's add to them."""

    def tap(stride: int, features: FeatureMap, lockstep: Lockstep) -> FeatureMap:
        wrapping = cfw.at(stride)
        if wrapping is None:
            return features
        added = _added(wrapping, FeatureMap(seen[stride]), features, lockstep)
        result = FeatureMap(lockstep.allocate(features.channels, features.size, lockstep.dtype))
        _write(result, lockstep, features, added, weight)
        return result

    return tap


def _added(wrapping: FeatureWrapping, encoded: FeatureMap, decoded: FeatureMap, lockstep: Lockstep) -> FeatureMap:
    """What ``FeatureWrapping`` gives, layer by layer over all tiles."""
    channels = encoded.channels + decoded.channels
    both = FeatureMap(lockstep.allocate(channels, decoded.size, lockstep.dtype))
    for tile in _tiles(both, lockstep):
        parts = [each.read(tile, lockstep.device)[0] for each in (encoded, decoded)]
        value = torch.cat(parts)
        both.write(tile, value, Moments.of(value))
    features = lockstep.layer(both, wrapping.first)
    return lockstep.layer(lockstep.convolve(features, wrapping.trunk), wrapping.last)


def _write(result: FeatureMap, lockstep: Lockstep, decoded: FeatureMap, added: FeatureMap, weight: float) -> None:
    for tile in _tiles(result, lockstep):
        plain, more = (each.read(tile, lockstep.device)[0].float() for each in (decoded, added))
        value = torch.add(plain, more, alpha=weight)
        result.write(tile, value.to(decoded.tensor.dtype), Moments.of(value))


def _tiles(features: FeatureMap, lockstep: Lockstep) -> Iterator[Tile]:
    most = min(lockstep.tile_numbers / features.channels, features.size.height * features.size.width)
    return partition(features.size, max(isqrt(int(most)), 1))
