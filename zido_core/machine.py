"""Options of the machine: how much of it is used, and what may be touched. Few of them change the result."""

# ruff: noqa: RUF009 - option() makes a dataclass field

from __future__ import annotations

from dataclasses import dataclass

from .catalog import Offload, Precision, VaeMode
from .option_spec import option


# An option stays a paragraph:
# fmt: off
@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a user says of it."""

    block_size: int | None = option(
        None, group="system", advanced=True, minimum=256, maximum=1 << 20, unit="px", result=False,
        help="side of the blocks in which large images are done; auto: 4096, or less where memory is short",
        effect="larger takes more memory, and a little less time",
    )
    """Side of the part of a block that it shares with no other, px; None: by the memory of the device."""

    save_every: int | None = option(
        None, group="system", advanced=True, minimum=1, maximum=1000, result=False, metavar="STEPS",
        help="save the state of a running block after so many steps, for --resume; auto: once a minute",
    )
    """Diffusion steps between two savings; None: at most once a minute, so that quick blocks save nothing."""

    vae: VaeMode = option(
        "exact", group="system", advanced=True,
        help="how large images pass the autoencoder of latent models",
        effect="exact: as if whole; fast: nearly so, in less memory; off: whole, if memory suffices",
    )
    """Tiling of the autoencoder; see ``backbones.vae``."""

    device: str = option(
        "auto", group="system", result=False, metavar="auto|cpu|cuda[:N]|mps",
        pattern=r"auto|cpu|mps|cuda(:\d+)?", expected="auto, cpu, cuda, cuda:N or mps",
        help="what computes",
    )
    """Where the network runs."""

    precision: Precision = option("auto", group="system", advanced=True, help="number format of the network")
    """Floating-point type of the network; ``auto``: what suits the model and the device."""

    offload: Offload = option(
        "none", group="system", advanced=True, result=False,
        help="model: networks wait in the CPU's memory until it is their turn",
        effect="large models fit into a GPU with less memory; loading takes longer",
    )
    """Which networks leave the device while others work."""

    compile: bool = option(
        False, group="system", advanced=True,
        help="compile the blocks of large networks (torch.compile)",
        effect="quicker steps after a minute or more; for large images on a GPU",
    )
    """Regional compilation; the embedded model ignores it. It changes the last bits."""

    offline: bool = option(False, group="system", advanced=True, result=False, help="never use the network")
    """Nothing is fetched, also where the rest would allow it."""

    allow_remote: bool = option(
        False, group="system", advanced=True, result=False,
        help="allow inputs on the network (http, /vsi...)",
    )
    """Without it only local files are opened."""

    allow_vrt: bool = option(
        False, group="system", advanced=True, result=False,
        help="allow inputs that point to other files (VRT)",
    )
    """Without it such files are refused, whatever their suffix."""

    max_pixels: int = option(
        2_000_000_000, group="system", advanced=True, minimum=1, maximum=10**12, unit="px", result=False,
        help="refuse larger inputs",
    )
    """Greatest number of input pixels; guards against files that lie about their size."""

    debug: bool = option(
        False, group="system", advanced=True, result=False,
        help="show where an error happened",
    )
    """Tracebacks."""
