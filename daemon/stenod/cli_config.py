"""`stenod config ...`: what the configuration says, and where it says so. Part of the command line: it prints."""

import os
import sys
from collections.abc import Iterator

import click
import msgspec

from stenod import config
from stenod.errors import printable
from stenod.yamlmarks import Path

with_config = click.option("--config", "config_file", metavar="FILE", help="The configuration, if not the usual one.")


commands = click.Group("config")


def settings_for(config_file: str | None) -> config.Config:
    """Return the configuration for a command that can do without one, and say so where there is none."""
    settings = config.load_or_default(config_file, os.environ)
    if not settings.file:
        print(f"stenod: no configuration found, so the defaults hold: hub {printable(settings.hub)}", file=sys.stderr)
    return settings


@commands.command()
@with_config
def check(config_file: str | None) -> None:
    """Say what is wrong with it, if anything."""
    path = config_file or config.find(os.environ)
    settings = config.load(path, os.environ)
    count = len(settings.inboxes)
    print(f"{path} is right: {count} inbox{'es' if count != 1 else ''}, model {settings.model.name}.")


@commands.command()
@with_config
def show(config_file: str | None) -> None:
    """Print every setting and where it is from."""
    loaded = config.load_with_origins(config_file or config.find(os.environ), os.environ)
    rows = list(_leaves(loaded.config, ()))
    texts = [f"{_dotted(place)}: {_shown(value)}" for place, value in rows]
    width = min(60, max(map(len, texts)))
    for (place, _), text in zip(rows, texts, strict=True):
        print(f"{text:<{width}}  # {_origin(loaded.origins, place)}")


def _leaves(section: msgspec.Struct, place: Path) -> Iterator[tuple[Path, object]]:
    """Yield every setting with its place in the file; an inbox's own and inherited options stand with the inbox."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, msgspec.Struct):
            yield from _leaves(value, place if name == "options" else (*place, name))
        elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            for index, item in enumerate(value):
                yield from _leaves(item, (*place, name, index))
        elif name != "file":
            yield (*place, name), value


def _origin(origins: dict[Path, str], place: Path) -> str:
    """Return where a setting comes from: an inbox's option may come from the general section."""
    if place in origins:
        return origins[place]
    general = ("transcription", place[-1])
    if place[0] == "inboxes" and general in origins:
        return origins[general]
    return "default"


def _dotted(place: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _shown(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
