"""What the longer commands show on a terminal, and on anything else. Part of the command line."""

import os
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from stenod import demo, direct
from stenod.config import Config, Inbox
from stenod.errors import printable

SHOWN_CHARACTERS = 300  # of a long transcript


def show_demo(keep: str | None) -> bool:
    """Run the demonstration, show it, and tell whether all was right."""
    console = Console(highlight=False)
    console.print("Starting the service: the demo model, a new inbox, no network needed.")
    right = False
    for event in demo.play(keep):
        match event:
            case demo.Ready(folder, seconds):
                console.print(
                    f"Ready after {seconds:.1f} s. Recordings go into {printable(os.path.join(folder, 'inbox'))}"
                )
                console.print()
            case demo.Dropped(sample):
                console.print(f"  -> {sample.file}  ({sample.seconds:.0f} s)", style="dim")
            case demo.Transcribed(sample, text, seconds, errors):
                _show_transcript(console, sample, text, seconds, errors.wrong)
            case demo.Lost(sample, reason):
                console.print(Text(f"  !! {sample.file}: {reason}", style="red"))
            case demo.Summary():
                right = not event.problems
                _show_summary(console, event, keep)
    return right


def _show_transcript(console: Console, sample: demo.Sample, text: str, seconds: float, wrong: int) -> None:
    mark = "" if not wrong else f", {wrong} word{'s' if wrong > 1 else ''} wrong"
    console.print(
        Text(f"  <- {sample.file}", style="bold green").append(f"  after {seconds:.1f} s{mark}", style="not bold")
    )
    shown = " ".join(text.split()) or "(no speech in it)"
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS].rsplit(" ", 1)[0] + " ..."
    console.print(Text(shown), style="cyan", soft_wrap=False)
    console.print()


def _show_summary(console: Console, summary: demo.Summary, keep: str | None) -> None:
    console.print(
        f"{summary.transcribed} of {summary.samples} recordings transcribed: {summary.audio_seconds:.0f} s of audio in "
        f"{summary.seconds:.1f} s, from the first one dropped to the last transcript."
    )
    console.print(
        f"Word error rate against the reference texts: {100 * summary.errors.rate:.1f} % "
        f"({summary.errors.wrong} of {summary.errors.total} words)."
    )
    for problem in summary.problems:
        console.print(Text(f"Wrong: {problem}", style="red"))
    if not summary.problems:
        console.print("All is right.", style="bold green")
    if keep is not None:
        console.print(
            f"Everything is left in {printable(os.path.abspath(keep))}; stenod.log there is the service's log."
        )


def show_transcribe(config: Config, inbox: Inbox, model: str, files: Sequence[str], output: str | None) -> bool:
    """Transcribe the files, show how far each is, and tell whether all were transcribed."""
    console = Console(highlight=False)
    right = True
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("starting", total=None)
        for event in direct.transcribe(config, inbox, model, files, output):
            name = printable(os.path.basename(event.path))
            match event:
                case direct.Progress(_, done, total):
                    bars.update(bar, description=name, completed=done, total=total or None)
                case direct.Done(_, _, _, summary):
                    bars.console.print(Text(f"{name}: {summary}"), soft_wrap=True)
                case direct.Failed(_, reason):
                    right = False
                    bars.console.print(Text(f"{name}: failed: {reason}", style="red"), soft_wrap=True)
    return right
