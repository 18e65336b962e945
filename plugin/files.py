"""The rows for the input and the output."""

from __future__ import annotations

from .qt import QtWidgets, Signal

PICTURES = "Rasters and pictures (*.tif *.tiff *.jp2 *.j2k *.img *.png *.jpg *.jpeg *.webp *.avif *.bmp);;All files (*)"


class FileRow(QtWidgets.QWidget):
    """The path of a file and a button to look for it."""

    changed = Signal()

    def __init__(self, name: str, *, saving: bool, placeholder: str) -> None:
        super().__init__()
        self._name, self._saving = name, saving
        self.folder = ""
        self.line = QtWidgets.QLineEdit()
        self.line.setPlaceholderText(placeholder)
        self.line.setAccessibleName(name)
        self.line.setClearButtonEnabled(True)
        self.button = QtWidgets.QPushButton("Browse…")
        self.button.setAccessibleName(f"Browse for the {name.lower()}")
        self.button.setAutoDefault(False)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.button)
        self.setFocusProxy(self.line)
        self.line.textChanged.connect(self.changed)
        self.button.clicked.connect(self._browse)

    @property
    def path(self) -> str:
        """What is written there; empty for nothing."""
        return self.line.text().strip()

    def show_path(self, path: str | None) -> None:
        """Write it there."""
        self.line.setText(path or "")

    def _browse(self) -> None:
        dialog = QtWidgets.QFileDialog
        ask = dialog.getSaveFileName if self._saving else dialog.getOpenFileName
        path, _ = ask(self.window(), self._name, self.path or self.folder, PICTURES)
        if path:
            self.line.setText(path)
