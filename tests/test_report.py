"""The HTML report: what it shows of a run and of an evaluation, and what it must never do."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest

from zido_core.evaluate.evaluation import Evaluation
from zido_core.evaluate.gallery import MOST, Gallery
from zido_core.evaluate.methods import parse_methods
from zido_core.evaluate.protocols import choose_protocol
from zido_core.evaluate.records import provenance
from zido_core.prompts.base import Prompt
from zido_core.raster.memory import source_of
from zido_core.report import page as pages
from zido_core.report.page import LARGEST, Outline, Overview, Page, Place, as_html
from zido_core.report.run import MOST_TILES, page_of_run
from zido_core.report.table import Table
from zido_core.tiling.grid import Size, Tile, even_grid

NASTY = "<script>alert('x')</script>\"&"


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def page(**changes):
    given = Page(
        title=NASTY,
        warnings=(NASTY,),
        overview=Overview(
            picture=noise(40, 60),
            size=Size(80, 120),
            outlines=(Outline(window=Tile(0, 0, 40, 40), text=NASTY),),
        ),
        places=(Place(title=NASTY, names=(NASTY, "b"), pictures=(noise(8, 8), noise(8, 8)), window=Tile(4, 5, 6, 7)),),
        tables=(Table(title=NASTY, headings=["", NASTY], rows=[[NASTY, NASTY]]),),
    )
    return replace(given, **changes)


class TestPage:
    def test_texts_of_strangers_are_escaped_everywhere(self):
        text = as_html(page())
        assert "alert('x')" not in text
        assert text.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;") == 14

    def test_asks_for_nothing_from_outside(self):
        text = as_html(page())
        assert "default-src 'none'" in text
        assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
        assert set(re.findall(r'(?:src|href)="([a-z]+:|#)', text)) == {"data:", "#"}

    @pytest.mark.parametrize("kind", ["style", "script"])
    def test_policy_allows_its_own_parts_by_their_hash_only(self, kind):
        text = as_html(page())
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in text
        assert "unsafe" not in text
        assert not re.search(r"\s(style|on[a-z]+)=", text)

    def test_pictures_are_compressed_until_the_page_is_small_enough(self):
        places = [
            Place(title="noise", names=("a", "b"), pictures=(noise(448, 448, at), noise(448, 448, at + 1)))
            for at in range(12)
        ]
        assert len("\n".join(pages._parts(page(places=places), pages.QUALITIES[0]))) > LARGEST
        assert len(as_html(page(places=places))) <= LARGEST

    def test_places_lead_from_the_overview_to_their_pictures(self):
        text = as_html(page())
        assert '<svg viewBox="0 0 120 80"' in text
        assert '<a href="#place-1"><rect x="5" y="4" width="7" height="6">' in text
        assert '<figure id="place-1">' in text

    def test_empty_page(self):
        text = as_html(Page(title="nothing"))
        assert "<h2>" not in text


RECORD = {
    "zido": "1",
    "input": {"name": "a"},
    "output": {"size": [256, 320]},
    "model": {"name": "mini"},
    "options": {"seed": 3},
    "consistency": {"seam_ratio": None, "spectral_angle_degrees": 0.123456789},
    "warnings": ["mind the gap"],
    "seconds": {"network": 1.5},
    "device": "cpu",
    "versions": {"torch": "2"},
}


def run_page(changed=None, boxes=(), tile=32, valid=None):
    """A run over 256 x 320 pixels whose result is the input's own pixels repeated, but for one place."""
    small = noise(256, 320)
    small[...] = 128
    large = np.repeat(np.repeat(small, 4, 0), 4, 1)
    if changed is not None:
        large[changed.slices] = 255
    grid = even_grid(Size(256, 320), tile, 8)
    prompts = [Prompt(text=f"tile {at % 3}", source="tagger") for at in range(len(grid))]
    return page_of_run(source_of(small), source_of(large), RECORD, grid.tiles, prompts, boxes)


class TestRun:
    def test_the_place_that_changed_most_comes_first(self):
        changed = Tile(600, 900, 60, 60)
        first = run_page(changed).places[0]
        assert "largest change" in first.title
        assert first.window.scaled(4).intersect(changed) is not None
        assert first.names == ("bicubic", "mini")

    def test_six_ranks_and_two_seams(self):
        places = run_page(Tile(600, 900, 60, 60)).places
        words = [place.title.partition(" (")[0] for place in places]
        assert words[:3] == ["largest change", "second largest change", "third largest change"]
        assert "median change" in words
        assert "smallest change" in words
        assert words[-2:] == ["where four tiles meet"] * 2
        assert 6 <= len(places) <= 12

    def test_the_users_boxes_come_before_all_others_and_outside_ones_are_left_out(self):
        places = run_page(boxes=[Tile(10, 20, 30, 40), Tile(400, 0, 10, 10)]).places
        assert places[0].title == "your box at row 10, column 20"
        assert places[0].pictures[0].shape == (120, 160, 3)
        assert "box" not in places[1].title

    def test_tiles_carry_their_prompts(self):
        overview = run_page().overview
        assert {outline.text for outline in overview.outlines} == {"tile 0", "tile 1", "tile 2"}
        assert overview.size == (256, 320)
        assert max(overview.picture.shape) <= 1100

    def test_too_many_tiles_would_hide_the_picture(self):
        shown = run_page(tile=12)
        assert len(even_grid(Size(256, 320), 12, 8)) > MOST_TILES
        assert shown.overview.outlines == ()

    def test_tables_say_how_it_was_made(self):
        shown = run_page()
        text = "\n".join(table.as_text() for table in shown.tables)
        for fact in ("256 x 320", "seed", "spectral angle degrees", "0.123457", "–", "torch", "3 different of"):
            assert fact in text
        assert shown.warnings == ["mind the gap"]
        assert shown.title == "a, mini x4"

    def test_an_image_smaller_than_a_place(self):
        small = noise(5, 7)
        grid = even_grid(Size(5, 7), 32, 8)
        shown = page_of_run(
            source_of(small), source_of(np.repeat(np.repeat(small, 4, 0), 4, 1)), RECORD, grid.tiles, [Prompt(text="")]
        )
        assert [place.pictures[0].shape for place in shown.places] == [(20, 28, 3)]
        assert "(empty)" in shown.tables[-1].as_text()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two pictures by two kernels."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("truth")
    for at in range(2):
        Image.fromarray(noise(96, 128, at)).save(folder / f"{at}.png")
    gallery = Gallery()
    evaluation = Evaluation(
        methods=parse_methods(["bicubic,lanczos"]),
        protocol=choose_protocol("zido", crop=None, degradations=["clean", "light"], scale=None, seed=0),
        device="cpu",
    )
    for result in evaluation.run([str(folder)]):
        gallery.add(result)
    return evaluation, gallery


class TestEvaluation:
    def test_every_input_is_shown_against_the_first_method_and_the_truth(self, evaluated):
        evaluation, gallery = evaluated
        shown = gallery.page(evaluation, provenance("zido evaluate"))
        assert [place.names for place in shown.places] == [("bicubic", "lanczos"), ("lanczos", "truth")] * 4
        assert [place.title for place in shown.places[::2]] == [
            "0.png, clean",
            "0.png, light",
            "1.png, clean",
            "1.png, light",
        ]
        assert {place.pictures[0].shape for place in shown.places} == {(96, 128, 3)}

    def test_tables_are_those_of_the_terminal_and_how_they_were_made(self, evaluated):
        evaluation, gallery = evaluated
        text = as_html(gallery.page(evaluation, provenance("zido evaluate <x>")))
        for words in ("clean: against bicubic", "HaarPSI", "zido evaluate &lt;x&gt;", "processor"):
            assert words in text

    def test_of_many_inputs_a_few_are_shown(self, evaluated):
        evaluation, gallery = evaluated
        many = Gallery(exhibits=gallery.exhibits * 10)
        assert len(many.page(evaluation, provenance("x")).places) == 2 * MOST

    def test_whole_results_are_let_go(self, evaluated):
        assert [exhibit.first is None for exhibit in evaluated[1].exhibits] == [True, True, True, False]
