"""How much more local prompts say than a global one: unique tags of an image (ZIDO, section 5.4, figures 7 and 8)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ..errors import OutputNotWritable
from ..options import Options
from ..pipeline import tag
from ..prompts.base import Prompt
from .cases import Case

_SIZE = (640, 400)
_LEFT, _TOP, _RIGHT, _BOTTOM = 48, 44, 16, 52
_COLOURS = {"global": (214, 138, 58), "local": (52, 112, 168)}
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class TagCounts:
    """Unique tags of one input; a tag that several tiles share counts once."""

    image: str
    """Name of the image."""
    degradation: str
    """How the input was made."""
    tiles: int
    """Number of tiles."""
    local: int
    """Unique tags of the tiles' own prompts."""
    whole: int
    """Tags of the prompt of the whole image."""
    common: int
    """Tags of the whole image that some tile has, too."""

    def record(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


def count_tags(case: Case, options: Options) -> TagCounts:
    """Tag one input, by tiles and as a whole."""
    with tempfile.TemporaryDirectory(prefix="zido-") as folder:
        given = case.given(Path(folder))
        local, whole = (tag(given, replace(options, prompts=mode)) for mode in ("local", "global"))
    names, whole_names = (_names(prompts) for prompts in (local, whole))
    return TagCounts(
        image=case.truth.name,
        degradation=case.degradation,
        tiles=len(local),
        local=len(names),
        whole=len(whole_names),
        common=len(names & whole_names),
    )


def _names(prompts: Sequence[Prompt]) -> set[str]:
    return {tag.name for prompt in prompts for tag in prompt.tags}


def histogram(counts: Sequence[TagCounts]) -> Image.Image:
    """Number of inputs by their number of unique tags, local beside global."""
    series = {"global": [each.whole for each in counts], "local": [each.local for each in counts]}
    most = max((*series["global"], *series["local"], 1))
    width = max(1, -(-(most + 1) // 24))
    bins = most // width + 1
    heights = {name: [0] * bins for name in series}
    for name, values in series.items():
        for value in values:
            heights[name][value // width] += 1
    tallest = max(1, *(max(bars) for bars in heights.values()))
    image = Image.new("RGB", _SIZE, _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=13)
    step = (_SIZE[0] - _LEFT - _RIGHT) / bins
    base, room = _SIZE[1] - _BOTTOM, _SIZE[1] - _BOTTOM - _TOP
    for place, (name, bars) in enumerate(heights.items()):
        draw.rectangle((_LEFT + 130 * place, 12, _LEFT + 130 * place + 12, 24), fill=_COLOURS[name])
        draw.text((_LEFT + 130 * place + 18, 18), f"{name} prompts", fill=_INK, font=font, anchor="lm")
        for at, count in enumerate(bars):
            left = _LEFT + step * (at + 0.1 + 0.4 * place)
            if count:
                box = (left, base - room * count / tallest, left + 0.4 * step - 1, base)
                draw.rectangle(box, fill=_COLOURS[name])
    draw.line((_LEFT, base, _SIZE[0] - _RIGHT, base), fill=_INK)
    for at in range(bins):
        text = str(at * width) if width == 1 else f"{at * width}+"
        draw.text((_LEFT + step * (at + 0.5), base + 6), text, fill=_INK, font=font, anchor="mt")
    for count in (0, tallest):
        draw.text((_LEFT - 6, base - room * count / tallest), str(count), fill=_INK, font=font, anchor="rm")
    draw.text((_SIZE[0] / 2, _SIZE[1] - 8), "unique tags of an input", fill=_INK, font=font, anchor="mb")
    return image


def save_histogram(counts: Sequence[TagCounts], path: Path) -> None:
    """Write the picture."""
    try:
        histogram(counts).save(path)
    except (OSError, ValueError) as error:
        raise OutputNotWritable(f"cannot write {path}: {error}; name a .png, .jpg or .webp") from error
