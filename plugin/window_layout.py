"""Where the parts of the window are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .qt import Qt, QtWidgets

if TYPE_CHECKING:
    from .dialog import Dialog

NOTICE = "Fine detail in the result is synthesised: good to look at, not to measure."


class Buttons:
    """The buttons at the lower edge."""

    def __init__(self) -> None:
        self.go = QtWidgets.QPushButton("&Upscale")
        self.go.setDefault(True)
        self.go.setToolTip("Begin (Enter)")
        self.go_on = QtWidgets.QPushButton("R&esume")
        self.go_on.hide()
        self.stop = QtWidgets.QPushButton("&Cancel")
        self.stop.setToolTip("Stop what runs. What is done of a large image is kept, so that it can be resumed")
        self.leave = QtWidgets.QPushButton("Close")
        for button in (self.go_on, self.stop, self.leave):
            button.setAutoDefault(False)

    def offer_to_go_on(self, work: str | None) -> None:
        """Whether there is unfinished work, and where."""
        self.go_on.setVisible(work is not None)
        self.go_on.setToolTip(f"Go on with the unfinished work in {work}")


def arrange(dialog: Dialog) -> QtWidgets.QTabWidget:
    """Put the parts into the window; returns the pages on the right."""
    dialog.setWindowFlag(Qt.WindowType.WindowMinMaxButtonsHint)
    pages = QtWidgets.QTabWidget()
    pages.setAccessibleName("Pages")
    pages.addTab(dialog.compare, "Pic&ture")
    pages.addTab(dialog.prompts, "P&rompts")
    pages.addTab(dialog.log, "&Log")
    split = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
    split.addWidget(_left(dialog))
    split.addWidget(pages)
    split.setStretchFactor(0, 0)
    split.setStretchFactor(1, 1)
    split.setChildrenCollapsible(False)
    letter = dialog.fontMetrics().averageCharWidth()
    split.setSizes([52 * letter, 110 * letter])
    lower = QtWidgets.QHBoxLayout()
    lower.addWidget(dialog.progress, 1)
    for button in (dialog.buttons.go, dialog.buttons.go_on, dialog.buttons.stop, dialog.buttons.leave):
        lower.addWidget(button)
    layout = QtWidgets.QVBoxLayout(dialog)
    layout.addWidget(split, 1)
    layout.addLayout(lower)
    return pages


def restore_size(dialog: Dialog, size: tuple[int, int]) -> None:
    """As it was, or as large as suits the font."""
    letter = dialog.fontMetrics().averageCharWidth()
    width, height = size if all(size) else (165 * letter, 100 * letter)
    dialog.resize(width, height)


def _left(dialog: Dialog) -> QtWidgets.QWidget:
    """The form, which scrolls, over the plan, which does not."""
    scroll = QtWidgets.QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(dialog.form)
    scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    notice = QtWidgets.QLabel(NOTICE)
    notice.setWordWrap(True)
    left = QtWidgets.QWidget()
    left.setMinimumWidth(44 * dialog.fontMetrics().averageCharWidth())
    column = QtWidgets.QVBoxLayout(left)
    column.setContentsMargins(0, 0, dialog.fontMetrics().averageCharWidth(), 0)
    column.addWidget(dialog.engine)
    column.addWidget(scroll, 1)
    column.addWidget(dialog.plan_card)
    column.addWidget(notice)
    return left
