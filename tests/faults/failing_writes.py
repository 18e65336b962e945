"""``zido INPUT -o FOLDER/NAME`` again and again, each time with another write that fails; run with `failing_writes.c`.

    LD_PRELOAD=LIBRARY python -m tests.faults.failing_writes LIBRARY INPUT FOLDER NAME COUNT

prints a JSON line about each run: of all writes of an unharmed run, ``COUNT`` fail in turn, once with an error of the
disk, and once because it is full, as all writes behind it do.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from itertools import product
from pathlib import Path

import numpy as np
import rasterio
import torch

from tests.faults.runs import FORMATS, OPTIONS
from tests.plain_backbone import PlainBackbone
from zido_core import cli, pipeline


class Run:
    """The command line in this process, on the plain model, with what it says on stderr."""

    def __init__(self, source: Path, output: Path) -> None:
        options = {**OPTIONS, **FORMATS[output.name]}
        words = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()
        ]
        self._words = [str(source), "-o", str(output), "--device=cpu", "--quiet", *words]
        self._told = source.with_name("stderr")

    def __call__(self, *words: str) -> tuple[int, str]:
        """Exit code and stderr."""
        with self._told.open("w+") as stream:
            os.dup2(stream.fileno(), 2)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            code = cli.execute([*self._words, *words])
            sys.stderr.flush()
            stream.seek(0)
            return code, stream.read()


def complete(output: Path, whole: Path) -> bool:
    """Whether two files are the same, if not in their bytes, then to whoever reads them: all pixels, all metadata.

    libtiff, some of whose failed writes GDAL does not hear of, writes a directory anew elsewhere in the file.
    """
    if output.read_bytes() == whole.read_bytes():
        return True
    with rasterio.open(output) as one, rasterio.open(whole) as other:
        facts = [(str(each.profile), each.descriptions, each.colorinterp, each.tags()) for each in (one, other)]
        names = {*one.tag_namespaces(), *other.tag_namespaces()} - {"DERIVED_SUBDATASETS"}  # has the path in it
        tags = [{name: each.tags(ns=name) for name in names} for each in (one, other)]
        return facts[0] == facts[1] and tags[0] == tags[1] and bool((one.read() == other.read()).all())


def main(library: str, source: str, folder: str, name: str, count: str) -> None:
    torch.set_num_threads(1)
    pipeline.load_backbone = lambda *_, **__: PlainBackbone()
    shim, below, output = ctypes.CDLL(library), f"{folder}/".encode(), Path(folder, name)
    shim.writes.restype = ctypes.c_long
    shim.fail_write.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    run = Run(Path(source), output)
    shim.fail_write(below, 0, 0, 0)
    code, told = run()
    assert code == 0, told
    total, whole = shim.writes(), output.replace(Path(source).with_name(f"whole-{name}"))
    places = sorted({int(each) for each in np.linspace(1, total, min(int(count), total))})
    for which, error in product(places, (errno.EIO, errno.ENOSPC)):
        shim.fail_write(below, which, error, error == errno.ENOSPC)
        code, told = run()
        shim.writes()
        found = complete(output, whole) if output.exists() else None
        left = sorted(path.name for path in output.parent.iterdir())
        again, said = run("--resume")
        # What is complete already is left alone.
        same = output.exists() and (found or output.read_bytes() == whole.read_bytes())
        then = sorted(path.name for path in output.parent.iterdir())
        facts = {"error": errno.errorcode[error], "code": code, "told": told, "found": found, "left": left}
        later = {"again": again, "said": said, "same": same, "then": then}
        print(json.dumps({"which": which, "of": total, **facts, **later}), flush=True)
        for path in output.parent.iterdir():
            path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
