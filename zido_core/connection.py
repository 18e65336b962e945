"""An HTTP connection that is given up when too little comes over it, be it while connecting or drop by drop.

A time-out of the socket alone does not see a server that sends a byte every few seconds, in headers or in content.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

READINGS = 4
"""How often the watch looks, within the time that a stall may last."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How patient a download is."""

    stall: float = 30.0
    """Seconds with less than ``least_rate`` after which a connection is given up."""

    least_rate: int = 1024
    """Bytes per second."""

    retries: int = 3
    """Attempts after the first, of one file from one source."""

    back_off: float = 1.0
    """Seconds before the first retry; each later one waits twice as long."""

    chunk: int = 2**20
    """Bytes read at once at most."""


class Connection:
    """One request with its redirections, watched while the context lasts."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._sockets: list[socket.socket] = []
        self._heard: list[http.client.HTTPMessage] = []
        self._received = 0
        self._over = threading.Event()
        self._stalled = False
        self._watch = threading.Thread(target=self._look, name="download watch", daemon=True)

    def __enter__(self) -> Connection:
        self._watch.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._watch.join()

    def failure(self, error: object = None) -> str:
        """Why it ended, in words: that it was given up, or else the error; empty for neither."""
        if self._stalled or isinstance(error, TimeoutError):
            return f"next to nothing came for {self._policy.stall:g} s"
        return "" if error is None else f"no connection ({error})"

    def open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request and wait for the head of the answer."""
        # Not build_opener: that one reads files and FTP, too, where a server redirects it there.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _Http(self._sockets),
            _Https(self._sockets),
            _Redirections(self._heard),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        response = cast("http.client.HTTPResponse", opener.open(request, timeout=self._policy.stall))
        self._heard.append(response.headers)
        return response

    def read(self, response: http.client.HTTPResponse) -> bytes:
        """What has come by now, at least a byte; empty at the end."""
        chunk = response.read1(self._policy.chunk)
        self._received += len(chunk)
        return chunk

    def heard(self, header: str) -> str:
        """A header of the answer, or of the redirections that led there; empty if there was none."""
        return next((message[header] for message in self._heard if message[header]), "")

    def _look(self) -> None:
        least = self._policy.least_rate * self._policy.stall
        readings = deque([0], maxlen=READINGS + 1)
        while not self._over.wait(self._policy.stall / READINGS):
            readings.append(self._received)
            if len(readings) > READINGS and readings[-1] - readings[0] < least:
                self._stalled = True
                for connected in list(self._sockets):
                    with contextlib.suppress(OSError, ValueError):
                        connected.shutdown(socket.SHUT_RDWR)
                return


class _Http(urllib.request.HTTPHandler):
    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_watched(http.client.HTTPConnection, self._sockets), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_watched(http.client.HTTPSConnection, self._sockets), req)


def _watched(kind: type[http.client.HTTPConnection], sockets: list[socket.socket]) -> Any:
    """That kind of connection, noting its socket."""

    class Watched(kind):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    return Watched


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows within HTTP, never from a safe connection to an open one, and keeps what was said on the way."""

    def __init__(self, heard: list[http.client.HTTPMessage]) -> None:
        self._heard = heard

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = ("https://",) if req.type == "https" else ("https://", "http://")
        if not newurl.lower().startswith(allowed):
            return None
        self._heard.append(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
