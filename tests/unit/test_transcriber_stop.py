"""Workers that do not behave: small programs of the tests' own, in the worker's place."""

import os
import queue
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stenod import transcriber, wire
from stenod.transcriber import Exited, Said, Transcriber

JOB = wire.Transcribe(
    job=1, path=b"/a.mp3", engine=wire.Engine(model=b"/m", device="cpu", compute_type="int8", cpu_threads=1),
    options=wire.Options(),
)  # fmt: skip
PYTHON = sys.executable
READY = r"""print('{"type":"hello","protocol":1,"engine_versions":{}}', flush=True)"""
Start = Callable[[str], tuple[Transcriber, "queue.SimpleQueue[object]"]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that starts a program (Python) as the worker, and gives it a job."""
    monkeypatch.setattr(transcriber, "STOP_SECONDS", 0.2)
    started: list[Transcriber] = []

    def run(program: str) -> tuple[Transcriber, "queue.SimpleQueue[object]"]:
        path = tmp_path / "worker"
        path.write_text(f"#!{PYTHON}\nimport os, signal, sys, time\n{program}\n")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))
        mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        one = Transcriber(mailbox.put)
        started.append(one)
        one.submit(JOB, time.monotonic())
        return one, mailbox

    yield run
    for one in started:
        one.stop(at_once=True)


@pytest.mark.parametrize(
    ("program", "at_once", "how"),
    [
        (f"{READY}\nsys.stdin.read()", False, "it ended with exit code 0"),
        (f"{READY}\nsys.stdin.read()\nsys.exit(3)", False, "it ended with exit code 3"),
        (f"{READY}\ntime.sleep(60)", False, "it was ended by SIGTERM"),
        (f"{READY}\ntime.sleep(60)", True, "it was ended by SIGTERM"),
        (
            f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{READY}\ntime.sleep(60)",
            False,
            "it was ended by SIGKILL (killed from outside, perhaps for want of memory)",
        ),
    ],
)
def test_each_rung_of_the_ladder(start: Start, program: str, how: str, *, at_once: bool) -> None:
    one, mailbox = start(program)
    assert isinstance(mailbox.get(timeout=5.0), Said)
    pid = one.pid
    assert pid is not None
    begun = time.monotonic()
    assert one.stop(at_once=at_once) == how
    assert time.monotonic() - begun < 3.0
    assert not psutil.pid_exists(pid)
    assert not one.running


@pytest.mark.parametrize("said", ["printed by a library", '{"type":"unknown"}', '{"type":"hello"', "\\x00\\xff"])
def test_who_speaks_another_protocol_is_ended(start: Start, said: str, caplog: pytest.LogCaptureFixture) -> None:
    one, mailbox = start(f"print('{said}', flush=True)\ntime.sleep(60)")
    assert mailbox.get(timeout=5.0) == Exited(1)
    assert one.stop(at_once=True).startswith("it was ended by SIGKILL"), "it was left to go on until the stop"
    assert [message.split(":")[0] for message in caplog.messages] == ["the worker speaks another protocol"]


def test_what_it_says_before_it_dies_is_heard_first(start: Start) -> None:
    one, mailbox = start(f"{READY}\n{READY}\nos._exit(7)")
    hello = wire.Hello(protocol=1, engine_versions={})
    assert [mailbox.get(timeout=5.0) for _ in range(3)] == [Said(1, hello), Said(1, hello), Exited(1)]
    assert one.stop() == "it ended with exit code 7"


def test_a_worker_that_floods_its_error_output_is_not_held_up_and_its_last_words_are_kept(start: Start) -> None:
    one, mailbox = start(
        "for number in range(20000):\n    print('line', number, '\\udcff', file=sys.stderr)\n"
        f"sys.stderr.flush()\n{READY}\nsys.stdin.read()"
    )
    assert isinstance(mailbox.get(timeout=10.0), Said)
    end = time.monotonic() + 5.0
    while len(one.last_words()) < 20 or not one.last_words()[-1].startswith("line 19999"):
        assert time.monotonic() < end, one.last_words()
        time.sleep(0.01)
    assert [line.split()[1] for line in one.last_words()] == [str(number) for number in range(19980, 20000)]
    one.stop()
    assert [line.split()[1] for line in one.last_words()] == [str(number) for number in range(19980, 20000)]


def test_the_last_words_of_a_worker_that_died_are_all_there(start: Start) -> None:
    one, mailbox = start("print('one', file=sys.stderr)\nprint('two', file=sys.stderr)\nos._exit(7)")
    assert mailbox.get(timeout=5.0) == Exited(1)
    one.stop(at_once=True)
    assert one.last_words() == ["one", "two"]


def test_it_gets_the_job_as_one_line(start: Start, tmp_path: Path) -> None:
    one, mailbox = start(
        f"line = sys.stdin.readline()\nopen({str(tmp_path / 'got')!r}, 'w').write(line)\n{READY}\nsys.stdin.read()"
    )
    assert isinstance(mailbox.get(timeout=5.0), Said)
    assert wire.decode_for_worker((tmp_path / "got").read_bytes()) == JOB
    one.stop()


def test_a_worker_that_cannot_be_started_is_an_os_error_and_another_try_is_possible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    one = Transcriber(queue.SimpleQueue[object]().put)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            one.submit(JOB, 0.0)
        assert not one.running
    assert one.stop() == "it was not running"


def test_no_descriptor_is_left_open(start: Start) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        one, mailbox = start(f"{READY}\nsys.stdin.read()")
        assert isinstance(mailbox.get(timeout=5.0), Said)
        one.stop()
        assert mailbox.get(timeout=5.0) == Exited(1)
    end = time.monotonic() + 5.0
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < end:
        time.sleep(0.01)  # the threads that read are just closing theirs
    assert len(os.listdir("/proc/self/fd")) == before
