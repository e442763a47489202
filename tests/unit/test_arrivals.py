"""From a real folder to a real ledger: what arrives, when, and what is said about it."""

import contextlib
import logging
import os
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stenod import inbox
from stenod.arrivals import Arrivals
from stenod.config import Inbox
from stenod.ledger import Added, Ledger
from stenod.recording import Arrival, State
from stenod.units import Duration

SETTLE_SECONDS = 0.05
PATIENCE_SECONDS = 5.0

# watchdog warns when a folder that it has just found is reported to it too. With warnings as errors that would end its
# thread; in the service it is a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


class CountingLedger(Ledger):
    """A ledger that counts how often it is asked to add something."""

    added = 0

    def add(self, arrival: Arrival, now: float) -> Added:
        self.added += 1
        return super().add(arrival, now)


class Scene:
    """A folder with one inbox, and the part of the service's loop that looks after it."""

    def __init__(self, folder: Path, settle: float = SETTLE_SECONDS) -> None:
        self.folder = folder / "in"
        self.folder.mkdir()
        self.mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.ledger = CountingLedger(str(folder / "ledger.sqlite"))
        self.inbox = Inbox(path=str(self.folder), name="i", settle=Duration(settle))
        self.arrivals = Arrivals([self.inbox], self.ledger, self.mailbox.put)
        self.scans = 0

    def close(self) -> None:
        self.arrivals.stop()
        self.ledger.close()

    def turn(self) -> None:
        """Do what the loop does in one turn."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self.mailbox.get(timeout=0.02)
                assert isinstance(message, inbox.Touched | inbox.FolderTouched | inbox.Seen | inbox.Scanned)
                self.scans += isinstance(message, inbox.Scanned)
                self.arrivals.handle(message)
        self.arrivals.settle()

    def look_through(self) -> None:
        """Have the inbox looked through, and take in what is found."""
        scans, end = self.scans, time.monotonic() + PATIENCE_SECONDS
        self.arrivals.look_through()
        while self.scans == scans:
            assert time.monotonic() < end, "no scan came to its end"
            self.turn()

    def until(self, queued: int) -> None:
        """Turn until so many recordings are queued."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.ledger.counts()[State.QUEUED] != queued:
            assert time.monotonic() < end, f"{self.ledger.counts()}, {self.arrivals.settling} settling"
            self.turn()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    yield one
    one.close()


def test_what_lay_there_before_and_what_comes_later_arrives(scene: Scene) -> None:
    (scene.folder / "before.mp3").write_bytes(b"sound")
    scene.arrivals.look_through()
    scene.until(queued=1)
    (scene.folder / "later.mp3").write_bytes(b"sound")
    scene.until(queued=2)
    (scene.folder / "deep" / "er").mkdir(parents=True)
    (scene.folder / "deep" / "er" / "most.mp3").write_bytes(b"sound")
    scene.until(queued=3)
    assert scene.arrivals.settling == 0
    scene.look_through()
    assert scene.arrivals.settling == 0
    assert scene.ledger.added == 3, "what is known is not added again"


def test_a_file_that_is_still_written_does_not_arrive(scene: Scene) -> None:
    path = scene.folder / "a.mp3"
    scene.arrivals.look_through()
    with open(path, "wb") as file:
        for _ in range(6):
            file.write(b"more")
            file.flush()
            written = time.monotonic()
            scene.turn()
            if scene.ledger.find(str(path)) is not None:  # only if the machine was so busy
                assert time.monotonic() - written >= SETTLE_SECONDS
            time.sleep(SETTLE_SECONDS / 2)
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := scene.ledger.find(str(path))) is None or found.fingerprint.size_bytes != 24:
        assert time.monotonic() < end, found
        scene.turn()


def test_an_empty_file_waits_and_is_spoken_of_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (scene.folder / "a.mp3").write_bytes(b"")
    scene.arrivals.look_through()
    end = time.monotonic() + PATIENCE_SECONDS
    while not caplog.messages and time.monotonic() < end:
        scene.turn()
    scene.look_through()
    assert caplog.messages == [f"{scene.folder}/a.mp3 is empty: stenod waits until something is written to it"]
    assert scene.arrivals.settling == 1
    (scene.folder / "a.mp3").write_bytes(b"sound")
    scene.until(queued=1)


def test_a_file_that_goes_away_while_it_settles_is_forgotten(tmp_path: Path) -> None:
    scene = Scene(tmp_path, settle=60.0)
    try:
        scene.look_through()
        (scene.folder / "a.mp3").write_bytes(b"sound")
        for settling, act in ((1, (scene.folder / "a.mp3").unlink), (0, scene.turn)):
            end = time.monotonic() + PATIENCE_SECONDS
            while scene.arrivals.settling != settling:
                assert time.monotonic() < end, f"{scene.arrivals.settling} settling"
                scene.turn()
            act()
        assert scene.ledger.added == 0
    finally:
        scene.close()


def test_a_changed_file_is_queued_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = str(scene.folder / "two\nlines.mp3")
    scene.arrivals.look_through()
    for content in (b"sound", b"another sound"):
        with open(path, "wb") as file:
            file.write(content)
        scene.until(queued=1)
        claimed = scene.ledger.claim(["i"], time.time())
        assert claimed is not None
        assert claimed.fingerprint.size_bytes == len(content)
        scene.ledger.finish(claimed.id, time.time(), "ok")
    shown = f"{scene.folder}/two\\nlines.mp3"
    assert caplog.messages[-2:] == [f"{shown}: queued", f"{shown}: queued again: it changed"]


def test_an_inbox_that_is_not_there_is_waited_for(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scene.look_through()
    assert (scene.arrivals.online(), scene.arrivals.offline()) == (["i"], [])
    assert scene.arrivals.is_there("i")
    os.rename(scene.folder, scene.folder.parent / "away")
    assert not scene.arrivals.is_there("i")
    assert (scene.arrivals.online(), scene.arrivals.offline()) == ([], ["i"])
    scene.arrivals.look_through()
    scene.arrivals.look_through()
    os.rename(scene.folder.parent / "away", scene.folder)
    (scene.folder / "a.mp3").write_bytes(b"sound")
    scene.arrivals.look_through()
    scene.until(queued=1)
    assert scene.arrivals.is_there("i")
    assert [message for message in caplog.messages if message.startswith("inbox")] == [
        f"inbox i: watching {scene.folder}",
        f"inbox i: {scene.folder}: it has gone away; stenod waits for it",
        f"inbox i: {scene.folder}: it does not exist; stenod waits for it",
        f"inbox i: watching {scene.folder}",
    ]


def test_a_file_that_changed_while_it_is_transcribed_is_not_asked_for_without_pause(tmp_path: Path) -> None:
    scene = Scene(tmp_path, settle=0.0)
    try:
        (scene.folder / "a.mp3").write_bytes(b"sound")
        scene.arrivals.look_through()
        scene.until(queued=1)
        assert scene.ledger.claim(["i"], time.time()) is not None
        (scene.folder / "a.mp3").write_bytes(b"another sound")
        scene.ledger.added = 0
        end = time.monotonic() + PATIENCE_SECONDS
        while scene.ledger.added == 0 and time.monotonic() < end:
            scene.turn()
        assert scene.ledger.added == 1
        due = scene.arrivals.next_due()
        assert due is not None
        assert due > time.monotonic()
    finally:
        scene.close()
