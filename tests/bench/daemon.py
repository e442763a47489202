"""What the benchmarks share: a daemon of their own that is looked at only from outside, and what they hand back.

The daemon is `python -m stenod run` as a child process, with its own folders and configuration; what is known of it
comes from the file system, the ledger (opened read-only) and /proc.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
from rich.table import Table

from stenod import ledger
from stenod.recording import State

READY_SECONDS = 30.0
PATIENCE_SECONDS = 120.0  # for one transcript, or for the worker's end
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.005  # between two looks for a transcript: the error of its time, at most

# What would override the configuration that is measured.
_OVERRIDES = {
    "WHISPER_MODEL_SIZE",
    "WL_COMPUTE_TYPE",
    "WL_CPU_THREADS",
    "DEVICE_TYPE",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a benchmark has measured, to be shown. `problems`: the limits that are broken, a line each."""

    tables: list[Table]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the configuration differs between the benchmarks. All else is the default."""

    settle_seconds: float = 1.0
    unload_after_seconds: float = 300.0
    rescan_seconds: float = 300.0

    def yaml(self) -> str:
        """Return the configuration file."""
        return (
            "inboxes:\n"
            f"  - {{path: inbox, outbox: outbox, settle: {self.settle_seconds:g}s}}\n"
            "state: state\n"
            "model: {name: demo}\n"
            f"worker: {{unload_after: {self.unload_after_seconds:g}s}}\n"
            f"rescan: {self.rescan_seconds:g}s\n"
        )


@dataclass(frozen=True, slots=True)
class Drop:
    """A recording that was put into the inbox, at the moment when it was closed: by both clocks."""

    name: str
    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True)
class History:
    """When (wall clock) the ledger says that a recording arrived, was claimed and was done."""

    arrived: float
    claimed: float
    done: float


def environment() -> dict[str, str]:
    """Return the environment for child processes: nothing in it overrides what is measured."""
    return {key: value for key, value in os.environ.items() if key not in _OVERRIDES}


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Give a folder with the inbox and all else that a daemon needs, until the context ends."""
    with tempfile.TemporaryDirectory(prefix="stenod-bench-") as folder:
        for name in ("inbox", "outbox", "state"):
            os.mkdir(os.path.join(folder, name))
        yield folder


@dataclass(slots=True)
class Daemon:
    """A `stenod run` in `folder` (see `temporary_folder`): ready when entered, stopped when left."""

    folder: str
    settings: Settings
    ready_seconds: float = 0.0  # from the start of the process to READY=1
    _process: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def pid(self) -> int:
        """The daemon's process number."""
        return self._process.pid

    def __enter__(self) -> "Daemon":
        config_file = os.path.join(self.folder, "stenod.yaml")
        with open(config_file, "w", encoding="utf-8") as file:
            file.write(self.settings.yaml())
        # A unix socket's name is short (108 bytes, unix(7)), so it gets a folder of its own.
        with (
            tempfile.TemporaryDirectory(prefix="stenod-") as runtime,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications,
            open(os.path.join(self.folder, "stenod.log"), "ab") as log,
        ):
            address = os.path.join(runtime, "notify")
            notifications.bind(address)
            notifications.settimeout(0.2)
            started = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "stenod", "run", "--config", config_file],
                env=environment() | {"NOTIFY_SOCKET": address},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                self._wait_until_ready(notifications, started + READY_SECONDS)
            except BaseException:
                self._stop()
                raise
            self.ready_seconds = time.monotonic() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def drop(self, source: str, name: str) -> Drop:
        """Copy the file `source` into the inbox as `name`."""
        shutil.copyfile(source, os.path.join(self.folder, "inbox", name))
        return Drop(name, time.monotonic(), time.time())

    def transcript(self, drop: Drop) -> tuple[str, float]:
        """Wait for the transcript of a dropped recording. Return its text and when it was seen (monotonic)."""
        path = os.path.join(self.folder, "outbox", os.path.splitext(drop.name)[0] + ".txt")
        while not os.path.exists(path):
            self._check(drop.monotonic, f"{drop.name}: no transcript")
            time.sleep(LOOK_SECONDS)
        seen = time.monotonic()
        with open(path, encoding="utf-8") as file:
            return file.read(), seen

    def history(self, drop: Drop) -> History:
        """Wait until the ledger has noted that the recording is done, and return what it knows of its way."""
        path = os.path.join(self.folder, "inbox", drop.name)
        with contextlib.closing(
            ledger.Ledger(os.path.join(self.folder, "state", "ledger.sqlite"), read_only=True)
        ) as it:
            while (recording := it.find(path)) is None or recording.state is not State.DONE:
                self._check(drop.monotonic, f"{drop.name}: not done in the ledger")
                time.sleep(LOOK_SECONDS)
            # Of several claims (after a failed try) the first counts: what came of it is overhead too.
            times: dict[str, float] = {}
            for at, _, state, _ in it.events(recording.id):
                times.setdefault(state, at)
        return History(times[State.QUEUED], times[State.RUNNING], times[State.DONE])

    def wait_for_unload(self) -> None:
        """Wait until there is no worker any more."""
        started = time.monotonic()
        while psutil.Process(self.pid).children():
            self._check(started, "the worker does not end")
            time.sleep(10 * LOOK_SECONDS)

    def _check(self, since: float, problem: str) -> None:
        """Raise RuntimeError if the daemon has ended, or the patience has."""
        if self._process.poll() is not None:
            raise RuntimeError("the daemon ended by itself:\n" + self._last_lines())
        if time.monotonic() - since > PATIENCE_SECONDS:
            raise RuntimeError(f"{problem} within {PATIENCE_SECONDS:.0f} s:\n" + self._last_lines())

    def _wait_until_ready(self, notifications: socket.socket, deadline: float) -> None:
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notifications.recv(4096):
                    return
        raise RuntimeError("the daemon did not start:\n" + self._last_lines())

    def _last_lines(self) -> str:
        with open(os.path.join(self.folder, "stenod.log"), encoding="utf-8", errors="replace") as file:
            return "".join(list(file)[-10:])

    def _stop(self) -> None:
        """End the daemon. Its worker ends by itself when its input closes."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
