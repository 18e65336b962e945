"""The window on its own: ``python -m plugin picture.tif`` in the repository, or ``python path/to/plugin picture.tif``.

With ``--answer FILE`` it does not do the job itself: pressing the button writes what is to be done to that file, as
JSON, and ends with code 0; closing the window ends with code 1 and writes nothing. That is how GIMP asks its user.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dialog import Dialog

ANSWERED, CLOSED = 0, 1
"""Exit codes of ``--answer``."""

ASKED_ALWAYS = ("model", "preset", "scale", "fidelity", "prompts")
"""Options that the window is built around."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the window until it is closed; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.answer is not None and not given.input:
        parser.error("--answer needs the picture that is asked about")
    from ..zido_core.errors import ZidoError

    try:
        return _show(given)
    except ZidoError as error:
        print(f"zido: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m plugin", description="The window of zido: upscale a raster or picture, and compare."
    )
    parser.add_argument("input", nargs="?", default="", help="raster or picture to begin with")
    parser.add_argument("-o", "--output", default="", help="where the result goes (default: beside the input)")
    parser.add_argument("--options", metavar="JSON", help="options to begin with, as a JSON object or @FILE")
    parser.add_argument("--python", metavar="PATH", help="the Python that has zido (default: it is looked for)")
    parser.add_argument(
        "--answer",
        metavar="FILE",
        help="do nothing but ask: write input, output, options and python to this file as JSON and end with code 0, "
        "or end with code 1 when the window is closed",
    )
    parser.add_argument(
        "--without", metavar="NAMES", default="", help="options that are not asked for with --answer: resume,overwrite"
    )
    parser.add_argument("--title", default="", help="title of the window")
    return parser


def _show(given: argparse.Namespace) -> int:
    from ..zido_core.options import Options
    from .dialog import Dialog
    from .qt import application

    options = Options.from_dict(_json(given.options)) if given.options else None
    app = application("zido")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C; the worker leaves when this process is gone
    asks = given.answer is not None
    dialog = Dialog(
        python=given.python,
        own_python=sys.executable,
        answers=asks,
        without=_names(given.without) if asks else (),
        keep=Path(given.answer).absolute().parent if asks else None,
    )
    if given.title:
        dialog.setWindowTitle(given.title)
    if options is not None:
        dialog.form.show_options(options)
    dialog.form.output.show_path(given.output)
    if given.input:
        dialog.open_input(os.path.abspath(given.input))
    dialog.finished.connect(app.exit)
    if asks:
        _leave_with_host()
    dialog.show()
    accepted = app.exec() == dialog.DialogCode.Accepted
    if not asks:
        return 0
    if not accepted:
        return CLOSED
    _write(Path(given.answer), dialog, given.output, given.python)
    return ANSWERED


def _names(text: str) -> list[str]:
    from ..zido_core.errors import InvalidOptions
    from ..zido_core.options import OPTIONS

    names = [name.strip().replace("-", "_") for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in OPTIONS or name in ASKED_ALWAYS]
    if unknown:
        raise InvalidOptions(f"--without has {', '.join(unknown)}; expected options that the window could do without")
    return names


def _leave_with_host() -> None:
    """End when the pipe to whoever asks closes: there is nobody left to answer."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def wait() -> None:
        while os.read(0, 4096):
            continue
        os._exit(CLOSED)  # the worker sees its own pipe close, and leaves, too

    threading.Thread(target=wait, name="host", daemon=True).start()


def _json(text: str) -> dict[str, object]:
    from ..zido_core.errors import ConfigurationError

    try:
        value = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--options cannot be read: {error}; give a JSON object or @FILE") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"--options is {text[:60]}; expected a JSON object")
    return value


def _write(path: Path, dialog: Dialog, output: str, python: str | None) -> None:
    """The answer appears complete or not at all."""
    job = dialog.job()
    answer = {
        "version": 1,
        "input": job.input,
        "output": output or None,
        "options": job.options.to_dict(),
        "python": dialog.engine.python or python,
    }
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(json.dumps(answer, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def _as_package() -> None:
    """Run again as a part of the package `zido`, which is the folder above whatever it is called.

    What pip has installed has no `zido_core` there; that of this Python takes its place.
    """
    root = Path(os.path.abspath(__file__)).parent.parent
    installed = None if (root / "zido_core").is_dir() else importlib.util.find_spec("zido_core")
    places = [str(root), *(str(Path(place).parent) for place in _places(installed))]
    spec = importlib.util.spec_from_file_location("zido", root / "__init__.py", submodule_search_locations=places)
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["zido"] = package
    spec.loader.exec_module(package)
    from importlib import import_module

    sys.exit(import_module("zido.plugin.__main__").main())


def _places(spec: ModuleSpec | None) -> Sequence[str]:
    """Folders of a package."""
    return () if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations


if __name__ == "__main__":
    _as_package()
