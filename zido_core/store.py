"""The model store: one folder that all models share, and a record of what each of its files must be.

``ZIDO_HOME/models`` (or ``XDG_DATA_HOME/zido/models``) holds the files under the paths of the catalogue, so models
that stand on the same base share it. ``models.lock.json`` beside them keeps size and hash of every file since it first
came. Nothing is fetched here: that takes the command ``zido models get``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from .catalog import MODELS, describe
from .errors import ModelMissing
from .folders import home
from .model_files import DAPE, ModelFile, Obtainable, is_embedded
from .store_lock import StoreLock
from .store_records import Record, Records

PACKAGE = Path(__file__).parent
"""Where embedded models are."""

FILE_SETS = {DAPE.name: DAPE}
"""What can be had besides models."""

State = Literal["here", "missing", "changed", "unknown"]
"""As recorded, not there, not as recorded, or there without a record."""

CHUNK = 2**22


def wanted(name: str) -> Obtainable:
    """The model or tagger of that name; an unknown name is answered with the nearest known one."""
    return FILE_SETS[name] if name in FILE_SETS else describe(name)


def everything() -> tuple[Obtainable, ...]:
    """All models and taggers that have files."""
    return (*MODELS.values(), *FILE_SETS.values())


def resolve(model: Obtainable, model_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder with the model's files: the user's own, as it is, or the store, where all of them must be."""
    if model_dir is not None:
        folder = Path(model_dir)
        if not folder.is_dir():
            raise ModelMissing(f"there is no folder {folder} for model {model.name}; {how_to_get(model)}")
        return folder
    if is_embedded(model):
        return PACKAGE
    store = Store()
    states = {file: store.state(file) for file in model.files}
    missing = [file.path for file, state in states.items() if state == "missing"]
    changed = [file.path for file, state in states.items() if state == "changed"]
    if changed:
        raise ModelMissing(
            f"model {model.name}: {listed(changed)} in {store.folder} changed since it came; "
            f"`zido models get {model.name}` fetches it again"
        )
    if missing:
        which = "its" if len(missing) == len(states) else f"{len(missing)} of {len(states)}"
        names = "" if which == "its" else f" ({listed(missing)})"
        raise ModelMissing(f"model {model.name}: {which} files are not in {store.folder}{names}; {how_to_get(model)}")
    return store.folder


def tagger_folder(tagger: str, model: str) -> Path | None:
    """The folder with the files of a tagger, where the store knows it; a model that brings them along speaks for it."""
    if tagger not in FILE_SETS:
        return None
    files, own = FILE_SETS[tagger], describe(model)
    return resolve(own if set(files.files) <= set(own.files) else files)


def how_to_get(model: Obtainable) -> str:
    """What to do about missing files."""
    get = f"run `zido models get {model.name}`, or " if is_offered(model) else "run "
    return (
        f"{get}`zido models import FOLDER {model.name}` with files that you have, "
        f"or name their folder with {'--tagger-dir' if model.name in FILE_SETS else '--model-dir'}"
    )


def is_offered(model: Obtainable) -> bool:
    """Whether somebody offers all of its files."""
    return all(file.sources for file in model.files if not file.embedded)


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names, the first few of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def sha256_of(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """Hash of a file; ``check`` may raise to stop."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            check()
            digest.update(chunk)
    return digest.hexdigest()


class Store:
    """The folder and its record."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = home() / "models" if folder is None else folder
        self.records = Records(self.folder)

    def path(self, file: ModelFile) -> Path:
        """Where that file is, or would be."""
        return (PACKAGE if file.embedded else self.folder) / file.path

    def lock(
        self, *, check: Callable[[], None] = lambda: None, on_wait: Callable[[str], None] = lambda owner: None
    ) -> StoreLock:
        """A context in which no other process changes the store."""
        return StoreLock(self.folder / ".lock", check=check, on_wait=on_wait)

    def state(self, file: ModelFile) -> State:
        """What a glance tells: a file whose size and time are as recorded is not read."""
        path = self.path(file)
        if not path.is_file():
            return "missing"
        record = self.records.files.get(file.path)
        if file.embedded or record is None:
            return "here" if file.embedded else "unknown"
        status = path.stat()
        if status.st_size != record.size:
            return "changed"
        if status.st_mtime_ns == record.mtime_ns or sha256_of(path) == record.sha256:
            return "here"
        return "changed"

    def verify(self, file: ModelFile, check: Callable[[], None] = lambda: None) -> str | None:
        """What is wrong with a file, read in full; None if it is as recorded."""
        path = self.path(file)
        if not path.is_file():
            return "is missing"
        expected = self._expected(file)
        if expected is None:
            return "has no record here; `zido models import` on its folder makes one"
        found = sha256_of(path, check)
        return None if found == expected else f"has sha256 {found[:12]}..., recorded is {expected[:12]}..."

    def describe(
        self, file: ModelFile, source: str, sha256: str, *, revision: str | None = None, original: str | None = None
    ) -> Record:
        """The record of a file that has just come."""
        status = self.path(file).stat()
        return Record(
            size=status.st_size,
            sha256=sha256,
            mtime_ns=status.st_mtime_ns,
            source=source,
            revision=revision,
            original_sha256=original,
            licence=None if file.licence is None else file.licence.name,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def remove(self, model: Obtainable) -> list[Path]:
        """Remove its files but those that another chosen model needs; tells which went."""
        self.records.forget(model.name)
        others = [other for other in everything() if other.name in self.records.chosen]
        kept = {file.path for other in others for file in other.files}
        gone = []
        for file in model.files:
            if file.embedded or file.path in kept:
                continue
            self.records.drop(file.path)
            gone += [path for path in self._pieces(file) if path.exists()]
        for path in gone:
            path.unlink()
        self._tidy({path.parent for path in gone})
        return gone

    def _pieces(self, file: ModelFile) -> Iterable[Path]:
        """The file, and beginnings of it."""
        path = self.path(file)
        originals = {path.with_name(source.rpartition("/")[2].rpartition(":")[2]) for source in file.sources}
        for name in sorted({path, *originals}):
            yield from (name, name.with_name(f"{name.name}.part"), name.with_name(f"{name.name}.part.json"))

    def _tidy(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            while folder != self.folder and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent

    def _expected(self, file: ModelFile) -> str | None:
        if file.embedded:
            return _sha256_on(file.card)
        record = self.records.files.get(file.path)
        if record is not None:
            return record.sha256
        return None if file.converted else file.sha256


def _sha256_on(card: str | None) -> str | None:
    if card is None:
        return None
    content = json.loads((PACKAGE / card).read_text(encoding="utf-8"))
    return str(content["sha256"]).removeprefix("sha256:")
