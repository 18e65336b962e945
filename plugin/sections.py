"""Parts of a form that unfold."""

from __future__ import annotations

from .qt import Qt, QtWidgets, Signal


class Section(QtWidgets.QWidget):
    """A heading that shows and hides the rows below it."""

    unfolded = Signal(bool)

    def __init__(self, heading: str) -> None:
        super().__init__()
        self._button = QtWidgets.QToolButton()
        self._button.setText(heading)
        self._button.setCheckable(True)
        self._button.setAutoRaise(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = QtWidgets.QSizePolicy.Policy
        self._button.setSizePolicy(policy.Expanding, policy.Fixed)
        font = self._button.font()
        font.setBold(True)
        self._button.setFont(font)
        self._body = QtWidgets.QWidget()
        self.rows = rows(self._body)
        self.rows.setRowWrapPolicy(QtWidgets.QFormLayout.RowWrapPolicy.WrapLongRows)
        self.rows.setContentsMargins(self.fontMetrics().averageCharWidth() * 2, 0, 0, 6)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._button)
        layout.addWidget(self._body)
        self._heading = heading
        self._button.toggled.connect(self._show)
        self._show(False)

    def unfold(self, wanted: bool = True) -> None:
        """Show the rows, or hide them."""
        self._button.setChecked(wanted)

    @property
    def is_unfolded(self) -> bool:
        """Whether the rows are shown."""
        return self._button.isChecked()

    def _show(self, wanted: bool) -> None:
        self._button.setArrowType(Qt.ArrowType.DownArrow if wanted else Qt.ArrowType.RightArrow)
        self._button.setAccessibleName(f"{self._heading}: {'unfolded' if wanted else 'folded'}")
        self._body.setVisible(wanted)
        self.unfolded.emit(wanted)


def rows(body: QtWidgets.QWidget) -> QtWidgets.QFormLayout:
    """The layout of a form: labels and what belongs to them."""
    made = QtWidgets.QFormLayout(body)
    made.setContentsMargins(0, 0, 0, 0)
    made.setFieldGrowthPolicy(QtWidgets.QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    made.setRowWrapPolicy(QtWidgets.QFormLayout.RowWrapPolicy.DontWrapRows)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return made


def add_row(form: QtWidgets.QFormLayout, name: str, widget: QtWidgets.QWidget) -> None:
    """A widget under its label, which takes the focus there (Alt and the underlined letter, if there is one)."""
    label = QtWidgets.QLabel(name)
    label.setBuddy(widget)
    label.setToolTip(widget.toolTip())
    form.addRow(label, widget)
