"""Requests and events as JSON lines, which go between a host and its worker.

One JSON object per line, ``{"v": 1, "type": "progress", ...}``. Fields that have their default are left out,
unknown keys are ignored and an unknown type decodes to None, so that either side may be newer.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from . import errors, job
from .job import Job, Message
from .options import Options

PROTOCOL = 1
"""Version of the lines; a change that an older reader would misunderstand raises it."""

LINE_LIMIT = 64 * 1024
"""Longest line, bytes, its break included; guards either side against the other."""

_OTHERS = (job.Tag, job.Sample, job.Fade, job.View, job.Cancel, job.Shutdown)
_TOLD = (job.Started, job.Plan, job.Stage, job.Progress, job.Warning, job.Preview, job.Shown)
_ENDS = (job.Done, job.Failed, job.Cancelled)
_OF_THE_WORKER = (job.Hello, job.Heartbeat, job.Bye)

MESSAGES: Mapping[str, type[Message]] = {
    "run": Job,
    **{cls.__name__.lower(): cls for cls in (*_OTHERS, *_TOLD, *_ENDS, *_OF_THE_WORKER)},
}
"""The classes by the ``type`` of their lines."""

_TYPES = {cls: name for name, cls in MESSAGES.items()}


def encode(message: Message) -> str:
    """The message as one line of JSON, without the line break."""
    body: dict[str, Any] = {"v": PROTOCOL, "type": _TYPES[type(message)]}
    for part in dataclasses.fields(message):
        value = getattr(message, part.name)
        if isinstance(value, Options):
            value = value.to_dict()
            if not value:
                continue
        if value != part.default:
            body[part.name] = value
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


def decode(line: str) -> Message | None:
    """The message of a line; None for a type that this version does not know."""
    try:
        body = json.loads(line)
        version, cls = body["v"], MESSAGES.get(body["type"])
    except (ValueError, TypeError, KeyError):
        shown = line if len(line) <= 80 else line[:77] + "..."
        raise errors.ConfigurationError(f"not a message of zido: {shown!r}") from None
    if version != PROTOCOL:
        raise errors.ProtocolMismatch(
            f"the other side speaks version {version} of the protocol and this one version {PROTOCOL}; "
            "install the same version of zido on both"
        )
    if cls is None:
        return None
    known = {part.name for part in dataclasses.fields(cls)}
    values = {name: _immutable(value) for name, value in body.items() if name in known}
    if "options" in values:
        values["options"] = Options.from_dict(body["options"])
    try:
        return cls(**values)
    except TypeError as error:
        raise errors.ConfigurationError(f"incomplete message {body['type']!r}: {error}") from None


def to_bytes(message: Message) -> bytes:
    """The line as it goes through a pipe; also for file names that are no valid Unicode."""
    return encode(message).encode("utf-8", "surrogatepass") + b"\n"


def from_bytes(line: bytes) -> Message | None:
    """The message of such a line."""
    try:
        return decode(line.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return decode(line.decode("utf-8", "replace"))


def _immutable(value: Any) -> Any:
    return tuple(_immutable(item) for item in value) if isinstance(value, list) else value
