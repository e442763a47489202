"""The ledger: the SQLite file with every recording, and the only writer of a state.

Each move is one transaction: the guarded UPDATE (the row must be in a state from which `recording.MOVES` allows it),
whose row count is checked, and the event row. WAL, so that the command line reads while the daemon writes;
`synchronous = FULL`, so that what a transaction said survives a power cut (https://sqlite.org/pragma.html#pragma_synchronous).
"""

import contextlib
import enum
import importlib.resources
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from stenod import wire
from stenod.errors import UserError, printable
from stenod.recording import (
    LONGEST_PAUSE_SECONDS,
    Arrival,
    Failure,
    Fingerprint,
    GiveUp,
    Recording,
    Retry,
    State,
    after,
    sources_of,
)

APPLICATION = 0x73746E64  # "stnd", in PRAGMA application_id
VERSION = 1  # of schema.sql, in PRAGMA user_version
BUSY_SECONDS = 5.0  # how long to wait for another writer (the command line)

# of a Recording, in its order
_COLUMNS = (
    "id, inbox, path, size_bytes, mtime_ns, inode, state, attempts, crashes, interruptions, not_before, failure, reason"
)


class IllegalMoveError(Exception):
    """A recording was not in a state from which this move is allowed. A bug, or two daemons on one ledger."""


class Added(enum.Enum):
    """What became of an arrival."""

    NEW = "new"  # never seen before
    CHANGED = "changed"  # known, but the file is another one now: queued again
    KNOWN = "known"  # nothing to do
    BUSY = "busy"  # being transcribed as it was before it changed: ask again later


@dataclass(frozen=True, slots=True)
class Result:
    """What the engine made of a recording."""

    finished: wire.Finished
    segments: tuple[wire.Segment, ...]


class Ledger:
    """An open ledger. Not for several threads: the service thread owns it.

    Raise UserError from the constructor when the file cannot be opened or is not a ledger.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self._counts: tuple[int, dict[State, int]] | None = None
        mode = "ro" if read_only else "rwc"
        name = "".join(f"%{byte:02x}" for byte in os.fsencode(path))
        try:
            self._db = sqlite3.connect(f"file:{name}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                self._prepare(read_only=read_only)
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise UserError(
                f"the ledger {printable(path)} cannot be opened: {error}",
                next_step="Check that its folder may be written and has room. If the file is damaged, move it away: "
                "stenod then starts a new one and looks through the inboxes again.",
            ) from error

    def _prepare(self, *, read_only: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        is_new = not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != APPLICATION and not (is_new and not read_only):
            raise UserError(
                f"{printable(self.path)} is not a ledger of stenod",
                next_step="Give `state:` in the configuration a folder of its own.",
            )
        self._db.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        if is_new:
            schema = importlib.resources.files("stenod").joinpath("schema.sql").read_text(encoding="utf-8")
            self._db.executescript(
                f"BEGIN IMMEDIATE;\n{schema}\nPRAGMA user_version = {VERSION};\n"
                f"PRAGMA application_id = {APPLICATION};\nCOMMIT;"
            )
        elif version != VERSION:
            raise UserError(
                f"the ledger {printable(self.path)} has version {version}, and this stenod reads version {VERSION}",
                next_step="Use the stenod that wrote it, or a newer one.",
            )

    def close(self) -> None:
        """Close the file. The ledger is of no use afterwards."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._counts = None
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            if self._db.in_transaction:  # a full disk, for one, makes SQLite roll back by itself
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _move(self, recording_id: int, state: State, now: float, detail: str, changes: dict[str, object]) -> None:
        """Move a row within the running transaction. Raise IllegalMoveError if it is not where it should be."""
        before = self._db.execute("SELECT state FROM recording WHERE id = ?", (recording_id,)).fetchone()
        sources = [str(source) for source in sources_of(state)]
        assignments = "".join(f", {column} = ?" for column in changes)
        moved = self._db.execute(
            f"UPDATE recording SET state = ?, changed_at = ?{assignments} WHERE id = ? "  # noqa: S608 - own column names
            f"AND state IN ({', '.join('?' * len(sources))})",
            (state, now, *changes.values(), recording_id, *sources),
        )
        if moved.rowcount != 1:
            raise IllegalMoveError(f"recording {recording_id}: {before[0] if before else 'unknown'} -> {state}")
        self._db.execute(
            "INSERT INTO event (recording_id, at, from_state, to_state, detail) VALUES (?, ?, ?, ?, ?)",
            (recording_id, now, before[0], state, detail),
        )

    def _forget_work(self, recording_id: int) -> None:
        self._db.execute("DELETE FROM segment WHERE recording_id = ?", (recording_id,))
        self._db.execute("DELETE FROM result WHERE recording_id = ?", (recording_id,))

    # ---- what comes in

    def knows(self, path: str, fingerprint: Fingerprint) -> bool:
        """Tell whether this file, as it is, needs nothing: it is queued, running, done, or failed for good."""
        row = self._db.execute(
            "SELECT size_bytes, mtime_ns, inode, failure FROM recording WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return row is not None and row[3] != Failure.GONE and Fingerprint(*row[:3]).same_content(fingerprint)

    def add(self, arrival: Arrival, now: float) -> Added:
        """Queue an arrival, unless it is known as it is. Nothing is ever queued twice."""
        mark = arrival.fingerprint
        with self._transaction() as db:
            row = db.execute(
                f"SELECT {_COLUMNS} FROM recording WHERE path = ?",  # noqa: S608 - constant columns
                (os.fsencode(arrival.path),),
            ).fetchone()
            if row is None:
                added = db.execute(
                    "INSERT INTO recording (inbox, path, size_bytes, mtime_ns, inode, state, added_at, changed_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        arrival.inbox, os.fsencode(arrival.path), mark.size_bytes, mark.mtime_ns, mark.inode,
                        State.QUEUED, now, now,
                    ),
                )  # fmt: skip
                db.execute(
                    "INSERT INTO event (recording_id, at, to_state, detail) VALUES (?, ?, ?, ?)",
                    (added.lastrowid, now, State.QUEUED, "arrived"),
                )
                return Added.NEW
            known = _recording(row)
            if known.failure is not Failure.GONE and known.fingerprint.same_content(mark):
                return Added.KNOWN
            if known.state is State.RUNNING:
                return Added.BUSY
            self._forget_work(known.id)
            self._move(
                known.id, State.QUEUED, now, "the file changed",
                {
                    "inbox": arrival.inbox, "size_bytes": mark.size_bytes, "mtime_ns": mark.mtime_ns,
                    "inode": mark.inode, "attempts": 0, "crashes": 0, "interruptions": 0, "not_before": 0.0,
                    "failure": None, "reason": "",
                },
            )  # fmt: skip
            return Added.CHANGED

    # ---- the work

    def claim(self, inboxes: Sequence[str], now: float) -> Recording | None:
        """Take the oldest recording of these inboxes whose time has come, and count the attempt. None: no such."""
        marks = ", ".join("?" * len(inboxes))
        with self._transaction() as db:
            row = db.execute(
                f"SELECT {_COLUMNS} FROM recording WHERE state = 'queued' "  # noqa: S608 - constants
                f"AND (not_before <= ? OR not_before > ?) AND inbox IN ({marks}) ORDER BY id LIMIT 1",
                (now, now + LONGEST_PAUSE_SECONDS, *inboxes),  # later than any pause: the clock was set back
            ).fetchone()
            if row is None:
                return None
            attempts = _recording(row).attempts + 1
            self._move(row[0], State.RUNNING, now, f"attempt {attempts}", {"attempts": attempts})
        return self.get(row[0])

    def start_over(self, recording_id: int) -> None:
        """Throw away the segments of an unfinished try."""
        with self._transaction():
            self._forget_work(recording_id)

    def checkpoint(self, recording_id: int, first: int, segments: Sequence[wire.Segment]) -> None:
        """Keep `segments`, the first of which has the ordinal `first`."""
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO segment (recording_id, ordinal, body) VALUES (?, ?, ?)",
                [(recording_id, first + index, msgspec.json.encode(item)) for index, item in enumerate(segments)],
            )

    def complete(self, recording_id: int, job: str, finished: wire.Finished) -> None:
        """Note that the engine is through: all segments are kept, `job` tells what they were made from."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO result (recording_id, job, body) VALUES (?, ?, ?)",
                (recording_id, job, msgspec.json.encode(finished)),
            )

    def result(self, recording_id: int, job: str) -> Result | None:
        """Return what the engine made of this very `job` before, if it was through with it."""
        row = self._db.execute(
            "SELECT body FROM result WHERE recording_id = ? AND job = ?", (recording_id, job)
        ).fetchone()
        if row is None:
            return None
        bodies = self._db.execute("SELECT body FROM segment WHERE recording_id = ? ORDER BY ordinal", (recording_id,))
        segments = tuple(msgspec.json.decode(body, type=wire.Segment) for (body,) in bodies)
        return Result(msgspec.json.decode(row[0], type=wire.Finished), segments)

    def intend(self, recording_id: int, transcripts: Sequence[tuple[str, str]], now: float) -> None:
        """Note that these files (path, sha256) are about to be written, so that they are known as stenod's own."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO transcript (recording_id, path, sha256, at) VALUES (?, ?, ?, ?)",
                [(recording_id, os.fsencode(path), sha256, now) for path, sha256 in transcripts],
            )

    def written(self, recording_id: int, path: str) -> set[str]:
        """Return the sha256 of everything that stenod wrote at `path` for this recording."""
        rows = self._db.execute(
            "SELECT sha256 FROM transcript WHERE recording_id = ? AND path = ?", (recording_id, os.fsencode(path))
        )
        return {sha256 for (sha256,) in rows}

    def transcripts(self, recording_id: int) -> list[str]:
        """Return the paths of all transcripts that stenod wrote for this recording, the latest first."""
        rows = self._db.execute(
            "SELECT path FROM transcript WHERE recording_id = ? GROUP BY path ORDER BY max(at) DESC, path",
            (recording_id,),
        )
        return [os.fsdecode(path) for (path,) in rows]

    def finish(self, recording_id: int, now: float, detail: str) -> None:
        """Running -> done. The transcripts must be on disk by now."""
        with self._transaction():
            self._move(
                recording_id,
                State.DONE,
                now,
                detail,
                {"failure": None, "reason": "", "crashes": 0, "interruptions": 0, "not_before": 0.0},
            )

    def fail(self, recording: Recording, failure: Failure, reason: str, now: float) -> Retry | GiveUp:
        """End a try: back to the queue or failed, as `recording.after` decides. Return what it decided."""
        verdict = after(failure, recording, now)
        crashes = recording.crashes + (failure in {Failure.CRASH, Failure.ERROR})
        interruptions = recording.interruptions + (failure is Failure.INTERRUPTED)
        changes: dict[str, object] = {
            "failure": failure, "reason": reason, "crashes": crashes, "interruptions": interruptions,
        }  # fmt: skip
        with self._transaction():
            if isinstance(verdict, GiveUp):
                self._forget_work(recording.id)
                self._move(recording.id, State.FAILED, now, reason, changes)
            else:
                if failure is Failure.STOPPED:  # nobody's fault: as if it had not been claimed
                    changes = {"attempts": max(0, recording.attempts - 1)}
                self._move(recording.id, State.QUEUED, now, reason, {**changes, "not_before": verdict.not_before})
        return verdict

    def recover(self, now: float) -> list[tuple[Recording, Retry | GiveUp]]:
        """Put back every orphan: what is `running` while no daemon runs was cut off by the last one's death."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM recording WHERE state = 'running'").fetchall()  # noqa: S608
        return [
            (orphan, self.fail(orphan, Failure.INTERRUPTED, "stenod was interrupted", now))
            for orphan in map(_recording, rows)
        ]

    # ---- what it tells

    def get(self, recording_id: int) -> Recording:
        """Return the recording with this id. Raise KeyError if there is none."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM recording WHERE id = ?", (recording_id,)).fetchone()  # noqa: S608
        if row is None:
            raise KeyError(recording_id)
        return _recording(row)

    def find(self, path: str) -> Recording | None:
        """Return the recording at this absolute path, if it is known."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM recording WHERE path = ?", (os.fsencode(path),)).fetchone()  # noqa: S608
        return _recording(row) if row else None

    def counts(self) -> dict[State, int]:
        """Return how many recordings are in each state. Counted anew only after a change."""
        version = self._db.execute("PRAGMA data_version").fetchone()[0]  # changes when somebody else has written
        if self._counts is None or self._counts[0] != version:
            rows = dict(self._db.execute("SELECT state, count(*) FROM recording GROUP BY state").fetchall())
            self._counts = (version, {state: rows.get(state, 0) for state in State})
        return self._counts[1]

    def next_claim(self, inboxes: Sequence[str]) -> float | None:
        """Return the earliest time (wall clock) at which a queued recording of these inboxes may be claimed."""
        marks = ", ".join("?" * len(inboxes))
        row = self._db.execute(
            f"SELECT min(not_before) FROM recording WHERE state = 'queued' AND inbox IN ({marks})",  # noqa: S608
            tuple(inboxes),
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def events(self, recording_id: int) -> list[tuple[float, str | None, str, str]]:
        """Return the history of a recording, oldest first: time, state before, state after, detail."""
        return self._db.execute(
            "SELECT at, from_state, to_state, detail FROM event WHERE recording_id = ? ORDER BY id", (recording_id,)
        ).fetchall()


def _recording(row: tuple[int, str, bytes, int, int, int, str, int, int, int, float, str | None, str]) -> Recording:
    return Recording(
        id=row[0],
        inbox=row[1],
        path=os.fsdecode(row[2]),
        fingerprint=Fingerprint(*row[3:6]),
        state=State(row[6]),
        attempts=row[7],
        crashes=row[8],
        interruptions=row[9],
        not_before=row[10],
        failure=Failure(row[11]) if row[11] else None,
        reason=row[12],
    )
