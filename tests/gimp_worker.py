"""A real worker around a model that repeats every pixel; what else it does, the prompt says.

python tests/gimp_worker.py   (where GIMP runs: it needs the standard library alone)
"""

# ruff: noqa: E402 - the package is made first

from __future__ import annotations

import json
import os
import sys
import time
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fake_worker

package = types.ModuleType("zido")
package.__path__ = [str(Path(__file__).resolve().parents[1])]
sys.modules["zido"] = package

from zido.gimp.georef import Window, moved
from zido.gimp.tiff import GEO_TYPES, Layout, Reader, Writer, read_tags

from zido_core.errors import BadInput
from zido_core.job import Progress, Warning  # noqa: A004 - the event


class Repeating:
    """At scale 1 it changes nothing."""

    def upscale(self, src, dst, *, options, on_event, cancel, **others):
        on_event(fake_worker.PLAN)
        note(src, options)
        act = {"slow": be_slow, "fail": fail, "warn": warn}.get(options.prompt)
        if act is not None:
            act(on_event, cancel)
        enlarge(Path(src), Path(dst), int(options.scale or 4), invert=options.prompt == "invert")
        on_event(Progress(done=5, total=5))
        return types.SimpleNamespace(path=dst)


def be_slow(tell, cancel):
    for done in range(1000):
        tell(Progress(done=done, total=1000, eta=(1000 - done) / 20))
        time.sleep(0.05)
        cancel.check()


def fail(tell, cancel):
    raise BadInput("image.tif is nothing that this model likes; give it another")


def warn(tell, cancel):
    tell(Warning(message="this model is not for commercial use"))


def note(src, options):
    """Tell the tests what came: GIMP's files are gone when they look."""
    home = Path(os.environ["HOME"])
    layout = Reader(Path(src)).layout
    told = {"input": src, "size": [layout.width, layout.height], "options": options.to_dict()}
    (home / f"seen-{len(list(home.glob('seen-*')))}").write_text(json.dumps(told))


def enlarge(src, dst, scale, *, invert):
    source, tags = Reader(src), read_tags(src)
    old = source.layout
    new = Layout(
        width=old.width * scale, height=old.height * scale, channels=old.channels, floating=old.floating, bits=old.bits
    )
    geo = moved({tag: tags[tag] for tag in GEO_TYPES if tag in tags}, Window(sx=scale, sy=scale))
    size = old.pixel_bytes
    with Writer(dst, new, geo) as file:
        for row in range(old.height):
            pixels = source.rows(row, 1)
            if invert:
                pixels = bytes(255 - value for value in pixels)
            repeated = b"".join(pixels[at : at + size] * scale for at in range(0, len(pixels), size))
            file.write(repeated * scale)


if __name__ == "__main__":
    fake_worker.KeptModel = Repeating
    fake_worker.main()
