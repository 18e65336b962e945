"""Prompts for transformers of diffusion: T5's encoder, alone as in PixArt, or beside two of CLIP's as in SD3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..prompts.local_models import load_model, load_tokenizer
from .folder import ModelFolder
from .text import TEXT_BATCH, Encoded, TextEncoder

PIXART_TOKENS = 120
"""Tokens of a text that PixArt-alpha reads (arXiv:2310.00426)."""

SD3_TOKENS = 256
"""Tokens that Stable Diffusion 3 reads through T5, as diffusers samples it."""


class T5Encoder:
    """T5's encoder with its tokenizer; texts are filled up to one length, and a mask says with what."""

    def __init__(
        self,
        models: ModelFolder,
        *sources: str,
        dtype: torch.dtype,
        device: torch.device,
        pair: str = "",
        length: int = PIXART_TOKENS,
        masked: bool = True,
    ) -> None:
        """``masked``: the network attends to no filling, and the mask is handed on."""
        from transformers import T5EncoderModel

        tokenizer, folder = (models.needed(f"{name}{pair}", *sources) for name in ("tokenizer", "text_encoder"))
        self._tokenizer = load_tokenizer(tokenizer, what=f"T5's tokenizer: {models.get}")
        self._network = load_model(T5EncoderModel, folder, what=f"T5's encoder: {models.get}", device=device.type)
        self._network.to(device, dtype)
        self._length, self._masked = length, masked
        self.paths: tuple[Path, ...] = tuple(sorted(folder.glob("*.safetensors")))

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self._network,)

    @torch.inference_mode()
    def encoded(self, texts: Sequence[str]) -> Encoded:
        """The last hidden states; what is too long is cut off."""
        device = next(self._network.parameters()).device
        size = 1 if device.type == "cpu" else TEXT_BATCH
        states, masks = [], []
        for start in range(0, len(texts), size):
            told = self._tokenizer(
                list(texts[start : start + size]),
                padding="max_length",
                max_length=self._length,
                truncation=True,
                return_tensors="pt",
            ).to(device)
            mask = told.attention_mask
            states.append(self._network(told.input_ids, attention_mask=mask if self._masked else None)[0])
            masks.append(mask)
        return Encoded(tokens=torch.cat(states), mask=torch.cat(masks) if self._masked else None)


class TextEncodersSD3:
    """The encoders of Stable Diffusion 3: two of CLIP side by side, then T5, or nothing where it was left out."""

    def __init__(
        self, models: ModelFolder, *sources: str, dtype: torch.dtype, device: torch.device, width: int
    ) -> None:
        """``width``: channels of the words that the denoiser takes."""
        self._width = width
        self._clips = tuple(TextEncoder(models, *sources, dtype=dtype, device=device, pair=pair) for pair in ("", "_2"))
        has_t5 = models.part("text_encoder_3", *sources) is not None
        self._t5 = (
            T5Encoder(models, *sources, dtype=dtype, device=device, pair="_3", length=SD3_TOKENS, masked=False)
            if has_t5
            else None
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        return (*(clip.path for clip in self._clips), *(() if self._t5 is None else self._t5.paths))

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        encoders: tuple[Any, ...] = (*self._clips, *(() if self._t5 is None else (self._t5,)))
        return tuple(network for encoder in encoders for network in encoder.networks)

    def encoded(self, texts: Sequence[str]) -> Encoded:
        outputs = [list(clip.outputs(texts)) for clip in self._clips]
        clip = torch.cat([torch.cat([output.hidden_states[-2] for output in some]) for some in outputs], 2)
        pooled = torch.cat([torch.cat([output.text_embeds for output in some]) for some in outputs], 1)
        words = pad(clip, (0, self._width - clip.shape[2]))
        return Encoded(tokens=torch.cat([words, self._long(texts, words)], 1), pooled=pooled)

    def _long(self, texts: Sequence[str], like: Tensor) -> Tensor:
        if self._t5 is None:
            return like.new_zeros(len(texts), SD3_TOKENS, self._width)
        return self._t5.encoded(texts).tokens
