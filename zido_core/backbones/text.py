"""Prompts for networks: CLIP's text encoders, alone as in Stable Diffusion, or two of them as in its XL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..checkpoint import load_strictly
from ..errors import ModelMissing
from .folder import ModelFolder

POSITIONS = "position_ids"
"""Tensor of old text encoders that is only counted."""

PROJECTION = "text_projection.weight"
"""Tensor of encoders that also sum a text up."""

TEXT_BATCH = 32
"""Prompts encoded at once, except on a CPU: there the last bits depend on how many they are."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Texts as a network hears them."""

    tokens: Tensor
    """(texts, tokens, channels)."""
    pooled: Tensor | None = None
    """(texts, channels): each as a whole, for networks that ask for it."""
    mask: Tensor | None = None
    """(texts, tokens): 1 where a token says something, 0 where it fills up; for networks that ask for it."""


class Texts(Protocol):
    """What makes ``Encoded`` of texts."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files of weights."""
        ...

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Its networks; it works where they are."""
        ...

    def encoded(self, texts: Sequence[str]) -> Encoded:
        """What exceeds 77 tokens is cut off."""
        ...


class TextEncoder:
    """CLIP's text encoder with its tokenizer: the folders ``text_encoder`` and ``tokenizer``, or a second such pair."""

    def __init__(
        self, models: ModelFolder, *sources: str, dtype: torch.dtype, device: torch.device, pair: str = ""
    ) -> None:
        tokenizer, folder = (models.needed(f"{name}{pair}", *sources) for name in ("tokenizer", "text_encoder"))
        checkpoint = models.weights(folder)
        self.path = checkpoint.path
        """Its file of weights."""
        self._tokenizer = _load_tokenizer(models, tokenizer)
        self._network = _clip(models.config(folder), projected=PROJECTION in checkpoint.shapes)
        load_strictly(
            self._network,
            checkpoint.tensors(lambda name: None if name.endswith(POSITIONS) else bare_name(name), dtype),
            path=checkpoint.path,
            get=models.get,
            official=bare_name,
        )
        self._network.to(device)

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self._network,)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(n, tokens, channels): the last hidden states; what exceeds 77 tokens is cut off."""
        return torch.cat([output.last_hidden_state for output in self.outputs(texts)])

    def encoded(self, texts: Sequence[str]) -> Encoded:
        return Encoded(tokens=self.encode(texts))

    @torch.inference_mode()
    def outputs(self, texts: Sequence[str]) -> Iterator[Any]:
        """All that the network gives, for some texts at a time."""
        device = next(self._network.parameters()).device
        size = 1 if device.type == "cpu" else TEXT_BATCH
        length = self._network.config.max_position_embeddings
        for start in range(0, len(texts), size):
            some = list(texts[start : start + size])
            tokens = self._tokenizer(
                some, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            yield self._network(tokens.input_ids.to(device), output_hidden_states=True)


class TextEncoderXL:
    """The two encoders of Stable Diffusion XL: their last states but one, and the second one's sum of a text.

    A text that says nothing is all zeros, as the model was trained.
    """

    def __init__(self, models: ModelFolder, *sources: str, dtype: torch.dtype, device: torch.device) -> None:
        self._encoders = tuple(
            TextEncoder(models, *sources, dtype=dtype, device=device, pair=pair) for pair in ("", "_2")
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(encoder.path for encoder in self._encoders)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return tuple(network for encoder in self._encoders for network in encoder.networks)

    def encoded(self, texts: Sequence[str]) -> Encoded:
        first, second = (list(encoder.outputs(texts)) for encoder in self._encoders)
        parts = [torch.cat([output.hidden_states[-2] for output in outputs]) for outputs in (first, second)]
        pooled = torch.cat([output.text_embeds for output in second])
        says = torch.tensor([bool(text) for text in texts], device=pooled.device)
        return Encoded(tokens=torch.cat(parts, 2) * says[:, None, None], pooled=pooled * says[:, None])


def _clip(config: Mapping[str, Any], *, projected: bool) -> Any:
    """CLIP's text encoder without weights, with the layer after it that sums a text up, or without."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind: Any = CLIPTextModelWithProjection if projected else CLIPTextModel
    with torch.device("meta"):
        network = kind(CLIPTextConfig.from_dict(dict(config)))
    for module in network.modules():
        if hasattr(module, POSITIONS):  # counted, not trained, and in no file that is written today
            setattr(module, POSITIONS, torch.arange(network.config.max_position_embeddings)[None])
    return network


def _load_tokenizer(models: ModelFolder, folder: Path) -> Any:
    from transformers import CLIPTokenizer

    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).is_file() and not (folder / "tokenizer.json").is_file():
            raise ModelMissing(f"there is no {name} in {folder}: {models.get}")
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)  # a folder of this machine  # nosec B615
    except (OSError, ValueError) as error:
        raise ModelMissing(f"the tokenizer in {folder} does not load ({error}): {models.get}") from error


def bare_name(name: str) -> str:
    """A text encoder's name of a tensor without what older versions of transformers put before it."""
    return name.removeprefix("text_model.")
