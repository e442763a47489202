"""The ledger on a real SQLite file: what goes in comes out, and what is not allowed leaves no trace."""

import contextlib
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from stenod import ledger
from stenod.ledger import Added, IllegalMoveError, Ledger
from stenod.recording import Failure, Fingerprint, GiveUp, Recording, Retry, State
from tests.unit import build

NOW = 1_700_000_000.0


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(str(tmp_path / "ledger.sqlite"))) as opened:
        yield opened


def claimed(book: Ledger, path: str = "/inbox/a.mp3", now: float = NOW) -> Recording:
    """Return a recording that was added and claimed."""
    assert book.add(build.arrival(path), now) is Added.NEW
    found = book.claim(["i"], now)
    assert found is not None
    assert found.path == path
    return found


def in_state(book: Ledger, state: State) -> Recording:
    """Return a recording that was brought into this state."""
    if state is State.QUEUED:
        book.add(build.arrival(), NOW)
    else:
        one = claimed(book)
        if state is State.DONE:
            book.finish(one.id, NOW, "ok")
        elif state is State.FAILED:
            book.fail(one, Failure.UNDECODABLE, "noise", NOW)
    found = book.find("/inbox/a.mp3")
    assert found is not None
    assert found.state is state
    return found


# ---- what comes in


def test_an_arrival_is_queued_once_and_comes_back_as_it_was(book: Ledger) -> None:
    arrival = build.arrival()
    assert not book.knows(arrival.path, arrival.fingerprint)
    assert book.add(arrival, NOW) is Added.NEW
    assert book.add(arrival, NOW + 1) is Added.KNOWN
    assert book.knows(arrival.path, arrival.fingerprint)
    assert book.find(arrival.path) == Recording(
        id=1, inbox="i", path="/inbox/a.mp3", fingerprint=Fingerprint(10, 20, 30), state=State.QUEUED, attempts=0,
        crashes=0, interruptions=0, not_before=0.0, failure=None, reason="",
    )  # fmt: skip
    assert book.events(1) == [(NOW, None, "queued", "arrived")]
    assert book.counts() == {State.QUEUED: 1, State.RUNNING: 0, State.DONE: 0, State.FAILED: 0}


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_any_file_name_comes_back_byte_for_byte(book: Ledger, name: str) -> None:
    path = f"/inbox/{name}"
    one = claimed(book, path)
    book.intend(one.id, [(f"{path}.txt", "digest")], NOW)
    assert one.path == path
    found = book.find(path)
    assert found is not None
    assert os.fsencode(found.path) == os.fsencode(path)
    assert book.transcripts(one.id) == [f"{path}.txt"]
    assert book.written(one.id, f"{path}.txt") == {"digest"}


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_the_ledger_itself_may_lie_in_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with contextlib.closing(Ledger(str(folder / "ledger.sqlite"))) as opened:
        opened.add(build.arrival(), NOW)
    assert sorted(os.listdir(folder)) == ["ledger.sqlite"]
    with contextlib.closing(Ledger(str(folder / "ledger.sqlite"), read_only=True)) as opened:
        assert opened.find("/inbox/a.mp3") is not None


@pytest.mark.parametrize("state", [State.QUEUED, State.DONE, State.FAILED])
def test_a_changed_file_is_queued_afresh_and_what_was_made_of_it_is_forgotten(book: Ledger, state: State) -> None:
    one = claimed(book)
    book.checkpoint(one.id, 0, [build.segment()])
    book.complete(one.id, "job", build.finished())
    match state:
        case State.QUEUED:
            book.fail(one, Failure.PUBLISH, "no space", NOW)
        case State.DONE:
            book.finish(one.id, NOW, "ok")
        case State.FAILED:
            book.fail(one, Failure.UNDECODABLE, "noise", NOW)
    assert book.add(build.arrival(size=11, inode=31, inbox="other"), NOW + 5) is Added.CHANGED
    assert book.get(one.id) == Recording(
        id=1, inbox="other", path="/inbox/a.mp3", fingerprint=Fingerprint(11, 20, 31), state=State.QUEUED, attempts=0,
        crashes=0, interruptions=0, not_before=0.0, failure=None, reason="",
    )  # fmt: skip
    assert book.result(one.id, "job") is None
    book.checkpoint(one.id, 0, [build.segment()])  # nothing of before is in the way


def test_a_file_on_another_mount_is_still_known(book: Ledger) -> None:
    book.add(build.arrival(inode=1), NOW)
    assert book.add(build.arrival(inode=2), NOW) is Added.KNOWN


def test_a_change_while_it_is_transcribed_has_to_wait(book: Ledger) -> None:
    one = claimed(book)
    assert book.add(build.arrival(size=11), NOW) is Added.BUSY
    assert book.get(one.id) == one
    book.finish(one.id, NOW, "ok")
    assert book.add(build.arrival(size=11), NOW) is Added.CHANGED


def test_a_file_that_was_gone_and_comes_back_unchanged_is_queued_again(book: Ledger) -> None:
    one = claimed(book)
    assert book.fail(one, Failure.GONE, "it is no longer there", NOW) == GiveUp()
    arrival = build.arrival()
    assert not book.knows(arrival.path, arrival.fingerprint)
    assert book.add(arrival, NOW) is Added.CHANGED
    assert book.get(one.id).failure is None


# ---- the work


def test_the_oldest_of_the_online_inboxes_is_claimed_first(book: Ledger) -> None:
    for path, inbox in (("/x/a", "x"), ("/y/a", "y"), ("/x/b", "x")):
        book.add(build.arrival(path, inbox=inbox), NOW)
    claims = [book.claim(inboxes, NOW) for inboxes in (["y", "z"], [], ["x", "y"], ["x"], ["x", "y"])]
    assert [claim and claim.path for claim in claims] == ["/y/a", None, "/x/a", "/x/b", None]


def test_a_claim_waits_for_its_time(book: Ledger) -> None:
    one = claimed(book)
    assert book.next_claim(["i"]) is None
    assert book.fail(one, Failure.UNREADABLE, "no permission", NOW) == Retry(NOW + 2)
    assert book.next_claim(["i"]) == NOW + 2
    assert book.next_claim(["other"]) is None
    assert book.claim(["i"], NOW + 1.9) is None
    again = book.claim(["i"], NOW + 2)
    assert again is not None
    assert (again.attempts, again.failure, again.reason) == (2, Failure.UNREADABLE, "no permission")


def test_a_clock_set_back_holds_no_recording_up_for_longer_than_the_longest_pause(book: Ledger) -> None:
    one = claimed(book)
    book.fail(one, Failure.UNREADABLE, "no permission", NOW)
    an_hour_before = NOW - 3600
    assert book.claim(["i"], an_hour_before + 900) is not None


def test_what_the_engine_made_is_found_again_for_the_same_job_only(book: Ledger) -> None:
    one = claimed(book)
    segments = [build.segment(number, number + 1, f"text {number}") for number in range(5)]
    book.checkpoint(one.id, 0, segments[:2])
    book.checkpoint(one.id, 2, segments[2:])
    assert book.result(one.id, "job") is None  # not yet through
    book.complete(one.id, "job", build.finished())
    assert book.result(one.id, "job") == ledger.Result(build.finished(), tuple(segments))
    assert book.result(one.id, "another job") is None
    assert book.result(one.id + 1, "job") is None
    book.start_over(one.id)
    assert book.result(one.id, "job") is None


def test_the_same_segment_is_not_kept_twice_nor_one_of_an_unknown_recording(book: Ledger) -> None:
    one = claimed(book)
    book.checkpoint(one.id, 0, [build.segment()])
    with pytest.raises(sqlite3.IntegrityError):
        book.checkpoint(one.id, 0, [build.segment()])
    with pytest.raises(sqlite3.IntegrityError):
        book.checkpoint(one.id + 1, 0, [build.segment()])
    book.complete(one.id, "job", build.finished())
    assert book.result(one.id, "job") == ledger.Result(build.finished(), (build.segment(),))


def test_transcripts_that_were_written_are_remembered_for_their_recording(book: Ledger) -> None:
    one, two = claimed(book, "/inbox/a.mp3"), claimed(book, "/inbox/b.mp3")
    book.intend(one.id, [("/out/a.txt", "one"), ("/out/a.srt", "two")], NOW)
    book.intend(one.id, [("/out/a.txt", "three")], NOW + 1)
    assert book.written(one.id, "/out/a.txt") == {"one", "three"}
    assert book.written(one.id, "/out/b.txt") == set()
    assert book.written(two.id, "/out/a.txt") == set()
    assert book.transcripts(one.id) == ["/out/a.txt", "/out/a.srt"]


@pytest.mark.parametrize("state", [State.QUEUED, State.DONE, State.FAILED])
def test_illegal_moves_are_refused_and_leave_no_trace(book: Ledger, state: State) -> None:
    one = in_state(book, state)
    before = (book.get(one.id), book.events(one.id))
    with pytest.raises(IllegalMoveError, match=f"^recording 1: {state} -> done$"):
        book.finish(one.id, NOW + 9, "ok")
    with pytest.raises(IllegalMoveError, match=f"^recording 1: {state} -> failed$"):
        book.fail(one, Failure.UNDECODABLE, "noise", NOW + 9)
    assert (book.get(one.id), book.events(one.id)) == before
    assert book.claim(["i"], NOW) is not None or state is not State.QUEUED  # the ledger goes on


def test_a_move_of_an_unknown_recording_is_refused(book: Ledger) -> None:
    with pytest.raises(IllegalMoveError, match=r"^recording 7: unknown -> done$"):
        book.finish(7, NOW, "ok")
    with pytest.raises(KeyError):
        book.get(7)
    assert book.find("/nowhere") is None


def test_a_clean_stop_costs_no_try_and_does_not_hide_the_last_failure(book: Ledger) -> None:
    one = claimed(book)
    book.fail(one, Failure.CRASH, "it crashed", NOW)
    again = book.claim(["i"], NOW + 100)
    assert again is not None
    assert book.fail(again, Failure.STOPPED, "stenod was stopped", NOW + 100) == Retry(0.0)
    back = book.get(one.id)
    assert (back.attempts, back.crashes, back.failure, back.reason) == (1, 1, Failure.CRASH, "it crashed")


def test_the_history_tells_every_move(book: Ledger) -> None:
    one = claimed(book)
    book.fail(one, Failure.PUBLISH, "no space", NOW + 1)
    book.claim(["i"], NOW + 10)
    book.finish(one.id, NOW + 11, "8.0 s of it")
    assert book.events(one.id) == [
        (NOW, None, "queued", "arrived"),
        (NOW, "queued", "running", "attempt 1"),
        (NOW + 1, "running", "queued", "no space"),
        (NOW + 10, "queued", "running", "attempt 2"),
        (NOW + 11, "running", "done", "8.0 s of it"),
    ]


def test_a_full_disk_is_told_as_such_and_the_ledger_goes_on_when_there_is_room_again(book: Ledger) -> None:
    one = claimed(book)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(book.path + "-wal") + 5000, hard))
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="disk"):
                book.checkpoint(one.id, 0, [build.segment(text="x" * 100_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    book.checkpoint(one.id, 0, [build.segment()])
    book.complete(one.id, "job", build.finished())
    book.finish(one.id, NOW, "ok")
    assert book.result(one.id, "job") == ledger.Result(build.finished(), (build.segment(),))


def test_when_sqlite_rolls_back_by_itself_the_cause_is_what_is_raised(book: Ledger) -> None:
    one = claimed(book)
    book._db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        book.checkpoint(one.id, 0, [build.segment(text="x" * 200_000)])
