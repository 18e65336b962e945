"""The documents say what is true."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zido_core
from zido_core.option_spec import specs_of
from zido_core.options import Options

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("name", "lines"), [("README.md", 150), ("CONTRIBUTING.md", 80)])
def test_first_reading_is_short(name: str, lines: int) -> None:
    assert len(text(name).splitlines()) <= lines


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_make_commands_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        shell = "".join(code_blocks(name, "(?:sh|bash)"))
        assert set(re.findall(r"^make ([a-z-]+)", shell, re.MULTILINE)) <= targets, name
    assert {"demo", "test"} <= targets


def test_python_in_the_readme_compiles() -> None:
    blocks = code_blocks("README.md", "python")
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


def test_options_named_in_python_examples_exist() -> None:
    for block in code_blocks("README.md", "python"):
        for call in ast.walk(ast.parse(block)):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("upscale"):
                assert {keyword.arg for keyword in call.keywords} <= specs_of(Options).keys() | {"dst"}


def test_flags_named_in_shell_examples_exist() -> None:
    command = [sys.executable, "-m", "zido_core"]
    shown = "".join(
        subprocess.run([*command, *of, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for of in ([], ["evaluate"], ["models", "path"], ["install-plugin"], ["worker"])
    )
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", shown))
    for path in DOCUMENTS:
        lines = "".join(code_blocks(str(path.relative_to(ROOT)), "(?:sh|bash)")).splitlines()
        ours = [line.partition("#")[0] for line in lines if re.search(r"(-m zido_core|\bzido) ", line)]
        named = {flag for line in ours for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)} - {"-m"}
        assert named <= known, path


def test_functions_that_the_methods_name_exist() -> None:
    named = re.findall(r"`((?:[a-z]\w*\.)+[A-Za-z]\w*)`", text("docs/methods.md"))
    ours = [name for name in named if (ROOT / "zido_core" / name.split(".")[0]).is_dir() or _is_module(name)]
    assert ours
    for name in ours:
        made: object = zido_core
        for part in name.split("."):
            if not hasattr(made, part):
                made = importlib.import_module(f"{made.__name__}.{part}")  # type: ignore[attr-defined]
            else:
                made = getattr(made, part)


def _is_module(name: str) -> bool:
    return (ROOT / "zido_core" / f"{name.split('.')[0]}.py").is_file()


def test_changelog_tells_of_this_version() -> None:
    assert f"## [{zido_core.__version__}]" in text("CHANGELOG.md")


def test_architecture_has_a_paragraph_for_every_module() -> None:
    described = set(re.findall(r"`([\w/]+(?:\.py|/))`", text("ARCHITECTURE.md")))
    core = ROOT / "zido_core"
    modules = {path.relative_to(core).as_posix() for path in core.rglob("*.py") if path.name != "__init__.py"}
    modules |= {f"plugin/{path.name}" for path in (ROOT / "plugin").glob("*.py") if path.name != "__init__.py"}
    assert modules - described == set()
    homes = (core, ROOT)
    gone = {name for name in described if name.endswith(".py") and not any((home / name).exists() for home in homes)}
    assert gone == set()


def test_tests_named_in_the_architecture_exist() -> None:
    named = set(re.findall(r"`tests/(test_\w+\.py)`", text("ARCHITECTURE.md")))
    assert named
    assert {name for name in named if not (ROOT / "tests" / name).exists()} == set()


def test_help_in_the_documents_is_the_real_one() -> None:
    """``make docs`` writes it anew."""
    command = [sys.executable, "-m", "zido_core", "--help"]
    environment = os.environ | {"COLUMNS": "80"}
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert text("docs/help.txt") == shown
