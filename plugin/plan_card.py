"""What a job will take, before it begins: device and its memory, sizes, tiles, memory, disk, time, and warnings."""

from __future__ import annotations

from ..zido_core.job import Done, Failed, Hello, Plan
from ..zido_core.words import amount, duration, pixels
from .qt import Qt, QtWidgets
from .wording import in_words_of_the_form

WAITING = "…"


class PlanCard(QtWidgets.QFrame):
    """A few lines of facts, and below them what is wrong or should be known."""

    ROWS = ("Device", "Result", "Work", "Memory", "Disk", "Time")

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        self.setAccessibleName("Plan")
        grid = QtWidgets.QGridLayout(self)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(2)
        self._facts: dict[str, QtWidgets.QLabel] = {}
        for row, name in enumerate(self.ROWS):
            label, fact = QtWidgets.QLabel(name), _line()
            fact.setAccessibleName(name)
            grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(fact, row, 1)
            self._facts[name] = fact
        self._notes = _line()
        self._notes.setAccessibleName("Warnings")
        grid.addWidget(self._notes, len(self.ROWS), 0, 1, 2)
        self._free = 0
        self.show_nothing("")

    def show_hello(self, hello: Hello) -> None:
        """The device, as soon as it is known."""
        self._free = hello.free_bytes
        title = f"{hello.device} · {hello.device_title}" if hello.device_title else hello.device
        memory = f", {amount(hello.free_bytes)} of {amount(hello.device_bytes)} free" if hello.device_bytes else ""
        self._say("Device", title + memory)

    def show_plan(self, plan: Plan) -> None:
        """All of it."""
        self._say("Result", f"{pixels(plan.output_size)}, ×{plan.scale:g}{f', {plan.crs}' if plan.crs else ''}")
        self._say("Work", f"{plan.tiles} tile{'' if plan.tiles == 1 else 's'} of {plan.tile_size} px on {plan.device}")
        self._say("Memory", f"about {amount(plan.memory_bytes)}")
        self._say("Disk", f"about {amount(plan.disk_bytes)}")
        self._say("Time", "not known before a first run" if plan.seconds is None else f"about {duration(plan.seconds)}")
        notes = list(plan.warnings)
        if self._free and plan.memory_bytes > self._free:
            notes.append(f"{amount(plan.memory_bytes)} of memory are needed and {amount(self._free)} are free")
        self._note([f"Note: {note}" for note in notes])

    def show_done(self, done: Done) -> None:
        """How long it has taken."""
        self._say("Time", f"took {duration(done.seconds)}")

    def show_problem(self, problem: Failed | str) -> None:
        """Why it cannot be done."""
        self.show_nothing("")
        self._note([in_words_of_the_form(problem.message if isinstance(problem, Failed) else problem)])

    def show_nothing(self, note: str) -> None:
        """Nothing is known yet; ``note`` says why."""
        for name in self.ROWS[1:]:
            self._say(name, WAITING)
        if self._facts["Device"].text() == "":
            self._say("Device", WAITING)
        self._note([note] if note else [])

    @property
    def notes(self) -> str:
        """What stands below the facts."""
        return self._notes.text()

    def _say(self, name: str, text: str) -> None:
        self._facts[name].setText(text)

    def _note(self, notes: list[str]) -> None:
        self._notes.setText("\n".join(notes))
        self._notes.setVisible(bool(notes))


def _line() -> QtWidgets.QLabel:
    label = QtWidgets.QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
