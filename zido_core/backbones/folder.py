"""Folders of models as diffusers writes them: where their parts lie, and the parts that all of Stable Diffusion shares.

A model folder holds parts (``vae``, ``text_encoder``, ``unet`` ...), directly or in a folder named after the model that
they come from: ``DIR/vae`` or ``DIR/stable-diffusion-2-base/vae``. Nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import LISTS, Checkpoint, load_strictly, open_checkpoint, open_parts
from ..errors import ModelMissing
from .base import ScheduleSpec

WEIGHTS = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.safetensors",
    "model.fp16.safetensors",
)
"""Names under which diffusers and transformers write weights, the best first."""

PART = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
"""How the name of one of several files of weights ends."""

PICKLES = (".bin", ".pth", ".ckpt", ".pt")

OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names in autoencoders that diffusers wrote before 2023, Stable Diffusion's own among them -> names of today."""


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """What is found under the path that a user gave."""

    path: Path
    """That path."""
    get: str
    """How to come by what is missing, for messages."""

    def every(self, name: str, *sources: str) -> list[Path]:
        """The folders ``name`` in those named after these sources; in this folder itself, where a source is empty."""
        places = (self.path / source / name for source in sources)
        return [place for place in places if place.is_dir()]

    def part(self, name: str, *sources: str) -> Path | None:
        """The folder ``name`` of one of these sources, or of this folder itself, or None."""
        return next(iter(self.every(name, *sources, "")), None)

    def needed(self, name: str, *sources: str) -> Path:
        """As ``part``, or ModelMissing that tells where it could be."""
        found = self.part(name, *sources)
        if found is None:
            expected = " or ".join(str(self.path / source / name) for source in (*sources, ""))
            what = "there is no folder" if self.path.is_dir() else f"{self.path} is no folder; there is no"
            raise ModelMissing(f"{what} {expected}: {self.get}")
        return found

    def weights(self, folder: Path) -> Checkpoint:
        """The weights in the folder of a part."""
        known = [folder / name for name in WEIGHTS if (folder / name).is_file()]
        lists = sorted(folder.glob(LISTS), key=lambda path: ("fp16" in path.name, path.name))
        if lists and not known:
            return open_parts(lists[0], get=self.get)
        paths = known or sorted(folder.glob("*.safetensors"))
        if not known and paths and PART.search(paths[0].name):
            raise ModelMissing(
                f"{paths[0]} is a part of a model whose list, *.safetensors.index.json, is not there: {self.get}"
            )
        if not paths:
            pickled = [path.name for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
            hint = f" (only {pickled[0]}: convert it with `zido models import`)" if pickled else ""
            raise ModelMissing(f"there are no safetensors weights in {folder}{hint}: {self.get}")
        return open_checkpoint(paths[0], get=self.get)

    def loose(self) -> Sequence[Checkpoint]:
        """Files of weights that lie in the folder itself."""
        return [open_checkpoint(path, get=self.get) for path in sorted(self.path.glob("*.safetensors"))]

    def config(self, folder: Path, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """``config.json`` of a part; where there is none, the default."""
        path = folder / "config.json"
        if default is not None and not path.exists():
            return default
        return read_json(path, get=self.get)


def read_json(path: Path, *, get: str) -> Mapping[str, Any]:
    """A JSON object from a file, or ModelMissing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read ({error.strerror}): {get}") from error
    except ValueError as error:
        raise ModelMissing(f"{path} is no JSON file, perhaps an error page saved by a download: {get}") from error
    if not isinstance(content, dict):
        raise ModelMissing(f"{path} holds {type(content).__name__}; expected a JSON object: {get}")
    return content


def load_vae(models: ModelFolder, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """``AutoencoderKL`` of diffusers with the weights of a part."""
    from diffusers import AutoencoderKL

    checkpoint = models.weights(folder)
    kind: Any = AutoencoderKL
    with torch.device("meta"):
        vae = kind.from_config(dict(models.config(folder)))
    load_strictly(vae, checkpoint.tensors(_vae_name, dtype=dtype), path=checkpoint.path, get=models.get)
    return vae.to(device)


def load_network(models: ModelFolder, folder: Path, kind: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """A network of diffusers, of the class ``kind``, with the weights of a part."""
    checkpoint = models.weights(folder)
    with torch.device("meta"):
        network = kind.from_config(dict(models.config(folder)))
    load_strictly(network, checkpoint.tensors(dtype=dtype), path=checkpoint.path, get=models.get)
    return network.to(device)


def load_schedule(models: ModelFolder, *sources: str, default: ScheduleSpec) -> ScheduleSpec:
    """The noise schedule by ``scheduler_config.json``; the default where there is none.

    Only what the model was trained with is taken from it: which sampler to use is the method's choice.
    """
    folder = models.part("scheduler", *sources)
    if folder is None:
        return default
    config = read_json(folder / "scheduler_config.json", get=models.get)
    return ScheduleSpec(
        prediction_type=config.get("prediction_type", default.prediction_type),
        beta_start=config.get("beta_start", default.beta_start),
        beta_end=config.get("beta_end", default.beta_end),
        beta_schedule=config.get("beta_schedule", default.beta_schedule),
        zero_terminal_snr=config.get("rescale_betas_zero_snr", default.zero_terminal_snr),
        timestep_spacing=config.get("timestep_spacing", default.timestep_spacing),
        shift=config.get("shift", default.shift),
    )


def _vae_name(name: str) -> str:
    """The name of today of an autoencoder's tensor."""
    if ".attentions." not in name:
        return name
    return re.sub(r"(?<=\.)(query|key|value|proj_attn)(?=\.)", lambda old: OLD_ATTENTION[old[0]], name)
