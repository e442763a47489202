"""The command line: the only code that prints or exits. Each command imports what it needs, so that help comes at once.

Exit codes: 0 all is well; 1 something failed, and was said; 2 the command line itself was wrong; 130 interrupted.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from stenod import __version__
from stenod.errors import UserError, os_error_text, printable

if TYPE_CHECKING:
    from stenod.config import Config, Inbox

CONFIG_HELP = (
    "The configuration. Default: $STENOD_CONFIG, ./stenod.yaml, ~/.config/stenod/stenod.yaml, /etc/stenod/stenod.yaml."
)
FORMAT_NAMES = ("txt", "srt", "vtt", "json")


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        code = cli.main(standalone_mode=False, prog_name="stenod")
        sys.exit(code if isinstance(code, int) else 0)
    except UserError as error:
        print("stenod: " + "\n".join(error.lines()), file=sys.stderr)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("stenod: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `stenod ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)


class _Lazy(click.Group):
    """A group of commands whose module (with a click group called `commands`) is imported only when it is used."""

    def __init__(self, name: str, module: str, text: str) -> None:
        super().__init__(name=name, help=text)
        self._module = module

    def _group(self) -> click.Group:
        group: click.Group = importlib.import_module(self._module).commands
        return group

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._group().get_command(ctx, cmd_name)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stenod")
def cli() -> None:
    """Drop a recording into a folder, find its transcript beside it.

    New here? `stenod demo` shows it at work on recordings that it brings along. `stenod init FOLDER` makes a
    configuration, `stenod run` starts the service with it.
    """


cli.add_command(_Lazy("config", "stenod.cli_config", "See what the configuration says."))
cli.add_command(_Lazy("hub", "stenod.cli_hub", "See and steer the models."))


@cli.command()
@click.option("--config", "config_file", metavar="FILE", help=CONFIG_HELP)
def run(config_file: str | None) -> None:
    """Run the service, until SIGTERM or Ctrl-C.

    It watches the configured inboxes, transcribes every recording that lands there, once, and writes the transcripts.
    """
    from stenod import config, logs, service

    settings = config.load(config_file or config.find(os.environ), os.environ)
    logs.set_up(settings.log_level)
    service.Service(settings).run()


@cli.command()
@click.argument("folder", metavar="FOLDER")
def init(folder: str) -> None:
    """Make a working configuration in FOLDER.

    With an inbox, an outbox and a hub beside it.
    """
    from stenod import starter

    made = starter.make(folder)
    print(f"Made {printable(made)} and, beside it, the folders inbox, outbox and hub.")
    print(f"Start the service:  stenod run --config {_quoted(made)}")
    print(f"Then copy a recording into {printable(os.path.join(os.path.dirname(made), 'inbox'))}.")
    print("The demo model is set, which knows only synthetic speech: the file says how to get a real one.")


@cli.command()
@click.option("--keep", metavar="FOLDER", help="Do it in this new folder and leave everything there to look at.")
def demo(keep: str | None) -> None:
    """See the main job done, with samples.

    Recordings are dropped into the real service, and each transcript is shown as it appears.

    Takes about half a minute, needs no network, and leaves nothing behind. Exit code 0 only if every transcript came
    out right.
    """
    from stenod import screens

    if not screens.show_demo(keep):
        sys.exit(1)


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False))
@click.option("--output", metavar="FOLDER", help="Where transcripts go. Default: beside each file.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(FORMAT_NAMES), help="May stand several times. Default: txt."
)
@click.option("--language", metavar="CODE", help="The language spoken (en, de, ...). Default: as configured.")
@click.option("--model", metavar="NAME", help="A model's folder in the hub, or a path. Default: as configured.")
@click.option("--config", "config_file", metavar="FILE", help=CONFIG_HELP)
def transcribe(
    files: tuple[str, ...],
    output: str | None,
    formats: tuple[str, ...],
    language: str | None,
    model: str | None,
    config_file: str | None,
) -> None:
    """Transcribe FILEs now, without the service.

    The same model, worker and formats; nothing is remembered. A transcript never replaces a file that is already
    there: it gets another name.
    """
    from stenod import config, screens
    from stenod.hub import memory, store

    settings, inbox = _direct_settings(config_file, formats, language, model)
    if output is not None:
        try:
            os.makedirs(output, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {printable(output)} cannot be made: {os_error_text(error)}") from error
    entry = store.require(settings.model.name, settings.hub, settings.model.compute_type)
    if shortage := memory.shortage(entry, memory.available_bytes(), store.entries(settings.hub)):
        raise UserError(shortage, next_step="Choose another one with --model, or make room.")
    if entry.kind == "bundled":
        print("stenod: the demo model knows only synthetic speech; --model NAME takes a real one", file=sys.stderr)
    if language is not None and language != "auto" and language not in config.LANGUAGES:
        raise UserError(f"--language {language}: not a language code of Whisper", next_step="Write en, de, fr, ...")
    if not screens.show_transcribe(settings, inbox, entry.folder, files, output):
        sys.exit(1)


def _direct_settings(
    config_file: str | None, formats: tuple[str, ...], language: str | None, model: str | None
) -> "tuple[Config, Inbox]":
    """Return the configuration, where there is one, with what the command line says put over it."""
    import msgspec

    from stenod import config

    settings = config.load_or_default(config_file, os.environ)
    if model is not None:
        model = os.path.abspath(model) if os.path.isdir(model) else model
        settings = msgspec.structs.replace(settings, model=msgspec.structs.replace(settings.model, name=model))
    options = settings.transcription
    if language is not None:
        options = msgspec.structs.replace(options, language=language)
    inbox = config.Inbox(path="/", formats=tuple(dict.fromkeys(formats)) or ("txt",), options=options)  # type: ignore[arg-type]
    return settings, inbox


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
