"""What all models of latents share, Stable Diffusion's kin: their parts, their words, and their way from pixels to
latents and back.

A model of its own is a subclass of ``LatentBackbone`` that says three things: how its files become parts
(``load_parts``), what it is told besides image and words (``told_more``), and how it predicts (``predicted``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..catalog import ModelDescriptor, VaeMode
from ..options import ResolvedOptions
from ..prompts.base import Prompt
from ..prompts.vocabulary import content_of
from ..tiling.grid import Size, Tile
from .base import ScheduleSpec, Told
from .compiling import compile_repeated
from .latents import enlarged, image_of, latents_of
from .placing import Placing, in_full_precision, layout_on
from .text import Encoded, Texts


@dataclass(frozen=True, kw_only=True)
class LatentParts:
    """What every model of latents is made of."""

    unet: Any
    vae: Any
    text: Texts | None
    """None where prompts come encoded."""
    schedule: ScheduleSpec
    weights_hash: str

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        """The networks that are asked in every step."""
        return (self.unet,)

    @property
    def painters(self) -> tuple[nn.Module, ...]:
        """The networks that lead from pixels to latents and back."""
        return (self.vae,)


@dataclass(frozen=True, kw_only=True)
class LatentCondition:
    """A region as every model of latents is told of it. H and W are the canvas's, in latents."""

    size: Size
    """Input pixels of the region."""
    image: Tensor
    """(3, H, W) times the stride, in [0, 1], on the CPU: the enlarged input, mirrored where the canvas is larger."""
    texts: Encoded
    """Of the different texts, on the device."""
    text_ids: Tensor
    """(prompts of the bank): the text of each."""
    vae: VaeMode = "exact"
    """How the autoencoder is run."""
    on_work: Callable[[float], None] = lambda looks: None
    """Told how much more is done, in looks of the denoiser at the whole canvas; raises Cancelled if the run was."""


PartsT = TypeVar("PartsT", bound=LatentParts)
ConditionT = TypeVar("ConditionT", bound=LatentCondition)


class LatentBackbone(ABC, Generic[PartsT, ConditionT]):
    """A model of latents, loaded."""

    latent_channels = 4
    parallel = True

    def __init__(
        self,
        descriptor: ModelDescriptor,
        parts: PartsT,
        device: torch.device,
        precision: torch.dtype,
        *,
        offload: bool = False,
        compiled: bool = False,
    ) -> None:
        """``offload``: networks wait in the CPU's memory for their turn; ``compiled``: see ``compiling``."""
        self.descriptor, self.parts = descriptor, parts
        self.device, self.precision = device, precision
        self.schedule, self.weights_hash = parts.schedule, parts.weights_hash
        self.placing = Placing(device, offload=offload)
        for network in parts.denoisers:
            network.to(memory_format=layout_on(device))  # type: ignore[call-overload]  # of torch
        if compiled:
            compile_repeated(parts.denoisers, device)
            self.parallel = False

    @classmethod
    def load(
        cls,
        descriptor: ModelDescriptor,
        device: torch.device,
        precision: torch.dtype,
        folder: Path | None,
        *,
        offload: bool = False,
        compiled: bool = False,
    ) -> Self:
        """Load everything from a model folder."""
        first = torch.device("cpu") if offload else device
        parts = cls.load_parts(descriptor, folder, first, precision)
        return cls(descriptor, parts, device, precision, offload=offload, compiled=compiled)

    @staticmethod
    @abstractmethod
    def load_parts(
        descriptor: ModelDescriptor, folder: Path | None, device: torch.device, precision: torch.dtype
    ) -> PartsT:
        """Read the files; ModelMissing says what is not there or does not fit."""

    @abstractmethod
    def told_more(
        self,
        common: LatentCondition,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        options: ResolvedOptions,
    ) -> ConditionT:
        """What this model is told besides (``Condition(**vars(common), ...)``); the arguments are ``condition``'s."""

    @abstractmethod
    def predicted(
        self, condition: ConditionT, crops: Tensor, timestep: Tensor, tiles: Sequence[Tile], prompt_ids: list[int]
    ) -> Tensor:
        """The networks' prediction, in the type of ``crops``: that of the networks, usually half precision."""

    @staticmethod
    def words_of(prompt: Prompt) -> str:
        """What the text encoder is told: what is there, and nothing of what harmed the picture."""
        return content_of(prompt)

    def condition(
        self,
        image: Tensor,
        place: Tile,
        prompts: Sequence[Prompt],
        advance: Callable[[int], None],
        options: ResolvedOptions,
        told: Sequence[Told] = (),
    ) -> ConditionT:
        """Enlarge the image, encode every different text once, and what the model itself wants."""
        size = Size(*image.shape[-2:])
        canvas = place.size.scaled(self.descriptor.latent_stride)
        area = place.height * place.width
        texts, text_ids = self.encoded(prompts)
        common = LatentCondition(
            size=size,
            image=enlarged(image, size.scaled(self.descriptor.native_scale), canvas),
            texts=texts,
            text_ids=text_ids,
            vae=options.vae,
            on_work=lambda looks: advance(int(looks * area)),
        )
        condition = self.told_more(common, image, place, prompts, options)
        advance(area)
        return condition

    def encoded(self, prompts: Sequence[Prompt]) -> tuple[Encoded, Tensor]:
        """The different texts of some prompts, and which of them each prompt has."""
        assert self.parts.text is not None
        said = [self.words_of(prompt) for prompt in prompts]
        texts = list(dict.fromkeys(said))
        self.placing.ready(*self.parts.text.networks)
        return self.parts.text.encoded(texts), torch.tensor([texts.index(text) for text in said])

    def encode(self, condition: ConditionT) -> Tensor:
        """The latents of the enlarged input: their mean, since the noise of the start hides what it leaves open."""
        return self.latents_of(condition)

    def latents_of(self, condition: LatentCondition) -> Tensor:
        """Mean latents of the condition's image, on the device."""
        self.placing.ready(*self.parts.painters)
        return latents_of(self.parts.vae, condition.image, condition.vae, condition.on_work).to(self.device)

    @torch.inference_mode()
    def predict(
        self,
        condition: ConditionT,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """What the networks were trained to predict, in every tile, told by its own words."""
        self.placing.ready(*self.parts.denoisers)
        return self.predicted(condition, latents.to(self.precision), timestep, tiles, list(prompt_ids)).float()

    @torch.inference_mode()
    def predict_precisely(
        self,
        condition: ConditionT,
        latents: Tensor,
        timestep: Tensor,
        tiles: Sequence[Tile],
        prompt_ids: Sequence[int],
    ) -> Tensor:
        """As ``predict``, in float32: for tiles that half precision cannot hold."""
        self.placing.ready(*self.parts.denoisers)
        with in_full_precision(self.parts.denoisers), torch.compiler.set_stance("force_eager"):
            return self.predicted(condition, latents.float(), timestep, tiles, list(prompt_ids))

    def decode(self, condition: ConditionT, latents: Tensor | None, *, fidelity: float) -> NDArray[np.float32]:
        """The autoencoder's image, blended with the bicubic enlargement by ``fidelity``."""
        height, width = condition.size.scaled(self.descriptor.native_scale)
        certain = condition.image[:, :height, :width]
        if latents is None:
            return certain.numpy()
        self.placing.ready(*self.parts.painters)
        made = image_of(self.parts.vae, latents, condition.vae, condition.on_work)[:, :height, :width]
        return torch.lerp(made, certain, fidelity).numpy()
