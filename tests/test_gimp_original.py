"""Inside GIMP: the worker gets the file itself as long as the image is what the file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from tests.gimp_host import Gimp

SCRIPT = """
results = answer["results"] = {}
for image in Gimp.get_images():
    layer = image.get_layers()[0]
    name = os.path.basename(image.get_imported_file().get_path())
    if name == "edited.tif":
        layer.fill(Gimp.FillType.WHITE)
    if name == "saved.tif":
        layer.fill(Gimp.FillType.WHITE)
        save(image, os.path.join(os.environ["HOME"], "saved.xcf"))
        image.clean_all()
    if name == "selected.tif":
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 2, 2, 5, 5)
    if name == "profile.tif":
        image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
        image.clean_all()
    status, new, _, problem = call(image, [layer], scale=2.0)
    jobs = sorted((int(p[5:]) for p in os.listdir(os.environ["HOME"]) if p.startswith("seen-")))
    seen = json.loads(open(os.path.join(os.environ["HOME"], f"seen-{jobs[-1]}")).read())
    results[name] = [status, problem, seen["input"], new and new.get_width()]
"""

SAME = ("whole.tif", "alpha.tif", "gray.tif", "floats.tif", "profile.tif")
OTHER = ("edited.tif", "saved.tif", "selected.tif", "palette.tif", "signed.tif", "picture.png")


def write(path: Path, array: np.ndarray, **profile: Any) -> None:
    count, height, width = array.shape
    driver = "PNG" if path.suffix == ".png" else "GTiff"
    with rasterio.open(
        path, "w", driver=driver, width=width, height=height, count=count, dtype=array.dtype, **profile
    ) as dataset:
        dataset.write(array)
        if path.name == "palette.tif":
            dataset.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(256)})


@pytest.fixture(scope="module")
def results(gimp: Gimp) -> dict[str, list[Any]]:
    folder = gimp.home / "files"
    folder.mkdir()
    colours = np.arange(3 * 12 * 16, dtype="uint16").reshape(3, 12, 16) * 100
    for name in ("whole.tif", "edited.tif", "saved.tif", "selected.tif", "profile.tif"):
        write(folder / name, colours, photometric="rgb")
    write(folder / "alpha.tif", np.tile(colours[:1], (4, 1, 1)).astype("uint8"), photometric="rgb", alpha="unspecified")
    with rasterio.open(folder / "alpha.tif", "r+") as dataset:
        dataset.colorinterp = [*dataset.colorinterp[:3], rasterio.enums.ColorInterp.alpha]
    write(folder / "gray.tif", colours[:1].astype("uint8"))
    write(folder / "floats.tif", colours[:1].astype("float32") / 60_000)
    write(folder / "palette.tif", colours[:1].astype("uint8"))
    write(folder / "signed.tif", colours[:1].astype("int16"))
    write(folder / "picture.png", colours.astype("uint8"))
    told = gimp.run(SCRIPT, *(folder / name for name in SAME + OTHER))
    return told["results"]


@pytest.mark.parametrize("name", SAME)
def test_the_file_itself_is_handed_over(gimp, results, name):
    assert results[name] == ["success", None, str(gimp.home / "files" / name), 32]


@pytest.mark.parametrize("name", OTHER)
def test_what_gimp_shows_is_handed_over_where_it_is_something_else(results, name):
    status, problem, given, width = results[name]
    assert (status, problem) == ("success", None)
    assert Path(given).name == "image.tif"
    assert width == (10 if name == "selected.tif" else 32)
