"""The page with the prompts: what the network will be told about each tile, to be read and edited."""

from __future__ import annotations

from pathlib import Path

from ..zido_core.errors import ZidoError
from . import prompt_file
from .prompt_file import PromptFile
from .qt import Qt, QtCore, QtWidgets, Signal

COLUMNS = ("Tile", "What the tagger saw", "Prompt (edit me)")
NAME, TAGS, PROMPT = range(3)

GEOJSON = "Prompts (*.geojson *.json)"


class PromptsModel(QtCore.QAbstractTableModel):
    """One row per tile; the prompts can be edited."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.file: PromptFile | None = None

    def show(self, file: PromptFile | None) -> None:
        """Other prompts."""
        self.beginResetModel()
        self.file = file
        self.endResetModel()

    def rowCount(self, parent: QtCore.QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Tiles."""
        return len(self.file) if self.file is not None and (parent is None or not parent.isValid()) else 0

    def columnCount(self, parent: QtCore.QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Name, tags, prompt."""
        return len(COLUMNS)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Headings."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: QtCore.QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The text of a cell."""
        if self.file is None:
            return None
        text = (self.file.name, self.file.tags, self.file.prompt)[index.column()](index.row())
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{COLUMNS[index.column()]}: {text}"
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole, Qt.ItemDataRole.ToolTipRole):
            return text
        return None

    def setData(  # noqa: N802 - Qt's name
        self, index: QtCore.QModelIndex, value: object, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """The user has typed something."""
        if self.file is None or role != Qt.ItemDataRole.EditRole or index.column() != PROMPT:
            return False
        self.file.set_prompt(index.row(), str(value).strip())
        self.dataChanged.emit(index, index)
        if self.file.edited:
            self.edited.emit()
        return True

    def flags(self, index: QtCore.QModelIndex) -> Qt.ItemFlags:
        """Prompts can be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == PROMPT else flags


class PromptsPage(QtWidgets.QWidget):
    """A table of prompts with what fills and saves it."""

    read_asked = Signal()
    """The tagger shall read the prompts off the input."""

    use_changed = Signal(object)
    """The job shall use this file of prompts; None: what the tagger says."""

    tile_chosen = Signal(object)
    """A row was chosen: its place, a `Box`."""

    def __init__(self, scratch: Path) -> None:
        """``scratch``: folder for prompts that the user has edited and not saved anywhere."""
        super().__init__()
        self.model = PromptsModel()
        self.scratch = scratch
        self.table = QtWidgets.QTableView()
        self.table.setModel(self.model)
        self.table.setAccessibleName("Prompts of the tiles")
        self.table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setWordWrap(False)
        self.table.setAlternatingRowColors(True)
        self.table.setTabKeyNavigation(False)
        self._arrange_columns()
        self._note = QtWidgets.QLabel()
        self._note.setWordWrap(True)
        self.read = self._button("Rea&d prompts", "The tagger reads a prompt off every tile of the input.")
        self.load = self._button("Op&en…", "Take the prompts from a file.")
        self.save = self._button("S&ave as…", "Save the prompts to a file that QGIS can edit, too.")
        self.drop = self._button("Use the ta&gger's", "Forget the edits: every tile gets what the tagger says.")
        row = QtWidgets.QHBoxLayout()
        for button in (self.read, self.load, self.save, self.drop):
            row.addWidget(button)
        row.addStretch(1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self.table, 1)
        layout.addWidget(self._note)
        self.read.clicked.connect(self.read_asked)
        self.load.clicked.connect(self._open)
        self.save.clicked.connect(self._save)
        self.drop.clicked.connect(self._drop)
        self.model.edited.connect(self._keep)
        selection = self.table.selectionModel()
        assert selection is not None
        selection.currentRowChanged.connect(self._choose)
        self.clear()

    def clear(self) -> None:
        """Another input: its prompts are not known yet."""
        self.model.show(None)
        self._say(
            "No prompts yet. zido reads them by itself when it works; read them here to see or to edit them first."
        )

    def show_file(self, path: Path, *, used: bool) -> None:
        """The prompts of a file; ``used``: the job takes them from there, and not from the tagger."""
        try:
            self.model.show(prompt_file.read(path))
        except ZidoError as error:
            self.say(str(error))
            return
        if used:
            self.use_changed.emit(path)
        self._say_what_is_used(path if used else None)

    def say(self, text: str) -> None:
        """What went wrong, or goes on."""
        self._say(text)

    def set_possible(self, possible: bool) -> None:
        """Whether there is a worker that could read prompts now."""
        self.read.setEnabled(possible)

    def _open(self) -> None:
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self.window(), "Prompts", "", GEOJSON)
        if path:
            self.show_file(Path(path), used=True)

    def _save(self) -> None:
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self.window(), "Save prompts", "prompts.geojson", GEOJSON)
        if path:
            self._write(Path(path))

    def _keep(self) -> None:
        """Edits count at once: the job takes them from a file of this window."""
        self._write(self.scratch / "edited.geojson")

    def _write(self, path: Path) -> None:
        assert self.model.file is not None
        try:
            prompt_file.write(self.model.file, path)
        except ZidoError as error:
            self._say(str(error))
            return
        self.use_changed.emit(path)
        self._say_what_is_used(path)

    def _drop(self) -> None:
        self.use_changed.emit(None)
        self.clear()

    def _choose(self, current: QtCore.QModelIndex, before: QtCore.QModelIndex) -> None:
        if self.model.file is not None and current.isValid():
            place = self.model.file.place(current.row())
            if place is not None:
                self.tile_chosen.emit(place)

    def _say_what_is_used(self, path: Path | None) -> None:
        if path is None:
            self._say("What the tagger says. Edit a prompt, and the job will use this table.")
        elif path.parent == self.scratch:
            self._say("The job will use this table. The edits are gone when the window closes, unless you save them.")
        else:
            self._say(f"The job will use {path}.")

    def _say(self, text: str) -> None:
        self._note.setText(text)
        there = self.model.file is not None
        self.save.setEnabled(there)
        self.drop.setEnabled(there)

    def _arrange_columns(self) -> None:
        header, numbers = self.table.horizontalHeader(), self.table.verticalHeader()
        assert header is not None
        assert numbers is not None
        numbers.hide()
        letter = self.fontMetrics().averageCharWidth()
        header.resizeSection(NAME, 7 * letter)
        header.resizeSection(TAGS, 38 * letter)
        header.setStretchLastSection(True)
        numbers.setDefaultSectionSize(round(self.fontMetrics().height() * 1.7))

    def _button(self, text: str, tip: str) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(text)
        button.setToolTip(tip)
        button.setAccessibleDescription(tip)
        button.setAutoDefault(False)
        return button
