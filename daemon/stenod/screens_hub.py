"""What the hub's commands show on a terminal, and on anything else. Part of the command line."""

import contextlib
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from stenod import compare
from stenod.errors import printable
from stenod.hub import fetch, names, store


def show_models(hub: str, models: Sequence[store.Entry], configured: str, missing: str, now: float) -> None:
    """Show the hub as a table. `configured` is the folder in use, `missing` the configured name that is not there."""
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, title=f"Models in {printable(hub)}", title_justify="left", title_style="bold")
    for heading, right in (
        ("model", False),
        ("form", False),
        ("on disk", True),
        ("saved", True),
        ("last used", True),
        ("", False),
    ):
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for entry in models:
        saved = 1 - entry.size_bytes / entry.original_size_bytes if entry.original_size_bytes else 0.0
        notes = "configured" if entry.folder == configured else ""
        notes = "; ".join(
            part for part in (notes, "ships with stenod" * (entry.kind == "bundled"), *entry.problems) if part
        )
        table.add_row(
            Text(printable(entry.name)), entry.form or "?", f"{entry.size_bytes / 1e6:.1f} MB",
            f"{100 * saved:.0f} %" if saved else "", _ago(now - entry.last_used),
            Text(notes, style="red" * bool(entry.problems)),
        )  # fmt: skip
    console.print(table)
    console.print(f"To be had with `stenod hub pull`: {', '.join(names.STANDARD)}; or any OWNER/NAME.", style="dim")
    if missing:
        console.print(f"The configured model, {missing}, is not there yet: `stenod hub pull {missing}` fetches it.")


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"


def show_fetch(request: fetch.Request, *, quiet: bool) -> fetch.Fetched:
    """Fetch (or quantise) a model with a bar on a terminal, a line a step elsewhere. Raise UserError."""
    console = Console(highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        bar = bars.add_task(f"looking for {request.name}", total=None)
        said = ""

        def report(progress: fetch.Progress) -> None:
            nonlocal said
            bars.update(
                bar, description=f"{progress.step} {request.name}", completed=progress.done_bytes,
                total=progress.total_bytes or None,
            )  # fmt: skip
            if not quiet and not console.is_terminal and progress.step != said:
                said = progress.step
                console.print(Text(f"{progress.step} {progress.text or request.name}"))

        return fetch.run(request, report)


def comparison_values(row: compare.Row) -> dict[str, object]:
    """Return a row of the comparison for programs. Sizes in bytes, times in seconds."""
    measured = row.measured
    return {
        "form": row.form.label,
        "size_bytes": row.form.size_bytes,
        "load_seconds": measured.load_seconds,
        "loading_peak_bytes": measured.loading_peak_bytes,
        "resident_bytes": measured.resident_bytes,
        "peak_bytes": measured.peak_bytes,
        "times_real_time": row.speed,
        "word_drift": row.drift.rate if row.drift else None,
        "word_error_rate": row.errors.rate if row.errors else None,
    }


def show_comparison(name: str, rows: Iterable[compare.Row]) -> None:
    """Show the forms of a model side by side, each as soon as it has been measured."""
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, title=f"{name} on this machine", title_justify="left", title_style="bold")
    table.add_column("form")
    for heading in ("on disk", "load", "peak", "resident", "speed", "differ", "wrong"):
        table.add_column(heading, justify="right")
    with console.status("measuring") if console.is_terminal else contextlib.nullcontext():
        for row in rows:
            measured = row.measured
            table.add_row(
                row.form.label,
                f"{row.form.size_bytes / 1e6:.1f} MB",
                f"{measured.load_seconds:.2f} s",
                f"{measured.loading_peak_bytes / 1e6:.0f} MB",
                f"{measured.resident_bytes / 1e6:.0f} MB",
                f"{row.speed:.1f}x",
                f"{100 * row.drift.rate:.1f} %" if row.drift else "",
                f"{100 * row.errors.rate:.1f} %" if row.errors else "",
            )
    console.print(table)
    console.print(
        "Peak is while loading; memory is the whole process with its libraries. Speed in times real time, from one "
        "pass: repeat it if the machine was busy. Differ: words other than in the first row. Wrong: than were said."
    )
