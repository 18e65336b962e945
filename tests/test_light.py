"""What hosts import needs the standard library only, under either name of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

HEAVY = ("torch", "numpy", "rasterio", "PIL", "diffusers", "transformers", "safetensors", "tqdm")
LIGHT = (
    *("errors", "catalog", "option_spec", "options", "job", "pace", "folders", "store_lock"),
    *("naming", "interrupt", "device", "channel", "worker"),
)


def run_blocked(code: str, blocked: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run code where importing any of the blocked packages raises ImportError."""
    prologue = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules.update(dict.fromkeys({blocked!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", prologue + code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("module", LIGHT)
def test_the_light_set_needs_the_standard_library_only(module):
    ended = run_blocked(f"import zido_core.{module}", (*HEAVY, "click"))
    assert ended.returncode == 0, ended.stderr


def test_the_light_set_works_inside_a_host(tmp_path):
    (tmp_path / "zido").symlink_to(ROOT, target_is_directory=True)
    code = (
        f"sys.path[0] = {str(tmp_path)!r}\n"
        "from zido.zido_core import job, options, wire, __version__\n"
        "import zido.zido_core\n"
        "assert zido.zido_core.Options is options.Options\n"
        "assert 'zido_core' not in sys.modules\n"
        "assert wire.decode(wire.encode(job.Job(input='a'))) == job.Job(input='a')\n"
    )
    ended = run_blocked(code, (*HEAVY, "click"))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models"], ["models", "list", "--json"]])
def test_the_command_line_answers_questions_with_click_alone(arguments):
    code = f"from zido_core.cli import execute; raise SystemExit(execute({arguments!r}))"
    ended = run_blocked(code, HEAVY)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_a_host_reaches_a_worker_with_the_standard_library_only(tmp_path):
    (tmp_path / "zido").symlink_to(ROOT, target_is_directory=True)
    code = f"sys.path[0] = {str(tmp_path)!r}; import zido.plugin.client; assert 'zido_core' not in sys.modules"
    ended = run_blocked(code, (*HEAVY, "click"))
    assert ended.returncode == 0, ended.stderr


def test_importing_the_package_imports_nothing_of_it():
    code = "import zido_core; print(sorted(name for name in sys.modules if name.startswith('zido_core')))"
    assert run_blocked(code, HEAVY).stdout.strip() == "['zido_core']"


def test_public_names_are_listed_and_unknown_ones_refused():
    import zido_core
    from zido_core.options import Options

    assert set(zido_core.__all__) <= set(dir(zido_core))
    assert zido_core.Options is Options
    with pytest.raises(AttributeError, match="no attribute 'upscal'"):
        _ = zido_core.upscal


def test_the_embedded_model_does_without_diffusers_and_transformers():
    """Importing them takes seconds, of which a preview would notice nothing but the wait."""
    ended = run_blocked("import zido_core.pipeline, zido_core.backbones.mini", ("diffusers", "transformers"))
    assert ended.returncode == 0, ended.stderr
