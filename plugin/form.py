"""The form: input and output, and a field for every option, made from what the options say about themselves."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence

from ..zido_core.catalog import MODELS, Kind, describe
from ..zido_core.errors import ZidoError
from ..zido_core.job import Job
from ..zido_core.option_spec import HEADINGS, OptionSpec
from ..zido_core.options import OPTIONS, Options, resolve
from .fields import MODEL, Choice, Field, field_for, model_title
from .files import FileRow
from .qt import QtWidgets, Signal
from .sections import Section, add_row, rows
from .wording import title

LEFT_OUT = ("dry_run", "debug")
"""Options that a window has no use for: it plans by itself, and shows its log."""

FIRST = ("model", "preset", "scale", "fidelity")
"""Options that are always in sight, in this order."""

WITH_OUTPUT = "overwrite"
"""The option that stands below the output's path."""

RASTERS = (".tif", ".tiff", ".jp2", ".j2k", ".img", ".vrt")
"""Suffixes of files that are georeferenced as a rule: hints show the values for such, before the file is opened."""


class Form(QtWidgets.QWidget):
    """What is to be done. `job` reads it, `show_options` fills it."""

    changed = Signal()
    """Something of it has changed."""

    input_changed = Signal(str)
    """Another input: its path."""

    def __init__(self, *, with_input: bool = True, with_output: bool = True, without: Collection[str] = ()) -> None:
        """``with_input``, ``with_output``: whether the user says what is read and where the result goes; a host may do
        that. ``without``: options that it decides as well; they stay as they are shown to the form.
        """
        super().__init__()
        self.fields: dict[str, Field] = {name: field_for(spec) for name, spec in _shown() if name not in without}
        self._decided: dict[str, object] = {}
        self._without = without
        self.sections: dict[str, Section] = {}
        self.input = FileRow("Input", saving=False, placeholder="a GeoTIFF, JPEG 2000, PNG, JPEG …; or drop it here")
        self.output = FileRow("Output", saving=True, placeholder="beside the input")
        self._with_input, self._with_output = with_input, with_output
        self._quiet = False
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._main_rows())
        for group, heading in HEADINGS.items():
            if self._of(group):
                self._add_section(layout, group, "More" if group == "main" else heading)
        layout.addStretch(1)
        for field in self.fields.values():
            field.changed.connect(self._on_change)
        self.output.changed.connect(self._on_change)
        self.input.changed.connect(self._on_input)
        self.show_options(Options())

    def job(self) -> Job:
        """What is to be done; raises InvalidOptions where a field is wrong."""
        return Job(input=self.input.path, output=self.output.path or None, options=self.options())

    def options(self) -> Options:
        """The options; raises InvalidOptions where a field is wrong."""
        return Options.from_dict({**self._decided, **{name: field.value() for name, field in self.fields.items()}})

    def show_options(self, options: Options) -> None:
        """Fill the form; tells of one change, however many fields differ."""
        self._quiet = True
        self._decided = {name: value for name, value in options.to_dict().items() if name in self._without}
        for name, field in self.fields.items():
            field.show(getattr(options, name))
        self._quiet = False
        self._on_change()

    def show_models(self, here: Sequence[str]) -> None:
        """Tell which models' files are on this computer."""
        field = self.fields[MODEL]
        assert isinstance(field, Choice)
        for name in MODELS:
            field.rename(name, model_title(name, here=name in here))

    @property
    def unfolded(self) -> tuple[str, ...]:
        """Groups whose options are in sight."""
        return tuple(group for group, section in self.sections.items() if section.is_unfolded)

    def unfold(self, groups: Sequence[str]) -> None:
        """Show the options of these groups."""
        for group, section in self.sections.items():
            section.unfold(group in groups)

    def reveal(self, name: str) -> None:
        """Bring an option into sight, and the focus to it."""
        group = OPTIONS[name].group
        if name not in FIRST and group in self.sections:
            self.sections[group].unfold()
        self.fields[name].widget.setFocus()

    def _main_rows(self) -> QtWidgets.QFormLayout:
        body = QtWidgets.QWidget()
        form = rows(body)
        if self._with_input:
            add_row(form, "&Input", self.input)
        for name in FIRST:
            add_row(form, f"&{title(OPTIONS[name])}", self.fields[name].widget)
        if self._with_output:
            add_row(form, "&Output", self.output)
            form.addRow("", self.fields[WITH_OUTPUT].widget)
        outer = QtWidgets.QFormLayout()
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addRow(body)
        return outer

    def _add_section(self, layout: QtWidgets.QVBoxLayout, group: str, heading: str) -> None:
        section = self.sections[group] = Section(heading)
        for field in sorted(self._of(group), key=lambda field: field.spec.advanced):
            add_row(section.rows, title(field.spec), field.widget)
        layout.addWidget(section)

    def _of(self, group: str) -> list[Field]:
        """The fields of a group that are not in sight anyway."""
        return [
            field
            for name, field in self.fields.items()
            if field.spec.group == group and name not in (*FIRST, WITH_OUTPUT)
        ]

    def _on_input(self) -> None:
        self.input_changed.emit(self.input.path)
        self._on_change()

    def _on_change(self) -> None:
        if not self._quiet:
            self._show_hints()
            self.changed.emit()

    def _show_hints(self) -> None:
        """Say at each field what "auto" means with the model and preset that are chosen."""
        try:
            options = self.options()
            resolved = resolve(options, describe(options.model), self._kind())
        except ZidoError:
            return  # half typed, or contradictory; the plan says what is wrong
        for name, field in self.fields.items():
            field.hint(getattr(resolved, name))

    def _kind(self) -> Kind:
        suffix = os.path.splitext(self.input.path)[1].lower()
        return "raster" if suffix in RASTERS or not suffix else "photo"


def _shown() -> Iterator[tuple[str, OptionSpec]]:
    return ((name, spec) for name, spec in OPTIONS.items() if name not in LEFT_OUT)
