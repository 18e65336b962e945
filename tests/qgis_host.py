"""Runs the real QGIS with this plugin: `qgis_process`, its Python, and the desktop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosts import ROOT, Host
from tests.screen import Screen

INSIDE = ROOT / "tests" / "in_qgis"
"""Scripts that QGIS runs."""


@dataclass(frozen=True)
class Qgis:
    """A QGIS with a profile of its own, in which the plugin is switched on."""

    host: Host
    home: Path
    """Its home; what lies in it has the same name inside and outside."""

    @classmethod
    def made_in(cls, home: Path, host: Host) -> Qgis:
        """Make the profile; the plugin is this repository."""
        host.need()
        (home / "plugins").mkdir()
        (home / "plugins" / "zido").symlink_to(ROOT, target_is_directory=True)
        (home / "xdg").mkdir(mode=0o700)
        made = cls(host, home)
        enabled = made.process("plugins", "enable", "zido")
        assert enabled.returncode == 0, enabled.stderr
        return made

    def environment(self, **more: str) -> Mapping[str, str]:
        """Variables of its process."""
        own = {"XDG_RUNTIME_DIR": str(self.home / "xdg"), "QGIS_PLUGINPATH": str(self.home / "plugins")}
        return own | {"TMPDIR": str(self.home), "QT_QPA_PLATFORM": "offscreen"} | more

    def process(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``qgis_process``."""
        command: list[str | Path] = [self.host.program, *arguments]
        return self.host.run(command, home=self.home, environment=self.environment(**environment))

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Start ``qgis_process``."""
        command = [self.host.program, *arguments]
        return self.host.start(command, home=self.home, environment=self.environment(**environment))

    def script(self, name: str, *arguments: str | Path) -> None:
        """Run a script by the Python that QGIS has."""
        command = ["/usr/bin/python3", INSIDE / name, *arguments]
        ran = self.host.run(command, home=self.home, environment=self.environment(), timeout=300)
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]

    def desktop(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script in the program itself, on a screen that nobody sees."""
        command = ["qgis.bin", "--nologo", "--noversioncheck", "--code", INSIDE / name]
        variables = {key: value for key, value in self.environment().items() if key != "QT_QPA_PLATFORM"}
        with Screen() as screen:
            variables["DISPLAY"] = screen.display
            return self.host.run(command, home=self.home, environment=variables | environment, timeout=300)

    def look(self, path: Path) -> dict[str, Any]:
        """What GDAL says of a raster, its Python's words."""
        command = ["/usr/bin/python3", INSIDE / "look.py", path]
        ran = self.host.run(command, home=self.home, environment=self.environment())
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def workers(self) -> list[int]:
        """Workers that this QGIS started."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                line = (process / "cmdline").read_bytes()
                mine = f"ZIDO_CACHE={self.home}".encode() in (process / "environ").read_bytes()
            except OSError:
                continue
            if mine and (b"zido_core\0worker" in line or b"fake_worker.py" in line):
                found.append(int(process.name))
        return found
