"""The moves of a recording, and what follows a failure."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod import recording
from stenod.recording import Failure, Fingerprint, GiveUp, Retry, State
from tests.unit import build

NOW = 1_000_000.0
counts = st.integers(0, 10**6)


def test_the_table_of_moves() -> None:
    assert sorted((str(before), str(after)) for before, after in recording.MOVES) == [
        ("done", "queued"),
        ("failed", "queued"),
        ("queued", "queued"),
        ("queued", "running"),
        ("running", "done"),
        ("running", "failed"),
        ("running", "queued"),
    ]


@pytest.mark.parametrize(
    ("state", "sources"),
    [
        (State.QUEUED, {State.QUEUED, State.RUNNING, State.DONE, State.FAILED}),
        (State.RUNNING, {State.QUEUED}),
        (State.DONE, {State.RUNNING}),
        (State.FAILED, {State.RUNNING}),
    ],
)
def test_where_a_state_may_be_reached_from(state: State, sources: set[State]) -> None:
    assert set(recording.sources_of(state)) == sources


def test_every_state_can_be_left_and_reached_from_the_queue() -> None:
    reached = {State.QUEUED}
    while more := {after for before, after in recording.MOVES if before in reached} - reached:
        reached |= more
    assert reached == set(State)
    assert {before for before, _ in recording.MOVES} == set(State)


@pytest.mark.parametrize(
    ("failure", "attempts", "crashes", "interruptions", "verdict"),
    [
        (Failure.UNDECODABLE, 1, 0, 0, GiveUp()),
        (Failure.GONE, 1, 0, 0, GiveUp()),
        (Failure.STOPPED, 1, 0, 0, Retry(0.0)),
        (Failure.STOPPED, 99, 99, 99, Retry(0.0)),
        (Failure.CHANGED, 1, 0, 0, Retry(NOW + 2.0)),
        (Failure.CHANGED, 50, 0, 0, Retry(NOW + 2.0)),
        (Failure.INTERRUPTED, 1, 0, 0, Retry(0.0)),
        (Failure.INTERRUPTED, 9, 0, 8, Retry(0.0)),
        (Failure.INTERRUPTED, 10, 0, 9, GiveUp()),
        (Failure.INTERRUPTED, 1, 0, 50, GiveUp()),
        (Failure.CRASH, 1, 0, 0, Retry(NOW + 2.0)),
        (Failure.CRASH, 2, 1, 0, Retry(NOW + 4.0)),
        (Failure.CRASH, 3, 2, 0, GiveUp()),
        (Failure.CRASH, 1, 7, 0, GiveUp()),
        (Failure.CRASH, 40, 0, 0, Retry(NOW + 2.0)),  # the pause follows the crashes, not the attempts
        (Failure.ERROR, 1, 0, 0, Retry(NOW + 2.0)),
        (Failure.ERROR, 2, 1, 0, Retry(NOW + 4.0)),
        (Failure.ERROR, 3, 2, 0, GiveUp()),
        (Failure.UNREADABLE, 1, 0, 0, Retry(NOW + 2.0)),
        (Failure.UNREADABLE, 3, 0, 0, Retry(NOW + 8.0)),
        (Failure.UNREADABLE, 10**6, 0, 0, Retry(NOW + 900.0)),
        (Failure.PUBLISH, 1, 0, 0, Retry(NOW + 2.0)),
        (Failure.PUBLISH, 9, 0, 0, Retry(NOW + 512.0)),
        (Failure.PUBLISH, 10, 0, 0, Retry(NOW + 900.0)),
    ],
)
def test_what_follows_a_failure(
    failure: Failure, attempts: int, crashes: int, interruptions: int, verdict: Retry | GiveUp
) -> None:
    tried = build.recording(attempts=attempts, crashes=crashes, interruptions=interruptions)
    assert recording.after(failure, tried, NOW) == verdict


@pytest.mark.parametrize(
    ("tries", "seconds"), [(-5, 2.0), (0, 2.0), (1, 2.0), (2, 4.0), (3, 8.0), (9, 512.0), (10, 900.0), (10**9, 900.0)]
)
def test_pause(tries: int, seconds: float) -> None:
    assert recording.pause_seconds(tries) == seconds


@given(counts)
def test_pause_grows_up_to_a_quarter_of_an_hour(tries: int) -> None:
    assert 2.0 <= recording.pause_seconds(tries) <= recording.pause_seconds(tries + 1) <= 900.0


@given(build.failures, counts, counts, counts, st.floats(-1e12, 1e12))
def test_a_retry_is_never_put_off_for_longer_than_the_longest_pause_nor_into_the_past(
    failure: Failure, attempts: int, crashes: int, interruptions: int, now: float
) -> None:
    tried = build.recording(attempts=attempts, crashes=crashes, interruptions=interruptions)
    verdict = recording.after(failure, tried, now)
    if isinstance(verdict, Retry) and verdict.not_before != 0.0:
        assert now < verdict.not_before <= now + recording.LONGEST_PAUSE_SECONDS


@given(st.sampled_from([Failure.CRASH, Failure.ERROR]))
def test_a_recording_that_always_crashes_is_given_up_after_three_tries(failure: Failure) -> None:
    tries = 0
    verdict: Retry | GiveUp = Retry(0.0)
    while isinstance(verdict, Retry):
        verdict = recording.after(failure, build.recording(attempts=tries + 1, crashes=tries), NOW)
        tries += 1
    assert tries == recording.CRASHES_BEFORE_FAILED == 3


def test_fingerprint_tells_a_changed_file_and_knows_it_again_on_another_mount(tmp_path: Path) -> None:
    file = tmp_path / "a.mp3"
    file.write_bytes(b"one")
    os.utime(file, ns=(5, 1_234_567_890_123_456_789))
    mark = Fingerprint.of(file.stat())
    assert mark == Fingerprint(3, 1_234_567_890_123_456_789, file.stat().st_ino)

    assert mark.same_content(Fingerprint(mark.size_bytes, mark.mtime_ns, mark.inode + 1))
    assert not mark.same_content(Fingerprint(mark.size_bytes + 1, mark.mtime_ns, mark.inode))
    assert not mark.same_content(Fingerprint(mark.size_bytes, mark.mtime_ns + 1, mark.inode))
