"""C-Upscale's regional attention prior and its attention composer (Creatively Upscaling Images with Global-Regional
Priors, sections 4.4 and 4.5), on any network of diffusers with cross-attention.

The paper looks at a small view of the whole image under the global prompt, interpolates the view's attention scores A
to the size of the enlargement, crops them per region, and lets the region attend with them to the global prompt's
values V. Interpolation is linear, and V is the same everywhere: ``crop(interp(A)) V = crop(interp(A V))``. So what is
kept of every layer is what the view attended to, which is smaller than A for long texts and needs no kernel of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from ..tiling.grid import Size, Tile

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

ALONE = 1.0
"""Share of the prior where a region hears nothing but the global prompt: it is the attention (section 4.4)."""

MEAN = 0.5
"""Share of the prior where a region has words of its own (section 4.5)."""

UNTOUCHED = 0.0
"""Share in the negative branch of guidance, of which the paper says nothing: our reading."""

LEVELS = 8
"""How often a network may halve its input."""


@dataclass(frozen=True, kw_only=True)
class Attended:
    """What the cross-attention layers of a network gave for a view of a canvas."""

    view: Size
    """Size of the view, in latents."""
    canvas: Size
    """Size of what it shows, in latents of the enlargement."""
    layers: Mapping[str, Tensor]
    """Name of a layer -> (places of the view at that depth, row by row; channels)."""

    def of(self, layer: str, tile: Tile, places: int) -> Tensor:
        """(places, channels): the layer's part for a tile of the canvas that has so many places at that depth."""
        seen, size = self.layers[layer], halved(tile.size, places)
        view = halved(self.view, len(seen))
        return interpolated(seen.reshape(*view, -1), tile, size, self.canvas).flatten(0, 1)


def interpolated(maps: Tensor, tile: Tile, size: Size, canvas: Size) -> Tensor:
    """(*size, channels): bilinear samples, where ``tile`` lies, of maps (h, w, channels) that show all of ``canvas``.

    Weights of a sample sum to one, so that rows of attention stay rows of attention. A tile that reaches over the
    lower or right border goes on at the opposite one.
    """
    rows = _between(tile.row, tile.height, size.height, maps.shape[0], canvas.height)
    cols = _between(tile.col, tile.width, size.width, maps.shape[1], canvas.width)
    return _lerped(_lerped(maps, 0, *rows), 1, *cols)


def halved(size: Size, places: int) -> Size:
    """The size of a map of so many places that a network makes of an input of ``size`` by halving."""
    for level in range(LEVELS):
        height, width = (-(-side // 2**level) for side in size)
        if height * width == places:
            return Size(height, width)
    raise ValueError(f"{places} places are no {size.height}x{size.width} latents, however often they are halved")


def listeners(network: nn.Module) -> dict[str, Attention]:
    """The cross-attention layers of a network, by name."""
    from diffusers.models.attention_processor import Attention

    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, Attention) and module.is_cross_attention
    }


class Listening:
    """A network whose cross-attention layers can be recorded and composed: within ``with``, then it is stock again.

    Threads may share it: what the layers do is said by each thread for itself.
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = listeners(network)
        self._stock = {name: layer.processor for name, layer in self.layers.items()}
        self._now = threading.local()

    def __enter__(self) -> Self:
        """Inject a processor around that of every layer."""
        for name, layer in self.layers.items():
            injected: Any = _Injected(name, self._stock[name], self._heard)
            layer.set_processor(injected)
        return self

    def __exit__(self, *of: object) -> None:
        """Eject them."""
        for name, layer in self.layers.items():
            layer.set_processor(self._stock[name])

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor]]:
        """Within, the dictionary fills with what every layer gives for the first of the batch."""
        layers: dict[str, Tensor] = {}

        def keep(name: str, attended: Tensor) -> Tensor:
            layers[name] = attended[0].clone()
            return attended

        with self._doing(keep):
            yield layers

    @contextmanager
    def composing(self, attended: Attended, tiles: Sequence[Tile], shares: Sequence[float]) -> Iterator[None]:
        """Within, every layer gives the mean of its own and the prior's features, weighed by ``shares``.

        ``tiles`` and ``shares`` are those of the batch. A share of zero leaves the layer's own, bit for bit.
        """

        def compose(name: str, own: Tensor) -> Tensor:
            for row, (tile, share) in enumerate(zip(tiles, shares, strict=True)):
                if share:
                    own[row] = torch.lerp(own[row], attended.of(name, tile, own.shape[1]), share)
            return own

        with self._doing(compose):
            yield

    def _heard(self, name: str, attended: Tensor) -> Tensor:
        """What a layer gives, after what this thread is doing with it."""
        doing: Callable[[str, Tensor], Tensor] | None = getattr(self._now, "doing", None)
        return attended if doing is None else doing(name, attended)

    @contextmanager
    def _doing(self, then: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
        self._now.doing = then
        try:
            yield
        finally:
            self._now.doing = None


class _Injected:
    """An attention processor around the one that was there: what that one gives goes through a function."""

    def __init__(self, name: str, inner: Any, then: Callable[[str, Tensor], Tensor]) -> None:
        self._name, self._inner, self._then = name, inner, then

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        attended = self._inner(
            attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, **others
        )
        return self._then(self._name, attended)


def _between(start: int, length: int, points: int, cells: int, canvas: int) -> tuple[Tensor, Tensor, Tensor]:
    """Per point of a tile's side: the cells before and after it, and how far it is from the first to the second."""
    places = start + (torch.arange(points, dtype=torch.float64) + 0.5) * (length / points)
    at = (places % canvas * (cells / canvas) - 0.5).clamp(0, cells - 1)
    before = at.floor().long()
    return before, (before + 1).clamp(max=cells - 1), at - before


def _lerped(maps: Tensor, axis: int, before: Tensor, after: Tensor, share: Tensor) -> Tensor:
    first, second = (maps.index_select(axis, index.to(maps.device)) for index in (before, after))
    shape = [1] * maps.dim()
    shape[axis] = -1
    return torch.lerp(first, second, share.to(maps).view(shape))
