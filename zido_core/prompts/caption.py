"""Captions: any network of transformers that describes pictures writes the prompt of every tile.

Plain captioners (BLIP, GIT, ViT-GPT2) are shown the tile; those that talk (LLaVA, Qwen-VL, Gemma ...) are asked an
instruction about it, in which ``{prompt}`` stands for the user's words about the whole image. The most likely words
are taken, never drawn, so the same pixels always get the same caption, and captions are remembered between runs.

Of every tile, told what the whole shows, this is C-Upscale's regional semantic prior (Creatively Upscaling Images with
Global-Regional Priors, section 4.5, eq. 7); its own instruction is lost, ``CONTEXT`` is our reading of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ..device import choose_device
from ..errors import InvalidOptions, ModelMissing
from ..tiling.grid import Tile
from .base import Prompt, TaggerSetup
from .caption_memory import CaptionMemory
from .crops import batches, picture
from .local_models import load_image_processor, load_model, load_processor, load_tokenizer, optional_text
from .vocabulary import clean_text

INSTRUCTION_FILE = "instruction.txt"
"""Optional, beside the model: what to ask about every tile."""

PLACEHOLDER = "{prompt}"
"""Stands for the user's words about the whole image."""

INSTRUCTION = "Describe in one short sentence what this image shows."
CONTEXT = f"This image is a part of a larger one, which shows: {PLACEHOLDER}. {INSTRUCTION}"
"""What a network that talks is asked when nothing else is said: without and with words about the whole image."""

MOST_TOKENS = 48
"""Length of a caption; the text encoders of diffusion models read 77 tokens."""

GET = (
    "give it the folder of a captioning model, such as blip-image-captioning-base or llava-1.5-7b-hf; or take another "
    "tagger, such as --tagger scene, which needs no files"
)


class CaptionTagger:
    """Says of every tile what a captioning network writes about it."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        instruction: str | None = None,
        prompt: str = "",
        device: str = "cpu",
        batch: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """``folder``: where the network's files lie, so that its captions are remembered."""
        self.model, self.processor = model, processor
        self.talks = bool(getattr(processor, "chat_template", None))
        self.instruction, self.folder = instruction, folder
        self.question = self._question(instruction, prompt)
        self.device, self.batch = device, batch
        self.memory = None if folder is None else CaptionMemory(folder, self.question)

    @classmethod
    def load(cls, setup: TaggerSetup) -> CaptionTagger:
        """From a folder as transformers writes it, and the instruction in it."""
        return cls.from_folder(cls.folder_of(setup), prompt=setup.prompt, device=choose_device(setup.device))

    @staticmethod
    def folder_of(setup: TaggerSetup) -> Path:
        """Where its files are, or ModelMissing."""
        folder = setup.need_folder("caption", GET)
        if not (folder / "config.json").is_file():
            raise ModelMissing(f"{folder} does not load: it has no config.json; use --tagger-dir: {GET}")
        return folder

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        instruction: str | None = None,
        prompt: str = "",
        device: str = "cpu",
        batch: int | None = None,
    ) -> CaptionTagger:
        """From a folder as transformers writes it; ``instruction``: instead of the file in it."""
        from transformers import AutoModelForImageTextToText

        return cls(
            load_model(AutoModelForImageTextToText, folder, what="a model that describes pictures", device=device),
            _processor(folder),
            instruction=instruction or optional_text(folder / INSTRUCTION_FILE),
            prompt=prompt,
            device=device,
            batch=batch,
            folder=folder,
        )

    def about(self, prompt: str) -> CaptionTagger:
        """The same network, asked about parts of an image of which this is said."""
        return CaptionTagger(
            self.model,
            self.processor,
            instruction=self.instruction,
            prompt=prompt,
            device=self.device,
            batch=self.batch,
            folder=self.folder,
        )

    def tag(self, image: npt.NDArray[np.float32], tiles: Sequence[Tile]) -> list[Prompt]:
        """One prompt per tile of a (3, height, width) image in [0, 1]: a sentence, no tags."""
        return [
            Prompt(text=caption)
            for crops in batches(image, tiles, self.device, self.batch)
            for caption in self._captions([picture(crop) for crop in crops])
        ]

    def _captions(self, pictures: Sequence[Image.Image]) -> list[str]:
        """Captions of pictures, those that are known from earlier."""
        if self.memory is None:
            return self.describe(pictures)
        said = [self.memory.said_of(each) for each in pictures]
        new = [each for each, caption in zip(pictures, said, strict=True) if caption is None]
        written = self.describe(new) if new else []
        for each, caption in zip(new, written, strict=True):
            self.memory.note(each, caption)
        left = iter(written)
        return [next(left) if caption is None else caption for caption in said]

    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        """Captions of pictures, in one go."""
        inputs = self._inputs(pictures).to(self.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        with torch.inference_mode():
            written = self.model.generate(**inputs, max_new_tokens=MOST_TOKENS, do_sample=False, num_beams=1)
        asked = inputs.get("input_ids")
        if asked is not None and torch.equal(written[:, : asked.shape[1]], asked):
            written = written[:, asked.shape[1] :]
        return [self._clean(text) for text in self.processor.batch_decode(written, skip_special_tokens=True)]

    def _inputs(self, pictures: Sequence[Image.Image]) -> Any:
        if self.question is None:
            return self.processor(images=list(pictures), return_tensors="pt")
        # A list of its own for every picture: some processors would take a flat one as several of one question.
        images = [[each] for each in pictures] if self.talks else list(pictures)
        questions = [self.question] * len(pictures)
        return self.processor(images=images, text=questions, padding=True, return_tensors="pt")

    def _question(self, instruction: str | None, prompt: str) -> str | None:
        """The text that goes with every picture; None for captioners that only look, and are asked nothing."""
        prompt = clean_text(prompt)
        if instruction is None:
            instruction = (CONTEXT if prompt else INSTRUCTION) if self.talks else None
        if instruction is None:
            return None
        question = clean_text(instruction).replace(PLACEHOLDER, prompt)
        if not self.talks:
            if getattr(self.processor, "tokenizer", None) is None:
                raise InvalidOptions(f"this captioner cannot be asked anything; leave out {INSTRUCTION_FILE}")
            return question
        self.processor.tokenizer.padding_side = "left"
        content = [{"type": "image"}, {"type": "text", "text": question}]
        message = {"role": "user", "content": content}
        return str(self.processor.apply_chat_template([message], add_generation_prompt=True))

    def _clean(self, text: str) -> str:
        """A caption on one line, without the words that it was begun with."""
        text, begun = clean_text(text), self.question or ""
        if not self.talks and text.casefold().startswith(begun.casefold()):
            text = text[len(begun) :]
        return text.strip()


class LookingProcessor:
    """An image processor and a tokenizer for networks that have no processor in one: they look and write."""

    chat_template = None

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.images, self.tokens = image_processor, tokenizer

    def __call__(self, *, images: Sequence[Image.Image], return_tensors: str) -> Any:
        return self.images(list(images), return_tensors=return_tensors)

    def batch_decode(self, written: Any, *, skip_special_tokens: bool) -> list[str]:
        return list(self.tokens.batch_decode(written, skip_special_tokens=skip_special_tokens))


def _processor(folder: Path) -> Any:
    from transformers import ProcessorMixin

    whole = load_processor(folder, what="the processor of a captioning model")
    if isinstance(whole, ProcessorMixin):
        return whole
    return LookingProcessor(
        load_image_processor(folder, what="preprocessor_config.json"),
        load_tokenizer(folder, what="the tokenizer of a captioning model"),
    )
