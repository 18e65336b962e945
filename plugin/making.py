"""How an environment is made: a virtual environment, PyTorch, zido from this plugin with what it needs, a check."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ..zido_core.errors import Cancelled, ModelMissing, ZidoError
from ..zido_core.job import EventSink, Progress, Stage
from . import candidates, installer
from .command import answer, run
from .torch_build import Build
from .wheel import ROOT, make_wheel

STEPS = {"making an environment": 3, "installing PyTorch": 62, "installing zido and what it needs": 30, "checking": 5}
"""The parts of the work, and what part of the time each takes, in percent."""

UNKNOWN_SIZE = 500 * 2**20
"""Bytes that a step may download, where nothing better is known."""

MANY_PACKAGES = 160
"""Lines about packages in a step, roughly: each is looked for and downloaded."""


class Making:
    """The steps of making one environment, each told to the user."""

    def __init__(
        self,
        place: Path,
        build: Build,
        wheelhouse: Path | None,
        on_event: EventSink,
        cancelled: Callable[[], bool],
    ) -> None:
        self._place, self._build, self._wheelhouse = place, build, wheelhouse
        self._tell, self._cancelled = on_event, cancelled
        self._log = place.parent / f"{place.name}.log"
        self._temporary = place / "tmp"
        self._python = candidates.python_of(place)
        self._step = self._loaded = self._packages = self._permille = 0

    def run(self, base: str, extras: Sequence[str]) -> Path:
        self._begin()
        code = run([base, "-m", "venv", str(self._place)], log=self._log, cancelled=self._cancelled)
        if code:
            raise installer.why(installer.written_since(self._log, 0), code, self._log)
        self._temporary.mkdir()
        self._newer_pip()
        constraints = ["-c", str(ROOT / "constraints.txt"), *self._raw_progress()]
        self._begin(f", {self._build.title}")
        self._install([*constraints, "torch"], self._build)
        self._begin()
        wheel = make_wheel(self._temporary)
        self._install([*constraints, f"{wheel}[{','.join(extras)}]" if extras else str(wheel)], None)
        self._begin()
        self._examine()
        remove_tree(self._temporary)
        self._progress(1.0)
        return self._python

    def refresh(self) -> Path:
        """Exchange zido alone. pip does nothing if a package that it needs is not there."""
        self._temporary.mkdir(exist_ok=True)
        try:
            self._wheelhouse = self._temporary
            self._install([str(make_wheel(self._temporary))], None)
        finally:
            remove_tree(self._temporary)
        return self._python

    def _begin(self, more: str = "") -> None:
        name, count = list(STEPS)[self._step], len(STEPS)
        self._step += 1
        self._loaded = self._packages = 0
        self._tell(Stage(name=name + more, index=self._step, count=count))
        self._progress(0.0)

    def _install(self, wanted: Sequence[str], build: Build | None) -> None:
        installer.install(
            self._python,
            wanted,
            environment=installer.settings(build, self._wheelhouse, self._temporary),
            log=self._log,
            on_line=self._hear,
            cancelled=self._cancelled,
        )

    def _hear(self, line: str) -> bool:
        """A line of pip; whether it has been used up, so that the log does not need it."""
        loaded = installer.loaded(line)
        if loaded is not None:
            done, total = loaded
            expected = max(UNKNOWN_SIZE, self._loaded + total)
            self._progress(0.9 * (self._loaded + done) / expected)
            if done == total:
                self._loaded += total
            return True
        words = installer.in_words(line)
        if words is not None and self._step:
            self._packages += 1
            self._progress(0.9 * self._packages / MANY_PACKAGES)
            self._tell(Stage(name=words, index=self._step, count=len(STEPS)))
        return False

    def _progress(self, part: float) -> None:
        """How far the whole is, from the part of this step that is done."""
        shares = list(STEPS.values())
        permille = round(10 * (sum(shares[: self._step - 1]) + shares[self._step - 1] * min(1.0, part)))
        if permille > self._permille:
            self._permille = permille
            self._tell(Progress(done=permille, total=1000))

    def _newer_pip(self) -> None:
        """Have a pip that tells how far a download is; it goes without, too."""
        if not self._raw_progress():
            try:
                self._install(["--upgrade", "pip"], None)
            except Cancelled:
                raise
            except ZidoError:
                return

    def _raw_progress(self) -> list[str]:
        """Progress as lines, which pip knows since 24.1."""
        told = answer([str(self._python), "-m", "pip", "--version"], log=self._log, cancelled=self._cancelled)
        version = re.match(r"pip (\d+)\.(\d+)", told[0] if told else "")
        known = version is not None and (int(version[1]), int(version[2])) >= (24, 1)
        return ["--progress-bar", "raw"] if known else []

    def _examine(self) -> None:
        """Let the new zido look whether all that it needs loads."""
        command = [str(self._python), "-m", "zido_core", "doctor", "--json"]
        told = answer(command, log=self._log, cancelled=self._cancelled)
        try:
            checks = json.loads(told[-1])["checks"]
        except (IndexError, ValueError, KeyError, TypeError) as error:
            raise ModelMissing(f"zido does not start in the new environment; its log is {self._log}") from error
        wrong = [f"{check['name']} {check['found']}" for check in checks if not check["ok"] and check["name"] != "disk"]
        if wrong:
            raise ModelMissing(f"the new environment does not work: {'; '.join(wrong)}. Its log is {self._log}")


def remove_tree(place: Path) -> None:
    """Delete a folder as far as possible; Windows keeps what is open, and the next run finds the rest."""
    shutil.rmtree(place, ignore_errors=True)
