"""The report in a real browser: slider by mouse and keyboard, blink, silence, and what is left without a script.

Needs Debian's Chromium; run by ``make test-hosts``.
"""

from __future__ import annotations

import pytest
from playwright import sync_api as playwright

from tests.hosts import Host
from tests.test_report import noise, page
from zido_core.report.page import Place, as_html

CHROMIUM = Host(name="Chromium", program="/usr/bin/chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    place = Place(title="roof", names=("bicubic", "mini"), pictures=(noise(64, 64, 1), noise(64, 64, 2)))
    path.write_text(as_html(page(places=(place, place))), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    CHROMIUM.need()
    with playwright.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM.program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, address):
    """The page, and all that it said or asked for."""
    tab = browser.new_page()
    heard = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: heard.append(request.url))
    tab.goto(address)
    yield tab, lambda: [word for word in heard if word != address and not word.startswith("data:")]
    tab.close()


def cut(tab):
    """How the second picture of the first place is clipped."""
    return tab.evaluate("getComputedStyle(document.querySelector('.pair > div:last-of-type')).clipPath")


def test_console_is_empty_and_nothing_is_requested(opened):
    tab, heard = opened
    tab.wait_for_timeout(200)
    assert heard() == []
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_slider_by_keyboard(opened):
    tab, _ = opened
    assert cut(tab) == "inset(0px 0px 0px 50%)"
    tab.locator("input[type=range]").first.focus()
    tab.keyboard.press("ArrowRight")
    assert cut(tab) == "inset(0px 0px 0px 51%)"
    tab.keyboard.press("Home")
    assert cut(tab) == "inset(0px 0px 0px 0%)"


def test_slider_by_mouse_moves_its_own_place_only(opened):
    tab, _ = opened
    slider = tab.locator("input[type=range]").nth(1)
    box = slider.bounding_box()
    slider.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    ats = tab.evaluate("[...document.querySelectorAll('.pair')].map(pair => pair.style.getPropertyValue('--at'))")
    assert ats == ["", "100%"]


def test_blink_shows_one_picture_after_the_other(opened):
    tab, _ = opened
    button = tab.get_by_role("button", name="Blink").first
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    second = tab.locator(".pair > div:last-of-type").first
    second.wait_for(state="visible", timeout=3000)
    second.wait_for(state="hidden", timeout=3000)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_a_place_is_reached_from_the_overview(opened):
    tab, _ = opened
    assert tab.locator("svg a").count() == 0  # these places have no window
    assert tab.locator("svg rect title").first.text_content() == "<script>alert('x')</script>\"&"


def test_without_script_the_pictures_stand_side_by_side(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address)
    left, right = (tab.locator(".pair").first.locator("img").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert tab.locator("input").count() == 0
    context.close()
