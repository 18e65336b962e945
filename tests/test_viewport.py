"""Which part of a picture is seen: zooming, dragging and fitting lose neither picture nor place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zido.plugin.viewport import LARGEST, SMALLEST, Box, Viewport

SIDES = st.tuples(st.integers(1, 50_000), st.integers(1, 50_000))
WIDGETS = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def test_a_fitted_picture_is_seen_whole_and_in_the_middle():
    seen = Viewport(picture=(100, 200), widget=(400, 400)).fitted()
    assert seen.zoom == 2.0
    assert seen.visible == Box(0, 0, 100, 200)
    assert seen.on_widget(Box(0, 0, 100, 200)) == (0.0, 100.0, 400.0, 200.0)


@given(picture=SIDES, widget=WIDGETS, zoom=st.floats(SMALLEST, LARGEST), x=st.floats(0, 1), y=st.floats(0, 1))
def test_widget_and_picture_agree_on_every_point(picture, widget, zoom, x, y):
    seen = Viewport(picture=picture, widget=widget).fitted().zoomed(zoom)
    row, col = seen.in_picture(x * widget[1], y * widget[0])
    left, top, _, _ = seen.on_widget(Box(row, col, 1, 1))
    assert (left, top) == pytest.approx((x * widget[1], y * widget[0]), abs=1e-6 * max(*picture, *widget) * zoom)


def test_zooming_keeps_what_is_under_the_pointer():
    seen = Viewport(picture=(1000, 1000), widget=(200, 200)).zoomed(1.0)
    before = seen.in_picture(150, 60)
    assert seen.zoomed(2.0, (150, 60)).in_picture(150, 60) == pytest.approx(before)


@given(picture=SIDES, widget=WIDGETS, zoom=st.floats(1e-9, 1e9), right=st.floats(-1e5, 1e5), down=st.floats(-1e5, 1e5))
def test_the_picture_never_leaves_the_widget(picture, widget, zoom, right, down):
    seen = Viewport(picture=picture, widget=widget).fitted().zoomed(zoom).moved(right, down)
    assert SMALLEST <= seen.zoom <= LARGEST
    row, col, height, width = seen.visible
    assert height > 0
    assert width > 0
    assert row >= 0
    assert col >= 0
    assert row + height <= picture[0] * (1 + 1e-9)
    assert col + width <= picture[1] * (1 + 1e-9)


def test_a_part_is_shown_as_large_as_it_fits():
    seen = Viewport(picture=(1000, 1000), widget=(300, 600)).showing(Box(100, 200, 30, 30))
    assert seen.zoom == 10
    assert seen.centre == (115, 215)


def test_boxes_meet_or_do_not():
    assert Box(0, 0, 10, 10).intersect(Box(5, 8, 10, 10)) == Box(5, 8, 5, 2)
    assert Box(0, 0, 10, 10).intersect(Box(10, 0, 5, 5)) is None
