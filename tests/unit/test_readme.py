"""What the README shows is so: commands and options exist, configurations load, files are there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from stenod import cli, config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    spoken = re.findall(r"`(?:\.venv/bin/)?(stenod [^`]+)`", README)
    parts = [part.strip() for line in lines for part in re.split(r"&&|;", line)]
    return [shlex.split(part)[1:] for part in [*parts, *spoken] if re.match(r"(\.venv/bin/)?stenod ", part)]


@pytest.mark.parametrize("arguments", _commands(), ids=" ".join)
def test_every_command_exists(arguments: list[str]) -> None:
    command: click.Command | None = cli.cli
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), arguments.pop(0))
    assert command is not None
    command.make_parser(click.Context(command)).parse_args(arguments)


def test_commands_were_found() -> None:
    assert {arguments[0] for arguments in _commands()} >= {"demo", "init", "run", "transcribe", "hub"}


@pytest.mark.parametrize("text", [block for language, block in BLOCKS if language == "yaml"])
def test_every_configuration_loads(text: str) -> None:
    assert config.parse(text, "stenod.yaml", {}).inboxes


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
