"""The ledger against a model of it: whatever happens, in whatever order, nothing is lost and no move is illegal."""

import dataclasses
import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stenod.ledger import Added, Ledger, Result
from stenod.recording import MOVES, Arrival, Failure, Fingerprint, GiveUp, Recording, Retry, State, after
from tests.unit import build

INBOXES = ["one", "two"]
PATHS = [f"/{inbox}/{name}" for inbox in INBOXES for name in ("a.mp3", "not utf-8 \udcff\n.mp3")]
JOB = "job"

fingerprints = st.builds(Fingerprint, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))


@dataclass
class Row:
    """What the ledger should know of one recording."""

    recording: Recording
    segments: int = 0
    complete: bool = False
    history: list[tuple[str | None, str]] = field(default_factory=list)


class LedgerMachine(RuleBasedStateMachine):
    """Does to a ledger what the service does, and worse."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="stenod-ledger-")
        self.crashes = 0
        self.book = Ledger(self.file())
        self.rows: dict[str, Row] = {}
        self.now = 1_000_000.0

    def file(self) -> str:
        return os.path.join(self.folder, f"{self.crashes}.sqlite")

    def teardown(self) -> None:
        self.book.close()
        shutil.rmtree(self.folder)

    def running(self) -> list[Row]:
        return [row for row in self.rows.values() if row.recording.state is State.RUNNING]

    def move(self, row: Row, state: State, **changes: object) -> None:
        row.history.append((str(row.recording.state), str(state)))
        row.recording = dataclasses.replace(row.recording, state=state, **changes)  # type: ignore[arg-type]

    def end(self, row: Row, failure: Failure) -> Retry | GiveUp:
        """Do to the model what `fail` does, and return what should be decided."""
        before = row.recording
        verdict = after(failure, before, self.now)
        changes: dict[str, object] = {"failure": failure, "reason": str(failure)}
        changes["crashes"] = before.crashes + (failure in {Failure.CRASH, Failure.ERROR})
        changes["interruptions"] = before.interruptions + (failure is Failure.INTERRUPTED)
        if failure is Failure.STOPPED:
            changes = {"attempts": before.attempts - 1}
        if isinstance(verdict, GiveUp):
            row.segments, row.complete = 0, False
            self.move(row, State.FAILED, **changes)
        else:
            self.move(row, State.QUEUED, **changes, not_before=verdict.not_before)
        return verdict

    # ---- what happens

    @initialize(path=st.sampled_from(PATHS), mark=fingerprints)
    def first(self, path: str, mark: Fingerprint) -> None:
        self.add(path, mark)

    @rule(seconds=st.floats(-5000, 5000))
    def clock_moves_either_way(self, seconds: float) -> None:
        self.now += seconds

    @rule(path=st.sampled_from(PATHS), mark=fingerprints)
    def add(self, path: str, mark: Fingerprint) -> None:
        arrival = Arrival(path.split("/")[1], path, mark)
        row = self.rows.get(path)
        known = self.book.knows(path, mark)
        added = self.book.add(arrival, self.now)
        assert known == (added is Added.KNOWN)
        if row is None:
            assert added is Added.NEW
            found = self.book.find(path)
            assert found is not None
            fresh = dataclasses.replace(
                build.recording(number=found.id, path=path, attempts=0),
                inbox=arrival.inbox, fingerprint=mark, state=State.QUEUED,
            )  # fmt: skip
            self.rows[path] = Row(fresh, history=[(None, "queued")])
        elif row.recording.fingerprint.same_content(mark) and row.recording.failure is not Failure.GONE:
            assert added is Added.KNOWN
        elif row.recording.state is State.RUNNING:
            assert added is Added.BUSY
        else:
            assert added is Added.CHANGED
            row.segments, row.complete = 0, False
            self.move(
                row, State.QUEUED, fingerprint=mark, attempts=0, crashes=0, interruptions=0, not_before=0.0,
                failure=None, reason="",
            )  # fmt: skip

    @rule(inboxes=st.lists(st.sampled_from(INBOXES), unique=True))
    def claim(self, inboxes: list[str]) -> None:
        waiting = [
            row
            for row in self.rows.values()
            if row.recording.state is State.QUEUED
            and row.recording.inbox in inboxes
            and row.recording.not_before <= self.now
        ]
        claimed = self.book.claim(inboxes, self.now)
        if not waiting:
            assert claimed is None
            return
        row = min(waiting, key=lambda row: row.recording.id)
        self.move(row, State.RUNNING, attempts=row.recording.attempts + 1)
        assert claimed == row.recording

    @precondition(lambda self: self.running())
    @rule(data=st.data(), count=st.integers(0, 3))
    def checkpoint(self, data: st.DataObject, count: int) -> None:
        row = data.draw(st.sampled_from(self.running()))
        new = [build.segment(number, number + 1) for number in range(row.segments, row.segments + count)]
        self.book.checkpoint(row.recording.id, row.segments, new)
        row.segments += count

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.running()))
        self.book.complete(row.recording.id, JOB, build.finished())
        row.complete = True

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def start_over(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.running()))
        self.book.start_over(row.recording.id)
        row.segments, row.complete = 0, False

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.running()))
        self.book.finish(row.recording.id, self.now, "ok")
        self.move(row, State.DONE, failure=None, reason="", crashes=0, interruptions=0, not_before=0.0)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), failure=st.sampled_from(Failure))
    def fail(self, data: st.DataObject, failure: Failure) -> None:
        row = data.draw(st.sampled_from(self.running()))
        claimed = row.recording
        expected = self.end(row, failure)
        assert self.book.fail(claimed, failure, str(failure), self.now) == expected

    @rule()
    def crash(self) -> None:
        """The daemon dies: the next one finds the files as they are at this moment, with an unfinished WAL."""
        before, self.crashes = self.file(), self.crashes + 1
        for end in ("", "-wal"):
            shutil.copyfile(before + end, self.file() + end)
        self.book.close()
        self.book = Ledger(self.file())
        self.recover()

    @rule()
    def close_and_open(self) -> None:
        self.book.close()
        self.book = Ledger(self.file())
        self.recover()

    def recover(self) -> None:
        orphans = sorted(self.running(), key=lambda row: row.recording.id)
        claimed = [row.recording for row in orphans]
        expected = [self.end(row, Failure.INTERRUPTED) for row in orphans]
        for row in orphans:
            row.recording = dataclasses.replace(row.recording, reason="stenod was interrupted")
        recovered = sorted(self.book.recover(self.now), key=lambda pair: pair[0].id)
        assert recovered == list(zip(claimed, expected, strict=True))

    # ---- what always holds

    @invariant()
    def every_recording_is_there_once_and_as_it_should_be(self) -> None:
        paths = [os.fsdecode(path) for (path,) in self.book._db.execute("SELECT path FROM recording ORDER BY id")]
        assert sorted(paths) == sorted(self.rows)
        for path, row in self.rows.items():
            assert self.book.find(path) == row.recording
            assert self.book.get(row.recording.id) == row.recording

    @invariant()
    def every_history_is_a_legal_walk_that_ends_where_the_recording_is(self) -> None:
        for row in self.rows.values():
            walk = [(before, state) for _, before, state, _ in self.book.events(row.recording.id)]
            assert walk == row.history
            assert walk[0] == (None, State.QUEUED)
            assert all(before[1] == following[0] for before, following in itertools.pairwise(walk))
            assert {(State(str(before)), State(state)) for before, state in walk[1:]} <= MOVES
            assert walk[-1][1] == row.recording.state

    @invariant()
    def segments_and_results_are_kept_until_the_recording_is_given_up_or_changes(self) -> None:
        for row in self.rows.values():
            expected = tuple(build.segment(number, number + 1) for number in range(row.segments))
            result = self.book.result(row.recording.id, JOB)
            assert result == (Result(build.finished(), expected) if row.complete else None)
            kept = self.book._db.execute(
                "SELECT count(*) FROM segment WHERE recording_id = ?", (row.recording.id,)
            ).fetchone()
            assert kept == (row.segments,)

    @invariant()
    def it_counts_rightly_and_tells_the_next_claim(self) -> None:
        states = [row.recording.state for row in self.rows.values()]
        assert self.book.counts() == {state: states.count(state) for state in State}
        for inboxes in ([], ["one"], INBOXES):
            times = [
                row.recording.not_before
                for row in self.rows.values()
                if row.recording.state is State.QUEUED and row.recording.inbox in inboxes
            ]
            assert self.book.next_claim(inboxes) == min(times, default=None)

    @invariant()
    def the_file_is_sound(self) -> None:
        assert self.book._db.execute("PRAGMA foreign_key_check").fetchall() == []

    @invariant()
    def no_transaction_is_left_open(self) -> None:
        assert not self.book._db.in_transaction


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=40, stateful_step_count=30)
