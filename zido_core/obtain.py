"""``zido models get``: the files of a model come into the store, each from the first source that gives it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .connection import Policy
from .convert import convert
from .download import Expected, Fetched, fetch, url_of
from .errors import DownloadFailed, InputRefused, ModelMissing, OutputFailed
from .model_files import ModelFile, Obtainable, is_pickle
from .pace import Eta
from .part import begun
from .store import Store, sha256_of

NEWS_EVERY = 0.25
"""Seconds between two reports."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """How far it is."""

    file: str
    """What is coming, by its path in the store."""

    done: int
    """Bytes of all files that are there."""

    total: int
    """Bytes of all files, as well as it is known."""

    rate: float | None
    """Bytes per second; None while there is no telling."""

    eta: float | None
    """Seconds left; None while there is no telling."""


def lacking(model: Obtainable, store: Store) -> tuple[ModelFile, ...]:
    """What would have to come."""
    return tuple(file for file in model.files if store.state(file) in ("missing", "changed"))


def get(
    model: Obtainable,
    store: Store,
    *,
    on_transfer: Callable[[Transfer], None] = lambda transfer: None,
    on_note: Callable[[str], None] = lambda line: None,
    check: Callable[[], None] = lambda: None,
    policy: Policy | None = None,
) -> tuple[ModelFile, ...]:
    """Fetch all that is missing, or not as recorded; tells what came. ``check`` may raise to stop."""
    with store.lock(check=check, on_wait=lambda owner: on_note(f"waiting for {owner}, which changes the models")):
        coming = lacking(model, store)
        nowhere = [file.path for file in coming if not file.sources]
        if nowhere:
            raise ModelMissing(
                f"nobody is known to offer {nowhere[0]} of {model.name}; "
                f"`zido models import FOLDER {model.name}` takes it from where you have it"
            )
        _check_room(coming, store)
        errand = _Errand(store, _Meter(coming, on_transfer), on_note, check, policy)
        for file in model.files:
            if store.state(file) == "unknown":
                errand.acknowledge(file)
        for file in coming:
            errand.obtain(file)
        store.records.choose(model.name)
    return coming


class _Errand:
    """Getting several files."""

    def __init__(
        self,
        store: Store,
        meter: _Meter,
        on_note: Callable[[str], None],
        check: Callable[[], None],
        policy: Policy | None,
    ) -> None:
        self._store, self._meter, self._on_note, self._check, self._policy = store, meter, on_note, check, policy

    def acknowledge(self, file: ModelFile) -> None:
        """A file that was put into the store by hand is what it must be from now on."""
        path = self._store.path(file)
        sha256 = sha256_of(path, self._check)
        if not file.converted and file.sha256 not in (None, sha256):
            raise ModelMissing(f"{path} is not {file.path} as published (sha256 {sha256[:12]}...); remove it")
        self._store.records.keep(file.path, self._store.describe(file, "found in the store", sha256))

    def obtain(self, file: ModelFile) -> None:
        """From the first source that gives it; one that a part has come from goes first."""
        reasons = []
        known = self._known(file)
        for source in sorted(file.sources, key=lambda source: url_of(source) != begun(self._target(file, source))):
            try:
                self._from(source, file, known)
            except DownloadFailed as error:
                reasons.append(str(error))
                self._on_note(f"{file.path}: {error}")
            else:
                self._meter.finished(file)
                return
        raise DownloadFailed(
            f"{file.path} could not be had: {'; '.join(reasons)}. Try again later (what has come is kept), "
            "name a mirror of the hub with HF_ENDPOINT, or `zido models import` a copy"
        )

    def _known(self, file: ModelFile) -> Expected:
        """What is known of the file at its source: by the catalogue, and by what came first."""
        record = self._store.records.files.get(file.path)
        if record is None:
            return Expected(size=file.size, sha256=file.sha256)
        first = record.original_sha256 if file.converted else record.sha256
        return Expected(size=file.size, sha256=file.sha256 or first)

    def _target(self, file: ModelFile, source: str) -> Path:
        """Where it arrives: under its name, a pickle beside it under that of the source."""
        path = self._store.path(file)
        name = source.rpartition("/")[2].rpartition(":")[2]
        return path.with_name(name) if is_pickle(name) and not is_pickle(path.name) else path

    def _from(self, source: str, file: ModelFile, known: Expected) -> None:
        path, target = self._store.path(file), self._target(file, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        pickled = target != path
        expected = replace(known, spare=file.expected_bytes if pickled else 0)
        fetched = self._already(target, known) if pickled and target.exists() else None
        if fetched is None:
            fetched = fetch(
                url_of(source),
                target,
                expected,
                on_bytes=lambda done, total: self._meter.came(file, done, total),
                check=self._check,
                policy=self._policy,
            )
        sha256 = self._converted(file, target, path) if pickled else fetched.sha256
        original = fetched.sha256 if pickled else None
        record = self._store.describe(file, source, sha256, revision=fetched.revision, original=original)
        self._store.records.keep(file.path, record)

    def _already(self, target: Path, known: Expected) -> Fetched | None:
        """A pickle that came in an earlier run, which ended before it was converted."""
        sha256 = sha256_of(target, self._check)
        if known.sha256 not in (None, sha256):
            return None
        return Fetched(size=target.stat().st_size, sha256=sha256, revision=None)

    def _converted(self, file: ModelFile, pickle: Path, path: Path) -> str:
        self._on_note(f"converting {pickle.name} to safetensors")
        try:
            convert(pickle, path, leave_out=file.leave_out, check=self._check)
        except (InputRefused, ModelMissing):
            pickle.unlink()
            raise
        pickle.unlink()
        return sha256_of(path, self._check)


class _Meter:
    """Adds up the bytes of several files, and says now and then how many there are."""

    def __init__(self, files: tuple[ModelFile, ...], on_transfer: Callable[[Transfer], None]) -> None:
        self._sizes = {file.path: file.expected_bytes for file in files}
        self._done = dict.fromkeys(self._sizes, 0)
        self._on_transfer = on_transfer
        self._eta = Eta()
        self._told = float("-inf")

    def came(self, file: ModelFile, done: int, total: int | None) -> None:
        """So many bytes of that file are there, of so many."""
        if total is not None:
            self._sizes[file.path] = total
        self._done[file.path] = done
        if time.monotonic() - self._told >= NEWS_EVERY:
            self._tell(file)

    def finished(self, file: ModelFile) -> None:
        """All of that file is there."""
        self._done[file.path] = self._sizes[file.path] = max(self._done[file.path], 1)
        self._tell(file)

    def _tell(self, file: ModelFile) -> None:
        self._told = time.monotonic()
        done, total = sum(self._done.values()), sum(self._sizes.values())
        total = max(done, total)
        eta = self._eta.update(done, total)
        rate = (total - done) / eta if eta else None
        self._on_transfer(Transfer(file=file.path, done=done, total=total, rate=rate, eta=eta))


def _check_room(files: tuple[ModelFile, ...], store: Store) -> None:
    """Tell at once what the last file would tell hours later; as well as sizes are known."""
    store.folder.mkdir(parents=True, exist_ok=True)
    needed = sum(file.expected_bytes for file in files)
    free = shutil.disk_usage(store.folder).free
    if free < needed:
        raise OutputFailed(
            f"disk full: the files need about {needed / 1e9:.1f} GB in {store.folder}, {free / 1e9:.1f} GB are free; "
            "free some space, or choose another folder with ZIDO_HOME"
        )
