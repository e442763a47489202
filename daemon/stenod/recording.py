"""A recording, the states that it goes through, and what a failure means for it. Pure: no clock, no files, no SQL."""

import enum
import os
from dataclasses import dataclass

CRASHES_BEFORE_FAILED = 3  # worker deaths that one recording may cause
INTERRUPTIONS_BEFORE_FAILED = 10  # deaths of the daemon itself while it had this recording
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 900.0


class State(enum.StrEnum):
    """Where a recording stands."""

    QUEUED = "queued"  # complete and known, waits for the worker (or for `not_before`)
    RUNNING = "running"  # claimed: the worker has it, or its transcripts are being published
    DONE = "done"  # every transcript is on disk
    FAILED = "failed"  # given up until the file changes or the operator asks again


MOVES = frozenset(
    {
        (State.QUEUED, State.RUNNING),  # claim
        (State.RUNNING, State.DONE),  # finish
        (State.RUNNING, State.QUEUED),  # put back: retry, stop, or an orphan of a dead daemon
        (State.RUNNING, State.FAILED),  # give up
        (State.DONE, State.QUEUED),  # the file changed
        (State.FAILED, State.QUEUED),  # the file changed
        (State.QUEUED, State.QUEUED),  # the file changed while it waited
    }
)


def sources_of(state: State) -> list[State]:
    """Return the states from which a recording may move to `state`."""
    return [before for before, after in MOVES if after is state]


class Failure(enum.StrEnum):
    """Why a try ended without transcripts. Decides whether there is another one."""

    UNDECODABLE = "undecodable"  # not a recording, or damaged beyond use: trying again gives the same
    UNREADABLE = "unreadable"  # permission, I/O error, mount trouble: may pass
    GONE = "gone"  # deleted or moved away before its turn
    CRASH = "crash"  # the worker died or stopped answering while it had this recording
    ERROR = "error"  # the worker reported an error that is not the recording's own
    PUBLISH = "publish"  # no space, read-only or missing outbox: the text is safe, publishing is tried again
    CHANGED = "changed"  # somebody wrote to it after it had settled: it must settle again
    INTERRUPTED = "interrupted"  # the daemon itself died or was killed
    STOPPED = "stopped"  # a clean stop: costs no try


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells, without reading it, that a file is the same as before. `inode` differs after a remount."""

    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Fingerprint":
        """Return the fingerprint in `status`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def same_content(self, other: "Fingerprint") -> bool:
        """Tell whether size and time of change agree, on whichever mount."""
        return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recording that its inbox holds to be complete. `path` is absolute; any bytes, by surrogateescape."""

    inbox: str
    path: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Recording:
    """A row of the ledger. Times are seconds since the epoch (wall clock)."""

    id: int
    inbox: str
    path: str
    fingerprint: Fingerprint
    state: State
    attempts: int
    crashes: int
    interruptions: int
    not_before: float
    failure: Failure | None
    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, not before this time (wall clock)."""

    not_before: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try until the file changes or the operator asks."""


def pause_seconds(tries: int) -> float:
    """Return how long to wait after the given number of tries (1 or more): doubling, up to a quarter of an hour."""
    exponent = min(max(tries, 1) - 1, 30)
    return min(FIRST_PAUSE_SECONDS * 2.0**exponent, LONGEST_PAUSE_SECONDS)


def after(failure: Failure, recording: Recording, now: float) -> Retry | GiveUp:
    """Decide what follows when a try of `recording` (as it was claimed) ended in `failure` at wall time `now`.

    What may pass (unreadable, publish) is tried again for as long as it lasts. What the recording may have caused
    (crash, error) is tried `CRASHES_BEFORE_FAILED` times in all. A daemon that died is not the recording's fault,
    unless it happens `INTERRUPTIONS_BEFORE_FAILED` times to the same one.
    """
    match failure:
        case Failure.UNDECODABLE | Failure.GONE:
            return GiveUp()
        case Failure.STOPPED:
            return Retry(0.0)
        case Failure.CHANGED:
            return Retry(now + FIRST_PAUSE_SECONDS)
        case Failure.INTERRUPTED:
            return GiveUp() if recording.interruptions + 1 >= INTERRUPTIONS_BEFORE_FAILED else Retry(0.0)
        case Failure.CRASH | Failure.ERROR:
            crashes = recording.crashes + 1
            return GiveUp() if crashes >= CRASHES_BEFORE_FAILED else Retry(now + pause_seconds(crashes))
        case Failure.UNREADABLE | Failure.PUBLISH:
            return Retry(now + pause_seconds(recording.attempts))
