"""Opening a ledger: beside a writer, and what is said of a file that is none."""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from stenod.errors import UserError
from stenod.ledger import VERSION, Added, Ledger
from stenod.recording import State
from tests.unit import build

NOW = 1_700_000_000.0


def other_database(path: Path, version: int) -> None:
    """Make a SQLite database of some other program, with its own `PRAGMA user_version`."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(f"CREATE TABLE note (body TEXT); PRAGMA user_version = {version};")


def open_files(folder: Path) -> list[str]:
    """Return the files in `folder` that this process holds open."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [link for link in links if link.startswith(str(folder))]


def test_a_new_ledger_has_this_version_and_survives_being_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    for expected in (Added.NEW, Added.KNOWN):
        with contextlib.closing(Ledger(path)) as book:
            assert book.add(build.arrival(), NOW) is expected
            assert book._db.execute("PRAGMA user_version").fetchone() == (VERSION,)
            assert book._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert book._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            assert book._db.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert os.listdir(tmp_path) == ["ledger.sqlite"]


def test_a_read_only_ledger_is_read_while_another_writes(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    names = [f"/inbox/{number}" for number in range(60)]
    seen: list[list[State]] = []
    done = threading.Event()

    def read() -> None:
        with contextlib.closing(Ledger(path, read_only=True)) as reader:
            while not done.is_set():
                seen.append([found.state for name in names if (found := reader.find(name))])

    with contextlib.closing(Ledger(path)) as writer:
        thread = threading.Thread(target=read)
        thread.start()
        try:
            for name in names:
                writer.add(build.arrival(name), NOW)
                claimed = writer.claim(["i"], NOW)
                assert claimed is not None
                writer.finish(claimed.id, NOW, "ok")
        finally:
            done.set()
            thread.join()
    assert seen, "the reader could not read"
    assert [len(states) for states in seen] == sorted(len(states) for states in seen)
    assert all(set(states[:-1]) <= {State.DONE} for states in seen)
    with contextlib.closing(Ledger(path, read_only=True)) as reader:
        assert reader.counts()[State.DONE] == 60


def test_the_counts_follow_what_another_process_writes(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    with contextlib.closing(Ledger(path)) as writer, contextlib.closing(Ledger(path, read_only=True)) as reader:
        assert reader.counts()[State.QUEUED] == 0
        writer.add(build.arrival(), NOW)
        assert reader.counts()[State.QUEUED] == 1


def test_a_read_only_ledger_cannot_be_written(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    Ledger(path).close()
    with (
        contextlib.closing(Ledger(path, read_only=True)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.add(build.arrival(), NOW)


def test_one_writer_waits_for_the_other(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    begun, go_on = threading.Event(), threading.Event()

    def hold_it() -> None:
        with contextlib.closing(Ledger(path)) as first, first._transaction() as database:
            database.execute("UPDATE recording SET changed_at = changed_at + 1")
            begun.set()
            go_on.wait(5.0)

    with contextlib.closing(Ledger(path)) as book:
        book.add(build.arrival("/inbox/before"), NOW)
    thread = threading.Thread(target=hold_it)
    thread.start()
    try:
        assert begun.wait(5.0)
        threading.Timer(0.2, go_on.set).start()
        with contextlib.closing(Ledger(path)) as second:
            assert second.add(build.arrival(), NOW) is Added.NEW
    finally:
        go_on.set()
        thread.join()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text", "the ledger {path} cannot be opened: file is not a database"),
        ("folder", "the ledger {path} cannot be opened: "),  # SQLite's words differ with the mode
        ("in a missing folder", "the ledger {path} cannot be opened: unable to open database file"),
        ("in a folder that nobody may write", "the ledger {path} cannot be opened: unable to open database file"),
        ("of a newer stenod", "the ledger {path} has version 99, and this stenod reads version 1"),
    ],
)
def test_what_is_no_ledger_gives_one_clear_line(tmp_path: Path, kind: str, said: str, *, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    match kind:
        case "text":
            path.write_text("Dear diary,\n" * 500)
        case "folder":
            path.mkdir()
        case "in a missing folder":
            path = tmp_path / "missing" / "ledger.sqlite"
        case "in a folder that nobody may write":
            path = Path("/proc/ledger.sqlite")  # not even root may
        case _:
            Ledger(str(path)).close()
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError) as raised:
        Ledger(str(path), read_only=read_only)
    assert raised.value.message.startswith(said.format(path=path))
    assert raised.value.next_step
    assert all(len(line.splitlines()) == 1 for line in raised.value.lines())


def test_a_ledger_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened: unable to open database file"):
        Ledger(str(tmp_path / "ledger.sqlite"), read_only=True)
    assert os.listdir(tmp_path) == []


def test_a_newer_ledger_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    other_database(path, VERSION + 1)
    with pytest.raises(UserError):
        Ledger(str(path))
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("note",)]
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)


@pytest.mark.parametrize("version", [0, VERSION])
def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite"
    other_database(path, version)
    with pytest.raises(UserError):
        Ledger(str(path))
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("note",)]


def test_the_message_is_one_line_whatever_the_path(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        Ledger(str(tmp_path / "two\nlines" / "ledger.sqlite"))
    assert "\n" not in raised.value.message


def test_a_file_that_is_refused_is_not_kept_open(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    other_database(path, 99)
    with pytest.raises(UserError) as raised:
        Ledger(str(path))
    assert raised.value.__traceback__ is not None  # while somebody holds the error, the frames live
    assert open_files(tmp_path) == []
