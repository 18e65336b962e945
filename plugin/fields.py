"""One option on a form: the widget that suits its kind, and the way from its value to the widget and back."""

from __future__ import annotations

import re
import shlex
import textwrap

from ..zido_core.catalog import MODELS
from ..zido_core.option_spec import AUTOMATIC, OptionSpec
from .qt import QtCore, QtGui, QtWidgets, Signal
from .wording import described, sentence, title

MODEL = "model"
"""The option whose choices stand in the catalogue."""

WIDEST_SPIN = 2**31 - 1
"""Largest number that a spin box holds; beyond that, numbers are typed as text."""


LINE = 34
"""Letters of a text beside a box to tick, which Qt does not break into lines."""


class Field(QtCore.QObject):
    """An option and its widget. Subclasses show text, and give text or a value back."""

    changed = Signal()
    """The user has changed the value."""

    def __init__(self, spec: OptionSpec, widget: QtWidgets.QWidget) -> None:
        super().__init__(widget)
        self.spec, self.widget = spec, widget
        name, tip = title(spec), described(spec)
        widget.setAccessibleName(name)
        widget.setAccessibleDescription(tip)
        widget.setToolTip(tip)
        widget.setWhatsThis(tip)
        widget.setObjectName(f"zido_{spec.name}")

    def value(self) -> object:
        """The value; raises InvalidOptions if it is not allowed."""
        return self.spec.convert(self.raw())

    def raw(self) -> object:
        """What the widget holds."""
        raise NotImplementedError

    def show(self, value: object) -> None:
        """Put a value into the widget."""
        raise NotImplementedError

    def hint(self, meaning: object) -> None:
        """Tell what the value means that is left to zido."""


class Toggle(Field):
    """Yes or no."""

    def __init__(self, spec: OptionSpec) -> None:
        self._box = QtWidgets.QCheckBox(textwrap.fill(sentence(spec.help), LINE))
        super().__init__(spec, self._box)
        self._box.toggled.connect(self.changed)

    def raw(self) -> object:
        return self._box.isChecked()

    def show(self, value: object) -> None:
        self._box.setChecked(bool(value))


class Choice(Field):
    """One of several words; where None is allowed, the first one stands for it."""

    def __init__(self, spec: OptionSpec, choices: dict[str, str] | None = None, *, free: bool = False) -> None:
        """``choices``: what is shown for each value. ``free``: any other text may be typed."""
        self._box = QtWidgets.QComboBox()
        self._box.setEditable(free)
        self._box.setMinimumContentsLength(8)
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        super().__init__(spec, self._box)
        only_when_focused(self._box)
        shown = choices or {word: word for word in spec.choices}
        if spec.optional and AUTOMATIC not in shown:
            shown = {AUTOMATIC: AUTOMATIC} | shown
        for value, text in shown.items():
            self._box.addItem(text, value)
        self._box.currentTextChanged.connect(self.changed)

    def raw(self) -> object:
        place = self._box.findText(self._box.currentText())
        return self._box.currentText().strip() if place < 0 else self._box.itemData(place)

    def show(self, value: object) -> None:
        text = AUTOMATIC if value is None else str(value)
        place = self._box.findData(text)
        if place >= 0:
            self._box.setCurrentIndex(place)
        elif self._box.isEditable():
            self._box.setEditText(text)

    def rename(self, value: str, text: str) -> None:
        """Show other words for one of the values."""
        place, typed = self._box.findData(value), self._box.currentText()
        if place < 0:
            return
        is_shown = typed == self._box.itemText(place)
        self._box.blockSignals(True)
        self._box.setItemText(place, text)
        if self._box.isEditable() and not is_shown:
            self._box.setEditText(typed)  # which Qt takes for the item that was chosen last
        self._box.blockSignals(False)

    def hint(self, meaning: object) -> None:
        if self.spec.optional:
            self.rename(AUTOMATIC, automatic(meaning))


class Number(Field):
    """A number within limits; where None is allowed, it stands below the least one."""

    def __init__(self, spec: OptionSpec) -> None:
        self._spin = QtWidgets.QDoubleSpinBox()
        super().__init__(spec, self._spin)
        only_when_focused(self._spin)
        low, high = float(spec.minimum or 0), float(spec.maximum or 0)
        self._spin.setDecimals(0 if spec.kind is int else 2)
        step = (32.0 if spec.unit == "px" else 1.0) if spec.kind is int else (0.05 if high <= 2 else 0.5)
        self._spin.setSingleStep(step)
        self._least = low
        self._spin.setRange(low - step if spec.optional else low, high)
        self._spin.setSuffix(f" {spec.unit}" if spec.unit else "")
        self._spin.setAccelerated(True)
        self.hint(None)
        self._spin.valueChanged.connect(self.changed)

    def raw(self) -> object:
        number = self._spin.value()
        if self.spec.optional and number < self._least:
            return None
        return round(number) if self.spec.kind is int else round(number, 2)

    def show(self, value: object) -> None:
        self._spin.setValue(self._spin.minimum() if value is None else float(str(value)))

    def hint(self, meaning: object) -> None:
        if self.spec.optional:
            self._spin.setSpecialValueText(automatic(meaning))


class Text(Field):
    """Anything else."""

    def __init__(self, spec: OptionSpec) -> None:
        self._line = QtWidgets.QLineEdit()
        super().__init__(spec, self._line)
        self.hint(None)
        self._line.textChanged.connect(self.changed)

    def raw(self) -> object:
        text = self._line.text().strip()
        if not text:
            return self.spec.default
        if self.spec.many and self.spec.kind is str:
            try:
                return tuple(shlex.split(text))
            except ValueError:
                raise self.spec.wrong(text) from None
        return text

    def show(self, value: object) -> None:
        if isinstance(value, tuple):
            quoted = shlex.join(value) if self.spec.kind is str else ",".join(map(str, value))
            self._line.setText(quoted)
        else:
            self._line.setText("" if value is None else str(value))

    def hint(self, meaning: object) -> None:
        usual = "" if self.spec.default in ("", ()) else str(self.spec.default)
        self._line.setPlaceholderText(automatic(meaning) if self.spec.optional else usual or self.spec.metavar)


class PathText(Text):
    """The path of a file or folder, with a button to look for it."""

    def __init__(self, spec: OptionSpec) -> None:
        super().__init__(spec)
        self._line.setPlaceholderText("none")
        icon = self._line.style()
        assert icon is not None
        kind = QtWidgets.QStyle.StandardPixmap.SP_DirOpenIcon
        place = QtWidgets.QLineEdit.ActionPosition.TrailingPosition
        action = self._line.addAction(icon.standardIcon(kind), place)
        assert action is not None
        action.setToolTip("Choose...")
        action.setText(f"Choose {title(spec).lower()}")
        action.triggered.connect(self._choose)

    def hint(self, meaning: object) -> None:
        """The model's own folder or no file: nothing to tell."""

    def _choose(self) -> None:
        window, name = self._line.window(), title(self.spec)
        if self.spec.metavar == "FOLDER":
            path = QtWidgets.QFileDialog.getExistingDirectory(window, name, self._line.text())
        else:
            path, _ = QtWidgets.QFileDialog.getSaveFileName(window, name, self._line.text())
        if path:
            self._line.setText(path)


def field_for(spec: OptionSpec) -> Field:
    """The field that suits an option."""
    if spec.name == MODEL:
        return Choice(spec, {name: model_title(name) for name in MODELS})
    if spec.kind is bool:
        return Toggle(spec)
    if spec.choices:
        return Choice(spec)
    has_limits = spec.minimum is not None and spec.maximum is not None and spec.maximum <= WIDEST_SPIN
    if spec.kind in (int, float) and not spec.many and has_limits:
        return Number(spec)
    if spec.metavar in ("FILE", "FOLDER"):
        return PathText(spec)
    if "|" in spec.metavar:
        words = re.findall(r"(?:^|\|)([a-z]+)", spec.metavar)
        return Choice(spec, {word: word for word in words}, free=True)
    return Text(spec)


def model_title(name: str, *, here: bool = True) -> str:
    """A model as a list shows it; ``here``: whether its files are on this computer."""
    return f"{name}: {MODELS[name].title}" + ("" if here else " (its files are not here)")


def automatic(meaning: object) -> str:
    """What stands for a value that is left to zido, with what it is now."""
    if meaning is None or meaning == "":
        return AUTOMATIC
    shown = f"{meaning:g}" if isinstance(meaning, float) else str(meaning)
    return f"{AUTOMATIC} ({shown if len(shown) <= 24 else shown[:22] + '…'})"


class _WheelGuard(QtCore.QObject):
    """Lets the wheel scroll the form, instead of changing what happens to lie under the pointer."""

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:  # noqa: N802 - Qt's
        if not isinstance(event, QtGui.QWheelEvent) or not isinstance(watched, QtWidgets.QWidget) or watched.hasFocus():
            return False
        event.ignore()
        return True


def only_when_focused(widget: QtWidgets.QWidget) -> None:
    """The wheel changes this widget only while it has the focus."""
    widget.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_WheelGuard(widget))
