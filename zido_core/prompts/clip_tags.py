"""Tags by likeness: which words of a vocabulary go best with a tile, says CLIP (Radford et al. 2021).

Any vocabulary will do; nothing is trained. The words of a tile are those whose likeness comes near the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody uses

from ..device import choose_device
from ..errors import ConfigurationError
from ..tiling.grid import Tile
from .base import Prompt, Tag, TaggerSetup
from .crops import batches, picture
from .local_models import load_image_processor, load_model, load_tokenizer, optional_text
from .vocabulary import CONTENT, clean_text

VOCABULARY_FILE = "vocabulary.txt"
"""Optional, beside the model: one word or phrase a line; ``#`` begins a comment. Else the embedded tagger's words."""

SENTENCE = "a photo of {}."
"""What CLIP compares with a tile, for each word."""

SHARE_OF_BEST = 0.2
"""A word is said if its probability is at least this share of the best word's; so it works for any vocabulary."""

MOST = 6
"""Words said of a tile at most."""

WORDS_AT_ONCE = 256
"""Words encoded in one go; bounds memory."""

GET = "give the folder of a CLIP model, such as clip-vit-base-patch32, with --tagger-dir"


class ClipTagger:
    """Says which words of a vocabulary a tile looks like."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        vocabulary: Sequence[str] = CONTENT,
        *,
        sentence: str = SENTENCE,
        device: str = "cpu",
        batch: int | None = None,
    ) -> None:
        self.model, self.image_processor = model, image_processor
        self.vocabulary = tuple(vocabulary)
        self.device, self.batch = device, batch
        self.words = self._encode([sentence.replace("{}", word) for word in self.vocabulary], tokenizer)

    @classmethod
    def load(cls, setup: TaggerSetup) -> ClipTagger:
        """From a folder as transformers writes it, and the vocabulary in it."""
        return cls.from_folder(setup.need_folder("clip", GET), device=choose_device(setup.device))

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        vocabulary: Sequence[str] | None = None,
        *,
        device: str = "cpu",
        batch: int | None = None,
    ) -> ClipTagger:
        """From a folder as transformers writes it; ``vocabulary``: instead of the file in it."""
        from transformers import CLIPModel

        what = "a CLIP model with both halves, image and text"
        return cls(
            load_model(CLIPModel, folder, what=what, device=device),
            load_tokenizer(folder, what="CLIP's tokenizer"),
            load_image_processor(folder, what="preprocessor_config.json of CLIP"),
            vocabulary or read_vocabulary(folder / VOCABULARY_FILE),
            device=device,
            batch=batch,
        )

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        """One prompt per tile of a (3, height, width) image in [0, 1]: ``"forest, river"``."""
        prompts: list[Prompt] = []
        for crops in batches(image, tiles, self.device, self.batch):
            pixels = self.image_processor([picture(crop) for crop in crops], return_tensors="pt")
            prompts += [self._prompt(chances) for chances in self._chances(pixels["pixel_values"]).cpu()]
        return prompts

    def _encode(self, sentences: Sequence[str], tokenizer: Any) -> Tensor:
        """Unit vectors (words, channels)."""
        parts = []
        for start in range(0, len(sentences), WORDS_AT_ONCE):
            some = list(sentences[start : start + WORDS_AT_ONCE])
            # Always the full length: with padding to the longest, a word would depend on its neighbours.
            tokens = tokenizer(
                some,
                padding="max_length",
                truncation=True,
                max_length=self.model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            ).to(self.device)
            with torch.inference_mode():
                found = self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])
            parts.append(F.normalize(_features(found), dim=-1))
        return torch.cat(parts)

    def _chances(self, pixels: Tensor) -> Tensor:
        """Probabilities (tiles, words) that this word of all is the one that belongs to the tile."""
        with torch.inference_mode():
            seen = self.model.get_image_features(pixels.to(self.device, self.model.dtype))
            likeness = F.normalize(_features(seen), dim=-1) @ self.words.T
            chances: Tensor = (self.model.logit_scale.exp().float() * likeness).softmax(-1)
        return chances

    def _prompt(self, chances: Tensor) -> Prompt:
        best, indexes = chances.topk(min(MOST, len(chances)))
        tags = tuple(
            Tag(self.vocabulary[index], round(chance, 4))
            for chance, index in zip(best.tolist(), indexes.tolist(), strict=True)
            if chance >= SHARE_OF_BEST * float(best[0])
        )
        return Prompt(text=", ".join(tag.name for tag in tags), tags=tags)


def _features(found: Any) -> Tensor:
    """The projected vectors, in single precision; transformers wraps them since 5.0."""
    vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return vectors.float()


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The words in a file, each once; without the file those of the embedded tagger."""
    text = optional_text(path)
    if text is None:
        return CONTENT
    lines = (clean_text(line.partition("#")[0]) for line in text.splitlines())
    words = tuple(dict.fromkeys(line for line in lines if line))
    if not words:
        raise ConfigurationError(f"{path} has no words; expected one in every line")
    return words
