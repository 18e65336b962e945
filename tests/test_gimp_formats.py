"""Inside GIMP: every format of pixels comes back from the worker as it went there, bit for bit."""

from __future__ import annotations

import base64
import json
import math
import random
import struct

import pytest

from tests.gimp_host import Gimp

WIDTH, HEIGHT = 13, 9

PRECISIONS = [
    *("U8_LINEAR", "U8_NON_LINEAR", "U8_PERCEPTUAL", "U16_LINEAR", "U16_NON_LINEAR", "U16_PERCEPTUAL"),
    *("U32_LINEAR", "U32_NON_LINEAR", "U32_PERCEPTUAL", "HALF_LINEAR", "HALF_NON_LINEAR", "HALF_PERCEPTUAL"),
    *("FLOAT_LINEAR", "FLOAT_NON_LINEAR", "FLOAT_PERCEPTUAL", "DOUBLE_LINEAR", "DOUBLE_NON_LINEAR"),
]
KINDS = {"RGBA_IMAGE": 4, "RGB_IMAGE": 3, "GRAYA_IMAGE": 2, "GRAY_IMAGE": 1}

CASES = [
    *((precision, "RGBA_IMAGE") for precision in PRECISIONS),
    *((precision, kind) for kind in list(KINDS)[1:] for precision in ("U8_NON_LINEAR", "U16_LINEAR", "FLOAT_LINEAR")),
]

CODES = {"U8": "B", "U16": "H", "U32": "I", "HALF": "e", "FLOAT": "f", "DOUBLE": "d"}

SCRIPT = """
for number, (precision, kind, raw) in enumerate(CASES):
    image, layer = make(precision, kind, base64.b64decode(raw), width=WIDTH, height=HEIGHT)
    status, _, above, problem = call(image, [layer], scale=1.0)
    same = text(read(above)) if above else problem
    _, new, _, problem = call(image, [layer], scale=2.0) if number % 4 == 0 else (None, None, None, None)
    large = text(read(new.get_layers()[0])) if new else problem
    answer[f"{precision} {kind}"] = [same, large, str(new and new.get_precision() == image.get_precision())]
    image.delete()
for kind in ("RGB_IMAGE", "RGBA_IMAGE"):
    raw = bytes(20 * (i % 7) for i in range(WIDTH * HEIGHT * (3 + (kind == "RGBA_IMAGE"))))
    image, layer = make("U8_NON_LINEAR", kind, raw, width=WIDTH, height=HEIGHT)
    image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 9, False, False, "")
    form = "R'G'B'A u8" if layer.has_alpha() else "R'G'B' u8"
    _, new, above, problem = call(image, [layer], scale=1.0)
    got = text(read(new.get_layers()[0], form)) if new else problem
    answer["indexed " + kind] = [got, text(read(layer, form)), len(image.get_layers())]
"""


def pixels(precision: str, kind: str) -> bytes:
    """Any numbers; floating-point ones also beyond 0 to 1, and one that is none."""
    chance = random.Random(f"{precision} {kind}")
    count, code = WIDTH * HEIGHT * KINDS[kind], CODES[precision.partition("_")[0]]
    if code in "BHI":
        return chance.randbytes(count * struct.calcsize(code))
    numbers = [chance.choice([chance.random(), chance.gauss(0, 2), chance.random() / 1000]) for _ in range(count)]
    if code != "e":
        numbers[5] = math.nan
        numbers[6] = 1e6
    return struct.pack(f"{count}{code}", *numbers)


@pytest.fixture(scope="module")
def results(gimp: Gimp) -> dict[str, list[str]]:
    cases = [(precision, kind, base64.b64encode(pixels(precision, kind)).decode()) for precision, kind in CASES]
    return gimp.run(f"CASES = json.loads({json.dumps(json.dumps(cases))})\nWIDTH, HEIGHT = {WIDTH}, {HEIGHT}\n{SCRIPT}")


@pytest.mark.parametrize(("precision", "kind"), CASES)
def test_at_scale_1_no_bit_changes(results, precision, kind):
    same, _, _ = results[f"{precision} {kind}"]
    assert base64.b64decode(same) == pixels(precision, kind)


@pytest.mark.parametrize(("precision", "kind"), CASES[::4])
def test_a_larger_image_has_the_same_format_and_numbers(results, precision, kind):
    _, large, same_precision = results[f"{precision} {kind}"]
    assert same_precision == "True"
    raw = pixels(precision, kind)
    size = len(raw) // (WIDTH * HEIGHT)
    rows = [raw[row * WIDTH * size : (row + 1) * WIDTH * size] for row in range(HEIGHT)]
    repeated = [b"".join(row[at : at + size] * 2 for at in range(0, len(row), size)) for row in rows]
    assert base64.b64decode(large) == b"".join(row * 2 for row in repeated)


@pytest.mark.parametrize("kind", ["RGB_IMAGE", "RGBA_IMAGE"])
def test_an_image_with_a_palette_gives_a_new_one_of_its_colours(results, kind):
    got, colours, layers = results["indexed " + kind]
    assert got == colours
    assert layers == 1
