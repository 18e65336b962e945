"""The real QGIS and GIMP for tests: where they are on this machine, and how a program is run in one of them.

QGIS 3.22 is installed on the machine, QGIS 3.40 and GIMP 3.0 in a chroot (`.ci/hosts` makes both). What a host is to
see of the machine is mounted into the chroot for the time of one process, in a mount namespace of its own.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOSTS = Path(os.environ.get("ZIDO_HOSTS_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or "/var/tmp") / "zido-hosts")
REQUIRED = os.environ.get("ZIDO_REQUIRE_HOSTS", "0") != "0"


@dataclass(frozen=True, kw_only=True)
class Host:
    """A program that zido plugs into."""

    name: str
    """For messages."""

    program: str
    """Path of its executable, as it is inside the chroot."""

    chroot: Path | None = None
    """Folder of the system that it is installed in; None: this machine."""

    @property
    def here(self) -> bool:
        """Whether it can be run."""
        installed = Path(f"{self.chroot or ''}{self.program}").exists()
        return installed and (self.chroot is None or os.geteuid() == 0)

    def need(self) -> None:
        """Skip the test without it, or fail where hosts are required."""
        if not self.here:
            message = f"{self.name} is not installed ({self.program} in {self.chroot or '/'}): run .ci/hosts"
            pytest.fail(message) if REQUIRED else pytest.skip(message)

    def start(
        self, arguments: Sequence[str | Path], *, home: Path, environment: Mapping[str, str], **popen: Any
    ) -> subprocess.Popen[str]:
        """Start a program there, with nothing of this process's environment.

        `home`, the repository, and the Python with zido are to be seen under their own names in a chroot.
        """
        clean = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(home), "ZIDO_PYTHON": worker_python()}
        clean |= {"ZIDO_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        pairs = [f"{name}={value}" for name, value in (clean | dict(environment)).items()]
        command = ["/usr/bin/env", "-i", *pairs, *map(str, arguments)]
        if self.chroot is not None:
            if Path(worker_python()).resolve().is_relative_to("/usr/bin"):
                pytest.fail(f"{worker_python()} leads into /usr, which is another one in a chroot: make it elsewhere")
            command = _entered(self.chroot, [home, ROOT, *python_folders()], command)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_interrupts,  # pytest may have been started in the background, where they are not heard
            **popen,
        )

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        home: Path,
        environment: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end; one that takes longer is killed with all that it started."""
        process = self.start(arguments, home=home, environment=environment or {})
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"{self.name}: {arguments[0]} did not end within {timeout:g} s\n{out[-2000:]}\n{err[-2000:]}")
        return subprocess.CompletedProcess(list(map(str, arguments)), process.returncode, out, err)


QGIS_322 = Host(name="QGIS 3.22", program="/usr/bin/qgis_process.bin")
QGIS_340 = Host(name="QGIS 3.40", program="/usr/bin/qgis_process.bin", chroot=HOSTS / "trixie")
GIMP_30 = Host(name="GIMP 3.0", program="/usr/bin/gimp-console", chroot=HOSTS / "trixie")


def worker_python() -> str:
    """The Python that has zido_core installed."""
    return os.environ.get("ZIDO_PYTHON") or sys.executable


@cache
def python_folders() -> list[Path]:
    """Folders that this Python needs: where it lies, its environment, and what that was made from."""
    asked = "import sys, sysconfig; print(sys.prefix, sys.base_prefix, sysconfig.get_path('purelib'), sep='\\n')"
    answer = subprocess.run([worker_python(), "-c", asked], capture_output=True, text=True, check=True).stdout
    folders = [Path(worker_python()).parent, *map(Path, answer.splitlines())]
    return [folder for folder in dict.fromkeys(folders) if not folder.is_relative_to("/usr")]


def _entered(chroot: Path, folders: Sequence[Path], command: Sequence[str]) -> list[str]:
    """The command, run in the chroot, where the folders have the names that they have here."""
    steps = ["set -e"]
    for folder in dict.fromkeys([Path("/proc"), Path("/dev"), *folders]):
        inside = shlex.quote(f"{chroot}{folder}")
        steps.append(f"mkdir -p {inside}; mount --bind {shlex.quote(str(folder))} {inside}")
    steps.append(f"exec /usr/sbin/chroot {shlex.quote(str(chroot))} {shlex.join(command)}")
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", "; ".join(steps)]


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
