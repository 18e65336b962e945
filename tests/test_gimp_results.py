"""Inside GIMP: what becomes of a result, what is kept of the image, and what is said when it cannot be done."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import ExifTags, Image

from tests.gimp_host import Gimp, leftovers
from tests.hosts import GIMP_30

SCRIPT = r'''
import re, traceback
HOME = os.environ["HOME"]


def scenario(function):
    try:
        answer[function.__name__] = function()
    except Exception:
        answer[function.__name__] = traceback.format_exc()


def picture(width=40, height=30, kind="RGB_IMAGE"):
    channels = 4 if "A_" in kind else 3
    raw = bytes((7 * i) % 251 for i in range(width * height * channels))
    return make("U8_NON_LINEAR", kind, raw, width=width, height=height)


def seen():
    """What the worker was given, by its own account."""
    found = sorted((p for p in os.listdir(HOME) if p.startswith("seen-")), key=lambda p: int(p[5:]))
    return json.loads(open(os.path.join(HOME, found[-1])).read())


@scenario
def registered():
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-zido")
    arguments = {a.name: [a.value_type.name, a.get_default_value()] for a in procedure.get_arguments()[3:]}
    return [procedure.get_menu_paths(), procedure.get_menu_label(), procedure.get_image_types(), arguments]


@scenario
def new_image():
    image, layer = picture()
    image.set_resolution(300, 150)
    before = read(layer)
    status, new, above, problem = call(image, [layer], scale=4.0)
    (made,) = new.get_layers()
    made_by = bytes(n & 255 for n in new.get_parasite("zido").get_data()).decode()
    unchanged = read(layer) == before and len(image.get_layers()) == 1
    return [status, new.get_width(), new.get_height(), list(new.get_resolution()[1:]), made.get_name(),
            json.loads(made_by), unchanged, new.undo_is_enabled()]


@scenario
def metadata():
    image = load(os.path.join(HOME, "artist.jpg"))
    _, new, _, problem = call(image, image.get_layers(), scale=2.0)
    return [new.get_metadata().serialize(), [2 * n for n in image.get_resolution()[1:]], list(new.get_resolution()[1:])]


@scenario
def layer_above():
    image, layer = picture()
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    image.reorder_item(layer, group, 0)
    layer.set_offsets(5, 7)
    status, new, above, problem = call(image, [layer], scale=1.0)
    return [status, new, above.get_name(), list(above.get_offsets()[1:]), above.get_parent().get_name(),
            image.get_item_position(above), image.get_item_position(layer), above.get_mask(), image.undo_is_enabled()]


@scenario
def mask_at_1():
    image, layer = picture(200, 180)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 100, 90, 20, 10)
    Gimp.Selection.feather(image, 6)
    status, _, above, problem = call(image, [layer], scale=1.0)
    x, y, w, h = *above.get_offsets()[1:], above.get_width(), above.get_height()
    rectangle = Gegl.Rectangle.new(x, y, w, h)
    wanted = bytes(image.get_selection().get_buffer().get(rectangle, 1.0, "Y u8", Gegl.AbyssPolicy.NONE))
    original = bytes(layer.get_buffer().get(rectangle, 1.0, None, Gegl.AbyssPolicy.NONE))
    return [[x, y, w, h], read(above.get_mask(), "Y u8") == wanted, len(set(wanted)), read(above) == original,
            seen()["size"]]


@scenario
def blended_at_1():
    image, layer = picture(60, 50)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 10, 20, 20)
    Gimp.Selection.feather(image, 6)
    mask = bytes(image.get_selection().get_buffer().get(Gegl.Rectangle.new(0, 0, 60, 50), 1.0, "Y u8", 0))
    before = read(layer)
    call(image, [layer], scale=1.0, prompt="invert")
    Gimp.Selection.none(image)
    return [text(before), text(mask), text(read(image.flatten()))]


@scenario
def selection_at_2():
    image, layer = picture(200, 180)
    layer.set_offsets(3, 4)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 100, 90, 20, 10)
    status, new, _, problem = call(image, [layer], scale=2.0)
    (made,) = new.get_layers()
    piece = bytes(layer.get_buffer().get(Gegl.Rectangle.new(97, 86, 20, 10), 1.0, None, Gegl.AbyssPolicy.NONE))
    mask = read(made.get_mask(), "Y u8")
    return [new.get_width(), new.get_height(), text(piece), text(read(made)), text(mask)]


@scenario
def hard_selection_at_2():
    image, layer = picture(200, 180)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 190, 170, 30, 30)
    status, new, _, problem = call(image, [layer], scale=2.0)
    return [new.get_width(), new.get_height(), new.get_layers()[0].get_mask()]


@scenario
def colour_profile():
    image = Gimp.Image.new_with_precision(20, 10, Gimp.ImageBaseType.RGB, Gimp.Precision.U16_NON_LINEAR)
    image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
    layer = Gimp.Layer.new(image, "a", 20, 10, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.fill(Gimp.FillType.WHITE)
    # Colours of Adobe RGB that sRGB does not have: filled in the layer's own space.
    plain = Gimp.Image.new_with_precision(20, 10, Gimp.ImageBaseType.RGB, Gimp.Precision.U16_NON_LINEAR)
    copy = Gimp.Layer.new(plain, "a", 20, 10, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    plain.insert_layer(copy, None, 0)
    write(copy, struct.pack("600H", *[[0, 65535, 100 * i % 65536][i % 3] for i in range(600)]))
    plain.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
    _, _, above, problem = call(plain, [copy], scale=1.0)
    _, new, _, problem = call(plain, [copy], scale=2.0)
    profile = plain.get_color_profile().get_icc_profile()
    first_row = read(new.get_layers()[0])[: 40 * 6]
    return [text(read(copy)), text(read(above)), text(first_row), new.get_color_profile().get_icc_profile() == profile]


@scenario
def geotiff():
    image = load(os.path.join(HOME, "place.tif"))
    (layer,) = image.get_layers()
    _, new, _, problem = call(image, [layer], scale=4.0)
    save(new, os.path.join(HOME, "large.tif"))
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 8, 4, 10, 6)
    _, new, _, problem = call(image, [layer], scale=2.0)
    save(new, os.path.join(HOME, "part.tif"))
    return [problem, seen()["options"]]


@scenario
def pictures_are_pictures():
    image, layer = picture()
    call(image, [layer], scale=2.0)
    return seen()["options"]


@scenario
def errors():
    image, layer = picture()
    other = Gimp.Layer.new(image, "b", 5, 5, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(other, None, 0)
    found = {"worker": call(image, [layer], prompt="fail"), "range": call(image, [layer], scale=0.5)}
    found["several"] = call(image, [layer, other])
    found["channel"] = call(image, [image.get_selection()])
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 20, 5, 5)
    found["apart"] = call(image, [other])
    return found


@scenario
def warned():
    image, layer = picture()
    return call(image, [layer], scale=1.0, prompt="warn")[0]


@scenario
def last_values():
    image, layer = picture()
    status, new, _, problem = call(image, [layer], mode=Gimp.RunMode.WITH_LAST_VALS)
    return [status, problem, new and new.get_width()]
'''


@pytest.fixture(scope="module")
def results(gimp: Gimp) -> dict[str, Any]:
    with rasterio.open(
        gimp.home / "place.tif",
        "w",
        driver="GTiff",
        width=32,
        height=24,
        count=3,
        dtype="uint16",
        photometric="rgb",
        crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000),
    ) as dataset:
        dataset.write(np.arange(3 * 24 * 32, dtype="uint16").reshape(3, 24, 32) * 20)
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    Image.new("RGB", (16, 12), "teal").save(gimp.home / "artist.jpg", exif=exif)
    shutil.rmtree(gimp.home / "gimp" / "plug-in-settings", ignore_errors=True)  # last values of other tests
    return gimp.run(SCRIPT)


def raw(text: str) -> bytes:
    return base64.b64decode(text)


def test_it_is_in_the_filters_menu_with_typed_arguments(results):
    paths, label, kinds, arguments = results["registered"]
    assert (paths, label, kinds) == (["<Image>/Filters/Enhance"], "_zido…", "*")
    assert arguments["scale"] == ["gdouble", -1.0]
    assert arguments["steps"] == ["gint", -1]
    assert arguments["model"] == ["gchararray", "mini"]
    assert arguments["offline"] == ["gboolean", False]
    assert not {"overwrite", "dtype", "bands", "creation-options"} & set(arguments)


def test_a_larger_result_is_a_new_image_of_the_same_print_size(results):
    status, width, height, resolution, name, made_by, unchanged, undo = results["new_image"]
    assert (status, width, height, resolution) == ("success", 160, 120, [1200.0, 600.0])
    assert name == "zido 4× (mini)"
    assert made_by["options"] == {"scale": 4.0}
    assert unchanged
    assert undo


def test_exif_comes_along_with_the_new_size(results):
    told, expected, resolution = results["metadata"]
    assert '<tag name="Exif.Image.Artist">somebody</tag>' in told
    assert '<tag name="Exif.Image.ImageWidth">32</tag>' in told
    assert f'<tag name="Exif.Image.XResolution">{expected[0]:g}/1</tag>' in told
    assert resolution == expected


def test_a_result_of_the_same_size_is_a_layer_above(results):
    status, new, name, offsets, parent, above, below, mask, undo = results["layer_above"]
    assert (status, new, name) == ("success", None, "zido 1× (mini)")
    assert (offsets, parent, above, below, mask) == ([5, 7], "group", 0, 1, None)
    assert undo


def test_a_soft_selection_is_the_mask_of_the_layer_above(results):
    place, same_mask, levels, same_pixels, size = results["mask_at_1"]
    assert place[2] > 20
    assert place[3] > 10
    assert same_mask
    assert levels > 10
    assert same_pixels
    assert size == [place[2] + 128, min(place[1] + place[3] + 64, 180) - max(place[1] - 64, 0)]


def test_soft_edges_blend_with_the_layer_below(results):
    before, mask, after = (np.frombuffer(raw(part), np.uint8).astype(float) for part in results["blended_at_1"])
    share = np.repeat(mask, 3) / 255
    light = (1 - share) * (before / 255) ** 2.2 + share * ((255 - before) / 255) ** 2.2  # nearly as GIMP mixes
    assert np.abs(255 * light ** (1 / 2.2) - after).max() < 12
    assert np.array_equal(after[share == 0], before[share == 0])
    assert np.array_equal(after[share == 1], 255 - before[share == 1])
    assert (share == 1).any()


def test_a_selection_of_any_shape_is_a_new_image_with_a_mask(results):
    width, height, piece, large, mask = results["selection_at_2"]
    assert (width, height) == (40, 20)
    small = np.frombuffer(raw(piece), np.uint8).reshape(10, 20, 3)
    assert np.array_equal(np.frombuffer(raw(large), np.uint8).reshape(20, 40, 3), small.repeat(2, 0).repeat(2, 1))
    shown = np.frombuffer(raw(mask), np.uint8).reshape(20, 40)
    assert shown[10, 20] == 255
    assert shown[0, 0] == 0
    assert len(np.unique(shown)) > 5


def test_a_rectangle_needs_no_mask_and_ends_with_the_layer(results):
    assert results["hard_selection_at_2"] == [20, 20, None]


def test_colours_that_srgb_lacks_stay_and_so_does_the_profile(results):
    before, above, first_row, same_profile = results["colour_profile"]
    assert above == before
    row = np.frombuffer(raw(before), np.uint16).reshape(10, 20, 3)[0]
    assert np.array_equal(np.frombuffer(raw(first_row), np.uint16).reshape(40, 3), row.repeat(2, 0))
    assert same_profile


@pytest.mark.parametrize(
    ("name", "size", "corner", "pixel"),
    [("large.tif", [128, 96], [500_000, 5_000_000], 2.5), ("part.tif", [20, 12], [500_080, 4_999_960], 5.0)],
)
def test_an_exported_result_lies_where_it_belongs(gimp, results, name, size, corner, pixel):
    assert results["geotiff"][0] is None
    ran = GIMP_30.run(["/usr/bin/gdalinfo", "-json", gimp.home / name], home=gimp.home)
    told = json.loads(ran.stdout)
    assert told["size"] == size
    assert told["geoTransform"] == [corner[0], pixel, 0, corner[1], 0, -pixel]
    assert told["stac"]["proj:epsg"] == 32633
    assert told["bands"][0]["type"] == "UInt16"


def test_what_lies_on_the_ground_is_treated_as_a_raster_and_the_rest_as_pictures(results):
    raster, photo = results["geotiff"][1], results["pictures_are_pictures"]
    assert "stretch" not in raster
    assert "consistency" not in raster
    assert photo["stretch"] == "none"
    assert photo["consistency"] == "off"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("worker", "image.tif is nothing that this model likes; give it another"),
        ("range", "scale is 0.5; expected a number from 1 to 8 times or auto"),
        ("several", "zido works on one layer, and 2 are selected; select one"),
        ("channel", "zido works on layers, and a channel or mask is selected; select a layer"),
        ("apart", "the selection and the layer have no pixel in common; select a part of the layer, or nothing"),
    ],
)
def test_errors_are_messages_of_gimp(results, case, message):
    assert results["errors"][case] == ["execution-error", None, None, message]


def test_warnings_of_the_worker_are_messages_of_gimp(results):
    assert results["warned"] == "success"
    assert "this model is not for commercial use" in results["stdout"] + results["stderr"]


def test_last_values_need_no_window(results):
    assert results["last_values"] == ["success", None, 160]


def test_a_python_that_is_not_there_is_told(gimp):
    script = "image, layer = make('U8_NON_LINEAR', 'GRAY_IMAGE', bytes(4), width=2, height=2)\n"
    told = gimp.run(script + "answer['end'] = call(image, [layer])\n", ZIDO_PYTHON="/nowhere/python")
    status, _, _, message = told["end"]
    assert status == "execution-error"
    assert message == (
        "The Python that is chosen by the variable ZIDO_PYTHON will not do: /nowhere/python does not exist. "
        "Install zido in a Python, and run with it: python -m zido_core install-plugin gimp"
    )


def test_nothing_is_left_behind(gimp, results):
    assert leftovers(gimp.home) == []
    assert list(Path(gimp.home).rglob("result.tif*")) == []
