"""One daemon for one state folder."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stenod import lock
from stenod.errors import UserError

HOLDER = """
import sys
from stenod import lock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_daemon(state: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Have another process hold the state folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_one_is_refused_and_told_who_the_first_one_is(tmp_path: Path) -> None:
    with another_daemon(tmp_path) as first:
        with pytest.raises(UserError) as raised, lock.hold(str(tmp_path)):
            pytest.fail("it was let in")
        assert raised.value.lines() == [
            f"another stenod (process {first.pid}) is at work on {tmp_path}",
            "  Stop it first, or give this one another `state:` folder.",
        ]
        assert (tmp_path / "lock").read_text() == f"{first.pid}\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_free_when_the_first_one_dies(tmp_path: Path, how: signal.Signals) -> None:
    with another_daemon(tmp_path) as first:
        first.send_signal(how)
        assert first.wait(5.0) == -how
        with lock.hold(str(tmp_path)):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_it_is_free_after_a_clean_end_and_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock.hold(str(tmp_path)):
        raise KeyError
    with lock.hold(str(tmp_path)), pytest.raises(UserError, match=f"process {os.getpid()}"):  # noqa: SIM117
        with lock.hold(str(tmp_path)):
            pytest.fail("it was let in")
    with lock.hold(str(tmp_path)):
        pass


def test_the_state_folder_is_made_for_the_user_alone(tmp_path: Path) -> None:
    with lock.hold(str(tmp_path / "deep" / "state")):
        assert stat.S_IMODE((tmp_path / "deep" / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("place", "problem"),
    [("file", "File exists"), ("file/below", "Not a directory"), ("/proc/stenod", "No such file or directory")],
)
def test_a_state_folder_that_cannot_be_made(tmp_path: Path, place: str, problem: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    state = str(tmp_path / place)
    with pytest.raises(UserError) as raised, lock.hold(state):
        pytest.fail("it was let in")
    assert raised.value.message == f"the state folder {state} cannot be used: {problem}"
    assert raised.value.next_step == "Set `state:` in the configuration to a folder that stenod may write."
