"""What a scan of a real folder finds, and what it passes over."""

import os
import queue
import socket
from pathlib import Path

import pytest

from stenod import inbox
from stenod.config import Inbox
from stenod.inbox import BATCH, Scanned, Scanner, Seen
from stenod.recording import Fingerprint
from tests.unit import build

as_root = os.geteuid() == 0


def make(folder: Path, *names: str) -> None:
    """Make a small file of each name, and the folders that it needs."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")


def found(folder: Path, *, recursive: bool = True, problems: list[str] | None = None) -> list[str]:
    """Return what a walk through `folder` yields, as sorted names below it."""
    item = Inbox(path=str(folder), name="i", recursive=recursive)
    noted: list[str] = [] if problems is None else problems
    names = [os.path.relpath(path, folder) for path, _ in inbox.walk(item, str(folder), noted)]
    if problems is None:
        assert noted == []
    return sorted(names)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.mp3", True),
        ("A.MP3", True),
        ("a.b.m4a", True),
        ("deep/er/a.wav", True),
        (" .mp3", True),
        ("a.txt", False),
        ("a.srt", False),
        ("a", False),
        ("mp3", False),
        ("a.mp3.part", False),
        ("a.mp3~", False),
        (".a.mp3", False),
        (".mp3", False),
        (".stenod-1.txt.tmp", False),
        (".hidden/a.mp3", False),
        ("deep/.hidden/a.mp3", False),
        *((name, True) for name in build.DIFFICULT_NAMES),
    ],
)
def test_what_has_the_name_of_a_recording(name: str, *, is_one: bool) -> None:
    for root in ("/inbox", "/.hidden/above/does not count", "/"):
        assert inbox.is_recording(Inbox(path=root), os.path.join(root, name)) is is_one


def test_only_the_configured_endings_count() -> None:
    item = Inbox(path="/inbox", extensions=("ogg",))
    assert inbox.is_recording(item, "/inbox/a.OGG")
    assert not inbox.is_recording(item, "/inbox/a.mp3")


def test_a_walk_finds_every_recording_and_its_fingerprint(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "b.txt", "one/c.wav", "one/two/d.ogg")
    walked = dict(inbox.walk(Inbox(path=str(tmp_path)), str(tmp_path), []))
    assert walked == {
        str(tmp_path / name): Fingerprint.of((tmp_path / name).stat())
        for name in ("a.mp3", "one/c.wav", "one/two/d.ogg")
    }


def test_a_walk_stays_above_where_it_is_told_so(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "one/c.wav")
    assert found(tmp_path, recursive=False) == ["a.mp3"]
    assert found(tmp_path, recursive=True) == ["a.mp3", "one/c.wav"]


def test_a_walk_may_begin_below_the_inbox(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "one/c.wav")
    assert [path for path, _ in inbox.walk(Inbox(path=str(tmp_path)), str(tmp_path / "one"), [])] == [
        str(tmp_path / "one" / "c.wav")
    ]


def test_what_is_hidden_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", ".b.mp3", ".c/d.mp3", "e/.f/g.mp3")
    assert found(tmp_path) == ["a.mp3"]


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_any_name_is_found_byte_for_byte(tmp_path: Path, name: str) -> None:
    raw = os.fsencode(tmp_path) + b"/" + os.fsencode(name)
    with open(raw, "wb") as file:
        file.write(b"sound")
    ((path, _),) = inbox.walk(Inbox(path=str(tmp_path)), str(tmp_path), [])
    assert os.fsencode(path) == raw
    assert inbox.fingerprint(path) == Fingerprint.of(os.stat(raw))


def test_no_symbolic_link_is_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    make(inside, "a.mp3", "folder/b.mp3")
    make(outside, "c.mp3")
    (inside / "file.mp3").symlink_to(inside / "a.mp3")
    (inside / "nowhere.mp3").symlink_to(inside / "missing.mp3")
    (inside / "other").symlink_to(outside)
    (inside / "folder" / "loop").symlink_to(inside)
    assert found(inside) == ["a.mp3", "folder/b.mp3"]
    assert inbox.fingerprint(str(inside / "file.mp3")) is None
    assert inbox.fingerprint(str(inside / "nowhere.mp3")) is None


def test_an_inbox_that_is_itself_a_link_is_walked(tmp_path: Path) -> None:
    make(tmp_path / "real", "a.mp3", "one/b.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert found(tmp_path / "link") == ["a.mp3", "one/b.mp3"]


def test_what_is_no_regular_file_is_no_recording(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "folder.mp3/b.mp3")
    os.mkfifo(tmp_path / "pipe.mp3")
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(tmp_path)  # the name of a socket must be short
        try:
            listener.bind("socket.mp3")
        finally:
            os.chdir(before)
        assert found(tmp_path) == ["a.mp3", "folder.mp3/b.mp3"]
    for name in ("pipe.mp3", "socket.mp3", "folder.mp3", "missing.mp3", "a.mp3/b.mp3"):
        assert inbox.fingerprint(str(tmp_path / name)) is None


def test_a_folder_that_is_not_there_is_a_problem_only_if_it_is_the_inbox(tmp_path: Path) -> None:
    item = Inbox(path=str(tmp_path / "in"))
    problems: list[str] = []
    assert list(inbox.walk(item, str(tmp_path / "in" / "gone"), problems)) == []
    assert problems == []
    assert list(inbox.walk(item, str(tmp_path / "in"), problems)) == []
    assert problems == [f"{tmp_path / 'in'} does not exist"]


def test_a_folder_that_is_none_is_noted_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "two\nlines").write_bytes(b"")
    problems: list[str] = []
    assert list(inbox.walk(Inbox(path=str(tmp_path / "two\nlines")), str(tmp_path / "two\nlines"), problems)) == []
    assert problems == [f"{tmp_path}/two\\nlines: Not a directory"]


@pytest.mark.skipif(as_root, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_noted_and_the_rest_is_found(tmp_path: Path) -> None:
    make(tmp_path, "a.mp3", "locked/b.mp3", "open/c.mp3")
    (tmp_path / "locked").chmod(0)
    problems: list[str] = []
    try:
        assert found(tmp_path, problems=problems) == ["a.mp3", "open/c.mp3"]
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert problems == [f"{tmp_path / 'locked'}: Permission denied"]


def test_the_scanner_posts_what_it_finds_in_batches_and_then_that_it_is_through(tmp_path: Path) -> None:
    make(tmp_path, *(f"{number}.mp3" for number in range(BATCH + 3)))
    mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    scanner = Scanner(mailbox.put)
    try:
        scanner.scan(Inbox(path=str(tmp_path), name="i"), str(tmp_path))
        scanner.scan(Inbox(path=str(tmp_path / "missing"), name="j"), str(tmp_path / "missing"))
        messages = [mailbox.get(timeout=5.0) for _ in range(5)]
    finally:
        scanner.stop()
        scanner._thread.join(5.0)
    assert not scanner._thread.is_alive()
    assert [len(message.files) for message in messages if isinstance(message, Seen)] == [BATCH, 3, 0]
    assert messages[2] == Scanned("i", "")
    assert messages[4] == Scanned("j", f"{tmp_path / 'missing'} does not exist")
