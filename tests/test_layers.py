"""Who may import whom, and what files may be called and how long they may get."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("zido_core", "plugin", "qgis", "gimp")
LIGHT_SET = {"errors", "model_files", "catalog", "option_spec", "steering", "defaults", "options", "job", "pace"}
LIGHT_SET |= {"folders", "store_lock", "wire", "words", "workforce"}
HOST_PACKAGES = {"qgis", "gi", "PyQt5", "PyQt6", "PySide2", "PySide6", "sip", "plugin", "gimp"}
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".yml", ".yaml", ".sh", ".cfg", ".ini", ""}

# A path that exists on one machine only, or the address of a package index: neither belongs into a project.
ONE_MACHINE = re.compile(
    r"(?<![\w./>~-])/(?:home|root|Users|mnt|media|srv)/\w"
    r"|(?<![\w./])/\w+/(?:main|shared|scratch)\b"
    r"|--(?:extra-)?index-url|--find-links|://[\w.-]*(?:pypi|pythonhosted|files\.python)[\w.-]*/"
)


def project_files() -> list[Path]:
    """Files that git has, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so it is not known which files belong to the project")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_import_contracts_are_kept() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


def test_core_names_no_host_even_where_it_would_import_late() -> None:
    found = [f"{path.relative_to(ROOT)}: {name}" for path in modules("zido_core") for name in imports(path)]
    assert [line for line in found if line.rsplit(" ")[-1] in HOST_PACKAGES] == []


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports by absolute name, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_plugin_takes_only_the_light_set_of_the_core() -> None:
    taken = {
        f"{path.name}: {name}"
        for path in modules("plugin")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level and (node.module or "").startswith("zido_core")
        for name in ([node.module.partition(".")[2]] if "." in node.module else [each.name for each in node.names])
    }
    assert taken
    assert {line for line in taken if line.partition(": ")[2] not in LIGHT_SET | {"__version__"}} == set()


def test_plugin_needs_the_standard_library_and_reaches_qt_through_one_module() -> None:
    paths = [path for path in modules("plugin") if path.name != "qt.py"]
    found = {f"{path.name}: {name}" for path in paths for name in imports(path) - sys.stdlib_module_names}
    assert found == set()


def test_gimp_plug_in_needs_nothing_but_gimp_and_the_light_set() -> None:
    paths = [path for path in modules("gimp") if path.name != "same_pixels.py"]  # that one is run by zido's Python
    found = {f"{path.name}: {name}" for path in paths for name in imports(path) - sys.stdlib_module_names}
    assert {line for line in found if line.partition(": ")[2] not in {"gi", "zido"}} == set()
    taken = {
        (node.module or "").partition(".")[2]
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 2 and (node.module or "").startswith("zido_core.")
    }
    assert taken <= LIGHT_SET
    assert not (ROOT / "gimp" / "__init__.py").exists()


def test_core_imports_itself_relatively() -> None:
    """Inside a host it is loaded as `zido.zido_core`; an absolute import would load it a second time."""
    assert [str(path) for path in modules("zido_core") if "zido_core" in imports(path)] == []


def test_qgis_folder_does_not_hide_the_real_qgis() -> None:
    assert not (ROOT / "qgis" / "__init__.py").exists()
    assert not (ROOT / "tests" / "qgis").exists()


def test_no_grab_bag_files() -> None:
    grab_bags = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert [str(path) for path in modules(*PRODUCT) if path.stem in grab_bags] == []


@pytest.mark.parametrize("folder", PRODUCT)
def test_files_stay_readable_in_one_sitting(folder: str) -> None:
    limits = {path: 600 if path.parent.name == "nets" else 400 for path in modules(folder)}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits}
    assert {str(path): n for path, n in lengths.items() if n > limits[path]} == {}


def test_nothing_names_one_machine() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in project_files()
        if path.suffix in TEXT and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if ONE_MACHINE.search(line)
    ]
    assert named == []
