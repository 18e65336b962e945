"""A prompt for every tile."""

from .base import FixedPrompt, NoPrompt, Prompt, Tag, Tagger, TaggerSetup, tagger_for, tagger_named
from .compose import Region, combine
from .regions import load_prompts, load_regions, save_prompts
from .vocabulary import VOCABULARY, decode, encode, unknown_words

__all__ = [
    "VOCABULARY",
    "FixedPrompt",
    "NoPrompt",
    "Prompt",
    "Region",
    "Tag",
    "Tagger",
    "TaggerSetup",
    "combine",
    "decode",
    "encode",
    "load_prompts",
    "load_regions",
    "save_prompts",
    "tagger_for",
    "tagger_named",
    "unknown_words",
]
