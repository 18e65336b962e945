"""A network between two: what was trained further for something new, and what it was before (WiSE-FT, Wortsman et al.
2022, "Robust fine-tuning of zero-shot models", eq. 1). Weights on the line between the two keep most of both.

    python -m zido_core.training.between BEFORE/coarse.pt AFTER/coarse.pt --share 0.6 --out RUN/coarse.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..content_hash import sha256_of
from .objective import averaged


def between(before: Path, after: Path, share: float, out: Path) -> None:
    """Write the checkpoint ``after`` with ``share`` of its averaged weights, and of those of ``before`` the rest."""
    old, state = averaged(before), torch.load(after, weights_only=True, map_location="cpu")
    state["average"] = {name: torch.lerp(old[name], new, share) for name, new in state["average"].items()}
    state["recipe"] |= {"share": share, "shares_with": f"sha256:{sha256_of(before)}"}
    torch.save(state, out)


def main() -> None:
    """Command line of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkpoint that the training went on from")
    parser.add_argument("after", type=Path, help="checkpoint that it came to")
    parser.add_argument("--share", type=float, required=True, help="of the second, 0 to 1")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    chosen = parser.parse_args()
    between(chosen.before, chosen.after, chosen.share, chosen.out)


if __name__ == "__main__":
    main()
