"""Inside GIMP, with the real worker and the embedded model, and with the plug-in as `zido install-plugin` leaves it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.gimp_host import Gimp, leftovers
from tests.hosts import GIMP_30, worker_python

SCRIPT = f"""
def part(path, x, y, width, height):
    image = load(path)
    image.crop(width, height, x, y)
    return image, image.get_layers()[0]

image, layer = part({str(ROOT / "examples" / "barn.png")!r}, 100, 60, 48, 40)
status, new, _, problem = call(image, [layer], scale=2.0, preset="preview")
answer["photo"] = [status, problem, new and [new.get_width(), new.get_height()]]
if new:
    small = text(read(layer))
    new.scale(48, 40)
    answer["likeness"] = [small, text(read(new.get_layers()[0]))]
image, layer = part({str(ROOT / "examples" / "houses.tif")!r}, 10, 10, 48, 40)
status, _, above, problem = call(image, [layer], scale=1.0, preset="preview", consistency="on")
answer["identity"] = [status, problem, above and text(read(above)), text(read(layer))]
image = load({str(ROOT / "examples" / "houses.tif")!r})
image.select_rectangle(Gimp.ChannelOps.REPLACE, 10, 10, 48, 40)  # GIMP's own crop would not tell of the new place
status, new, _, problem = call(image, image.get_layers(), scale=4.0, preset="preview")
answer["raster"] = [status, problem]
save(new, os.path.join(os.environ["HOME"], "houses.tif"))
raw = struct.pack(f"{{48 * 40 * 4}}f", *[(i % 97) / 96 if i % 4 < 3 else i % 8 > 3 for i in range(48 * 40 * 4)])
image, layer = make("FLOAT_LINEAR", "RGBA_IMAGE", raw, width=48, height=40)
status, new, _, problem = call(image, [layer], scale=2.0, preset="preview")
answer["transparent"] = [status, problem, new and text(read(new.get_layers()[0]))]
answer["missing"] = call(image, [layer], model="seesr")
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A home in which nothing points to the repository: all that is used lies in the plug-in's folder."""
    home = tmp_path_factory.mktemp("real")
    gimp = Gimp.made_in(home)
    (home / "gimp" / "plug-ins" / "zido").unlink()
    command = [worker_python(), "-m", "zido_core", "install-plugin", "gimp", "--folder", home / "gimp" / "plug-ins"]
    ran = GIMP_30.run([*command, "--python", worker_python()], home=home)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = gimp.run(SCRIPT, ZIDO_PYTHON="")
    assert leftovers(home) == []
    return told | {"home": home}


def array(text: str, shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).astype(float)


def test_a_photograph_is_enlarged(results):
    assert results["photo"] == ["success", None, [96, 80]]
    small, back = (array(text, (40, 48, 3)) for text in results["likeness"])
    assert np.abs(small - back).mean() < 6


def test_at_scale_1_with_the_means_kept_nothing_changes(results):
    status, problem, above, below = results["identity"]
    assert (status, problem) == ("success", None)
    assert above == below


def test_a_raster_keeps_its_place(results):
    assert results["raster"] == ["success", None]
    ran = GIMP_30.run(["/usr/bin/gdalinfo", "-json", results["home"] / "houses.tif"], home=results["home"])
    told = json.loads(ran.stdout)
    before = GIMP_30.run(["/usr/bin/gdalinfo", "-json", ROOT / "examples" / "houses.tif"], home=results["home"])
    x, width, _, y, _, height = json.loads(before.stdout)["geoTransform"]
    expected = [x + 10 * width, width / 4, 0, y + 10 * height, 0, height / 4]
    assert told["geoTransform"] == pytest.approx(expected, abs=1e-9)
    assert told["size"] == [192, 160]


def test_light_and_transparency_survive(results):
    status, problem, pixels = results["transparent"]
    assert (status, problem) == ("success", None)
    large = array(pixels, (80, 96, 4), "float32")
    assert set(np.unique(large[..., 3])) == {0.0, 1.0}
    assert np.isfinite(large).all()


def test_a_model_that_is_not_here_is_told(results):
    status, _, _, problem = results["missing"]
    assert status == "execution-error"
    assert "-m zido_core models get seesr`" in problem  # there may be no `zido` on PATH
