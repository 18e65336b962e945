"""Comparing two pictures: what is where on the screen in every way of comparing, and every key and drag."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio
from zido.plugin.compare_page import ComparePage
from zido.plugin.errands import Desk
from zido.plugin.qt import Qt, QtCore, QtGui, QtWidgets
from zido.plugin.viewport import Box
from zido.zido_core.job import Job
from zido.zido_core.options import Options

from tests.qt import FAKE, VIEWER, colour_at, live, until

BLUE, RED, GREEN = (0, 0, 200), (220, 0, 0), (0, 180, 0)


def flat(colour, side, dtype=np.uint8):
    return np.array(colour, dtype).reshape(3, 1, 1).repeat(side, 1).repeat(side, 2)


@pytest.fixture
def page():
    window = QtWidgets.QWidget()
    desk = Desk(window)
    desk.employ(sys.executable, worker=FAKE, viewer=VIEWER)
    page = ComparePage(desk)
    page.resize(900, 700)
    page.show()
    yield page
    page.pictures.close()
    desk.shut()
    until(lambda: not desk.busy)
    page.hide()


@pytest.fixture
def pair(page, make_raster):
    """A blue input of 40 x 40 and its red result of 160 x 160, shown."""
    first, second = make_raster(flat(BLUE, 40), name="in.tif"), make_raster(flat(RED, 160), name="out.tif")
    show(page, Job(input=str(first)), second)
    return page


def show(page, job, result=None):
    page.show_input(job)
    until(lambda: page.pictures.frame is not None)
    if result is not None:
        with rasterio.open(result) as dataset:
            page.show_result(str(result), dataset.shape, job)
    settle(page)


def settle(page):
    """Wait until all that is seen has been drawn."""
    live(120)
    until(lambda: page.pictures._errand is None and not page.pictures._wanted)
    live(20)


def at(page, x, y=0.5):
    return colour_at(page.view, x, y)


def press(widget, key):
    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        QtWidgets.QApplication.sendEvent(widget, QtGui.QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier))


def mouse(widget, kind, x, y):
    place = QtCore.QPointF(x * widget.width(), y * widget.height())
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QtWidgets.QApplication.sendEvent(widget, QtGui.QMouseEvent(kind, place, left, left, none))


def drag(widget, start, end):
    kinds = QtCore.QEvent.Type
    mouse(widget, kinds.MouseButtonPress, *start)
    mouse(widget, kinds.MouseMove, *end)
    mouse(widget, kinds.MouseButtonRelease, *end)


def test_without_an_input_there_is_an_invitation(page):
    assert "drop a file" in page.view.invitation
    assert not page.preview.isEnabled()
    assert not any(button.isEnabled() for button in page.modes.values())
    page.view.grab()


def test_an_input_alone_is_shown_whole(page, make_raster):
    show(page, Job(input=str(make_raster(flat(BLUE, 40)))))
    assert at(page, 0.5) == BLUE
    assert page.place == Box(0, 0, 40, 40)
    assert page.view.accessibleName() == "Picture of the input"


def test_a_file_that_is_no_picture_says_so(page, tmp_path):
    (tmp_path / "a.tif").write_bytes(b"nothing")
    told = []
    page.said.connect(told.append)
    page.show_input(Job(input=str(tmp_path / "a.tif")))
    until(lambda: told)
    assert "a.tif is not an image" in page.view.invitation


def test_swipe_has_the_input_left_and_the_result_right(pair):
    assert at(pair, 0.3) == BLUE
    assert at(pair, 0.7) == RED
    drag(pair.view, (0.5, 0.5), (0.75, 0.5))
    assert pair.view.divider == pytest.approx(0.75, abs=0.01)
    assert at(pair, 0.7) == BLUE
    assert "divider at 75%" in pair.view.accessibleName()


def test_the_divider_moves_with_the_arrow_keys_and_stops_at_the_edge(pair):
    for _ in range(5):
        press(pair.view, Qt.Key.Key_Left)
    assert pair.view.divider == pytest.approx(0.4)
    for _ in range(60):
        press(pair.view, Qt.Key.Key_Right)
    assert pair.view.divider == 1.0


def test_side_by_side_shows_the_same_place_twice(pair, make_raster):
    pair.modes["side"].click()
    settle(pair)
    assert at(pair, 0.25) == BLUE
    assert at(pair, 0.75) == RED
    before = pair.view.viewport
    drag(pair.view, (0.8, 0.5), (0.7, 0.5))
    assert pair.view.viewport.zoom == before.zoom


def test_blink_changes_by_itself_and_space_shows_the_input(pair):
    pair.modes["blink"].click()
    settle(pair)
    seen = set()
    until(lambda: seen.add(at(pair, 0.5)) or seen >= {BLUE, RED}, 10)
    pair.modes["swipe"].click()
    press_down = QtGui.QKeyEvent(QtCore.QEvent.Type.KeyPress, Qt.Key.Key_Space, Qt.KeyboardModifier.NoModifier)
    QtWidgets.QApplication.sendEvent(pair.view, press_down)
    assert at(pair, 0.7) == BLUE
    press(pair.view, Qt.Key.Key_Space)
    assert at(pair, 0.7) == RED


def test_the_difference_is_black_where_there_is_none_and_amplified_elsewhere(page, make_raster):
    values = flat((100, 100, 100), 160)
    values[0, :, 80:] += 20
    result = make_raster(values, name="out.tif")
    show(page, Job(input=str(make_raster(flat((100, 100, 100), 40), name="in.tif"))), result)
    page.modes["difference"].click()
    settle(page)
    assert at(page, 0.3) == (0, 0, 0)
    assert at(page, 0.7) == (80, 0, 0)


def test_one_to_one_is_a_pixel_of_the_result_for_each_of_the_screen(pair):
    pair.one.click()
    assert pair.view.viewport.zoom * pair.view.devicePixelRatioF() == 4.0
    press(pair.view, Qt.Key.Key_0)
    assert pair.view.viewport == pair.view.viewport.fitted()
    press(pair.view, Qt.Key.Key_1)
    assert pair.view.viewport.zoom * pair.view.devicePixelRatioF() == 4.0


def test_keys_zoom_and_move(pair):
    before = pair.view.viewport
    for _ in range(8):
        press(pair.view, Qt.Key.Key_Plus)
    assert pair.view.viewport.zoom > 4 * before.zoom
    row, _ = pair.view.viewport.centre
    press(pair.view, Qt.Key.Key_Down)
    assert pair.view.viewport.centre[0] > row
    press(pair.view, Qt.Key.Key_Up)
    assert pair.view.viewport.centre[0] == pytest.approx(row)
    for _ in range(30):
        press(pair.view, Qt.Key.Key_Minus)
    assert pair.view.viewport.centre == (20, 20)


def test_a_pixel_of_the_input_is_a_square(page, make_raster):
    values = flat((0, 0, 0), 2)
    values[:, 0, 0] = 255
    show(page, Job(input=str(make_raster(values))))
    left, top, width, height = page.view.viewport.on_widget(Box(0, 0, 1, 1))
    for share in (0.05, 0.5, 0.95):
        x, y = (left + share * width) / page.view.width(), (top + share * height) / page.view.height()
        assert at(page, x, y) == (255, 255, 255)
    assert at(page, (left + 1.05 * width) / page.view.width(), (top + height / 2) / page.view.height()) == (0, 0, 0)


def test_a_click_moves_the_place_of_the_preview_and_dragging_does_not(page, make_raster):
    show(page, Job(input=str(make_raster(shape=(3, 400, 400)))))
    assert page.place == Box(136, 136, 128, 128)
    drag(page.view, (0.5, 0.5), (0.5, 0.5))
    assert page.place == Box(136, 136, 128, 128)
    left, top, _, _ = page.view.viewport.on_widget(Box(0, 0, 1, 1))
    corner = (left + 5) / page.view.width(), (top + 5) / page.view.height()
    drag(page.view, corner, corner)
    assert page.place == Box(0, 0, 128, 128)
    press(page.view, Qt.Key.Key_Plus)
    drag(page.view, (0.5, 0.5), (0.6, 0.6))
    assert page.place == Box(0, 0, 128, 128)


def test_a_preview_covers_its_place_and_leaves_the_input_around_it(page, make_raster):
    job = Job(input=str(make_raster(flat(BLUE, 400), name="in.tif")))
    show(page, job)
    preview = make_raster(flat(RED, 400), name="preview.tif")
    page.show_preview(str(preview), (400, 400), Box(100, 100, 100, 100), job)
    page.view.fit()
    page.view.set_divider(0.0)
    settle(page)
    left, top, width, height = page.view.viewport.on_widget(Box(100, 100, 100, 100))
    assert at(page, (left + width / 2) / page.view.width(), (top + height / 2) / page.view.height()) == RED
    assert at(page, 0.6, 0.6) == BLUE
    assert not page.back.isVisible()  # there is no result to go back to
    page.show_result(str(preview), (1600, 1600), job)
    page.show_preview(str(preview), (400, 400), Box(100, 100, 100, 100), job)
    page.back.click()
    assert not page.shows_preview


def test_fidelity_fades_from_the_result_to_what_is_certain(pair, make_raster):
    asked = []
    pair.certain_asked.connect(asked.append)
    assert pair.fidelity == 0.25
    pair.slider.setValue(50)
    assert len(asked) == 1
    assert pair.fidelity == 0.625
    assert pair.blend is None
    pair.slider.setValue(60)
    assert len(asked) == 1  # it is on its way
    certain = make_raster(flat(GREEN, 160), name="certain.tif")
    pair.show_certain(str(certain))
    pair.slider.setValue(50)
    settle(pair)
    red, green, blue = at(pair, 0.7)
    assert (red, green, blue) == (pytest.approx(110, abs=2), pytest.approx(90, abs=2), 0)
    pair.slider.setValue(100)
    settle(pair)
    assert at(pair, 0.7) == GREEN
    assert pair.save.isEnabled()
    assert pair.blend == (asked[0], str(pair.view.second.path), str(certain))


def test_a_model_without_a_certain_part_fades_to_the_interpolated_input(page, make_raster):
    job = Job(input=str(make_raster(flat(BLUE, 40), name="in.tif")), options=Options(model="stablesr"))
    show(page, job, make_raster(flat(RED, 160), name="out.tif"))
    page.slider.setValue(100)
    settle(page)
    assert at(page, 0.7) == BLUE
    assert not page.save.isEnabled()


def test_a_result_that_is_certain_already_has_nothing_to_fade(page, make_raster):
    job = Job(input=str(make_raster(flat(BLUE, 40), name="in.tif")), options=Options(preset="preview"))
    show(page, job, make_raster(flat(RED, 160), name="out.tif"))
    assert not page.slider.isVisible()


def test_sixteen_bits_are_stretched_alike(page, make_raster):
    values = np.linspace(1000, 3000, 3 * 64 * 64).reshape(3, 64, 64).astype(np.uint16)
    source = make_raster(values, name="in.tif")
    result = make_raster(values.repeat(4, 1).repeat(4, 2), name="out.tif")
    show(page, Job(input=str(source)), result)
    drag(page.view, (0.5, 0.5), (1.0, 0.5))
    before = at(page, 0.4, 0.3)
    drag(page.view, (1.0, 0.5), (0.0, 0.5))
    assert at(page, 0.4, 0.3) == pytest.approx(before, abs=2)


def test_a_very_large_result_is_looked_at_without_reading_all_of_it(page, make_raster, tmp_path):
    source, result = make_raster(flat(BLUE, 64), name="in.tif"), tmp_path / "huge.tif"
    size = {"width": 30_000, "height": 30_000, "count": 3, "dtype": "uint8"}
    with rasterio.open(result, "w", driver="GTiff", tiled=True, sparse_ok=True, compress="deflate", **size) as out:
        out.write(flat(RED, 1024), window=rasterio.windows.Window(15_000, 15_000, 1024, 1024))
    job = Job(input=str(source))
    page.show_input(job)
    until(lambda: page.pictures.frame is not None)
    page.view.look_at(Box(33, 33, 1, 1))
    page.view.set_divider(0.0)
    page.show_result(str(result), (30_000, 30_000), job)
    settle(page)
    assert at(page, 0.5) == RED


def test_another_input_ends_the_comparison(pair, make_raster):
    show(pair, Job(input=str(make_raster(flat(GREEN, 30), name="other.tif"))))
    assert pair.view.second is None
    assert at(pair, 0.5) == GREEN


def test_options_that_do_not_change_the_picture_do_not_read_it_again(pair):
    first = pair.view.first
    pair.show_input(Job(input=first.path, options=Options(seed=5, steps=9)))
    assert pair.view.first == first
    assert pair.view.second is not None
