"""What options are called where people see a form, and messages in those words. Without Qt, which GIMP has none of."""

from __future__ import annotations

import re

from ..zido_core.option_spec import OptionSpec
from ..zido_core.options import OPTIONS


def title(spec: OptionSpec) -> str:
    """The option's name as a label."""
    known = {"dtype": "Data type", "vae": "Autoencoder", "cog": "COG", "tta": "TTA"}
    return known.get(spec.name, sentence(spec.name.replace("_dir", "_folder").replace("_", " ")))


def described(spec: OptionSpec) -> str:
    """What it is and does, in whole sentences."""
    return f"{sentence(spec.help)}." + (f" {sentence(spec.effect)}." if spec.effect else "")


def sentence(text: str) -> str:
    """The text with a capital letter."""
    return text[:1].upper() + text[1:]


def in_words_of_the_form(message: str) -> str:
    """A message that names options of the command line, for people who see a form."""

    def named(found: re.Match[str]) -> str:
        spec = OPTIONS.get(found[1].replace("-", "_"))
        if spec is None:
            return found[0]
        return f"\u201c{sentence(spec.help) if spec.kind is bool else title(spec)}\u201d"

    message = message.replace(" with -o", " under \u201cOutput\u201d")
    return re.sub(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)", named, message)
