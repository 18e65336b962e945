"""Builds the plugins' zips and checks them as the plugin repository of QGIS does: ``python .ci/package.py qgis``.

The rules are those of https://plugins.qgis.org: keys of metadata.txt, 25 MB, one folder, nothing compiled, Bandit and
detect-secrets without a finding.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import get_args

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from zido_core import __version__  # noqa: E402
from zido_core.plugin_files import GIMP_ENTRY, Host, files_of  # noqa: E402

TOP = "zido"
LARGEST = 25_000_000
REQUIRED = ("name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker", "repository")
EXPECTED = {"qgisMinimumVersion": "3.22", "qgisMaximumVersion": "4.99", "hasProcessingProvider": "yes"}
FORBIDDEN_FOLDERS = {"__MACOSX", "__pycache__", ".git"}
FORBIDDEN_ENDS = (".pyc", ".pyo", ".pyd", ".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".ps1", ".cmd")
DATA_ENDS = (".safetensors", ".png")
"""Files that are no text: weights, which are numbers with a header in JSON, and pictures."""
HIDDEN = {".bandit"}
"""Settings of the repository's own scanner may be hidden files."""
MOMENT = (2020, 1, 1, 0, 0, 0)
"""So that equal files make an equal zip."""


def build(host: Host, folder: Path) -> Path:
    """Write the zip of a plugin; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"zido-{'' if host == 'qgis' else f'{host}-'}{__version__}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, origin in sorted(files_of(host).items()):
            entry = zipfile.ZipInfo(f"{TOP}/{name}", MOMENT)
            entry.external_attr = (0o100755 if (host, name) == ("gimp", GIMP_ENTRY) else 0o100644) << 16
            archive.writestr(entry, origin.read_bytes(), zipfile.ZIP_DEFLATED)
    return path


def faults(path: Path, host: Host) -> list[str]:
    """What the repository would refuse, or would not work."""
    found = [] if path.stat().st_size <= LARGEST else [f"has {path.stat().st_size} bytes, {LARGEST} are allowed"]
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            found += [f"{entry.filename}: {fault}" for fault in _faults_of(entry, archive.read(entry), host)]
        names = set(archive.namelist())
        wanted = {"__init__.py", "LICENSE", "pyproject.toml", "zido_core/weights/mini.safetensors"}
        wanted |= {"metadata.txt", "qgis/shell.py"} if host == "qgis" else {GIMP_ENTRY}
        found += [f"lacks {TOP}/{name}" for name in sorted(wanted) if f"{TOP}/{name}" not in names]
        if host == "qgis":
            found += _faults_of_metadata(archive.read(f"{TOP}/metadata.txt").decode(), names)
    return found


def _faults_of(entry: zipfile.ZipInfo, content: bytes, host: Host) -> Iterator[str]:
    parts = PurePosixPath(entry.filename).parts
    if parts[0] != TOP or ".." in parts or "\\" in entry.filename:
        yield f"is not in the folder {TOP}"
    if FORBIDDEN_FOLDERS & set(parts) or entry.filename.lower().endswith(FORBIDDEN_ENDS):
        yield "may not be in a plugin"
    if parts[-1].startswith(".") and parts[-1] not in HIDDEN:
        yield "is hidden"
    is_gimps_entry = host == "gimp" and parts[1:] == (GIMP_ENTRY,)
    if bool(entry.external_attr >> 16 & 0o111) != is_gimps_entry:
        yield "must be executable" if is_gimps_entry else "may not be executable"
    if entry.filename.endswith(DATA_ENDS):
        return
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield "is neither text nor a known kind of data"


def _faults_of_metadata(text: str, names: set[str]) -> Iterator[str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(text)
    told = dict(parser["general"])
    yield from (f"metadata.txt lacks {key}" for key in REQUIRED if not told.get(key, "").strip())
    for key, value in (EXPECTED | {"version": __version__}).items():
        if told.get(key) != value:
            yield f"metadata.txt has {key}={told.get(key)}, expected {value}"
    if f"{TOP}/{told.get('icon')}" not in names:
        yield f"metadata.txt names the icon {told.get('icon')}, which is not in the zip"
    if "plugin" in told.get("name", "").lower() or "/" in told.get("author", ""):
        yield "metadata.txt: the name may not have the word plugin in it, nor the author a slash"
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    for key, url in (("repository", "Repository"), ("tracker", "Issues"), ("homepage", "Homepage")):
        if told.get(key) != urls.get(url):
            yield f"metadata.txt has {key}={told.get(key)}, and pyproject.toml {url} = {urls.get(url)}"


def findings(*paths: Path) -> list[str]:
    """What the repository's scanners say of zips that are unpacked over one another."""
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        return [*_bandit(folder), *_secrets(folder)]


def _bandit(folder: str) -> Iterator[str]:
    for found in _told("bandit", ["-r", ".", "-f", "json", "--quiet"], folder)["results"]:
        yield f"{found['filename']}:{found['line_number']}: {found['test_id']} {found['issue_text']}"


def _secrets(folder: str) -> Iterator[str]:
    arguments = ["scan", "--all-files", "--exclude-files", r"metadata\.txt", "."]
    for name, found in _told("detect_secrets", arguments, folder)["results"].items():
        yield from (f"{name}:{each['line_number']}: {each['type']}" for each in found)


def _told(tool: str, arguments: list[str], folder: str) -> dict:
    command = [sys.executable, "-m", tool, *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    try:
        return json.loads(ran.stdout)
    except ValueError:
        raise SystemExit(f"{tool} failed: {ran.stderr.strip()[-500:]}") from None


def main(host: Host) -> int:
    """Build, check, say what was found; returns the exit code."""
    path = build(host, ROOT / "dist")
    wrong = faults(path, host)
    lacking = [tool for tool in ("bandit", "detect_secrets") if find_spec(tool) is None]
    if lacking:
        wrong.append(f"cannot be scanned: {' and '.join(lacking)} are not installed")
    else:
        wrong += findings(path)
    for fault in wrong:
        print(f"{path.name}: {fault}", file=sys.stderr)
    with zipfile.ZipFile(path) as archive:
        if host == "qgis" and b"example.org" in archive.read(f"{TOP}/metadata.txt"):
            print(f"{path.name}: note: addresses in metadata.txt are placeholders; an upload needs real ones")
        print(f"{path}: {len(archive.namelist())} files, {path.stat().st_size / 1e6:.1f} MB, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] and sys.argv[1] in get_args(Host) else "qgis"))
