"""Weights in safetensors files: opened with a word about what is wrong, loaded with nothing missing or left over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .content_hash import sha256_of
from .errors import ModelMissing

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

HEAD_BYTES = 512
"""Bytes from the start of a file that tell what it really is."""

PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04")
"""How pickles of PyTorch begin, in its formats of today and of old."""

LONGEST_TABLE = 100 * 2**20
"""Bytes of the list of tensors that a safetensors file may have by its definition."""

LISTS = "*.safetensors.index*.json"
"""How diffusers and transformers name the list of the files that they cut large weights into."""

SHOWN = 3
"""Names listed of each kind of mismatch."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is in a file of weights, before any of it is read."""

    path: Path
    """The file; where the weights are cut into several, their list."""

    shapes: Mapping[str, tuple[int, ...]]
    """Shape of every tensor by its name."""

    parts: tuple[Checkpoint, ...] = ()
    """The files of a list."""

    def tensors(self, rename: Callable[[str], str | None] = str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The tensors under the names that ``rename`` gives them, None leaves one out; by default in float32."""
        import torch
        from safetensors import safe_open

        if self.parts:
            return {name: value for part in self.parts for name, value in part.tensors(rename, dtype).items()}
        dtype = dtype or torch.float32
        with safe_open(self.path, "pt") as file:
            wanted = ((rename(name), name) for name in self.shapes)
            return {new: file.get_tensor(old).to(dtype) for new, old in wanted if new is not None}

    @property
    def kind(self) -> str:
        """What the names of the tensors look like, in words."""
        return kind_of(self.shapes)


SIGNS: tuple[tuple[str, str], ...] = (
    ("tagging_head.encoder.layer.0.crossattention.self.query.lora_A", "DAPE's LoRA weights"),
    ("lora", "LoRA weights"),
    ("visual_encoder.patch_embed.", "weights of the tagger RAM"),
    ("structcond_stage_model.", "weights of StableSR"),
    ("Encoder_degrad.", "weights of DeeDSR"),
    ("fusion_layer_", "StableSR's autoencoder (CFW)"),
    ("model.diffusion_model.", "a Stable Diffusion checkpoint in one file"),
    ("controlnet_cond_embedding.", "weights of a ControlNet"),
    ("image_attentions.", "weights of a SeeSR UNet"),
    ("time_embedding.", "weights of a UNet"),
    ("decoder.up_blocks.", "weights of an autoencoder (VAE)"),
    ("vision_model.", "weights of CLIP"),
    ("text_model.", "weights of a CLIP text encoder"),
)
"""A part of a tensor's name, and whose it is; the first that occurs counts."""


def kind_of(names: Iterable[str]) -> str:
    """What these names of tensors look like, in words."""
    joined = "\n".join(names)
    return next((kind for sign, kind in SIGNS if sign in joined), "unknown weights")


def open_checkpoint(path: Path, *, get: str) -> Checkpoint:
    """Look into a safetensors file. ``get`` says in an error how to come by the right one."""
    from safetensors import SafetensorError, safe_open

    wrong = _other_format(path)
    if wrong is None:
        try:
            with safe_open(path, "pt") as file:
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
                return Checkpoint(path=path, shapes=shapes)
        except (SafetensorError, OSError) as error:
            wrong = f"damaged or cut short ({error})"
    raise ModelMissing(f"{path} is {wrong}; expected safetensors weights: {get}")


def open_parts(path: Path, *, get: str) -> Checkpoint:
    """Look into the safetensors files of a list, which says what tensor is in which; all must be there, as listed."""
    places = _places_of(path, get=get)
    missing = sorted({place for place in places.values() if not (path.parent / place).is_file()})
    if missing:
        raise ModelMissing(f"{path} lists files that are not beside it, {_listed(missing)}: {get}")
    parts = []
    for place in sorted(set(places.values())):
        whole = open_checkpoint(path.parent / place, get=get)
        names = [name for name, at in places.items() if at == place]
        absent = [name for name in names if name not in whole.shapes]
        if absent:
            raise ModelMissing(f"{path} lists tensors of {whole.path} that are not in it, {_listed(absent)}: {get}")
        parts.append(Checkpoint(path=whole.path, shapes={name: whole.shapes[name] for name in names}))
    shapes = {name: shape for part in parts for name, shape in part.shapes.items()}
    return Checkpoint(path=path, shapes=shapes, parts=tuple(parts))


def _places_of(path: Path, *, get: str) -> Mapping[str, str]:
    """Name of a tensor -> that of its file, by a list of files."""
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if places and all(isinstance(place, str) and Path(place).name == place for place in places.values()):
            return dict(places)
        wrong = "names no files beside it under weight_map"
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})"
    except (ValueError, LookupError, TypeError, AttributeError):
        wrong = "is no list of the files of a model (a JSON object with weight_map)"
    raise ModelMissing(f"{path} {wrong}: {get}")


def _other_format(path: Path) -> str | None:
    """What a file is that is certainly not safetensors, or None."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        return "not there" if isinstance(error, FileNotFoundError) else f"not readable ({error.strerror})"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_TABLE:
        return None  # whatever the length of its table looks like as text
    if head.lstrip().startswith((b'{"', b"{\n")):
        return "a JSON text, probably an error message saved by a download"
    if head.startswith(PICKLED):
        return "a pickle of PyTorch under another name (convert it with `zido models import`)"
    return impostor(head)


def impostor(head: bytes) -> str | None:
    """What a file that begins like this is instead of any file of a model, or None."""
    start = head.lstrip().lower()
    if not head:
        return "empty"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it points to (run `git lfs pull`, or download it again)"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, probably an error page saved by a download"
    return None


def fault_of(path: Path, suffix: str) -> str | None:
    """What is wrong with a file that should have this suffix, by its head and length; None if nothing shows."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if suffix != ".safetensors":
        return impostor(head)
    return _other_format(path) or (None if _is_whole(path) else "damaged or cut short")


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its own table of tensors says."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            table = json.loads(file.read(min(length, LONGEST_TABLE)))
            ends = [entry["data_offsets"][1] for name, entry in table.items() if name != "__metadata__"]
        except (ValueError, TypeError, LookupError, AttributeError):
            return False
    return path.stat().st_size == 8 + length + max(ends, default=0)


def load_strictly(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    path: Path | str,
    get: str,
    official: Callable[[str], str] = str,
) -> None:
    """Give the network these very tensors; every one must be there, none be left over, and all shapes agree.

    The network may have been built on the meta device. ``official`` turns its names into those of ``tensors``.
    """
    own = {official(name): name for name in network.state_dict()}
    expected = {official(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    found = [
        f"{len(names)} {what} ({_listed(names)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if found:
        error = ModelMissing(
            f"{path} has {kind_of(tensors)}, which do not fit: of {len(expected)} tensors {', '.join(found)}; {get}"
        )
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)):
            error.add_note(f"{what}: {', '.join(names) or 'none'}")
        raise error
    network.load_state_dict({own[name]: tensor for name, tensor in tensors.items()}, assign=True)
    network.eval().requires_grad_(False)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def fingerprint(paths: Iterable[Path]) -> str:
    """sha256 of a file; of several, that of their hashes in this order. A list of files stands for the files."""
    hashes = [sha256_of(file) for path in paths for file in _files_of(path)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _files_of(path: Path) -> Sequence[Path]:
    """The file, or the files of a list."""
    if not path.match(LISTS):
        return [path]
    return [path.parent / place for place in sorted(set(_places_of(path, get="take the model anew").values()))]
