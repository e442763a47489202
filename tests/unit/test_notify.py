"""What systemd is told, over a real datagram socket."""

import gc
import os
import socket
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod import notify
from stenod.notify import Notifier


class Manager:
    """The other end: what systemd would receive."""

    def __init__(self, folder: str) -> None:
        self.address = os.path.join(folder, "notify")  # short: a socket's name has 107 bytes at most
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.setblocking(False)

    def received(self) -> list[bytes]:
        """Return everything that has come since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536))
            except BlockingIOError:
                return messages


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with tempfile.TemporaryDirectory(prefix="stenod-") as folder:
        one = Manager(folder)
        monkeypatch.setenv("NOTIFY_SOCKET", one.address)
        with one.socket:
            yield one


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    assert os.environ["NOTIFY_SOCKET"] == manager.address
    one = Notifier()
    yield one
    assert one._notifier is not None
    one._notifier.socket.close()


def test_the_states_of_a_service(manager: Manager, notifier: Notifier) -> None:
    notifier.ready()
    notifier.status("1 queued")
    notifier.stopping()
    assert manager.received() == [b"READY=1", b"STATUS=1 queued", b"STOPPING=1"]


def test_a_status_is_sent_once(manager: Manager, notifier: Notifier) -> None:
    for text in ("one", "one", "two", "two", "one"):
        notifier.status(text)
    assert manager.received() == [b"STATUS=one", b"STATUS=two", b"STATUS=one"]


def test_a_status_arrives_as_one_line_of_ascii(manager: Manager, notifier: Notifier) -> None:
    notifier.status("transcribing Notiz für Käthe.ogg,\n 会議 \udcff 12 %")
    assert manager.received() == [b"STATUS=transcribing Notiz fur Kathe.ogg, ?? ? 12 %"]


def test_nobody_is_told_where_there_is_no_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    silent = Notifier()
    silent.ready()
    silent.status("fine")
    silent.stopping()
    assert silent._notifier is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sdnotify leaves its socket open
def test_a_socket_that_is_not_there_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", os.path.join(tmp_path, "missing"))
    silent = Notifier()
    silent.ready()
    silent.status("fine")
    gc.collect()
    assert caplog.messages == ["systemd cannot be told anything: NOTIFY_SOCKET: No such file or directory"]


def test_a_manager_that_does_not_read_holds_nothing_up_and_gets_the_last_status_later(
    manager: Manager, notifier: Notifier
) -> None:
    for number in range(2000):  # far more than a queue holds (net.unix.max_dgram_qlen)
        notifier.status(f"number {number}")
    held = manager.received()
    assert held[0] == b"STATUS=number 0"
    assert len(held) < 2000
    notifier.status("number 1999")  # it did not go out, so it is sent now
    assert manager.received() == [b"STATUS=number 1999"]


def test_a_manager_that_has_gone_is_no_reason_to_stop(manager: Manager, notifier: Notifier) -> None:
    manager.socket.close()
    notifier.status("fine")
    notifier.stopping()
    assert notifier._status == "", "what did not go out counts as not sent"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("Käthe Ñandú Ångström", "Kathe Nandu Angstrom"),
        ("ﬁle №1", "file No1"),
        ("会議", "??"),
        ("  two \r\n\t lines  ", "two lines"),
        ("", ""),
    ],
)
def test_ascii_line(text: str, line: str) -> None:
    assert notify.ascii_line(text) == line


@given(st.text(st.characters(codec=None, categories=None)))
def test_any_text_gives_one_line_of_ascii(text: str) -> None:
    line = notify.ascii_line(text)
    assert line.isascii()
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
