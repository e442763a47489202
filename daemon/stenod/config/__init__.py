"""The typed configuration: `schema` has what it may say, `reader` gets it from YAML and the environment."""

from stenod.config.reader import Loaded, find, load, load_or_default, load_with_origins, parse
from stenod.config.schema import (
    EXTENSIONS,
    FORMATS,
    LANGUAGES,
    Config,
    Format,
    Inbox,
    Model,
    Prune,
    Section,
    Worker,
    default_state,
    without_file,
)

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "LANGUAGES",
    "Config",
    "Format",
    "Inbox",
    "Loaded",
    "Model",
    "Prune",
    "Section",
    "Worker",
    "default_state",
    "find",
    "load",
    "load_or_default",
    "load_with_origins",
    "parse",
    "without_file",
]
