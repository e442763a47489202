"""What the daemon costs while there is nothing to do: start, memory, processor time, wakeups, disk writes.

Everything is read from outside, in /proc. The daemon is measured before it has had any work, and again after some
work, once its worker has ended; with an empty inbox, and with one full of recordings that are done.
"""

import contextlib
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich import box
from rich.table import Table

from stenod import bundled, config, demo, ledger
from stenod.recording import Arrival, Fingerprint
from tests.bench.daemon import Daemon, Outcome, Settings, temporary_folder

START_LIMIT_SECONDS = 1.0  # from the start of the process to READY=1, median
MEMORY_LIMIT_MB = 40.0  # millions of bytes; of PSS, and of RSS too, since other Pythons at work make PSS smaller
PROCESSOR_LIMIT_SECONDS = 0.010  # one clock tick, over the whole window
WAKEUPS_LIMIT_PER_SECOND = 2.0
WRITTEN_LIMIT_BYTES = 0

WINDOW_SECONDS = 30.0
QUICK_WINDOW_SECONDS = 10.0
STARTS = 5
DONE_RECORDINGS = 2000
WORK_FILES = 3  # recordings that are transcribed between the two measurements
UNLOAD_AFTER_SECONDS = 1.0
CALM_SECONDS = 3.0  # after which start or work has ended
RESCAN_SECONDS = 2.0  # in the extra run that shows what a rescan costs
RESCANS = 5  # counted from CALM_SECONDS on, hence in the middle between two


@dataclass(frozen=True, slots=True)
class Counters:
    """What a process has used since it began."""

    ticks_seconds: float  # user and system time, in whole clock ticks
    run_seconds: float  # time on a processor, to the nanosecond, of the threads that live
    wakeups: int  # context switches of the threads that live
    written_bytes: int  # caused to be written to disk

    def __sub__(self, before: "Counters") -> "Counters":
        return Counters(
            self.ticks_seconds - before.ticks_seconds,
            self.run_seconds - before.run_seconds,
            self.wakeups - before.wakeups,
            self.written_bytes - before.written_bytes,
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a process. Of what it shares with others, `pss_mb` counts its part and `rss_mb` the whole."""

    pss_mb: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Idle:
    """An idle daemon: its memory at the end of a window of time, and what it used in it."""

    memory: Memory
    seconds: float
    used: Counters


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of one inbox."""

    inbox: str
    start_seconds: list[float]
    before_work: Idle
    after_work: Idle
    a_rescan: Counters


def run(quick: bool) -> Outcome:
    """Measure, and compare with the limits."""
    window_seconds = QUICK_WINDOW_SECONDS if quick else WINDOW_SECONDS
    results = []
    for inbox, done in (("empty inbox", 0), (f"{DONE_RECORDINGS} done recordings", DONE_RECORDINGS)):
        print(f"idle: {inbox}", file=sys.stderr)
        with temporary_folder() as folder:
            _fill(folder, done)
            results.append(_measure(folder, inbox, window_seconds))
    return Outcome([_table(results), _rescan_table(results)], [line for each in results for line in _problems(each)])


def _measure(folder: str, inbox: str, window_seconds: float) -> Measured:
    settings = Settings(unload_after_seconds=UNLOAD_AFTER_SECONDS)
    start_seconds = []
    for _ in range(STARTS):
        with Daemon(folder, settings) as daemon:
            start_seconds.append(daemon.ready_seconds)
    with Daemon(folder, settings) as daemon:
        before_work = _idle(daemon, window_seconds)
        for sample in demo.samples()[:WORK_FILES]:
            drop = daemon.drop(os.path.join(bundled.SAMPLES, sample.file), sample.file)
            daemon.transcript(drop)
            daemon.history(drop)
        daemon.wait_for_unload()
        after_work = _idle(daemon, window_seconds)
    with Daemon(folder, replace(settings, rescan_seconds=RESCAN_SECONDS)) as daemon:
        rescans = _idle(daemon, RESCANS * RESCAN_SECONDS).used
    a_rescan = Counters(
        rescans.ticks_seconds / RESCANS,
        rescans.run_seconds / RESCANS,
        round(rescans.wakeups / RESCANS),
        round(rescans.written_bytes / RESCANS),
    )
    return Measured(inbox, start_seconds, before_work, after_work, a_rescan)


def _idle(daemon: Daemon, window_seconds: float) -> Idle:
    time.sleep(CALM_SECONDS)
    before, started = _counters(daemon.pid), time.monotonic()
    time.sleep(window_seconds)
    used, seconds = _counters(daemon.pid) - before, time.monotonic() - started
    return Idle(_memory(daemon.pid), seconds, used)


def _fill(folder: str, count: int) -> None:
    """Put so many recordings into the inbox that the ledger knows to be done."""
    path = os.path.join(folder, "state", "ledger.sqlite")
    with contextlib.closing(ledger.Ledger(path)) as book:
        for number in range(count):
            recording = os.path.join(folder, "inbox", f"memo {number:04}.wav")
            with open(recording, "wb") as file:
                file.write(os.urandom(1024))
            book.add(Arrival("inbox", recording, Fingerprint.of(os.stat(recording))), time.time())
            claimed = book.claim(["inbox"], time.time())
            assert claimed is not None
            book.finish(claimed.id, time.time(), "done")


def _memory(pid: int) -> Memory:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        kilobytes = dict(re.findall(r"^(Pss|Rss): +([0-9]+) kB$", file.read(), re.MULTILINE))
    return Memory(int(kilobytes["Pss"]) * 1024 / 1e6, int(kilobytes["Rss"]) * 1024 / 1e6)


def _counters(pid: int) -> Counters:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        times = file.read().rpartition(")")[2].split()[11:13]  # utime and stime, proc_pid_stat(5)
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        written = re.findall(r"^write_bytes: ([0-9]+)$", file.read(), re.MULTILINE)
    run_nanoseconds = wakeups = 0
    for task in _tasks(pid):
        with open(f"{task}/schedstat", encoding="ascii") as file:  # the process's own file counts its first thread only
            run_nanoseconds += int(file.read().split()[0])
        with open(f"{task}/status", encoding="utf-8") as file:
            wakeups += sum(
                map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\t([0-9]+)$", file.read(), re.MULTILINE))
            )
    ticks_seconds = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return Counters(ticks_seconds, run_nanoseconds / 1e9, wakeups, int(written[0]))


def _tasks(pid: int) -> Iterator[str]:
    with os.scandir(f"/proc/{pid}/task") as entries:
        yield from (entry.path for entry in entries)


def _problems(measured: Measured) -> Iterator[str]:
    """Yield every limit that is broken."""
    start = statistics.median(measured.start_seconds)
    if start > START_LIMIT_SECONDS:
        yield f"{measured.inbox}: ready after {start:.2f} s, more than {START_LIMIT_SECONDS} s"
    for when, idle in (("before work", measured.before_work), ("after work", measured.after_work)):
        for row in _rows(idle):
            if row.limit is not None and row.value > row.limit:
                figure, limit = row.show(row.value), row.show(row.limit)
                yield f"{measured.inbox}, {when}: {row.name}: {figure}, more than {limit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, how many digits of it mean something, and its limit."""

    name: str
    value: float
    digits: int
    limit: float | None

    def show(self, value: float | None) -> str:
        """Return a value of this row as text."""
        return "" if value is None else f"{value:.{self.digits}f}"


def _rows(idle: Idle) -> list[Row]:
    used, tick_ms = idle.used, 1000 * PROCESSOR_LIMIT_SECONDS
    return [
        Row("memory, PSS (MB)", idle.memory.pss_mb, 1, MEMORY_LIMIT_MB),
        Row("memory, RSS (MB)", idle.memory.rss_mb, 1, MEMORY_LIMIT_MB),
        Row("processor, ticks (ms)", round(1000 * used.ticks_seconds), 0, tick_ms),
        Row("processor, run time (ms)", 1000 * used.run_seconds, 3, tick_ms),
        Row("wakeups per second", used.wakeups / idle.seconds, 2, WAKEUPS_LIMIT_PER_SECOND),
        Row("written to disk (bytes)", used.written_bytes, 0, WRITTEN_LIMIT_BYTES),
    ]


def _table(results: list[Measured]) -> Table:
    seconds = results[0].before_work.seconds
    table = Table(title=f"The idle daemon: {STARTS} starts, windows of {seconds:.0f} s", box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in (*(each.inbox for each in results), "limit"):
        table.add_column(column, justify="right")
    starts = [each.start_seconds for each in results]
    medians = [f"{statistics.median(each):.3f}" for each in starts]
    table.add_row("start to READY, median (s)", *medians, f"{START_LIMIT_SECONDS:.3f}")
    table.add_row("start to READY, worst (s)", *(f"{max(each):.3f}" for each in starts), "")
    for when, idles in (
        ("before any work", [each.before_work for each in results]),
        ("after work, worker unloaded", [each.after_work for each in results]),
    ):
        table.add_section()
        table.add_row(when, style="bold")
        for rows in zip(*map(_rows, idles), strict=True):
            cells = [row.show(row.value) for row in rows]
            table.add_row(f"  {rows[0].name}", *cells, rows[0].show(rows[0].limit))
    return table


def _rescan_table(results: list[Measured]) -> Table:
    """What happens now and then by design: it may not fall into a window, so it is measured by itself."""
    every_seconds = config.Config(inboxes=()).rescan
    table = Table(
        title="One look through the whole inbox (rescan)",
        box=box.SIMPLE_HEAD,
        caption=f"by default every {every_seconds:.0f} s",
    )
    table.add_column("")
    for column in ("CPU (ms)", "of one core", "wakeups", "bytes written"):
        table.add_column(column, justify="right")
    for each in results:
        seconds, wakeups = each.a_rescan.run_seconds, each.a_rescan.wakeups
        share = f"{100 * seconds / every_seconds:.4f} %"
        table.add_row(each.inbox, f"{1000 * seconds:.2f}", share, f"{wakeups}", f"{each.a_rescan.written_bytes}")
    return table
