"""A real daemon for tests: `stenod run` as a process, with a folder of its own, the real worker and the demo model."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from stenod import bundled, demo, words

PATIENCE_SECONDS = 45.0
SAMPLES = {sample.file: sample for sample in demo.samples()}
SHORT = sorted(name for name, sample in SAMPLES.items() if sample.language and sample.seconds < 60)
LONG = next(name for name, sample in SAMPLES.items() if sample.seconds > 60)
SILENCE = next(name for name, sample in SAMPLES.items() if sample.language is None)

RECORDINGS = tuple({os.path.splitext(name)[1] for name in SAMPLES})

CONFIG = """\
inboxes:
  - path: inbox
    outbox: {outbox}
    formats: {formats}
    settle: {settle}
{inbox_extra}state: state
model: {{name: demo}}
worker: {{unload_after: {unload_after}}}
rescan: {rescan}
log_level: debug
"""


def sample(name: str) -> Path:
    return Path(bundled.SAMPLES) / name


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS, log: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{log()[-6000:]}")
        time.sleep(0.02)


class Daemon:
    """One folder with inbox, outbox and state, and the daemon on it, which may be started and ended several times."""

    def __init__(
        self,
        folder: Path,
        *,
        outbox: str = "outbox",
        formats: str = "[txt]",
        settle: str = "400ms",
        unload_after: str = "5min",
        rescan: str = "2s",
        inbox_extra: str = "",
    ) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.outbox = folder / outbox if outbox != "beside" else self.inbox
        self.log_path = folder / "stenod.log"
        self.config = folder / "stenod.yaml"
        self.notifications: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.inbox.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(
            outbox=outbox,
            formats=formats,
            settle=settle,
            unload_after=unload_after,
            rescan=rescan,
            inbox_extra=inbox_extra,
        )
        self.config.write_text(text)

    # ---- the process

    def start(self, command: Iterable[str] = ()) -> "Daemon":
        """Start the daemon (behind `command`, say strace) and wait until it says that it is ready."""
        runtime = tempfile.mkdtemp(prefix="stenod-test-")
        address = os.path.join(runtime, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0.1)
        self.notifications = []
        threading.Thread(target=self._listen, args=(self._socket,), daemon=True).start()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, sys.executable, "-m", "stenod", "run", "--config", str(self.config)],
                env={**os.environ, "NOTIFY_SOCKET": address},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        try:
            wait_until(lambda: self.said("READY=1") or self.ended(), "READY=1")
        except BaseException:
            self.kill()
            raise
        finally:
            shutil.rmtree(runtime, ignore_errors=True)
        assert not self.ended(), self.log()
        return self

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _listen(self, notifications: socket.socket) -> None:
        """Read what the daemon sends, as systemd does."""
        while notifications.fileno() != -1:
            with contextlib.suppress(OSError):
                self.notifications.append(notifications.recv(4096).decode("ascii"))

    def said(self, text: str) -> bool:
        """Tell whether the daemon has sent a notification that contains `text`."""
        return any(text in notification for notification in self.notifications)

    def stop(self) -> int:
        """End the daemon with SIGTERM and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self._close()
        return code

    def kill(self) -> None:
        """Pull the plug: SIGKILL for the daemon alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def worker(self) -> psutil.Process | None:
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "stenod.worker" in child.cmdline():
                        return child
        return None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- what it did

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Read from the ledger, as any other program would."""
        database = sqlite3.connect(f"file:{self.folder}/state/ledger.sqlite?mode=ro", uri=True, timeout=5)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def states(self) -> dict[str, str]:
        """Return the state of each recording, by its path in the inbox."""
        rows = self.rows("SELECT path, state FROM recording")
        return {os.path.relpath(os.fsdecode(path), self.inbox): str(state) for path, state in rows}  # type: ignore[arg-type]

    def segments(self) -> int:
        return len(self.rows("SELECT ordinal FROM segment"))

    def published(self) -> set[str]:
        """Return every file of the outbox, hidden ones included; recordings left out."""
        found = {str(path.relative_to(self.outbox)) for path in self.outbox.rglob("*") if not path.is_dir()}
        return {name for name in found if not name.lower().endswith(RECORDINGS)}

    def wait_for(self, *names: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until these recordings (paths in the inbox) are done."""
        wait_until(
            lambda: all(self.states().get(name) == "done" for name in names) or self.ended(),
            f"{names} done",
            seconds,
            self.log,
        )
        assert not self.ended(), self.log()

    def assert_transcribed(self, recordings: dict[str, str]) -> None:
        """Check that each recording (path in the inbox -> sample) has its transcript, once, right, and nothing else is.

        A short sample's text must be exact; the long one's word error rate at most 4 %.
        """
        assert self.states() == dict.fromkeys(recordings, "done")
        expected = {
            os.path.splitext(name)[0] + ".txt": SAMPLES[sample_name] for name, sample_name in recordings.items()
        }
        assert self.published() == set(expected)
        for name, original in expected.items():
            text = (self.outbox / name).read_text()
            if original.seconds < 60:
                assert text.split() == original.reference.split(), name
            else:
                assert words.compare(original.reference, text).rate <= 0.04, name
        finished = self.rows("SELECT recording_id, count(*) FROM event WHERE to_state = 'done' GROUP BY recording_id")
        assert {count for _, count in finished} == {1}, "a recording was transcribed more than once"
        assert len(finished) == len(recordings)


@contextlib.contextmanager
def daemon(folder: Path, **settings: str) -> Iterator[Daemon]:
    """A daemon that is ended, whatever happens in the test. Not started yet."""
    made = Daemon(folder, **settings)
    try:
        yield made
    finally:
        if not made.ended():
            made.kill()
        made._close()
