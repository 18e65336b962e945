"""The options of zido as parameters of Processing, and back. Generated, so that a new option appears by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qgis.core import (
    Qgis,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingDestinationParameter,
    QgsProcessingException,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
)

from ..zido_core.catalog import MODELS
from ..zido_core.errors import ZidoError
from ..zido_core.option_spec import AUTOMATIC, OptionSpec
from ..zido_core.options import OPTIONS, Options

INPUT, OUTPUT = "INPUT", "OUTPUT"
"""Names that Processing's own algorithms give to what goes in and what comes out."""

NOT_ASKED = frozenset({"overwrite", "dry_run", "offline"})
"""Options without a parameter: Processing asks before it replaces a file, runs mean it, workers are offline anyway."""

WITH_OPTIONS_WIDGET = 34000
"""The first version of QGIS whose own editor of creation options can be asked for by a name."""

OPTIONS_WIDGET = (
    {"widget_type": "rasteroptions"}
    if Qgis.QGIS_VERSION_INT >= WITH_OPTIONS_WIDGET
    else {"class": "processing.algs.gdal.ui.RasterOptionsWidget.RasterOptionsWidgetWrapper"}
)
"""That editor; its value is ``KEY=VALUE|KEY=VALUE``."""

FIRST = frozenset({"scale", "model", "preset", "fidelity", "prompt", "prompts", "bands"})
"""Options that are seen at once; all others are among the advanced parameters."""

RASTERS = frozenset({"uncertainty"})
"""Options that name a raster to write; QGIS loads it like the result."""

SUFFIXES = {"save_prompts": "GeoJSON (*.geojson)", "report": "HTML (*.html)"}
"""Filters of the files that options name; JSON for all others."""


def asked(*, without: Iterable[str] = ()) -> list[OptionSpec]:
    """The options that have a parameter, but for some."""
    return [spec for name, spec in OPTIONS.items() if name not in NOT_ASKED.union(without)]


def add_to(algorithm: QgsProcessingAlgorithm, specs: Iterable[OptionSpec]) -> None:
    """Give an algorithm the parameters of these options."""
    for spec in specs:
        parameter = parameter_of(spec)
        parameter.setHelp(help_of(spec))
        if spec.name not in FIRST:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        algorithm.addParameter(parameter, createOutput=isinstance(parameter, QgsProcessingDestinationParameter))


def parameter_of(spec: OptionSpec) -> QgsProcessingParameterDefinition:
    """The parameter of an option, which has its name in capitals."""
    name, label = name_of(spec), label_of(spec)
    choices = tuple(MODELS) if spec.name == "model" else spec.choices
    if choices:
        words = [AUTOMATIC, *choices] if spec.optional and AUTOMATIC not in choices else list(choices)
        chosen = AUTOMATIC if spec.default is None else spec.default
        return QgsProcessingParameterEnum(name, label, options=words, defaultValue=chosen, usesStaticStrings=True)
    if spec.name == "bands":
        return QgsProcessingParameterBand(
            name, label, parentLayerParameterName=INPUT, optional=True, allowMultiple=True
        )
    if spec.kind is bool:
        return QgsProcessingParameterBoolean(name, label, defaultValue=spec.default)
    if spec.kind in (int, float) and not spec.many:
        return _number(spec)
    return _text(spec)


def _number(spec: OptionSpec) -> QgsProcessingParameterDefinition:
    types = QgsProcessingParameterNumber.Type
    limits = {"minValue": spec.minimum, "maxValue": spec.maximum}
    return QgsProcessingParameterNumber(
        name_of(spec),
        label_of(spec),
        type=types.Integer if spec.kind is int else types.Double,
        defaultValue=spec.default,
        optional=spec.optional,
        **{name: limit for name, limit in limits.items() if limit is not None},
    )


def _text(spec: OptionSpec) -> QgsProcessingParameterDefinition:
    name, label = name_of(spec), label_of(spec)
    if spec.metavar == "FOLDER":
        folder = QgsProcessingParameterFile.Behavior.Folder
        return QgsProcessingParameterFile(name, label, behavior=folder, optional=True)
    if spec.name in RASTERS:
        return QgsProcessingParameterRasterDestination(name, label, optional=True, createByDefault=False)
    if spec.metavar == "FILE":
        kind = SUFFIXES.get(spec.name, "JSON (*.json)")
        return QgsProcessingParameterFileDestination(name, label, kind, optional=True, createByDefault=False)
    default = None if spec.many else spec.default
    parameter = QgsProcessingParameterString(name, label, defaultValue=default, optional=True)
    if spec.name == "creation_options":
        parameter.setMetadata({"widget_wrapper": OPTIONS_WIDGET})
    return parameter


def options_from(
    algorithm: QgsProcessingAlgorithm,
    parameters: Mapping[str, Any],
    context: QgsProcessingContext,
    specs: Iterable[OptionSpec],
) -> Options:
    """What the parameters say. Raises QgsProcessingException where it makes no sense."""
    values: dict[str, Any] = {}
    for spec in specs:
        if not _is_unset(parameters.get(name_of(spec))):
            value = _value(algorithm, parameters, context, spec)
            if value not in ("", (), []):
                values[spec.name] = value
    try:
        return Options.from_dict(values)
    except ZidoError as error:
        raise QgsProcessingException(in_parameter_names(str(error))) from None


def _value(
    algorithm: QgsProcessingAlgorithm, parameters: Mapping[str, Any], context: QgsProcessingContext, spec: OptionSpec
) -> Any:
    """The value of one parameter; numbers may come as text, and as expressions."""
    arguments = parameters, name_of(spec), context
    definition, raw = algorithm.parameterDefinition(name_of(spec)), parameters[name_of(spec)]
    if isinstance(definition, QgsProcessingParameterEnum):
        return algorithm.parameterAsEnumString(*arguments)
    if isinstance(definition, QgsProcessingParameterBand):
        return algorithm.parameterAsInts(*arguments) or raw
    if isinstance(definition, QgsProcessingParameterBoolean):
        return algorithm.parameterAsBoolean(*arguments)
    if isinstance(definition, QgsProcessingParameterNumber):
        # QGIS would take 0 for a text that is no number; zido says what is wrong with it.
        return raw if isinstance(raw, int | float | str) else algorithm.parameterAsDouble(*arguments)
    if isinstance(definition, QgsProcessingParameterRasterDestination):
        return algorithm.parameterAsOutputLayer(*arguments)
    if isinstance(definition, QgsProcessingParameterFileDestination):
        return algorithm.parameterAsFileOutput(*arguments)
    text = algorithm.parameterAsString(*arguments)
    return [part for part in text.split("|") if part] if spec.many and spec.kind is str else text


def _is_unset(raw: Any) -> bool:
    null = getattr(raw, "isNull", None)  # QVariant and its kin
    return raw is None or raw == "" or bool(null and null())


def name_of(spec: OptionSpec) -> str:
    """``tile_size`` is ``TILE_SIZE``."""
    return spec.name.upper()


def label_of(spec: OptionSpec) -> str:
    """``tile_size`` is "Tile size [px]"."""
    words = spec.name.replace("_", " ").capitalize()
    return f"{words} [{spec.unit}]" if spec.unit not in ("", "times") else words


def help_of(spec: OptionSpec) -> str:
    """What it is and what more of it does."""
    text = f"{spec.help} ({spec.effect})" if spec.effect else spec.help
    text = text.replace("may be repeated", "several are divided by |")
    return in_parameter_names(f"{text[:1].upper()}{text[1:]}")


def in_parameter_names(message: str) -> str:
    """A text of the command line as it reads here: ``--tile-size`` is TILE_SIZE. An output is replaced in any case."""
    message = message.replace("with --overwrite and without", "without").replace(" with -o", "")
    for spec in sorted(OPTIONS.values(), key=lambda spec: -len(spec.flag)):
        message = message.replace(spec.flag, name_of(spec))
    return message
