"""The worker as the daemon sees it: a process that is started on demand, given one job at a time, and ended.

Two threads read its pipes and post `Said` and `Exited`; everything else happens in the thread that owns the
Transcriber. Each worker has a generation, so that a late message of a dead one is never taken for the living one's.
"""

import collections
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from stenod import wire

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0  # for each rung of the stop ladder
STDERR_LINES = 20

_PRIVACY = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the worker."""

    generation: int
    message: wire.FromWorker


@dataclass(frozen=True, slots=True)
class Exited:
    """The worker's output has closed: it has ended, or is about to."""

    generation: int


@dataclass(slots=True)
class _Process:
    generation: int
    popen: "subprocess.Popen[bytes]"
    readers: list[threading.Thread] = field(default_factory=list)
    stderr: "collections.deque[str]" = field(default_factory=lambda: collections.deque(maxlen=STDERR_LINES))


class Transcriber:
    """Owns the worker process. `now` is monotonic seconds everywhere."""

    def __init__(self, post: Callable[[object], None]) -> None:
        self._post = post
        self._process: _Process | None = None
        self._generation = 0
        self._last_sign = 0.0
        self._last_words: list[str] = []

    @property
    def running(self) -> bool:
        """Whether there is a worker."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The worker's process number."""
        return self._process.popen.pid if self._process else None

    def is_current(self, said: Said | Exited) -> bool:
        """Tell whether this came from the living worker."""
        return self._process is not None and said.generation == self._process.generation

    def submit(self, job: wire.Transcribe, now: float) -> None:
        """Give the worker a job; start it first where there is none. Raise OSError if it cannot be started."""
        process = self._process or self._start()
        self._last_sign = now
        assert process.popen.stdin is not None  # noqa: S101 - a pipe, as asked for
        try:
            process.popen.stdin.write(wire.encode(job))
            process.popen.stdin.flush()
        except BrokenPipeError:
            log.debug("the worker died before it could be given a job")  # `Exited` is on its way and tells the loop

    def heard(self, now: float) -> None:
        """Note a sign of life."""
        self._last_sign = now

    def quiet_seconds(self, now: float) -> float:
        """Return how long ago the worker got a job or gave a sign of life."""
        return now - self._last_sign

    def stop(self, *, at_once: bool = False) -> str:
        """End the worker within seconds and return how it ended, for a person. Asks first, unless `at_once`."""
        process, self._process = self._process, None
        if process is None:
            return "it was not running"
        popen = process.popen
        rungs: list[tuple[str, Callable[[], None]]] = [("terminating", popen.terminate), ("killing", popen.kill)]
        if not at_once and popen.stdin is not None:
            rungs.insert(0, ("asking", popen.stdin.close))
        for rung, act in rungs:
            try:
                act()
                popen.wait(STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                log.warning("the worker (pid %d) does not end on %s it", popen.pid, rung)
            except BrokenPipeError:
                continue
        popen.wait()
        for reader in process.readers:
            reader.join(STOP_SECONDS)  # its pipe ends with the process: what it said last is read, too
        self._last_words = list(process.stderr)
        with contextlib.suppress(BrokenPipeError):
            if popen.stdin is not None:
                popen.stdin.close()
        return how_it_ended(popen.returncode)

    def last_words(self) -> list[str]:
        """Return the last lines that the worker, the living one or the one that was stopped last, wrote to stderr."""
        return list(self._process.stderr) if self._process else self._last_words

    def _start(self) -> _Process:
        self._generation += 1
        environment = {key: value for key, value in os.environ.items() if key not in {"NOTIFY_SOCKET", "WATCHDOG_USEC"}}
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "stenod.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment | _PRIVACY,
            start_new_session=True,  # the terminal's Ctrl-C is the daemon's business
        )
        process = self._process = _Process(self._generation, popen)
        assert popen.stdout is not None  # noqa: S101 - pipes, as asked for
        assert popen.stderr is not None  # noqa: S101
        for target, pipe in ((self._read_messages, popen.stdout), (self._read_errors, popen.stderr)):
            reader = threading.Thread(target=target, args=(process, pipe), name="worker-pipe", daemon=True)
            process.readers.append(reader)
            reader.start()
        log.info("worker started (pid %d)", popen.pid)
        return process

    def _read_messages(self, process: _Process, pipe: BinaryIO) -> None:
        try:
            with pipe:
                for line in pipe:
                    self._post(Said(process.generation, wire.decode_from_worker(line)))
        except wire.ProtocolError as error:
            log.error("the worker speaks another protocol: %s", error)  # noqa: TRY400 - the text says it all
            process.popen.kill()
        self._post(Exited(process.generation))

    def _read_errors(self, process: _Process, pipe: BinaryIO) -> None:
        with pipe:
            for line in pipe:
                text = line.decode("utf-8", "replace").rstrip()
                process.stderr.append(text)
                log.debug("worker: %s", text)


def how_it_ended(returncode: int | None) -> str:
    """Return what an exit status (of subprocess) means, for a person."""
    if returncode is None:
        return "it is still running"
    if returncode >= 0:
        return f"it ended with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = {
        "SIGKILL": " (killed from outside, perhaps for want of memory)",
        "SIGSEGV": " (a crash in the engine)",
        "SIGABRT": " (a crash in the engine)",
        "SIGILL": " (the engine does not fit this processor)",
    }.get(name, "")
    return f"it was ended by {name}{hint}"
