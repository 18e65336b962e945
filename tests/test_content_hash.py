"""Hashes of large files are worked out once, and never believed of a file that has changed."""

from __future__ import annotations

import hashlib
import os

import pytest

from zido_core import content_hash
from zido_core.checkpoint import fingerprint
from zido_core.content_hash import sha256_of
from zido_core.store_records import Record, Records


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(content_hash, "LARGE", 4)
    monkeypatch.setenv("ZIDO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read from now on."""
    names, whole = [], content_hash._read

    def counted(path):
        names.append(path.name)
        return whole(path)

    monkeypatch.setattr(content_hash, "_read", counted)
    return names


def written(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once(tmp_path, read):
    path, expected = written(tmp_path / "a.safetensors")
    assert [sha256_of(path) for _ in range(3)] == [expected] * 3
    assert read == ["a.safetensors"]


def test_a_small_file_is_not_worth_a_note(tmp_path):
    sha256_of(written(tmp_path / "a.txt", b"abc")[0])
    assert not (tmp_path / "cache").exists()


def test_a_changed_file_is_read_again(tmp_path):
    path, first = written(tmp_path / "a.safetensors")
    assert sha256_of(path) == first
    status = path.stat()
    _, second = written(path, b"WEIGHTS")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert sha256_of(path) == second != first


def test_what_the_store_knows_is_not_read(tmp_path, read):
    path, expected = written(tmp_path / "store" / "seesr" / "unet" / "a.safetensors")
    status = path.stat()
    record = Record(size=status.st_size, sha256=expected, mtime_ns=status.st_mtime_ns, source="here")
    Records(tmp_path / "store").keep("seesr/unet/a.safetensors", record)
    assert (sha256_of(path), read) == (expected, [])
    os.utime(path, ns=(0, 1))
    assert (sha256_of(path), read) == (expected, ["a.safetensors"])


@pytest.mark.parametrize("notes", ["", "[]", '{"a": 1}', "\x00", '{"PATH": null}'])
def test_damaged_notes_are_no_notes(tmp_path, notes):
    path, expected = written(tmp_path / "a.safetensors")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hashes.json").write_text(notes.replace("PATH", str(path)))
    assert sha256_of(path) == expected


def test_where_nothing_can_be_noted_it_still_works(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ZIDO_CACHE", str(tmp_path / "file" / "cache"))
    path, expected = written(tmp_path / "a.safetensors")
    assert sha256_of(path) == expected


def test_notes_do_not_grow_without_end(tmp_path, monkeypatch, read):
    monkeypatch.setattr(content_hash, "REMEMBERED", 2)
    paths = [written(tmp_path / f"{name}.safetensors", name.encode() * 9)[0] for name in "abc"]
    for path in (*paths, *paths[1:]):
        sha256_of(path)
    assert read == ["a.safetensors", "b.safetensors", "c.safetensors"]


def test_a_fingerprint_is_that_of_all_files(tmp_path):
    (one, first), (two, second) = (written(tmp_path / name, name.encode() * 9) for name in ("a", "b"))
    assert fingerprint([one]) == first
    assert fingerprint([one, two]) == hashlib.sha256((first + second).encode()).hexdigest()
