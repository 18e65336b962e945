"""``zido models import``: files that somebody already has come into the store, for machines without a network too.

A file is known by the end of its path: as the catalogue has it (``stable-diffusion-2-base/vae/config.json``), or as
one of its sources has it (``DAPE.pth``). The hub's cache counts as what it stands for, so
``models--org--name/snapshots/0123/vae/config.json`` is ``org/name/vae/config.json``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from .checkpoint import fault_of
from .convert import convert
from .errors import BadInput, InputNotFound, InputRefused, ModelMissing
from .model_files import ModelFile, Obtainable, is_embedded, is_pickle
from .store import Store, sha256_of

How = Literal["link", "copy", "symlink"]
"""Hard links where possible and copies elsewhere; always copies; symbolic links."""

MOST_FILES = 100_000
"""A folder with more is hardly one of models."""

SNAPSHOT = re.compile(r"/snapshots/[^/]+/")


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What came of it."""

    taken: tuple[ModelFile, ...]
    """Files that are in the store now and were not before."""

    refused: tuple[str, ...]
    """Why files that were found were not taken."""

    lacking: Mapping[str, tuple[ModelFile, ...]]
    """Model -> files that are neither in the folder nor in the store; only models that something was found of."""


def recognise(folder: Path, models: Sequence[Obtainable]) -> dict[ModelFile, Path]:
    """Which files of these models a folder holds."""
    paths = list(_files_in(folder))
    found: dict[ModelFile, Path] = {}
    for file in dict.fromkeys(file for model in models for file in model.files if not file.embedded):
        for ending in _endings(file):
            fitting = [path for known_as, path in paths if known_as.endswith(f"/{ending}")]
            if fitting:
                found[file] = min(fitting, key=lambda path: len(path.parts))
                break
    return found


def adopt(
    folder: Path,
    models: Sequence[Obtainable],
    store: Store,
    *,
    how: How = "link",
    on_note: Callable[[str], None] = lambda line: None,
    check: Callable[[], None] = lambda: None,
) -> Adopted:
    """Take what the folder has and the store lacks."""
    if not folder.is_dir():
        raise InputNotFound(f"there is no folder {folder}; expected one with files of models")
    found = recognise(folder, models)
    if not found:
        names = ", ".join(model.name for model in models if not is_embedded(model))
        raise ModelMissing(f"{folder} has no file of {names}; `zido models path --files` lists what they are called")
    with store.lock(check=check, on_wait=lambda owner: on_note(f"waiting for {owner}, which changes the models")):
        taken, refused = [], []
        for file in [file for file in found if store.state(file) != "here"]:
            on_note(f"{file.path} from {found[file]}")
            try:
                _take(file, found[file], store, how, check)
            except (BadInput, InputRefused, ModelMissing) as error:
                refused.append(str(error))
            else:
                taken.append(file)
        touched = [model for model in models if any(file in found for file in model.files)]
        lacking = {model.name: tuple(file for file in model.files if store.state(file) != "here") for model in touched}
        for model in touched:
            if not lacking[model.name]:
                store.records.choose(model.name)
    return Adopted(taken=tuple(taken), refused=tuple(refused), lacking=lacking)


def _take(file: ModelFile, source: Path, store: Store, how: How, check: Callable[[], None]) -> None:
    path, original = store.path(file), None
    pickled = is_pickle(source.name) and not is_pickle(path.name)
    if not pickled and (fault := fault_of(source, path.suffix)):
        raise BadInput(f"{source} is {fault}; it is not taken into the store")
    path.parent.mkdir(parents=True, exist_ok=True)
    if pickled:
        original = sha256_of(source, check)
        _compare(file, source, original, store)
        convert(source, path, leave_out=file.leave_out, check=check)
        sha256 = sha256_of(path, check)
    else:
        sha256 = sha256_of(source, check)
        _compare(file, source, sha256, store)
        _place(source, path, how)
    store.records.keep(file.path, store.describe(file, str(source), sha256, original=original))


def _compare(file: ModelFile, source: Path, sha256: str, store: Store) -> None:
    """Nothing takes the name of a file that is known to be another one."""
    record = store.records.files.get(file.path)
    pickled = is_pickle(source.name)
    first = None if record is None else record.original_sha256 if pickled else record.sha256
    published = file.sha256 if pickled or not file.converted else None
    for known, whose in ((published, "the published file has"), (first, "the one that came first had")):
        if known is not None and known != sha256:
            raise BadInput(f"{source} is another file: it has sha256 {sha256[:12]}..., {whose} {known[:12]}...")


def _place(source: Path, path: Path, how: How) -> None:
    """Put it there, complete or not at all; a link to a link would break with the folder between."""
    source = source.resolve()
    if path.exists() and path.resolve() == source:
        return
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    if how == "symlink":
        part.symlink_to(source)
    elif how == "copy" or not _linked(source, part):
        shutil.copyfile(source, part)
    os.replace(part, path)


def _linked(source: Path, part: Path) -> bool:
    try:
        os.link(source, part)
    except OSError:  # another disk, or one that knows no links
        return False
    return True


def _files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files below, each with the path that it is known by."""
    count, seen = 0, set()
    for place, inner, names in os.walk(folder.absolute(), followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # links in a circle
            inner.clear()
            continue
        seen.add(real)
        for name in names:
            count += 1
            if count > MOST_FILES:
                raise BadInput(f"{folder} has more than {MOST_FILES} files; name the folder of the models itself")
            path = Path(place, name)
            if path.is_file():
                yield _known_as(path), path


def _known_as(path: PurePath) -> str:
    """The path, with a folder of the hub's cache as what it stands for."""
    text = SNAPSHOT.sub("/", path.as_posix())
    return re.sub(r"/(?:models|spaces)--([^/]+)", lambda found: "/" + found[1].replace("--", "/"), text)


def _endings(file: ModelFile) -> Iterator[str]:
    """Ends of paths that this file may be known by, the surest first."""
    yield file.path
    for source in file.sources:
        repository, _, path = source.rpartition(":")
        name = path.rpartition("/")[2]
        yield f"{repository.partition('@')[0].removeprefix('spaces/')}/{path}" if "//" not in path else name
        if "/" not in file.path:
            yield name
