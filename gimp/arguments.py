"""The procedure's arguments, made from zido's options; GIMP remembers them and offers them to scripts."""

from __future__ import annotations

from typing import Any

from gi.repository import Gimp, GObject

from ..zido_core.catalog import MODELS
from ..zido_core.option_spec import AUTOMATIC, OptionSpec
from ..zido_core.options import OPTIONS, Options

LEFT_OUT = {
    "dtype",
    "nodata",
    "bands",
    "extra_bands",
    "allow_remote",
    "allow_vrt",
    "max_pixels",
    "debug",
    "save_prompts",
}
"""Options that make no sense here, as an image of GIMP goes in and comes out, or must not be repeated with the last
values; nor do those of the group ``output``.
"""

OWN = -1.0
"""A number below every option's least; stands for "the model's own", as GIMP's numbers cannot be empty."""

WIDEST = 2**31 - 1


def offered() -> dict[str, OptionSpec]:
    """The options that are arguments."""
    return {name: spec for name, spec in OPTIONS.items() if spec.group != "output" and name not in LEFT_OUT}


def add_arguments(procedure: Gimp.ImageProcedure) -> None:
    """Give the procedure an argument for each of them, typed."""
    for spec in offered().values():
        name, label, text = argument_name(spec), f"_{spec.name.replace('_', ' ').capitalize()}", _described(spec)
        flags = GObject.ParamFlags.READWRITE
        choices = _choices(spec)
        if choices:
            listed = Gimp.Choice.new()
            for number, choice in enumerate(choices):
                listed.add(choice, number, choice, "")
            procedure.add_choice_argument(name, label, text, listed, _default(spec), flags)
        elif spec.kind is bool:
            procedure.add_boolean_argument(name, label, text, _default(spec), flags)
        elif is_number(spec):
            add = procedure.add_int_argument if spec.kind is int else procedure.add_double_argument
            low = OWN if spec.optional else spec.minimum
            high = WIDEST if spec.maximum is None else min(spec.maximum, WIDEST)
            add(name, label, text, spec.kind(low or 0), spec.kind(high), spec.kind(_default(spec)), flags)
        else:
            procedure.add_string_argument(name, label, text, _default(spec), flags)


def options_from(config: Gimp.ProcedureConfig) -> Options:
    """What the arguments say. Raises InvalidOptions."""
    values = {name: config.get_property(argument_name(spec)) for name, spec in offered().items()}
    return Options.from_dict({name: _understood(OPTIONS[name], value) for name, value in values.items()})


def remember(config: Gimp.ProcedureConfig, options: Options) -> None:
    """Put the options into the arguments, from where GIMP saves them."""
    for name, spec in offered().items():
        value = getattr(options, name)
        config.set_property(argument_name(spec), _default(spec) if value is None else _shown(spec, value))


def argument_name(spec: OptionSpec) -> str:
    """The option as GIMP spells names."""
    return spec.name.replace("_", "-")


def is_number(spec: OptionSpec) -> bool:
    """Whether the argument is a number: those that may be anything at all are texts, or nothing could mean "own"."""
    return spec.kind in (int, float) and not spec.many and (spec.minimum is not None or not spec.optional)


def _choices(spec: OptionSpec) -> tuple[str, ...]:
    if spec.name == "model":
        return tuple(MODELS)
    automatic = (AUTOMATIC,) if spec.optional and spec.choices and AUTOMATIC not in spec.choices else ()
    return automatic + spec.choices


def _default(spec: OptionSpec) -> Any:
    if spec.default is None:
        return spec.kind(OWN) if is_number(spec) else (AUTOMATIC if _choices(spec) else "")
    return _shown(spec, spec.default)


def _shown(spec: OptionSpec, value: Any) -> Any:
    if spec.kind is str or spec.many:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return spec.kind(value)


def _understood(spec: OptionSpec, value: Any) -> Any:
    """The value as options take it. GIMP gives an empty text that it remembers as None."""
    if value is None and not spec.optional:
        return spec.default
    if spec.optional and (value == OWN if is_number(spec) else value in ("", None)):
        return None
    return value


def _described(spec: OptionSpec) -> str:
    words = spec.help + (f"; {spec.effect}" if spec.effect else "")
    own = " (-1: the model's own)" if spec.optional and is_number(spec) else ""
    return words[:1].upper() + words[1:] + own
