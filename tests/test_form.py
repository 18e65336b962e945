"""The form: a field for every option, and values that come back as they went in."""

from __future__ import annotations

import pytest
from zido.plugin.fields import Choice, Number, Text, Toggle, field_for
from zido.plugin.form import FIRST, LEFT_OUT, Form
from zido.plugin.qt import QtCore, QtGui, QtWidgets
from zido.plugin.wording import in_words_of_the_form
from zido.zido_core.catalog import MODELS
from zido.zido_core.errors import InvalidOptions
from zido.zido_core.options import OPTIONS, Options

from tests.qt import live

SHOWN = [name for name in OPTIONS if name not in LEFT_OUT]


@pytest.fixture
def form():
    return Form()


def examples(spec):
    """Values that an option may have."""
    if spec.name == "model":
        return list(MODELS)
    if spec.choices:
        values = list(spec.choices)
    elif spec.kind is bool:
        values = [True, False]
    elif spec.kind is str and not spec.many:
        known = {"stretch": ["auto", "percentile:2,98"], "device": ["auto", "cpu", "cuda:1"], "priors": ["gsp,rap"]}
        values = known.get(spec.name, [] if spec.pattern else ["a b"])
    elif spec.kind is str:
        values = [] if spec.pattern and spec.name != "creation_options" else [("COMPRESS=ZSTD", "A=b c")]
    elif spec.many:
        values = [(1,), (4, 3, 2)]
    else:
        values = [spec.kind(spec.minimum if spec.minimum is not None else -1.5)]
        values += [spec.kind(spec.maximum)] if spec.maximum is not None else []
    return [*values, *([None] if spec.optional else [])]


@pytest.mark.parametrize("name", SHOWN)
def test_every_value_comes_back_as_it_went_in(name):
    field = field_for(OPTIONS[name])
    assert field.widget.accessibleName()
    assert field.widget.accessibleDescription()
    for value in [OPTIONS[name].default, *examples(OPTIONS[name])]:
        field.show(value)
        assert field.value() == value


@pytest.mark.parametrize(
    ("name", "kind"),
    [("model", Choice), ("scale", Number), ("seed", Number), ("cog", Toggle), ("prompt", Text), ("device", Choice)],
)
def test_the_widget_suits_the_option(name, kind):
    assert type(field_for(OPTIONS[name])) is kind


def test_a_new_form_says_the_defaults(form):
    assert form.options() == Options()
    assert form.job().output is None


def test_a_form_says_what_it_is_shown(form):
    options = Options(model="zido", preset="fast", scale=2.5, bands=(3, 2, 1), prompts="local", seed=9, cog=True)
    changes = []
    form.changed.connect(lambda: changes.append(1))
    form.show_options(options)
    assert form.options() == options
    assert len(changes) == 1


def test_what_is_most_important_comes_first_and_the_rest_is_folded(form):
    form.show()
    live(10)
    visible = [name for name in SHOWN if form.fields[name].widget.isVisible()]
    assert set(visible) == {*FIRST, "overwrite"}
    tops = [form.input.mapTo(form, form.input.rect().topLeft()).y()]
    tops += [form.fields[name].widget.mapTo(form, QtCore.QPoint(0, 0)).y() for name in FIRST]
    assert tops == sorted(tops)
    form.reveal("tile_size")
    assert form.fields["tile_size"].widget.isVisible()
    assert form.unfolded == ("tiling",)
    form.unfold([])
    assert form.unfolded == ()


def test_auto_tells_what_it_means_for_the_model_and_the_preset(form):
    steps = form.fields["steps"].widget
    assert steps.specialValueText() == "auto (4)"
    form.fields["preset"].show("quality")
    assert steps.specialValueText() == "auto (8)"
    form.fields["model"].show("zido")
    assert steps.specialValueText() == "auto (50)"
    colours = form.fields["color_fix"].widget
    assert colours.currentText() == "auto (wavelet)"
    form.input.show_path("a.png")
    assert colours.currentText() == "auto (adain)"
    assert form.options().color_fix is None


def test_a_value_that_is_not_allowed_is_told(form):
    form.fields["bands"].show("four")
    with pytest.raises(InvalidOptions, match="bands is four"):
        form.options()
    form.fields["bands"].show(None)
    form.fields["creation_options"].show('COMPRESS="')
    with pytest.raises(InvalidOptions, match="creation_options"):
        form.options()


def test_models_that_are_not_here_say_so(form):
    box = form.fields["model"].widget
    form.show_models(["mini", "sdxl"])
    assert "not here" not in box.itemText(box.findData("sdxl"))
    assert box.itemText(box.findData("zido")).endswith("(its files are not here)")
    form.fields["model"].show("zido")
    assert form.options().model == "zido"


def test_the_wheel_scrolls_the_form_instead_of_changing_it(form):
    form.show()
    spin = form.fields["seed"].widget
    form.reveal("seed")
    live(10)
    turn_wheel(spin)
    assert form.options().seed == 1  # it has the focus
    form.input.line.setFocus()
    live(10)
    turn_wheel(spin)
    assert form.options().seed == 1


def turn_wheel(widget):
    middle = QtCore.QPointF(widget.rect().center())
    event = QtGui.QWheelEvent(
        middle,
        middle,
        QtCore.QPoint(),
        QtCore.QPoint(0, 120),
        QtCore.Qt.MouseButton.NoButton,
        QtCore.Qt.KeyboardModifier.NoModifier,
        QtCore.Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QtWidgets.QApplication.sendEvent(widget, event)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "a.tif exists; give --overwrite to replace it",
            "a.tif exists; give \u201cReplace an existing output\u201d to replace it",
        ),
        ("try a smaller --tile-batch or --tile-size", "try a smaller \u201cTile batch\u201d or \u201cTile size\u201d"),
        ("run `pip --version` or a--b", "run `pip --version` or a--b"),
        ("choose another folder with -o", "choose another folder under \u201cOutput\u201d"),
    ],
)
def test_messages_name_what_is_on_the_form(message, shown):
    assert in_words_of_the_form(message) == shown


def test_a_form_without_output_does_not_ask_for_it():
    form = Form(with_output=False)
    form.show()
    live(10)
    assert not form.output.isVisible()
    assert not form.fields["overwrite"].widget.isVisible()
    assert form.job().output is None


def test_a_form_asks_for_nothing_that_somebody_else_decides():
    decided = [name for name, spec in OPTIONS.items() if spec.group == "output"] + ["nodata"]
    form = Form(with_input=False, with_output=False, without=decided)
    form.show_options(Options(overwrite=True, nodata=3.0, seed=4))
    form.show()
    form.unfold(tuple(form.sections))
    live(10)
    assert not form.input.isVisible()
    assert not {"Output", *(f"zido_{name}" for name in decided)} & shown(form)
    assert form.options() == Options(overwrite=True, nodata=3.0, seed=4)


def shown(form):
    """Headings and fields in sight."""
    headings = {button.text() for button in form.findChildren(QtWidgets.QToolButton) if button.isVisible()}
    return headings | {field.widget.objectName() for field in form.fields.values() if field.widget.isVisible()}


def test_every_row_has_a_label_that_belongs_to_its_widget(form):
    buddies = {label.buddy() for label in form.findChildren(QtWidgets.QLabel)}
    assert {field.widget for field in form.fields.values()} - buddies <= {form.fields["overwrite"].widget}


def test_no_row_is_wider_than_the_narrowest_place_of_the_form(form):
    form.show()
    form.unfold(tuple(form.sections))
    live(10)
    assert form.minimumSizeHint().width() <= 44 * form.fontMetrics().averageCharWidth()
