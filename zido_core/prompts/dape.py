"""DAPE: tags and an image embedding that hold also for degraded images (SeeSR, Wu et al. 2024, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..device import choose_device
from ..nets.ram import Ram, RamOutput, normalise
from ..tiling.grid import Tile
from .base import Prompt, Tag, TaggerSetup
from .crops import batches
from .dape_files import BASE, GET, LORA, TAG_LIST, THRESHOLDS, load_network, load_tags


class DapeTagger:
    """Says which of RAM's 4,585 tags a tile shows, and keeps what the network saw for SeeSR."""

    FILES = (f"{BASE}.safetensors", f"{LORA}.safetensors", TAG_LIST, THRESHOLDS)
    """What it is made of."""

    def __init__(
        self,
        network: Ram,
        words: Sequence[str],
        thresholds: Tensor,
        *,
        device: str = "cpu",
        batch: int | None = None,
    ) -> None:
        self.network = network.to(device)
        self.words = tuple(words)
        self.thresholds = thresholds
        self.device = device
        self.batch = batch

    @classmethod
    def load(cls, setup: TaggerSetup) -> DapeTagger:
        """From ``setup.folder``; see ``dape_files``."""
        return cls.from_folder(setup.need_folder("dape", GET), device=choose_device(setup.device))

    @classmethod
    def from_folder(
        cls, folder: Path, *, device: str = "cpu", batch: int | None = None, adapted: bool = True
    ) -> DapeTagger:
        """From a folder with RAM, DAPE, the tag list and its thresholds; ``adapted=False``: RAM alone."""
        network = load_network(folder, adapted=adapted)
        return cls(network, *load_tags(folder, network), device=device, batch=batch)

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        """One prompt per tile of a (3, height, width) image in [0, 1]: ``"building, road, tree"``."""
        prompts: list[Prompt] = []
        for crops in batches(image, tiles, self.device, self.batch):
            embeddings, logits = (part.cpu() for part in self.look(crops))
            chances = logits.sigmoid()
            for embedding, chance in zip(embeddings, chances, strict=True):
                prompts.append(self._prompt(embedding, chance))
        return prompts

    def look(self, crops: Sequence[npt.NDArray[np.float32]]) -> RamOutput:
        """What the network says of crops (3, h, w), in one forward."""
        with torch.inference_mode():
            seen: RamOutput = self.network(self.prepare(crops))
        return seen

    def prepare(self, crops: Sequence[npt.NDArray[np.float32]]) -> Tensor:
        """Crops of any sizes as the network's input (n, 3, size, size)."""
        size = self.network.config.image_size
        return torch.cat([normalise(torch.tensor(crop, device=self.device)[None], size) for crop in crops])

    def _prompt(self, embedding: Tensor, chances: Tensor) -> Prompt:
        fired = torch.nonzero(chances > self.thresholds).flatten().tolist()
        tags = tuple(Tag(self.words[index], round(float(chances[index]), 4)) for index in fired)
        # A copy of its own: a view would keep the embeddings of the whole batch alive.
        return Prompt(text=", ".join(tag.name for tag in tags), tags=tags, embedding=embedding.clone().numpy())
