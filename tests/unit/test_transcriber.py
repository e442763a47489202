"""The real worker with the demo model, as the daemon starts, uses and ends it."""

import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stenod import bundled, transcriber, wire
from stenod.transcriber import Exited, Said, Transcriber

PATIENCE_SECONDS = 20.0
ENGINE = wire.Engine(model=os.fsencode(bundled.DEMO_MODEL), device="cpu", compute_type="int8", cpu_threads=1)


class Daemon:
    """The part of the daemon that has a worker: a Transcriber and its mailbox."""

    def __init__(self) -> None:
        self.mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.transcriber = Transcriber(self.mailbox.put)

    def submit(self, path: str | bytes, *, job: int = 1, engine: wire.Engine = ENGINE) -> None:
        """Give the worker a job."""
        message = wire.Transcribe(job=job, path=os.fsencode(path), engine=engine, options=wire.Options())
        self.transcriber.submit(message, time.monotonic())

    def next(self) -> Said | Exited:
        """Return the next thing that the worker says or does."""
        message = self.mailbox.get(timeout=PATIENCE_SECONDS)
        assert isinstance(message, Said | Exited)
        return message

    def answers(self) -> list[wire.FromWorker]:
        """Return what the worker says until its job has ended."""
        messages: list[wire.FromWorker] = []
        while True:
            said = self.next()
            if not self.transcriber.is_current(said):
                continue
            assert isinstance(said, Said), f"the worker died: {self.transcriber.last_words()}"
            messages.append(said.message)
            if isinstance(said.message, wire.Finished | wire.Failed | wire.NotLoaded):
                return messages


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    one = Daemon()
    yield one
    one.transcriber.stop()


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    """Return one for a test that does its worker harm."""
    one = Daemon()
    yield one
    one.transcriber.stop(at_once=True)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# ---- jobs


def test_a_job_is_answered(daemon: Daemon, samples: Path) -> None:
    daemon.submit(str(samples / "shopping list.wav"), job=7)
    messages = daemon.answers()
    kinds = [type(message) for message in messages]
    assert kinds[:2] == [wire.Hello, wire.Loaded] or wire.Hello not in kinds
    *rest, finished = (message for message in messages if not isinstance(message, wire.Hello | wire.Loaded))
    assert isinstance(finished, wire.Finished)
    assert (finished.job, finished.language, round(finished.duration_seconds, 2)) == (7, "en", 2.54)
    assert rest[0] == wire.Progress(job=7, done_seconds=0.0, total_seconds=0.0)
    assert rest[-1] == wire.Progress(job=7, done_seconds=2.22, total_seconds=finished.duration_seconds)
    text = "".join(message.segment.text for message in rest if isinstance(message, wire.Found))
    assert text.strip() == (samples / "shopping list.wav.reference.txt").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(
    ("kind", "failure", "reason"),
    [
        ("garbage", "undecodable", "it holds no audio that can be decoded"),
        ("empty", "undecodable", "the file is empty"),
        ("pipe", "undecodable", "it is not a regular file"),
        ("folder", "undecodable", "it is not a regular file"),
        ("missing", "gone", "it is no longer there"),
        ("below a file", "unreadable", "it cannot be read: Not a directory"),
    ],
)
def test_what_is_no_recording_is_told_in_one_line(
    daemon: Daemon, tmp_path: Path, kind: str, failure: str, reason: str
) -> None:
    path = os.fsencode(tmp_path) + b"/not utf-8 \xff\n.mp3"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            os.mkdir(path)
        case "missing":
            pass
        case _:
            with open(path, "wb") as file:
                file.write(b"" if kind == "empty" else b"garbage " * 1000)
    if kind == "below a file":
        path += b"/a.mp3"
    daemon.submit(path, job=9)
    assert daemon.answers()[-1] == wire.Failed(job=9, failure=failure, reason=reason)


def test_after_a_failure_the_next_job_is_done(daemon: Daemon, samples: Path) -> None:
    daemon.submit("/nowhere.mp3", job=1)
    assert isinstance(daemon.answers()[-1], wire.Failed)
    daemon.submit(str(samples / "pocket recording.flac"), job=2)
    messages = daemon.answers()
    assert isinstance(messages[-1], wire.Finished)
    assert not [message for message in messages if isinstance(message, wire.Found)], "there is only silence in it"


def test_a_model_that_cannot_be_loaded_is_told_and_the_next_one_is(
    own_daemon: Daemon, tmp_path: Path, samples: Path
) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    broken = wire.Engine(model=os.fsencode(tmp_path), device="cpu", compute_type="int8", cpu_threads=1)
    own_daemon.submit(str(samples / "shopping list.wav"), engine=broken)
    last = own_daemon.answers()[-1]
    assert isinstance(last, wire.NotLoaded)
    assert last.reason.startswith(f"the model {tmp_path} cannot be loaded: ")
    assert "\n" not in last.reason
    own_daemon.submit(str(samples / "shopping list.wav"))
    assert isinstance(own_daemon.answers()[-1], wire.Finished)


# ---- the process


def test_it_is_one_process_in_a_session_of_its_own_and_tells_no_one_anything(
    daemon: Daemon, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    daemon.transcriber.stop()
    for number in range(2):
        daemon.submit(str(samples / "pocket recording.flac"), job=number)
        assert isinstance(daemon.answers()[-1], wire.Finished)
    pid = daemon.transcriber.pid
    assert pid is not None
    worker = psutil.Process(pid)
    assert worker.children(recursive=True) == []
    assert os.getsid(pid) == pid
    assert worker.cwd() == "/"
    environment = worker.environ()
    assert "NOTIFY_SOCKET" not in environment
    assert environment["HF_HUB_OFFLINE"] == environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_what_a_library_prints_does_not_break_the_protocol(
    own_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Chatty:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'faster_whisper':\n"
        "            os.write(1, b'printed by a library\\n')\n"
        "sys.meta_path.insert(0, Chatty())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    own_daemon.submit("/nowhere.mp3")
    assert own_daemon.answers()[-1] == wire.Failed(job=1, failure="gone", reason="it is no longer there")
    end = time.monotonic() + 5.0
    while own_daemon.transcriber.last_words() != ["printed by a library"]:
        assert time.monotonic() < end, own_daemon.transcriber.last_words()
        time.sleep(0.01)


def test_when_its_input_closes_it_is_gone(own_daemon: Daemon) -> None:
    own_daemon.submit("/nowhere.mp3")
    pid = own_daemon.transcriber.pid
    assert pid is not None
    own_daemon.answers()
    started = time.monotonic()
    assert own_daemon.transcriber.stop() == "it ended with exit code 0"
    assert time.monotonic() - started < transcriber.STOP_SECONDS
    assert not is_alive(pid)
    assert not own_daemon.transcriber.running
    assert own_daemon.transcriber.pid is None
    assert own_daemon.transcriber.stop() == "it was not running"
    assert not own_daemon.transcriber.is_current(own_daemon.next())  # what its pipe still says is not to be heard


def test_when_its_input_closes_while_it_transcribes_it_is_gone_too(own_daemon: Daemon, samples: Path) -> None:
    own_daemon.submit(str(samples / "weekly meeting.opus"))
    said = own_daemon.next()
    while not (isinstance(said, Said) and isinstance(said.message, wire.Found)):
        said = own_daemon.next()
    pid = own_daemon.transcriber.pid
    assert pid is not None
    assert own_daemon.transcriber.stop() == "it ended with exit code 0"
    assert not is_alive(pid)


def test_when_it_is_killed_that_is_posted_and_the_next_job_gets_a_new_one(own_daemon: Daemon) -> None:
    own_daemon.submit("/nowhere.mp3")
    first = own_daemon.transcriber.pid
    assert first is not None
    own_daemon.answers()
    os.kill(first, signal.SIGKILL)
    exited = own_daemon.next()
    assert exited == Exited(1)
    assert own_daemon.transcriber.is_current(exited)
    own_daemon.submit("/nowhere.mp3")  # a broken pipe is no error: `Exited` tells it
    assert own_daemon.transcriber.stop(at_once=True) == (
        "it was ended by SIGKILL (killed from outside, perhaps for want of memory)"
    )
    assert not is_alive(first)

    own_daemon.submit("/nowhere.mp3", job=2)
    assert own_daemon.transcriber.pid not in {None, first}
    assert not own_daemon.transcriber.is_current(exited)
    assert own_daemon.answers()[-1] == wire.Failed(job=2, failure="gone", reason="it is no longer there")


def test_quiet_is_counted_from_the_last_job_or_sign_of_life(own_daemon: Daemon) -> None:
    message = wire.Transcribe(job=1, path=b"/nowhere.mp3", engine=ENGINE, options=wire.Options())
    own_daemon.transcriber.submit(message, 100.0)
    assert own_daemon.transcriber.quiet_seconds(107.5) == 7.5
    own_daemon.transcriber.heard(110.0)
    assert own_daemon.transcriber.quiet_seconds(110.5) == 0.5


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (None, "it is still running"),
        (0, "it ended with exit code 0"),
        (1, "it ended with exit code 1"),
        (-9, "it was ended by SIGKILL (killed from outside, perhaps for want of memory)"),
        (-11, "it was ended by SIGSEGV (a crash in the engine)"),
        (-6, "it was ended by SIGABRT (a crash in the engine)"),
        (-4, "it was ended by SIGILL (the engine does not fit this processor)"),
        (-15, "it was ended by SIGTERM"),
        (-250, "it was ended by signal 250"),
    ],
)
def test_how_it_ended(returncode: int | None, text: str) -> None:
    assert transcriber.how_it_ended(returncode) == text
