"""From what a user names, inputs or folders and an output, to jobs with one input each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .errors import InputNotFound, InvalidOptions, OutputNotWritable
from .job import Job
from .options import Options

READABLE = (".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".img")
"""Suffixes of the files that are taken from a folder; a file named itself may have any."""

LINKING = (".vrt",)
"""The same, where inputs may point to other files."""


def jobs_for(inputs: Sequence[str], output: str | None, options: Options) -> list[Job]:
    """One job per input file. Folders are listed, not searched; several files take a folder or nothing."""
    suffixes = READABLE + LINKING if options.allow_vrt else READABLE
    sources = [source for given in inputs for source in _expand(given, output, suffixes)]
    several = len(sources) > 1 or any(os.path.isdir(given) for given in inputs)
    if output is not None and (several or output.endswith(("/", os.sep))):
        _make_folder(output)
    return [Job(input=source, output=output, options=options) for source in sources]


def _expand(given: str, output: str | None, suffixes: tuple[str, ...]) -> list[str]:
    folder = Path(given)
    if not folder.is_dir():
        return [given]
    if output is None:
        raise InvalidOptions(f"{given} is a folder; say with -o FOLDER where the results shall go")
    if os.path.isdir(output) and folder.samefile(output):
        raise InvalidOptions(f"-o {output} is the folder of the inputs; give another, or results mix with them")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    visible = [str(path) for path in found if not path.name.startswith(".")]
    if not visible:
        reason = "there is no picture or raster in it" if any(folder.iterdir()) else "it is empty"
        raise InputNotFound(f"folder {given}: {reason}; expected files such as .tif, .jp2, .png, .jpg")
    return visible


def _make_folder(output: str) -> None:
    folder = Path(output)
    if folder.is_file() or (folder.suffix.lower() in READABLE and not folder.exists()):
        raise InvalidOptions(f"-o {output} is one file; several inputs need a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritable(f"cannot make the folder {output}: {error.strerror}") from None
