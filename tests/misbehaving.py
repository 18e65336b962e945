"""An HTTP server on this machine that serves one file, well or badly, and notes what it was asked."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = '"version-1"'


class Handler(BaseHTTPRequestHandler):
    """``/WAY/NAME``: the first part of the path says how to serve; ``/WAY-2/``: so for two requests, then well."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        way, _, times = self.path.split("/")[1].partition("-")
        self.server.asked.append((self.path, dict(self.headers)))
        count = sum(path == self.path for path, _ in self.server.asked)
        if times.isdigit() and count > int(times):
            way = "well"
        with contextlib.suppress(OSError):  # the client may leave whenever it likes
            getattr(self, f"serve_{way}", self.serve_missing)()

    def answer(self, status: int, content: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def start(self) -> int:
        """Where the client wants to go on."""
        asked = self.headers.get("Range", "bytes=0-")
        same = self.headers.get("If-Range", self.server.etag) == self.server.etag
        return int(asked.removeprefix("bytes=").rstrip("-")) if same else 0

    def serve_well(self) -> None:
        content, start = self.server.content, self.start()
        if start >= len(content):
            self.answer(416, b"", Content_Range=f"bytes */{len(content)}")
        elif start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], ETag=self.server.etag, Content_Range=place)
        else:
            self.answer(200, content, ETag=self.server.etag)

    def serve_cut(self) -> None:
        """Half of what is left, then nothing."""
        content, start = self.server.content, self.start()
        rest = content[start:]
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        half = rest[: (len(rest) + 1) // 2]
        self.answer(206 if start else 200, half, length=len(rest), ETag=self.server.etag, Content_Range=place)

    def serve_noranges(self) -> None:
        first = not any("Range" in headers for _, headers in self.server.asked)
        content = self.server.content
        self.answer(200, content[:1000] if first else content, length=len(content))

    def serve_wrongrange(self) -> None:
        if "Range" not in self.headers:
            self.serve_cut()
            return
        self.answer(206, self.server.content, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")

    def serve_always416(self) -> None:
        self.answer(416, b"", Content_Range="bytes */1")

    def serve_busy(self) -> None:
        self.answer(503, b"later", Retry_After="0")

    def serve_missing(self) -> None:
        self.answer(404, b"no such file")

    def serve_empty(self) -> None:
        self.answer(200, b"")

    def serve_short(self) -> None:
        """Less than there should be, and content with it."""
        self.answer(200, self.server.content[:-7])

    def serve_other(self) -> None:
        """Other content of the same length."""
        self.answer(200, bytes(reversed(self.server.content)))

    def serve_page(self) -> None:
        self.answer(200, b"<!DOCTYPE html><title>Sign in to this network</title>")

    def serve_zipped(self) -> None:
        self.answer(200, self.server.content, Content_Encoding="gzip")

    def serve_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(CONTENT), 30_000):
            piece = CONTENT[start : start + 30_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def serve_around(self) -> None:
        hub = {"X_Linked_ETag": f'"{self.server.linked}"', "X_Repo_Commit": "c" * 40}
        self.answer(302, b"", Location="/well/elsewhere", **hub)

    def serve_circle(self) -> None:
        self.answer(302, b"", Location=self.path)

    def serve_tofile(self) -> None:
        self.answer(302, b"", Location=f"file://{__file__}")

    def serve_silence(self) -> None:
        self.server.released.wait(5)

    def serve_drops(self) -> None:
        """A byte now and then, so that no time-out of a socket ever fires."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.drop(CONTENT)

    def serve_slowhead(self) -> None:
        self.drop(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000)

    def drop(self, content: bytes) -> None:
        for index in range(len(content)):
            self.wfile.write(content[index : index + 1])
            self.wfile.flush()
            if self.server.released.wait(0.05):
                return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Quietly."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = ETAG
        self.linked = SHA256
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()

    def url(self, way: str, name: str = "weights") -> str:
        return f"http://127.0.0.1:{self.server_port}/{way}/{name}"

    @property
    def starts(self) -> list[str | None]:
        """The range of every request."""
        return [headers.get("Range") for _, headers in self.asked]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are what the tests are about."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join(timeout=5)
