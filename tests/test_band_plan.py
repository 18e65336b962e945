import numpy as np
import pytest

from zido_core.errors import BadInput, InvalidOptions
from zido_core.raster.band_plan import luminance, plan_bands

RGB = ("red", "green", "blue")


@pytest.mark.parametrize(
    ("interpretations", "model", "extra", "alpha"),
    [
        (RGB, (1, 2, 3), (), None),
        (("blue", "green", "red", "alpha"), (3, 2, 1), (), 4),
        (("alpha", *RGB), (2, 3, 4), (), 1),
        ((*RGB, "nir"), (1, 2, 3), (4,), None),
        (("nir", "red", "green"), (1, 2, 3), (), None),
        (("gray", "undefined", "undefined", "undefined"), (1, 2, 3), (4,), None),
        (("gray",), (1,), (), None),
        (("gray", "alpha"), (1,), (), 2),
        (("undefined", "undefined"), (1,), (2,), None),
        (("Red", "Green", "Blue", "Alpha", "alpha"), (1, 2, 3), (5,), 4),
    ],
)
def test_bands_are_chosen_by_colour_then_order(interpretations, model, extra, alpha):
    plan = plan_bands(interpretations)
    assert (plan.model, plan.extra, plan.alpha) == (model, extra, alpha)
    assert plan.written == tuple(range(1, len(interpretations) + 1))


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (("Blue", "Green", "Red", "NIR"), (3, 2, 1)),
        (("B02", "B03", "B04", "B08"), (3, 2, 1)),
        (("B2", None, "B4", "B8"), (1, 2, 3)),
    ],
)
def test_names_help_where_colours_are_unknown(names, model):
    assert plan_bands(("gray", *["undefined"] * 3), descriptions=names).model == model


@pytest.mark.parametrize(("requested", "extra"), [((4, 3, 2), (1, 5)), ((2,), (1, 3, 4, 5))])
def test_a_request_wins(requested, extra):
    plan = plan_bands((*RGB, "nir", "undefined", "alpha"), requested=requested)
    assert (plan.model, plan.extra, plan.alpha) == (requested, extra, 6)


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ((1, 2, 7), "band 7 cannot be shown.*the file has 4 band.*choose from 1, 2, 3"),
        ((4,), "band 4 cannot"),
        ((0, 1, 2), "band 0 cannot"),
        ((1, 2), "one band or three different ones, got 1,2"),
        ((1, 1, 2), "different"),
    ],
)
def test_a_bad_request_is_explained(requested, message):
    with pytest.raises(InvalidOptions, match=message):
        plan_bands((*RGB, "alpha"), requested=requested)


def test_alpha_alone_is_nothing_to_enlarge():
    with pytest.raises(BadInput, match="no band but alpha"):
        plan_bands(("alpha",))


def test_dropped_bands_leave_the_output():
    plan = plan_bands(("nir", *RGB, "undefined", "alpha"), extra_bands="drop")
    assert (plan.dropped, plan.extra, plan.written) == ((1, 5), (), (2, 3, 4, 6))
    assert plan.position(6) == 3
    assert plan.tags() == {
        "MODEL_BANDS": "1,2,3",
        "SYNTHETIC_BANDS": "1,2,3",
        "SYNTHETIC_DETAIL": "YES",
        "BAND_1": "synthesised by the model",
        "BAND_2": "synthesised by the model",
        "BAND_3": "synthesised by the model",
        "BAND_4": "interpolated opacity",
        "DROPPED_INPUT_BANDS": "1,5",
    }


@pytest.mark.parametrize(
    ("policy", "synthetic", "words"),
    [("bicubic", "1,2,3", "no detail added"), ("detail", "1,2,3,4", "luminance detail")],
)
def test_tags_say_which_bands_are_synthetic(policy, synthetic, words):
    tags = plan_bands(("blue", "green", "red", "nir"), extra_bands=policy).tags()
    assert (tags["MODEL_BANDS"], tags["SYNTHETIC_BANDS"]) == ("3,2,1", synthetic)
    assert words in tags["BAND_4"]


def test_one_band_is_shown_three_times_and_comes_back_exactly():
    plan = plan_bands(("gray",))
    gray = np.random.default_rng(0).random((1, 5, 6), np.float32)
    shown = plan.to_model(gray)
    assert shown.shape == (3, 5, 6)
    np.testing.assert_array_equal(plan.from_model(shown), gray)


def test_three_bands_are_shown_as_they_are():
    plan = plan_bands(RGB)
    image = np.random.default_rng(0).random((3, 5, 6), np.float32)
    assert plan.to_model(image) is image
    assert plan.from_model(image) is image


def test_luminance_is_bt601():
    image = np.random.default_rng(0).random((3, 5, 6))
    expected = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    np.testing.assert_allclose(luminance(image)[0], expected, rtol=1e-12)
