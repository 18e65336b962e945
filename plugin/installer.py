"""pip inside a managed environment: how it is called, what its lines mean, and why it failed, in words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..zido_core import errors
from .command import run
from .torch_build import Build

OF_THE_USER = (
    *("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST", "PROXY", "CERT", "CLIENT_CERT"),
    *("DEFAULT_TIMEOUT", "TIMEOUT", "RETRIES", "CONFIG_FILE", "CACHE_DIR", "NO_CACHE_DIR", "KEYRING_PROVIDER"),
)
"""Settings of pip that say how this computer reaches packages; those that say where to install them do not count."""

REASONS: Sequence[tuple[str, type[errors.ZidoError], str]] = (
    (r"No space left on device|not enough space on the disk|\[Errno 28\]", errors.OutputFailed, "the disk is full"),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        errors.DownloadFailed,
        "the certificate of the server, or of the proxy on the way to it, is not trusted here; ask your administrator",
    ),
    (
        r"ProxyError|407 Proxy Authentication",
        errors.DownloadFailed,
        "the proxy refuses; set https_proxy as this network wants it",
    ),
    (
        r"NewConnectionError|ConnectTimeout|ReadTimeout|name resolution|getaddrinfo failed|Connection (?:reset|aborted)"
        r"|IncompleteRead|Network is unreachable",
        errors.DownloadFailed,
        "the network does not answer; try again (what came is kept), or install from a folder of wheels",
    ),
    (
        r"No matching distribution found for (\S+)",
        errors.DownloadFailed,
        "there is no {0} for this Python and computer where packages are looked for",
    ),
    (r"\[WinError 206\]|path too long|File name too long", errors.OutputFailed, "a path is too long; set ZIDO_HOME"),
    (
        r"Permission ?(?:denied|Error)|\[WinError (?:5|32)\]",
        errors.OutputNotWritable,
        "a file cannot be written; close zido's other windows, and look whether a virus scanner keeps it",
    ),
)
"""What is looked for in the log, first match first; ``{0}`` is what the brackets found."""

TAIL = 64 * 1024
"""Bytes at the end of the log among which a reason is looked for."""


def settings(build: Build | None, wheelhouse: Path | None, temporary: Path) -> dict[str, str]:
    """Variables for pip: the user's own indexes, PyTorch's for its build, or nothing but a folder of wheels.

    ``temporary`` holds what is unpacked on the way: where /tmp is memory, PyTorch does not fit.
    """
    kept = {f"PIP_{name}": value for name in OF_THE_USER if (value := os.environ.get(f"PIP_{name}"))}
    if wheelhouse is not None:
        kept = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheelhouse.as_uri()}
    elif build is not None and build.index and "PIP_NO_INDEX" not in kept:
        kept["PIP_EXTRA_INDEX_URL"] = f"{kept.get('PIP_EXTRA_INDEX_URL', '')} {build.index}".strip()
    return kept | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))


def install(
    python: Path,
    wanted: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], bool],
    cancelled: Callable[[], bool],
) -> None:
    """Let pip install it. Raises an error that says why it cannot."""
    began = log.stat().st_size if log.exists() else 0
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *wanted]
    code = run(command, log=log, environment=environment, on_line=on_line, cancelled=cancelled)
    if code:
        raise why(written_since(log, began), code, log)


def written_since(log: Path, began: int) -> str:
    """What a log says behind that byte, at most its end."""
    with log.open("rb") as file:
        file.seek(max(began, log.stat().st_size - TAIL))
        return file.read().decode("utf-8", "replace")


def why(text: str, code: int, log: Path) -> errors.ZidoError:
    """What pip's complaint comes down to."""
    for pattern, kind, reason in REASONS:
        found = re.search(pattern, text)
        if found:
            return kind(f"cannot install: {reason.format(*found.groups())}. All of pip's words are in {log}")
    complaints = [line for line in text.splitlines() if line.lower().startswith("error")] or text.splitlines()[-1:]
    words = f"its last words were: {complaints[-1].strip()[:200]}" if complaints else "it said nothing"
    return errors.ZidoError(f"cannot install: pip ended with code {code}, and {words}. Its log is {log}")


def in_words(line: str) -> str | None:
    """What pip is doing, for the user; None if the line says nothing new."""
    collecting = re.match(r"Collecting ([\w.-]+)", line)
    if collecting:
        return f"looking for {collecting[1]}"
    loading = re.match(r"\s*(?:Downloading|Using cached) (?:\S*/)?([\w.]+-[\w.+!]+)-\S+(?: \((.+)\))?", line)
    if loading:
        return f"downloading {loading[1].replace('-', ' ')}{f' ({loading[2]})' if loading[2] else ''}"
    return "unpacking packages" if line.startswith("Installing collected packages") else None


def loaded(line: str) -> tuple[int, int] | None:
    """Bytes done and in total of the current download, where the line tells of it (pip's raw progress)."""
    told = re.fullmatch(r"Progress (\d+) of (\d+)", line)
    return (int(told[1]), int(told[2])) if told else None
