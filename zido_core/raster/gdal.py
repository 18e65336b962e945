"""GDAL's settings while zido reads, and what GDAL says meanwhile.

GDAL reports through Python's logging and warnings; a library that prints either on stderr spoils the one-line
errors of the command line. `session` catches both for the calling thread, so that callers can tell the user
what matters.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio

LOGGERS = ("rasterio._env", "rasterio._err", "rasterio._io", "rasterio._base")
"""Loggers through which rasterio passes on GDAL's messages."""

OPTIONS = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    # Bytes; GDAL's own default is 5 % of the machine, per process. What is read is used once: little is gained by
    # more than a row of strips, and what lies here counts for every run.
    "GDAL_CACHEMAX": 64_000_000,
    # Where messages go that no handler takes: those of GDAL's own threads (JPEG 2000). Errors come back as such.
    "CPL_LOG": os.environ.get("CPL_LOG", os.devnull),
    # JPEG decoders fill the missing part of a cut file with grey and only warn.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",
    # ENVI, PNM and other bare pixel files: a cut one would read as zeros.
    "RAW_CHECK_FILE_SIZE": "YES",
    # Allow progressive JPEGs of the sizes that the pixel limit allows.
    "GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC": "YES",
}

_one_at_a_time = threading.RLock()


class _Recorder(logging.Filter):
    """Keeps the records of one thread from going further, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        if record.levelno >= logging.WARNING:
            self.messages.append(one_line(record.getMessage()))
        return False


@contextmanager
def session(*, remote: bool = False, network: bool = False) -> Iterator[list[str]]:
    """GDAL set up for reading; gives the list that collects its warnings and errors.

    `remote`: the dataset is no local file. `network`: a file may name others that are not local.
    """
    # Siblings (.msk, .aux.xml, world files) of local files are probed by name: listing is slow among a
    # million tiles. Those of remote files are not looked for, each probe would be a request.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR" if remote else "TRUE"}
    if not (remote or network):
        options["CPL_VSIL_CURL_ALLOWED_EXTENSIONS"] = ".nothing-remote-is-allowed"
    recorder = _Recorder()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(recorder)
    try:
        with rasterio.Env(**OPTIONS, **options):
            yield recorder.messages
    finally:
        for logger in loggers:
            logger.removeFilter(recorder)


@contextmanager
def quiet_warnings() -> Iterator[None]:
    """No Python warnings (identity transform, odd EXIF) while a file is opened: `SourceInfo` tells what they
    tell.

    Nor the "exception ignored" of rasterio where a message of GDAL quotes bytes of a damaged file. Both
    switches are the whole process's, hence the lock.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hook = sys.unraisablehook
        sys.unraisablehook = lambda found: None if "rasterio" in str(found.object) else hook(found)
        try:
            yield
        finally:
            sys.unraisablehook = hook


@contextmanager
def quiet_stderr(messages: list[str]) -> Iterator[None]:
    """Collects what libgeotiff writes about damaged keys, past GDAL and Python, to the process's stderr.

    Lines of anybody else that come in between are passed on.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            for line in file:
                if line.startswith(b"UnicodeDecodeError: "):
                    messages.append("a text in the file is not UTF-8")
                elif line.startswith((b"Warning: ", b"Error: ")):
                    messages.append(one_line(line.decode("utf-8", "replace")))
                else:
                    os.write(2, line)


def one_line(message: object, limit: int = 110) -> str:
    """`message` without line breaks and rasterio's prefix, cut to `limit` characters."""
    text = re.sub(r"^CPLE_\w+ in ", "", " ".join(str(message).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def reason(error: BaseException) -> str:
    """What GDAL said first: rasterio's own text is often just "see previous exception"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)
