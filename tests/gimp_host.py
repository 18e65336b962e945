"""Runs scripts inside the real GIMP, with the plug-in of this repository and a worker that is quick and exact."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zido.zido_core import __version__

from tests.hosts import GIMP_30, ROOT, worker_python

FACTS = {
    **{"executable": "python", "version": [3, 13, 5], "bits": 64, "platform": "linux-x86_64", "isolated": True},
    **{"can_make": False, "zido": __version__, "torch": "2.13.0", "lacking": []},
}
"""What the made-up Python says of itself."""

PYTHON = f"""#!/bin/sh
case "$*" in
  *"-m zido_core worker"*) exec /usr/bin/python3 {ROOT}/tests/gimp_worker.py ;;
  *same_pixels.py*) exec {worker_python()} "$@" ;;
  -c*) echo '{json.dumps(FACTS)}' ;;
  *) exec /usr/bin/python3 "$@" ;;
esac
"""


@dataclass(frozen=True)
class Gimp:
    """GIMP with a profile of its own."""

    home: Path
    """Its home; what lies in it has the same name inside and outside."""

    @classmethod
    def made_in(cls, home: Path) -> Gimp:
        """Make the profile: the plug-in is the one of this repository, the worker is made up."""
        GIMP_30.need()
        plugins = home / "gimp" / "plug-ins"
        plugins.mkdir(parents=True)
        (plugins / "zido").symlink_to(ROOT / "gimp", target_is_directory=True)
        python = home / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        return cls(home)

    def run(self, script: str, *files: Path, **environment: str) -> dict[str, Any]:
        """Run a script, which fills `answer`, after opening the files as a user does; returns the answer."""
        self.answer.unlink(missing_ok=True)
        ran = GIMP_30.run(
            self.command(script, files), home=self.home, environment=self.environment(**environment), timeout=300
        )
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
        told: dict[str, Any] = json.loads(self.answer.read_text())
        return told | {"stdout": ran.stdout, "stderr": ran.stderr}

    def start(self, script: str, **environment: str) -> subprocess.Popen[str]:
        """Start GIMP with its windows, and a script."""
        variables = dict(self.environment(**environment))
        if "DISPLAY" in variables:
            del variables["QT_QPA_PLATFORM"]
        program = ("gimp",) if "DISPLAY" in variables else ("gimp-console", "-i")
        self.answer.unlink(missing_ok=True)
        return GIMP_30.start(self.command(script, program=program), home=self.home, environment=variables)

    @property
    def answer(self) -> Path:
        """What the script says at its end, as JSON."""
        return self.home / "answer.json"

    def seen(self) -> list[dict[str, Any]]:
        """What the worker was given, job by job, by its own account."""
        notes = sorted(self.home.glob("seen-*"), key=lambda path: int(path.name.removeprefix("seen-")))
        return [json.loads(note.read_text()) for note in notes]

    def command(
        self, script: str, files: Sequence[Path] = (), program: Sequence[str] = ("gimp-console", "-i")
    ) -> list[str]:
        """What starts GIMP with the script."""
        path = self.home / "script.py"
        ending = f"\nopen({str(self.answer)!r}, 'w').write(json.dumps(answer, default=str))\n"
        path.write_text((ROOT / "tests" / "gimp_prelude.py").read_text() + script + ending)
        run = f"exec(open({str(path)!r}).read(), globals())"
        flags = ["-d", "-f", "-c", "--no-splash", "--batch-interpreter", "python-fu-eval", "-b", run, "--quit"]
        return [*program, *map(str, files), *flags]

    def environment(self, **more: str) -> Mapping[str, str]:
        """Variables of GIMP's process."""
        python = {"ZIDO_PYTHON": str(self.home / "python"), "QT_QPA_PLATFORM": "offscreen"}
        return {"GIMP3_DIRECTORY": str(self.home / "gimp"), "TMPDIR": str(self.home), **python, **more}


def leftovers(home: Path) -> list[Path]:
    """Folders of runs that were not cleaned up."""
    return [path for path in home.rglob("zido-run-*") if path.is_dir()]


def workers(home: Path) -> list[int]:
    """Processes that work for the GIMP of that home: workers, windows and the plug-in itself."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                own = f"HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if own and any(word in line for word in ("gimp_worker.py", "zido_core", "zido.py", "--answer")):
                    found.append(int(entry.name))
    return found
