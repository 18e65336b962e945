"""Downloads from a server that misbehaves: they go on, they give up, and never leave a bad file under its name."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.misbehaving import CONTENT, SHA256, Server, serving
from zido_core import download
from zido_core.connection import Policy
from zido_core.download import HUB, Expected, Fetched, fetch, url_of
from zido_core.errors import Cancelled, DownloadFailed, OutputFailed
from zido_core.part import Part

HURRIED = Policy(stall=20.0, retries=3, back_off=0.0, chunk=4096)
IMPATIENT = replace(HURRIED, stall=0.25, retries=1)
KNOWN = Expected(size=len(CONTENT), sha256=SHA256)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "weights.bin"


def leftovers(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


@pytest.mark.parametrize("expected", [None, KNOWN], ids=["unknown", "known"])
@pytest.mark.parametrize("way", ["well", "cut-3", "busy-2", "noranges", "wrongrange-2", "chunks", "around"])
def test_the_file_arrives_whole(server, target, way, expected):
    fetched = fetch(server.url(way), target, expected, policy=HURRIED)
    assert target.read_bytes() == CONTENT
    assert fetched == Fetched(size=len(CONTENT), sha256=SHA256, revision="c" * 40 if way == "around" else None)
    assert leftovers(target) == {target.name}


def test_a_cut_connection_is_resumed_where_it_broke(server, target):
    fetch(server.url("cut-2"), target, KNOWN, policy=HURRIED)
    half, three_quarters = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert server.starts == [None, f"bytes={half}-", f"bytes={three_quarters}-"]


def test_a_later_run_goes_on_with_what_an_earlier_one_got(server, target):
    with pytest.raises(DownloadFailed, match="1 attempt: the connection broke after 51200 of 102400 bytes"):
        fetch(server.url("cut-1"), target, KNOWN, policy=replace(HURRIED, retries=0))
    assert leftovers(target) == {"weights.bin.part", "weights.bin.part.json"}
    fetch(server.url("cut-1"), target, KNOWN, policy=HURRIED)
    assert server.starts == [None, "bytes=51200-"]
    assert target.read_bytes() == CONTENT


def test_a_part_that_was_whole_already_is_not_fetched_again(server, target):
    url = server.url("well")
    with pytest.raises(RuntimeError, match="killed"):
        fetch(url, target, on_bytes=lambda done, total: None, check=killed_at(server, target, len(CONTENT)))
    assert target.with_name("weights.bin.part").stat().st_size == len(CONTENT)
    fetch(url, target)
    assert server.starts == [None, f"bytes={len(CONTENT)}-"]
    assert target.read_bytes() == CONTENT


def killed_at(server: Server, target: Path, size: int):
    part = target.with_name(f"{target.name}.part")

    def check() -> None:
        if part.exists() and part.stat().st_size >= size:
            raise RuntimeError("killed")

    return check


def test_a_file_that_changed_meanwhile_begins_anew(server, target):
    with pytest.raises(DownloadFailed):
        fetch(server.url("cut-1"), target, policy=replace(HURRIED, retries=0))
    server.content, server.etag = CONTENT[::-1] + b"new", '"version-2"'
    fetch(server.url("cut-1"), target, policy=HURRIED)
    assert target.read_bytes() == server.content


def test_a_part_from_another_address_begins_anew(server, target):
    with pytest.raises(DownloadFailed):
        fetch(server.url("cut-1"), target, policy=replace(HURRIED, retries=0))
    fetch(server.url("well", "elsewhere.bin"), target, policy=HURRIED)
    assert server.starts == [None, None]


def test_a_resumed_file_with_a_wrong_hash_is_tried_once_from_the_start(server, target):
    target.with_name("weights.bin.part").write_bytes(b"?" * 1000)
    Part(target, server.url("well"))  # removes parts of unknown origin
    assert leftovers(target) == set()
    part = Part(target, server.url("well"))
    part.path.write_bytes(b"?" * 1000)
    part.describe(None)
    fetch(server.url("well"), target, KNOWN, policy=HURRIED)
    assert server.starts == ["bytes=1000-", None]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("way", "requests", "told"),
    [
        ("cut", 4, "gave up after 4 attempts: the connection broke after"),
        ("busy", 4, "gave up after 4 attempts: HTTP 503"),
        ("missing", 1, "says HTTP 404"),
        ("always416", 1, "says HTTP 416"),
        ("empty", 1, "has another file: bytes 0, expected 102400"),
        ("short", 1, "has another file: bytes 102393, expected 102400"),
        ("other", 1, r"what came is not the expected file \(sha256 "),
        ("zipped", 1, "sends it compressed"),
        ("circle", None, "says HTTP 302"),
        ("tofile", 1, "says HTTP 302"),
    ],
)
def test_what_cannot_be_had_is_an_error_and_no_file(server, target, way, requests, told):
    with pytest.raises(DownloadFailed, match=told):
        fetch(server.url(way), target, KNOWN, policy=HURRIED)
    assert requests is None or len(server.asked) == requests
    assert leftovers(target) <= {"weights.bin.part", "weights.bin.part.json"}


@pytest.mark.parametrize("way", ["silence", "drops", "slowhead"])
def test_a_server_that_dawdles_is_given_up(server, target, way):
    with pytest.raises(DownloadFailed, match=r"gave up after 2 attempts: next to nothing came for 0.25 s"):
        fetch(server.url(way), target, KNOWN, policy=IMPATIENT)
    assert len(server.asked) == 2
    assert not target.exists()


def test_a_wrong_file_leaves_nothing_that_a_later_run_would_build_upon(server, target):
    with pytest.raises(DownloadFailed):
        fetch(server.url("other"), target, KNOWN, policy=HURRIED)
    assert leftovers(target) == set()


@pytest.mark.parametrize(("way", "told"), [("page", "a web page"), ("empty", "an empty file"), ("well", "damaged")])
def test_weights_must_look_like_weights_where_nothing_is_known_of_them(server, tmp_path, way, told):
    target = tmp_path / "weights.safetensors"
    with pytest.raises(DownloadFailed, match=told):
        fetch(server.url(way), target, policy=HURRIED)
    assert leftovers(target) == set()


def test_the_hubs_own_hash_is_checked_before_anything_comes(server, target):
    server.linked = "0" * 64
    with pytest.raises(DownloadFailed, match="has another file: sha256 0000"):
        fetch(server.url("around"), target, KNOWN, policy=HURRIED)
    assert leftovers(target) == set()


def test_the_hubs_own_hash_is_checked_where_no_other_is_known(server, target):
    server.linked = "0" * 64
    with pytest.raises(DownloadFailed, match="what came is not the expected file"):
        fetch(server.url("around"), target, policy=HURRIED)
    assert leftovers(target) == set()


def test_progress_counts_bytes_and_knows_the_whole(server, target):
    heard: list[tuple[int, int | None]] = []
    fetch(server.url("cut-1"), target, policy=HURRIED, on_bytes=lambda *bytes_: heard.append(bytes_))
    done = [done for done, _ in heard]
    assert done[0] == 0
    assert done[-1] == len(CONTENT)
    assert done == sorted(done)
    assert {total for _, total in heard} == {len(CONTENT)}


def test_a_request_to_stop_is_heard_and_what_has_come_stays(server, target):
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stopped")

    def on_bytes(done: int, total: int | None) -> None:
        if done > 20_000:
            stop.set()

    with pytest.raises(Cancelled):
        fetch(server.url("well"), target, on_bytes=on_bytes, check=check, policy=HURRIED)
    assert 20_000 < target.with_name("weights.bin.part").stat().st_size < len(CONTENT)
    fetch(server.url("well"), target, KNOWN, policy=HURRIED)
    assert target.read_bytes() == CONTENT


def test_a_disk_without_room_is_known_before_anything_comes(server, target, monkeypatch):
    usage = download.shutil.disk_usage(target.parent)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=100_000_000))
    with pytest.raises(OutputFailed, match=r"disk full: weights.bin needs 1.0 GB in .*, 0.1 GB are free"):
        fetch(server.url("well"), target, Expected(spare=10**9), policy=HURRIED)
    assert leftovers(target) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_disk_that_fills_up_is_told_and_left(server, target):
    target.with_name("weights.bin.part").symlink_to("/dev/full")
    Part(target, server.url("well"))  # unknown origin: removed
    part = Part(target, server.url("well"))
    part.describe(None)
    part.path.symlink_to("/dev/full")
    with pytest.raises(OutputFailed, match=r"disk full: weights.bin needs 1 MB more .* run the command again"):
        fetch(server.url("well"), target, policy=HURRIED)
    assert not target.exists()


def test_any_other_error_of_the_disk_is_told(server, target, monkeypatch):
    def refuse(path: Path, *arguments: object, **named: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    part = Part(target, server.url("well"))
    monkeypatch.setattr(type(part.path), "open", refuse)
    with pytest.raises(OutputFailed, match="Read-only file system"):
        fetch(server.url("well"), target, policy=HURRIED)


def test_nobody_listening_is_told(target, server):
    server.server_close()
    with pytest.raises(DownloadFailed, match="no connection"):
        fetch(server.url("well"), target, policy=replace(HURRIED, retries=1))


def test_proxies_of_the_environment_are_used(server, target, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy")
    with pytest.raises(DownloadFailed, match=r"models.invalid says HTTP 404"):
        fetch("http://models.invalid/x", target, policy=HURRIED)
    assert [path for path, _ in server.asked] == ["http://models.invalid/x"]


@pytest.mark.parametrize(
    ("source", "endpoint", "url"),
    [
        ("a/b@main:c d/e.bin", None, f"{HUB}/a/b/resolve/main/c%20d/e.bin"),
        ("spaces/a/b@0123:e.bin", None, f"{HUB}/spaces/a/b/resolve/0123/e.bin"),
        ("a/b@main:e.bin", "http://mirror.example/", "http://mirror.example/a/b/resolve/main/e.bin"),
        ("https://example.org/a@b:c", "http://mirror.example", "https://example.org/a@b:c"),
    ],
)
def test_a_source_is_an_address_or_a_place_on_the_hub(monkeypatch, source, endpoint, url):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    if endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert url_of(source) == url
