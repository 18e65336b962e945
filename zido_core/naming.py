"""From what a user names, inputs or folders and an output, to jobs with one input and one output each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from .catalog import describe
from .errors import BadInput, InputNotFound, InvalidOptions, OutputNotWritable
from .job import Job
from .options import Options

READABLE = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".jp2", ".j2k", ".img")
"""Suffixes of the files that are taken from a folder; a file named itself may have any."""

WRITABLE = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Suffixes that an output keeps from its input; the others become GeoTIFF."""


def default_output(source: str, options: Options, folder: Path | None = None) -> Path:
    """``<stem>_x4.<ext>``, beside the input or in a folder; in the current one for remote inputs."""
    remote = "://" in source or source.startswith("/vsi")
    path = Path(urlsplit(source).path if "://" in source else source)
    suffix = path.suffix if path.suffix.lower() in WRITABLE and not options.cog else ".tif"
    scale = options.scale or describe(options.model).native_scale
    beside = Path() if remote else path.parent
    return (folder or beside) / f"{path.stem}_x{scale:g}{suffix}"


def jobs_for(inputs: Sequence[str], output: str | None, options: Options) -> list[Job]:
    """One job per input file. Folders are listed, not searched; several files take a folder or nothing."""
    sources = [source for given in inputs for source in _expand(given, output)]
    several = len(sources) > 1 or any(os.path.isdir(given) for given in inputs)
    folder = _folder(output, several=several)
    if output is not None and folder is None:
        return [Job(input=sources[0], output=output, options=options)]
    jobs = [
        Job(input=source, output=str(default_output(source, options, folder)), options=options)
        for source in sources
    ]
    _check_distinct(jobs)
    return jobs


def _expand(given: str, output: str | None) -> list[str]:
    folder = Path(given)
    if not folder.is_dir():
        return [given]
    if output is None:
        raise InvalidOptions(f"{given} is a folder; say with -o FOLDER where the results shall go")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE and path.is_file())
    visible = [str(path) for path in found if not path.name.startswith(".")]
    if not visible:
        reason = "there is no picture or raster in it" if any(folder.iterdir()) else "it is empty"
        raise InputNotFound(f"folder {given}: {reason}; expected files such as {', '.join(READABLE[:4])}")
    return visible


def _folder(output: str | None, *, several: bool) -> Path | None:
    """The folder that ``-o`` names: it exists, ends with a slash or is for several files."""
    if output is None or not (several or output.endswith(("/", os.sep)) or os.path.isdir(output)):
        return None
    folder = Path(output)
    if folder.is_file() or (several and folder.suffix.lower() in READABLE):
        raise InvalidOptions(f"-o {output} is one file; several inputs need a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritable(f"cannot make the folder {output}: {error.strerror}") from None
    return folder


def _check_distinct(jobs: Sequence[Job]) -> None:
    taken: dict[str | None, str] = {}
    for job in jobs:
        if job.output in taken:
            raise BadInput(
                f"{taken[job.output]} and {job.input} would both become {job.output}; use two folders"
            )
        taken[job.output] = job.input
