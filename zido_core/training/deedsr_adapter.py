"""DeeDSR's second stage (section 3.3): adapter, modulations and cross-attention learn; the rest stays as it was.

What is frozen: the base's UNet but its cross-attention, its autoencoder, and the degradation learner of stage 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..backbones.base import ScheduleSpec
from ..backbones.deedsr_files import is_own, method_of, schedule_of
from ..backbones.folder import ModelFolder, load_vae
from ..nets.deedsr import DegradationAdapter, DegradationLearner
from ..nets.modulated import ModulatedUNet, Modulation
from ..nets.stablesr import EncoderConfig
from ..sampling.schedule import alphas_cumprod
from .data import Images, Mixture, Pair
from .objective import enlarge, held_pairs, stack

WATCHED = 2
"""Held-out pairs of every degradation."""


class Restoration(nn.Module):
    """What is trained, around what is not."""

    def __init__(self, unet: ModulatedUNet, adapter: DegradationAdapter) -> None:
        super().__init__()
        self.unet, self.adapter = unet, adapter
        self.requires_grad_(False)
        for name, value in unet.named_parameters():
            value.requires_grad_(is_own(unet.official_name(name)))
        for name, value in adapter.named_parameters():
            value.requires_grad_(not name.startswith("learner."))

    def forward(self, latents: Tensor, times: Tensor, seen: Tensor, image: Tensor) -> Tensor:
        """The noise in ``latents``, told by the input's latents ``seen`` and by the input itself."""
        assert self.adapter.learner is not None
        with torch.no_grad():
            described = self.adapter.learner(image)[1]
        structure, tokens = self.adapter(seen, times, described)
        predicted: Tensor = self.unet(latents, times, tokens, structure)
        return predicted


class AdapterObjective:
    """The training of what stands between a base and a learner (eq. 9)."""

    def __init__(
        self,
        models: ModelFolder,
        base: str,
        *,
        learner: DegradationLearner,
        layers: Sequence[int],
        shape: EncoderConfig,
    ) -> None:
        self.models, self.base, self.shape = models, base, shape
        self.learner, self.layers = learner, layers
        self.vae: Any = load_vae(models, models.needed("vae", base), torch.float32, torch.device("cpu"))
        self.schedule: ScheduleSpec = schedule_of(models, base)
        self.alphas = torch.from_numpy(
            alphas_cumprod(self.schedule.beta_start, self.schedule.beta_end, self.schedule.beta_schedule)
        )

    def network(self) -> Restoration:
        adapter = DegradationAdapter(self.shape, self.layers, self.learner.widths)
        assert adapter.learner is not None
        adapter.learner.load_state_dict(self.learner.state_dict())
        return Restoration(self.unet(), adapter).eval()

    def unet(self) -> ModulatedUNet:
        """The base's, before anything is learnt: modulations that change nothing, cross-attention partly fresh."""
        method = method_of(self.shape)
        folder = self.models.needed("unet", self.base)
        config = {**self.models.config(folder), **method.changes}
        unet = ModulatedUNet(config, structure_channels=self.shape.out_channels, normalised=False)
        for module in unet.modules():
            if isinstance(module, Modulation):
                for conv in (module.gamma, module.beta):
                    nn.init.zeros_(conv.weight)
                    assert conv.bias is not None
                    nn.init.zeros_(conv.bias)
        plain = self.models.weights(folder).tensors(unet.official_name)
        own = {unet.official_name(name): value for name, value in unet.state_dict().items()}
        names = {unet.official_name(name): name for name in unet.state_dict()}
        kept = {names[name]: value for name, value in plain.items() if own[name].shape == value.shape}
        unet.load_state_dict(kept, strict=False)
        return unet

    def loss(self, network: nn.Module, pairs: Sequence[Pair], generator: torch.Generator) -> Tensor:
        device = next(network.parameters()).device
        image, truth = (each.to(device) for each in stack(pairs))
        times = torch.randint(len(self.alphas), (len(image),), generator=generator)
        with torch.no_grad():
            seen, clean = self.encoded(enlarge(image).clamp(0, 1)), self.encoded(truth)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        alpha = self.alphas[times].view(-1, 1, 1, 1).float().to(device)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        return F.mse_loss(network(noisy, times.to(device), seen, image).float(), noise)

    def encoded(self, image: Tensor) -> Tensor:
        """Mean latents of images (n, 3, h, w) in [0, 1]."""
        self.vae.to(image.device)
        latents: Tensor = self.vae.encode(image * 2 - 1).latent_dist.mean * self.vae.config.scaling_factor
        return latents

    def watch(self, network: nn.Module, held: Images, mixture: Mixture, seed: int) -> dict[str, float]:
        """The loss on images that the training does not see, with the same noise and times at every call."""
        pairs = [pair for some in held_pairs(held, mixture, seed, WATCHED) for pair in some]
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return {"held": round(float(self.loss(network, pairs, generator)), 4)}


def base_folder(path: Path) -> ModelFolder:
    """The folder with a base."""
    return ModelFolder(path=path, get="name a folder with Stable Diffusion 2.1 in the folders of diffusers")
