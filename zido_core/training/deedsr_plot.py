"""What a learner makes of light, medium and heavy degradation, as figures and as a picture (DeeDSR, Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..metrics.clusters import neighbour_accuracy, principal, silhouette, tsne
from ..nets.deedsr import DegradationLearner, build_learner
from ..prompts.scene import SceneTagger
from ..tiling.grid import Size, Tile
from .deedsr_learner import describe

SIDE, MARGIN, HEAD = 400, 24, 40
"""Pixels of a panel, around its points, and for what stands above it."""

COLOURS = {"light": (52, 112, 168), "medium": (214, 138, 58), "heavy": (168, 52, 60)}
INK, PAPER, FRAME = (40, 40, 40), (255, 255, 255), (200, 200, 200)
SCALE, RADIUS = 3, 4
"""Drawn so many times larger and reduced: Pillow's circles have rough edges. Radius of a point."""


def separations(learner: DegradationLearner, images: Tensor, levels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Figures of the learner, of one that was never trained, and of the embedded tagger's words."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [len(learner.get_submodule(f"layer{level + 1}")) for level in range(len(learner.widths))]  # type: ignore[arg-type]  # of torch
        untrained = build_learner(layers, "cpu", widths=learner.widths)
    described = {
        "learner": describe(learner, images),
        "untrained": describe(untrained, images),
        "scene tagger": scene_levels(images),
    }
    return {
        name: {
            "neighbours": round(neighbour_accuracy(points, levels), 3),
            "silhouette": round(silhouette(points, levels), 3),
        }
        for name, points in described.items()
    }


def scene_levels(images: Tensor) -> NDArray[np.float32]:
    """(n, 3): how blurred, noisy and compressed the embedded tagger finds each image."""
    tagger, rows = SceneTagger(), []
    for image in images.numpy():
        (prompt,) = tagger.tag(image, [Tile.whole(Size(*image.shape[-2:]))])
        found = {tag.name: tag.score for tag in prompt.tags}
        rows.append([found.get(name, 0.0) for name in ("blurred", "noisy", "compressed")])
    return np.asarray(rows, np.float32)


def cluster_picture(points: NDArray[np.floating], levels: Sequence[str]) -> Image.Image:
    """The same points twice: by their directions of largest spread, and by t-SNE."""
    size = (2 * SIDE, SIDE + HEAD)
    image = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), PAPER)
    for number, places in enumerate((principal(points), tsne(points))):
        _panel(image, places, levels, left=number * SIDE)
    image = image.resize(size, Image.Resampling.LANCZOS)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=13)
    for number, title in enumerate(("principal directions", "t-SNE")):
        draw.text((number * SIDE + MARGIN, 20), title, fill=INK, font=font, anchor="lm")
    for number, (level, colour) in enumerate(COLOURS.items()):
        left = size[0] - 260 + 84 * number
        draw.ellipse((left, 15, left + 10, 25), fill=colour)
        draw.text((left + 16, 20), level, fill=INK, font=font, anchor="lm")
    return image


def _panel(image: Image.Image, places: NDArray[np.floating], levels: Sequence[str], *, left: int) -> None:
    draw = ImageDraw.Draw(image)
    frame = (left + MARGIN // 2, HEAD, left + SIDE - MARGIN // 2, SIDE + HEAD - MARGIN // 2)
    draw.rectangle([value * SCALE for value in frame], outline=FRAME, width=SCALE)
    low, high = places.min(0), places.max(0)
    unit = (places - low) / np.maximum(high - low, 1e-12)
    room = SIDE - 2 * MARGIN
    for (x, y), level in zip(unit, levels, strict=True):
        centre = (left + MARGIN + x * room, HEAD + MARGIN // 2 + (1 - y) * room)
        box = [(each + side) * SCALE for side in (-RADIUS, RADIUS) for each in centre]
        draw.ellipse(box, fill=COLOURS[level], outline=PAPER, width=1)


def report(figures: Mapping[str, Mapping[str, float]], count: int) -> str:
    """The figures as lines of text."""
    lines = [f"{count} crops that the training did not see:"]
    lines += [
        f"  {name:13} {row['neighbours']:6.1%} told right by 9 neighbours, silhouette {row['silhouette']:+.3f}"
        for name, row in figures.items()
    ]
    return "\n".join(lines)


def draw_clusters(
    learner: DegradationLearner, images: Tensor, levels: Sequence[str], path: Path
) -> dict[str, dict[str, float]]:
    """Write the picture; the figures."""
    cluster_picture(describe(learner, images), levels).save(path)
    return separations(learner, images, levels)
