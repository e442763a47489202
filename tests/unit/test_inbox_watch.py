"""The watcher on a real folder: what is told, what is not, and what happens when the folder goes and comes back."""

import os
import queue
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stenod.config import Inbox
from stenod.inbox import FolderTouched, Touched, Watcher
from tests.unit import build

PATIENCE_SECONDS = 5.0

# watchdog warns when a folder that it has just found is reported to it too. With warnings as errors that would end its
# thread; in the service it is a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")

Message = Touched | FolderTouched


class Watched:
    """A watcher on the folder `in`, and what it has posted."""

    def __init__(self, folder: Path, *, recursive: bool) -> None:
        self.folder = folder / "in"
        self.outside = folder / "out"
        self.folder.mkdir()
        self.outside.mkdir()
        self.inbox = Inbox(path=str(self.folder), name="i", recursive=recursive)
        self._mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.watcher = Watcher(self._mailbox.put)
        self._markers = 0
        assert self.watcher.attach(self.inbox) == ""

    def file(self, name: str) -> Touched:
        """Return the message that tells of a file."""
        return Touched("i", str(self.folder / name))

    def below(self, name: str) -> FolderTouched:
        """Return the message that tells of a folder."""
        return FolderTouched("i", str(self.folder / name))

    def told(self, *, of: Message | None = None) -> set[Message]:
        """Return everything that was told up to now: until a message `of` it, or of a file made for that, has come."""
        if of is None:
            self._markers += 1
            marker = self.folder / f"marker{self._markers}.mp3"
            marker.write_bytes(b"")
            of = self.file(marker.name)
        messages: set[Message] = set()
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            message = self._mailbox.get(timeout=max(0.0, end - time.monotonic()))
            assert isinstance(message, Touched | FolderTouched)
            messages.add(message)
            if message == of:
                return {item for item in messages if "/marker" not in item.path}

    def attached_again(self) -> bool:
        """Ask for the watch, as every scan does, until the watcher has it; tell whether files are told of again."""
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            assert self.watcher.attach(self.inbox) == ""
            probe = self.folder / "probe.mp3"
            probe.write_bytes(b"")
            try:
                while self._mailbox.get(timeout=0.2) != self.file("probe.mp3"):
                    pass
            except queue.Empty:
                continue
            return True
        return False


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path, recursive=True)
    yield one
    one.watcher.stop()


@pytest.fixture
def watched_flat(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path, recursive=False)
    yield one
    one.watcher.stop()


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_a_new_file_is_told_of_whatever_its_name(watched: Watched, name: str) -> None:
    with open(os.fsencode(watched.folder) + b"/" + os.fsencode(name), "wb") as file:
        file.write(b"sound")
    assert watched.told(of=watched.file(name)) == {watched.file(name)}


def test_each_thing_that_can_happen_to_a_file_is_told(watched: Watched) -> None:
    (watched.folder / "a.mp3").write_bytes(b"sound")
    assert watched.told() == {watched.file("a.mp3")}

    with open(watched.folder / "a.mp3", "ab") as file:
        file.write(b"more")
    assert watched.told() == {watched.file("a.mp3")}

    os.rename(watched.folder / "a.mp3", watched.folder / "b.mp3")
    assert watched.told() == {watched.file("b.mp3")}

    os.unlink(watched.folder / "b.mp3")
    assert watched.told() == {watched.file("b.mp3")}

    (watched.outside / "c.mp3").write_bytes(b"sound")
    os.rename(watched.outside / "c.mp3", watched.folder / "c.mp3")
    assert watched.told() == {watched.file("c.mp3")}

    os.link(watched.folder / "c.mp3", watched.folder / "d.mp3")
    assert watched.told() == {watched.file("d.mp3")}


def test_a_file_that_gets_its_name_only_when_it_is_complete_is_told_of(watched: Watched) -> None:
    (watched.folder / ".a.mp3.x7Gh2").write_bytes(b"as rsync writes")
    (watched.folder / "b.mp3.part").write_bytes(b"as browsers write")
    assert watched.told() == set()
    os.rename(watched.folder / ".a.mp3.x7Gh2", watched.folder / "a.mp3")
    os.rename(watched.folder / "b.mp3.part", watched.folder / "b.mp3")
    assert watched.told() == {watched.file("a.mp3"), watched.file("b.mp3")}


def test_a_written_over_file_is_told_of_when_it_is_closed(watched: Watched) -> None:
    with open(watched.folder / "a.mp3", "wb") as file:
        assert watched.told() == {watched.file("a.mp3")}  # created
        file.write(b"sound")
        file.flush()
        assert watched.told() == set()  # not each write
    assert watched.told() == {watched.file("a.mp3")}


def test_reading_a_file_is_not_told(watched: Watched) -> None:
    (watched.folder / "a.mp3").write_bytes(b"sound")
    assert watched.told() == {watched.file("a.mp3")}
    assert (watched.folder / "a.mp3").read_bytes() == b"sound"
    os.stat(watched.folder / "a.mp3")
    os.listdir(watched.folder)
    assert watched.told() == set()


def test_what_is_hidden_or_no_recording_is_not_told(watched: Watched) -> None:
    (watched.folder / "a.txt").write_bytes(b"transcript")
    (watched.folder / ".stenod-1.txt.tmp").write_bytes(b"transcript")
    (watched.folder / ".hidden").mkdir()
    (watched.folder / ".hidden" / "a.mp3").write_bytes(b"sound")
    (watched.folder / ".hidden" / "below").mkdir()
    assert watched.told() == set()


def test_a_new_folder_with_what_is_in_it_is_told(watched: Watched) -> None:
    (watched.outside / "one" / "two").mkdir(parents=True)
    (watched.outside / "one" / "two" / "a.mp3").write_bytes(b"sound")
    os.rename(watched.outside / "one", watched.folder / "one")
    assert watched.below("one") in watched.told()

    (watched.folder / "one" / "b.mp3").write_bytes(b"sound")
    assert watched.file("one/b.mp3") in watched.told(of=watched.file("one/b.mp3"))
    (watched.folder / "one" / "two" / "c.mp3").write_bytes(b"sound")
    assert watched.file("one/two/c.mp3") in watched.told(of=watched.file("one/two/c.mp3"))

    (watched.folder / "three" / "four").mkdir(parents=True)
    assert watched.below("three") in watched.told()


def test_folders_below_are_not_told_where_the_inbox_is_not_recursive(watched_flat: Watched) -> None:
    (watched_flat.folder / "one").mkdir()
    (watched_flat.folder / "one" / "a.mp3").write_bytes(b"sound")
    (watched_flat.folder / "b.mp3").write_bytes(b"sound")
    assert watched_flat.told() == {watched_flat.file("b.mp3")}


def test_attaching_twice_watches_once(watched: Watched) -> None:
    assert watched.watcher.attach(watched.inbox) == ""
    assert len(watched.watcher._observer.emitters) == 1


@pytest.mark.parametrize(("kind", "problem"), [("missing", "it does not exist"), ("file", "it is not a folder")])
def test_what_cannot_be_watched_is_said(watched: Watched, tmp_path: Path, kind: str, problem: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    item = Inbox(path=str(tmp_path / kind), name="other")
    assert watched.watcher.attach(item) == problem
    (tmp_path / "file").unlink()
    (tmp_path / kind).mkdir()
    assert watched.watcher.attach(item) == ""


def test_an_inbox_that_is_deleted_and_made_anew_is_watched_again(watched: Watched) -> None:
    (watched.folder / "below").mkdir()
    for _ in range(2):
        shutil.rmtree(watched.folder)
        assert watched.watcher.attach(watched.inbox) in {"", "it does not exist"}
        watched.folder.mkdir()
        assert watched.attached_again()


def test_an_inbox_that_is_moved_away_and_made_anew_is_watched_again(watched: Watched) -> None:
    assert watched.watcher.is_attached(watched.inbox)
    os.rename(watched.folder, watched.outside / "in")
    assert not watched.watcher.is_attached(watched.inbox)
    watched.folder.mkdir()
    assert not watched.watcher.is_attached(watched.inbox)  # the watch is still on the folder that was moved away
    assert watched.attached_again()
