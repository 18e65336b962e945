"""What an option says about itself: kind, range, unit, help. Forms and command lines are built from this."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .errors import InvalidOptions

Group = Literal["main", "prompts", "tiling", "sampling", "radiometry", "output", "system"]

HEADINGS: dict[Group, str] = {
    "main": "Options",
    "output": "Output",
    "prompts": "Prompts",
    "sampling": "Diffusion",
    "radiometry": "Bands and values",
    "tiling": "Tiles",
    "system": "Machine",
}
"""Headings of the groups, in the order of help texts and forms."""

AUTOMATIC = "auto"
"""Text that stands for None, where None is a value of the option."""


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """One option, as forms and command lines see it."""

    name: str = ""
    """Name of the dataclass field; ``tile_size`` is ``--tile-size`` on the command line."""

    kind: type[bool] | type[int] | type[float] | type[str] = str
    """Type of the value, or of each of its items."""

    many: bool = False
    """The value is a tuple of such items."""

    optional: bool = False
    """None is allowed, and means the model's or the input's own value."""

    default: object = None
    """Value when nobody says anything."""

    choices: tuple[str, ...] = ()
    """The only texts allowed; empty where there is no such list."""

    minimum: float | None = None
    """Least value, included."""

    maximum: float | None = None
    """Greatest value, included."""

    unit: str = ""
    """``px``, ``bytes`` and so on; empty for plain numbers."""

    pattern: str = ""
    """Regular expression that the whole text must match."""

    expected: str = ""
    """The pattern in words, for error messages."""

    help: str = ""
    """What it is, in a short phrase."""

    effect: str = ""
    """What more of it does."""

    group: Group = "main"
    """Where it belongs on a form."""

    advanced: bool = False
    """Folded away at first."""

    result: bool = True
    """Whether it can change the output's values; only such options are written into the output."""

    short: str = ""
    """Short form on the command line."""

    metavar: str = ""
    """Placeholder of the value in help texts."""

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    def convert(self, value: object) -> object:
        """The value in this option's own type, from that type, JSON or text; else InvalidOptions."""
        if self.optional and (value is None or value == AUTOMATIC):
            return None
        if not self.many:
            return self._item(value)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if self.kind is int else [value]
        if not isinstance(value, list | tuple):
            raise self.wrong(value)
        return tuple(self._item(item) for item in value)

    def wrong(self, value: object) -> InvalidOptions:
        """The error for this value."""
        shown = value if isinstance(value, str) and value.strip() else repr(value)
        return InvalidOptions(f"{self.name} is {shown}; expected {self.expectation}")

    @property
    def expectation(self) -> str:
        """What may stand here, in words."""
        if self.choices:
            words = ", ".join(self.choices)
        elif self.expected:
            words = self.expected
        elif self.kind is bool:
            words = "true or false"
        else:
            words = {int: "a whole number", float: "a number", str: "text"}[self.kind] + self._range
        automatic = self.optional and AUTOMATIC not in self.choices and not self.expected
        return f"{words} or {AUTOMATIC}" if automatic else words

    @property
    def _range(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.minimum is not None and self.maximum is not None:
            return f" from {self.minimum:g} to {self.maximum:g}{unit}"
        return f" of {self.minimum:g}{unit} or more" if self.minimum is not None else unit

    def _item(self, value: object) -> object:
        converted = _CONVERTERS[self.kind](value)
        outside = isinstance(converted, int | float) and not self._inside(converted)
        unknown = bool(self.choices) and converted not in self.choices
        shapeless = bool(self.pattern) and not re.fullmatch(self.pattern, str(converted))
        if converted is None or outside or unknown or shapeless:
            raise self.wrong(value)
        return converted

    def _inside(self, value: float) -> bool:
        above = self.minimum is None or value >= self.minimum
        below = self.maximum is None or value <= self.maximum
        return above and below


def option(default: object, **spec: Any) -> Any:
    """A dataclass field with what its OptionSpec needs to know beyond name, type and default."""
    return dataclasses.field(default=default, metadata=spec)


def specs_of(options: type) -> dict[str, OptionSpec]:
    """The specification of every field of an options dataclass, by name, in order; inherited ones come last."""
    hints = typing.get_type_hints(options)
    own = options.__annotations__
    return {
        field.name: OptionSpec(
            name=field.name, default=field.default, **_from_type(hints[field.name]), **field.metadata
        )
        for field in sorted(dataclasses.fields(options), key=lambda field: field.name not in own)
    }


def _from_type(hint: Any) -> dict[str, Any]:
    """Kind, choices, many and optional, read off a type such as ``Literal["a", "b"] | None``."""
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = next(argument for argument in arguments if argument is not type(None))
        return {**_from_type(inner), "optional": True}
    if typing.get_origin(hint) is tuple:
        return {**_from_type(arguments[0]), "many": True}
    if typing.get_origin(hint) is Literal:
        return {"kind": str, "choices": arguments}
    return {"kind": hint}


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _real(value)
    return int(number) if number is not None and number.is_integer() else None


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str | None:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return value if isinstance(value, str) else None


_CONVERTERS: dict[type, Callable[[object], object]] = {
    bool: _boolean,
    int: _integer,
    float: _real,
    str: _text,
}


def jsonable(value: object) -> object:
    """The value as JSON can hold it: tuples as lists, NaN and infinities as text."""
    if isinstance(value, tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
