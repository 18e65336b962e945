"""Every error that zido raises on purpose.

A message is one line for people: what was found, what was expected, what to do. Each class also derives from the
built-in that a caller of such a function would catch, and carries the exit code of the command line::

    ZidoError (70)
    ├── InvalidOptions (2, ValueError)      an option is unknown, out of range or contradicts another
    ├── BadInput (65, ValueError)           the input can be opened, but not upscaled
    ├── InputNotFound (66, FileNotFoundError)
    ├── InputRefused (65, PermissionError)  the input reaches out (VRT, URL) and that was not allowed
    ├── ModelMissing (69, LookupError)      weights or an optional package are not there
    ├── DownloadFailed (69, ConnectionError) no source gave a file that is wanted
    ├── DeviceUnavailable (69, RuntimeError)
    ├── OutOfMemory (71, MemoryError)
    ├── NotFinite (70, ArithmeticError)     the network produced NaN, also in full precision
    ├── OutputNotWritable (73, OSError)     exists already, no permission, no such folder
    ├── OutputFailed (74, OSError)          disk full, or what was written does not read back
    ├── ConfigurationError (78, ValueError) a prompts file, a model card or a settings file is wrong
    │   └── ProtocolMismatch                host and worker are of versions that do not understand each other
    └── Cancelled (130)
"""

from __future__ import annotations


class ZidoError(Exception):
    """Root of all errors raised on purpose; anything else that escapes is a bug."""

    exit_code = 70
    """Exit status of the command line (the sysexits family)."""


class InvalidOptions(ZidoError, ValueError):
    exit_code = 2


class BadInput(ZidoError, ValueError):
    exit_code = 65


class InputNotFound(ZidoError, FileNotFoundError):
    exit_code = 66


class InputRefused(ZidoError, PermissionError):
    exit_code = 65


class ModelMissing(ZidoError, LookupError):
    exit_code = 69


class DownloadFailed(ZidoError, ConnectionError):
    exit_code = 69


class DeviceUnavailable(ZidoError, RuntimeError):
    exit_code = 69


class OutOfMemory(ZidoError, MemoryError):
    exit_code = 71


class NotFinite(ZidoError, ArithmeticError):
    exit_code = 70


class OutputNotWritable(ZidoError, OSError):
    exit_code = 73


class OutputFailed(ZidoError, OSError):
    exit_code = 74


class ConfigurationError(ZidoError, ValueError):
    exit_code = 78


class ProtocolMismatch(ConfigurationError):
    pass


class Cancelled(ZidoError):
    exit_code = 130
