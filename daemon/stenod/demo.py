"""The demonstration: the real daemon as a child process, recordings dropped into its inbox, transcripts read back.

Nothing here is a shortcut: the child is `stenod run` with a configuration of its own, and only its folders are looked
at. `play` yields what happens; showing it is the command line's business.
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
from dataclasses import dataclass

import msgspec

from stenod import bundled, ledger, words
from stenod.errors import UserError, os_error_text
from stenod.recording import State

READY_SECONDS = 30.0
PATIENCE_SECONDS = 300.0  # for all transcripts together; a machine that needs so long is said to be too slow
DROP_PAUSE_SECONDS = 0.3
LOOK_SECONDS = 0.05
WORST_WORD_ERROR_RATE = 0.04  # over all samples; the demo model's own, see hub/README.md

_CONFIG = """\
# Written by `stenod demo`.
inboxes:
  - path: inbox
    outbox: outbox
    formats: [txt, srt, json]
    settle: 1s
state: state
model:
  name: demo
"""


class Sample(msgspec.Struct, frozen=True):
    """A recording that ships with stenod, and what is said in it. `language` None: nothing is."""

    file: str
    language: str | None
    seconds: float
    reference: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The daemon watches its inbox."""

    folder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """A sample was copied into the inbox."""

    sample: Sample


@dataclass(frozen=True, slots=True)
class Transcribed:
    """A transcript appeared, so many seconds after its recording was dropped."""

    sample: Sample
    text: str
    seconds: float
    errors: words.Errors


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no transcript of this sample, and why."""

    sample: Sample
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """How it went. `seconds` from the first drop to the last transcript; `problems` is empty if all is right."""

    transcribed: int
    samples: int
    audio_seconds: float
    seconds: float
    errors: words.Errors
    problems: tuple[str, ...]


def samples() -> list[Sample]:
    """Return the recordings that ship with stenod."""
    with open(os.path.join(bundled.SAMPLES, "manifest.json"), "rb") as file:
        return msgspec.json.decode(file.read(), type=list[Sample])


def play(keep: str | None) -> Iterator[Ready | Dropped | Transcribed | Lost | Summary]:
    """Run the demonstration in a temporary folder, or in `keep`, which stays. Raise UserError if it cannot begin."""
    with contextlib.ExitStack() as stack:
        if keep is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="stenod-demo-"))
        else:
            folder = os.path.abspath(keep)
        try:
            for name in ("inbox", "outbox", "state"):
                os.makedirs(os.path.join(folder, name))
            with open(os.path.join(folder, "stenod.yaml"), "x", encoding="utf-8") as file:
                file.write(_CONFIG)
        except OSError as error:
            raise UserError(
                f"the demo cannot use {error.filename or folder}: {os_error_text(error)}",
                next_step="Give --keep a folder that is new or empty.",
            ) from error
        daemon = stack.enter_context(_Daemon(folder))
        yield Ready(folder, daemon.seconds_to_ready)
        book = ledger.Ledger(os.path.join(folder, "state", "ledger.sqlite"), read_only=True)
        with contextlib.closing(book):
            yield from _drop_and_collect(daemon, book)


class _Daemon:
    """A `stenod run` of our own: ready when entered, stopped when left."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.seconds_to_ready = 0.0

    def __enter__(self) -> "_Daemon":
        # A unix socket's name is short (108 bytes, unix(7)), so it never lies in a folder of the user's.
        with (
            tempfile.TemporaryDirectory(prefix="stenod-") as runtime,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications,
        ):
            address = os.path.join(runtime, "notify")
            notifications.bind(address)
            started = time.monotonic()
            with open(os.path.join(self.folder, "stenod.log"), "wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "stenod", "run", "--config", os.path.join(self.folder, "stenod.yaml")],
                    env=os.environ | {"NOTIFY_SOCKET": address},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            notifications.settimeout(0.2)
            try:
                self._wait_until_ready(notifications, started + READY_SECONDS)
            except BaseException:
                self._stop()
                raise
            self.seconds_to_ready = time.monotonic() - started
        return self

    def _wait_until_ready(self, notifications: socket.socket, deadline: float) -> None:
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notifications.recv(4096):
                    return
        raise UserError("the daemon did not start", problems=self.last_lines())

    def last_lines(self) -> list[str]:
        """Return the end of the daemon's log."""
        with open(os.path.join(self.folder, "stenod.log"), encoding="utf-8", errors="replace") as file:
            return [line.rstrip() for line in file][-5:]

    def _stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __exit__(self, *_: object) -> None:
        self._stop()


def _drop_and_collect(daemon: _Daemon, book: ledger.Ledger) -> Iterator[Dropped | Transcribed | Lost | Summary]:
    waiting: dict[str, tuple[Sample, float]] = {}
    errors = words.Errors(0, 0)
    problems: list[str] = []
    transcribed = 0
    started = time.monotonic()
    todo = samples()
    audio_seconds = sum(sample.seconds for sample in todo)
    count = len(todo)
    while todo or waiting:
        if todo and time.monotonic() - started >= DROP_PAUSE_SECONDS * (count - len(todo)):
            sample = todo.pop(0)
            shutil.copyfile(
                os.path.join(bundled.SAMPLES, sample.file), os.path.join(daemon.folder, "inbox", sample.file)
            )
            waiting[sample.file] = (sample, time.monotonic())
            yield Dropped(sample)
        for event in _look(daemon, book, waiting):
            if isinstance(event, Lost):
                problems.append(f"{event.sample.file}: {event.reason}")
            else:
                errors += event.errors
                transcribed += 1
            del waiting[event.sample.file]
            yield event
        if daemon.process.poll() is not None:
            raise UserError("the daemon ended by itself", problems=daemon.last_lines())
        if time.monotonic() - started > PATIENCE_SECONDS:
            problems.extend(f"{file}: no transcript within {PATIENCE_SECONDS:.0f} s" for file in waiting)
            break
        time.sleep(LOOK_SECONDS)
    if errors.rate > WORST_WORD_ERROR_RATE:
        problems.append(f"{100 * errors.rate:.1f} % of the words are wrong")
    yield Summary(transcribed, count, audio_seconds, time.monotonic() - started, errors, tuple(problems))


def _look(daemon: _Daemon, book: ledger.Ledger, waiting: dict[str, tuple[Sample, float]]) -> list[Transcribed | Lost]:
    """Return what has come out of the daemon since the last look."""
    found: list[Transcribed | Lost] = []
    for sample, dropped in waiting.values():
        transcript = os.path.join(daemon.folder, "outbox", os.path.splitext(sample.file)[0] + ".txt")
        if os.path.exists(transcript):
            with open(transcript, encoding="utf-8") as opened:
                text = opened.read().strip()
            found.append(Transcribed(sample, text, time.monotonic() - dropped, words.compare(sample.reference, text)))
    for file in waiting.keys() - {event.sample.file for event in found}:
        recording = book.find(os.path.join(daemon.folder, "inbox", file))
        if recording is not None and recording.state is State.FAILED:
            found.append(Lost(waiting[file][0], recording.reason))
    return found
