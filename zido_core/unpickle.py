"""A program of its own: ``python unpickle.py SOURCE TARGET [PREFIX...]`` turns a pickle of weights into safetensors.

It is run by ``convert`` in a process that does nothing else, imports nothing of zido, and answers with one JSON line.
Nothing in the pickle is executed: PyTorch rebuilds tensors and plain containers only (``weights_only``). Names of
classes that trainers leave in their checkpoints stand for nothing; all other names are refused.
Tensors whose names begin with a PREFIX are left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # the name of an error; nothing is unpickled by it  # nosec B403
from typing import IO, Any

import torch
from torch import Tensor

WRAPPERS = ("state_dict", "model", "params_ema", "params")
"""Keys under which checkpoints keep their weights."""

TRAINERS = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "numpy.")
"""Packages whose objects lie beside the weights in checkpoints of training runs."""

TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What safetensors calls them."""

ALIGNMENT = 8
"""The tensors begin at a multiple of this."""


class Refused(Exception):
    """The pickle wants more than to hold tensors."""


class Nothing:
    """Stands for whatever an object beside the weights was."""

    def __init__(self, *arguments: object, **named: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, read from the disk when they are used, where the format allows it."""
    strangers = unknown_names(path)
    refused = [name for name in strangers if not name.startswith(TRAINERS)]
    if refused:
        raise Refused(f"it asks for {', '.join(sorted(refused)[:3])}")
    with torch.serialization.safe_globals([(Nothing, name) for name in strangers]):
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # written before PyTorch 1.6
            found = torch.load(path, map_location="cpu", weights_only=True)
    tensors = weights_in(found)
    if not tensors:
        raise ValueError("it holds no tensors")
    return tensors


def unknown_names(path: Path) -> list[str]:
    """Functions and classes in the pickle that are not needed for tensors; old formats do not tell before loading."""
    try:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except ValueError:
        return []


def weights_in(found: Any) -> dict[str, Tensor]:
    """The tensors in what was loaded, at the top or under the key where checkpoints keep them."""
    while isinstance(found, Mapping):
        tensors = {str(name): value.detach() for name, value in found.items() if isinstance(value, Tensor)}
        inner = [found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        if tensors or not inner:
            return tensors
        found = inner[0]
    return {}


def save(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write safetensors, one tensor after the other; those that share memory are each written in full."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        table[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for tensor in tensors.values():
            _write(tensor, file)
        file.flush()
        os.fsync(file.fileno())


def _write(tensor: Tensor, file: IO[bytes]) -> None:
    if tensor.numel():
        file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def check(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Read it back: every tensor must be there, bit for bit."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        if set(file.keys()) != set(tensors):
            raise ValueError("what was written does not read back: names differ")
        for name, tensor in tensors.items():
            written = file.get_tensor(name)
            same = written.dtype == tensor.dtype and written.shape == tensor.shape
            if not same or not torch.equal(*(t.reshape(-1).view(torch.uint8) for t in (written, tensor.contiguous()))):
                raise ValueError(f"what was written does not read back: {name} differs")


def main(source: str, target: str, *left_out: str) -> int:
    """Convert; the answer is a line on standard output."""
    try:
        tensors = {name: tensor for name, tensor in load(Path(source)).items() if not name.startswith(left_out)}
        save(tensors, Path(target))
        check(tensors, Path(target))
        answer: dict[str, Any] = {"tensors": len(tensors)}
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason.partition("WeightsUnpickler error: ")[2].partition(" Check the documentation")[0] or reason
        # PyTorch says of noise that an operand is unsupported; all else that it objects to are names and calls.
        refused = isinstance(error, Refused) or (
            isinstance(error, UnpicklingError) and not reason.startswith("Unsupported operand")
        )
        answer = {"error": reason, "refused": refused, "errno": getattr(error, "errno", None)}
    print(json.dumps(answer))
    return 0 if "tensors" in answer else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
