"""``zido install-plugin qgis|gimp``: puts the plugin where the programs on this machine find it."""

from __future__ import annotations

import subprocess  # nosec B404
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click

from .errors import InvalidOptions, ModelMissing, OutputNotWritable
from .plugin_files import Host
from .plugin_install import faults, install, uninstall, version_at
from .plugin_places import Place, at, places
from .runner import OK

NEXT = {
    "qgis": "In QGIS: Plugins > Manage and Install Plugins > Installed, tick zido. A QGIS that runs must be restarted.",
    "gimp": "In GIMP, after a restart: Filters > Enhance > zido, with an image open.",
}


@click.command(
    "install-plugin",
    help="Install the plugin for QGIS or GIMP, for all versions and profiles that are found.",
    short_help="Install the plugin for QGIS or GIMP.",
)
@click.argument("host", type=click.Choice(get_args(Host)), metavar="qgis|gimp")
@click.option("--list", "action", flag_value="list", help="say where it would go, and what is there")
@click.option("--verify", "action", flag_value="verify", help="look whether what is installed is whole and works")
@click.option("--uninstall", "action", flag_value="uninstall", help="take it away again")
@click.option("--folder", metavar="FOLDER", help="this folder of plugins instead of those that are found")
@click.option(
    "--python",
    metavar="PATH",
    help="the Python with zido, noted for the plugin [this one]; none: note none",
)
def install_plugin(host: Host, action: str | None, folder: str | None, python: str | None) -> int:
    found = [at(host, Path(folder).expanduser().absolute())] if folder else places(host)
    if action == "list":
        return _list(found)
    if action == "verify":
        return _verify(found)
    if action == "uninstall":
        return _uninstall(found)
    return _install(found, _chosen(python))


def _list(found: list[Place]) -> int:
    for place in found:
        version = version_at(place)
        click.echo(f"{place.title}: {f'zido {version}' if version else 'not installed'} in {place.target}")
    return OK


def _verify(found: list[Place]) -> int:
    wrong = {place: faults(place, _fault_of) for place in found}
    for place, reasons in wrong.items():
        click.echo(f"{'FAIL' if reasons else 'ok  '} {place.title}: {'; '.join(reasons) or place.target}")
    if any(wrong.values()):
        raise ModelMissing("not everything is as it should be; `zido install-plugin` installs it anew")
    return OK


def _uninstall(found: list[Place]) -> int:
    return _each(found, lambda place: f"{place.title}: {'removed' if uninstall(place) else 'was not installed'}")


def _install(found: list[Place], python: str | None) -> int:
    def put(place: Place) -> str:
        before = version_at(place)
        install(place, python)
        return f"{place.title}: {place.target}{f' (was {before})' if before else ''}"

    code = _each(found, put)
    click.echo(f"The plugin works with {python}." if python else "The plugin looks for a Python with zido by itself.")
    click.echo(NEXT[found[0].host])
    return code


def _each(found: list[Place], act: Callable[[Place], str]) -> int:
    """Do it everywhere, also after one place has refused; 73 if one has."""
    code = OK
    for place in found:
        try:
            click.echo(act(place))
        except OutputNotWritable as error:
            click.echo(f"zido: {place.title}: {error}", err=True)
            code = error.exit_code
    return code


def _chosen(python: str | None) -> str | None:
    """The Python to note: the one that is named, or this one if it has zido wherever it is started."""
    if python == "none":
        return None
    path = str(Path(python).expanduser().absolute()) if python else sys.executable
    wrong = _fault_of(path)
    if wrong is not None and python:
        raise InvalidOptions(f"--python {path} {wrong}; name a Python in which zido is installed")
    return path if wrong is None else None


def _fault_of(python: str) -> str | None:
    """Why zido does not start in that Python."""
    command = [python, "-c", "import zido_core, torch, rasterio"]
    try:
        ended = subprocess.run(command, capture_output=True, check=False, timeout=120, cwd=Path.home())  # nosec B603
    except OSError as error:
        return f"cannot be started ({error.strerror})"
    except subprocess.TimeoutExpired:
        return "does not answer"
    words = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return None if ended.returncode == 0 else f"has no zido that works ({words[-1] if words else ended.returncode})"
