"""Fetch one file over HTTP: resumed where it broke off, watched, checked, and only then given its name.

What has come stays in a part file (see ``part``), so a later run goes on there.
The standard library does the talking, proxies of the environment (``https_proxy``, ``no_proxy``) included.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import __version__
from .checkpoint import fault_of
from .connection import Connection, Policy
from .errors import DownloadFailed, OutputFailed
from .part import Part, amount, unwritable

HUB = "https://huggingface.co"
"""Where ``repository@revision:path`` lies; the variable HF_ENDPOINT names a mirror of the whole."""

ON_HUB = re.compile(r"(?P<repository>[\w./-]+)@(?P<revision>[\w.-]+):(?P<path>.+)")

TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may be others in a moment."""

REAL_PROGRESS = 8 * 2**20
"""Bytes in one attempt after which its failure is the line's fault, and retries are counted anew."""

LONGEST_WAIT = 60.0
"""Seconds before the next attempt at most, also when the server asks for more."""

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a file before it comes."""

    size: int | None = None
    """Bytes."""

    sha256: str | None = None
    """Of all of it."""

    spare: int = 0
    """Bytes of disk needed beside it, for what will be made of it."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What has come."""

    size: int
    """Bytes."""

    sha256: str
    """Of all of it."""

    revision: str | None
    """The commit it is from, if the server told."""


class Again(Exception):
    """An attempt failed, and the next one may not."""

    def __init__(self, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Complete(Exception):
    """The server says that what is there is all there is."""


def url_of(source: str) -> str:
    """The address of a source."""
    found = ON_HUB.fullmatch(source)
    if "://" in source or not found:
        return source
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    return f"{endpoint}/{found['repository']}/resolve/{found['revision']}/{urllib.parse.quote(found['path'])}"


def fetch(
    url: str,
    target: Path,
    expected: Expected | None = None,
    *,
    on_bytes: Callable[[int, int | None], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
    policy: Policy | None = None,
) -> Fetched:
    """Get a file, or raise DownloadFailed (this source does not give it) or OutputFailed (it cannot be written).

    ``on_bytes`` hears what is there and how much it will be, if that is known; ``check`` may raise to stop.
    """
    expected, policy = expected or Expected(), policy or Policy()
    part = Part(target, url)
    failures = 0
    while True:
        check()
        before = part.size
        try:
            told = _attempt(url, part, expected, on_bytes, check, policy)
            return _accept(part, told, resumed=before > 0)
        except Again as again:
            failures = 1 if part.size - before >= REAL_PROGRESS else failures + 1
            if failures > policy.retries:
                tries = "1 attempt" if failures == 1 else f"{failures} attempts"
                raise DownloadFailed(f"{_host(url)} gave up after {tries}: {again}") from again
            _sleep(min(max(policy.back_off * 2 ** (failures - 1), again.wait), LONGEST_WAIT), check)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the server and the catalogue together say about the file."""

    total: int | None
    sha256: str | None
    revision: str | None


def _attempt(
    url: str,
    part: Part,
    expected: Expected,
    on_bytes: Callable[[int, int | None], None],
    check: Callable[[], None],
    policy: Policy,
) -> Told:
    """Go on from where the part ends to the end of the file."""
    with Connection(policy) as connection:
        try:
            response = _open(connection, url, part)
        except Complete:
            return _told(connection, _host(url), part.size, expected)
        with response:
            start = _start(response, part)
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else None
            told = _told(connection, _host(response.url), total, expected)
            _check_room(part, (told.total or expected.size or start) - start, expected.spare)
            part.describe(response.headers.get("ETag") or response.headers.get("Last-Modified"))
            _receive(connection, response, part, start, told.total, on_bytes, check)
    if told.total is not None and part.size < told.total:
        raise Again(f"the connection broke after {part.size} of {told.total} bytes")
    return told


def _open(connection: Connection, url: str, part: Part) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"zido/{__version__}", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
    validator = part.validator
    if part.size and validator and not validator.startswith("W/"):
        headers["If-Range"] = validator
    try:
        return connection.open(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, part) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadFailed(f"{_host(url)} has no valid certificate ({reason.verify_message})") from error
        raise Again(connection.failure(reason)) from error


def _refusal(error: urllib.error.HTTPError, part: Part) -> Exception:
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
        if error.headers.get("Content-Range") == f"bytes */{part.size}":
            return Complete()
        part.discard()  # longer than the file, or of another one
        return Again("what had come does not fit the file any more")
    said = f"HTTP {error.code} {str(error.reason).partition(chr(10))[0]}"
    if error.code in TEMPORARY:
        wait = error.headers.get("Retry-After", "")
        return Again(said, wait=float(wait) if wait.isdigit() else 0.0)
    return DownloadFailed(f"{_host(error.url or '')} says {said}")


def _start(response: http.client.HTTPResponse, part: Part) -> int:
    """Where the bytes of this response belong; servers that know no ranges send the whole file."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadFailed(f"{_host(response.url)} sends it compressed, which was not asked for")
    if response.status == http.client.OK:
        return 0
    sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status != http.client.PARTIAL_CONTENT or sent is None or int(sent[1]) != part.size:
        part.discard()
        raise Again(f"the answer ({response.status}) is not the part that was asked for")
    return part.size


def _told(connection: Connection, host: str, total: int | None, expected: Expected) -> Told:
    """Compare what the server announces with what is known, before anything is transferred."""
    said = connection.heard("X-Linked-ETag").strip('"')  # the hub's hash of a large file
    sha256 = said if SHA256.fullmatch(said) else None
    for what, announced, known in (("bytes", total, expected.size), ("sha256", sha256, expected.sha256)):
        if announced is not None and known is not None and announced != known:
            raise DownloadFailed(f"{host} has another file: {what} {announced}, expected {known}")
    if total == 0:
        raise DownloadFailed(f"{host} has an empty file")
    return Told(
        total=expected.size if total is None else total,
        sha256=expected.sha256 or sha256,
        revision=connection.heard("X-Repo-Commit") or None,
    )


def _receive(
    connection: Connection,
    response: http.client.HTTPResponse,
    part: Part,
    start: int,
    total: int | None,
    on_bytes: Callable[[int, int | None], None],
    check: Callable[[], None],
) -> None:
    done = start
    try:
        file = part.path.open("ab" if start else "wb", buffering=0)
    except OSError as error:
        raise unwritable(part, error, 0) from error
    with file:
        while True:
            check()
            on_bytes(done, total)
            try:
                chunk = connection.read(response)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Again(connection.failure(error)) from error
            if not chunk:
                break
            rest = memoryview(chunk)
            while rest:  # a disk that is nearly full takes a part of it
                try:
                    rest = rest[file.write(rest) :]
                except OSError as error:
                    raise unwritable(part, error, (total or done) - part.size) from error
            done += len(chunk)
    if reason := connection.failure():
        raise Again(reason)


def _accept(part: Part, told: Told, *, resumed: bool) -> Fetched:
    """Look at the whole file on the disk; what is wrong never gets its name."""
    size = part.size
    fault = fault_of(part.path, part.target.suffix)
    with part.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if told.total is not None and size != told.total:
        fault = f"{size} bytes long, expected {told.total}"
    elif told.sha256 is not None and sha256 != told.sha256:
        fault = f"not the expected file (sha256 {sha256[:12]}..., expected {told.sha256[:12]}...)"
    if fault is not None:
        part.discard()
        if resumed:  # perhaps pieces of two versions
            raise Again(f"what came is {fault}")
        raise DownloadFailed(f"what came is {fault}")
    part.finish()
    return Fetched(size=size, sha256=sha256, revision=told.revision)


def _check_room(part: Part, missing: int, spare: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if free < missing + spare:
        raise OutputFailed(
            f"disk full: {part.target.name} needs {amount(missing + spare)} in {part.path.parent}, "
            f"{amount(free)} are free; free some space, or choose another folder with ZIDO_HOME"
        )


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.2))


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2] or url
