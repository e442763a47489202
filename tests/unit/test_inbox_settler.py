"""When a file counts as complete: `Settler`, driven by a clock and a folder that exist only in numbers."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod.config import Inbox
from stenod.inbox import EMPTY_RECHECK_SECONDS, Settler, Verdict
from stenod.recording import Fingerprint
from stenod.units import Duration

SLOW = Inbox(path="/slow", name="slow", settle=Duration(10))
QUICK = Inbox(path="/quick", name="quick", settle=Duration(1))
FILES = {"/slow/a": SLOW, "/slow/b": SLOW, "/quick/a": QUICK}
FULL = Fingerprint(5, 1, 1)
EMPTY = Fingerprint(0, 1, 1)


@dataclass
class File:
    """A file of the imagined folder, and when something last happened to it."""

    mark: Fingerprint | None = None
    disturbed: float = float("-inf")  # changed, or touched


class World:
    """Files, a clock, and the loop that the service runs around a Settler."""

    def __init__(self) -> None:
        self.settler = Settler()
        self.files = {path: File() for path in FILES}
        self.now = 0.0
        self.versions = 0
        self.settled: list[tuple[str, float]] = []

    def change(self, path: str, size: int | None) -> None:
        """Give the file a new content, of which nobody is told; None deletes it."""
        self.versions += 1
        mark = None if size is None else Fingerprint(size, self.versions, 1)
        self.files[path] = File(mark, self.now)

    def touch(self, path: str) -> None:
        """An event tells of the file."""
        file = self.files[path]
        if file.mark is None:
            self.settler.forget(path)
        else:
            file.disturbed = self.now
            self.settler.touch(FILES[path], path, file.mark, self.now)

    def observe(self, path: str) -> None:
        """A scan finds the file."""
        if (mark := self.files[path].mark) is not None:
            self.settler.observe(FILES[path], path, mark, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass; the loop wakes whenever something is due."""
        end = self.now + seconds
        while (due := self.settler.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.look()
        self.now = end

    def look(self) -> None:
        for name, path in self.settler.due(self.now):
            file = self.files[path]
            assert name == FILES[path].name
            match self.settler.looked(path, file.mark, self.now):
                case Verdict.SETTLED:
                    assert file.mark is not None
                    assert file.mark.size_bytes > 0
                    assert self.now - file.disturbed >= FILES[path].settle
                    self.settled.append((path, self.now))
                case Verdict.EMPTY:
                    assert file.mark is not None
                    assert file.mark.size_bytes == 0
                case Verdict.GONE:
                    assert file.mark is None


# In eighths of a second, so that sums are exact.
moments = st.integers(0, 160).map(lambda eighths: eighths / 8)
paths = st.sampled_from(sorted(FILES))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), moments),
        st.tuples(st.just("write"), paths, st.integers(0, 2)),
        st.tuples(st.just("write, with an event"), paths, st.integers(0, 2)),
        st.tuples(st.just("delete"), paths),
        st.tuples(st.just("touch"), paths),
        st.tuples(st.just("scan"), paths),
    ),
    max_size=40,
)


def live(world: World, story: list[tuple[object, ...]]) -> None:
    """Have everything in `story` happen, one thing after the other."""
    for step in story:
        match step:
            case ("wait", float(seconds)):
                world.wait(seconds)
            case ("write", str(path), int(size)):
                world.change(path, size)
            case ("write, with an event", str(path), int(size)):
                world.change(path, size)
                world.touch(path)
            case ("delete", str(path)):
                world.change(path, None)
            case ("touch", str(path)):
                world.touch(path)
            case ("scan", str(path)):
                world.observe(path)
            case _:
                raise AssertionError(step)


@given(steps)
def test_nothing_settles_unless_it_was_left_alone_for_its_settle_time(story: list[tuple[object, ...]]) -> None:
    world = World()
    live(world, story)  # `World.look` asserts it at every look
    world.wait(1000.0)


@given(steps)
def test_when_all_is_quiet_everything_settles_but_what_is_empty(story: list[tuple[object, ...]]) -> None:
    world = World()
    live(world, story)
    for path in FILES:
        world.observe(path)
    full = {path for path, file in world.files.items() if file.mark is not None and file.mark.size_bytes > 0}
    empty = {path for path, file in world.files.items() if file.mark is not None and file.mark.size_bytes == 0}
    world.settled.clear()
    world.wait(EMPTY_RECHECK_SECONDS + 2 * SLOW.settle)
    assert {path for path, _ in world.settled} == full
    assert len(world.settled) == len(full), "once is enough"
    assert len(world.settler) == len(empty)

    for path in empty:
        world.change(path, 3)
    world.wait(EMPTY_RECHECK_SECONDS + SLOW.settle)
    assert {path for path, _ in world.settled} == full | empty
    assert len(world.settler) == 0


@given(steps)
def test_files_do_not_get_into_each_others_way(story: list[tuple[object, ...]]) -> None:
    """What happens to `/slow/a` is the same, whether or not other files are there."""
    together, alone = World(), World()
    live(together, story)
    live(alone, [step for step in story if step[0] == "wait" or step[1] == "/slow/a"])
    together.wait(500.0)
    alone.wait(500.0)
    assert [found for found in together.settled if found[0] == "/slow/a"] == alone.settled


@pytest.mark.parametrize(
    ("story", "moment"),
    [
        ([("write, with an event", "/slow/a", 1)], 10.0),
        ([("write", "/slow/a", 1), ("scan", "/slow/a")], 10.0),
        # a scan that finds it unchanged does not start its time anew, an event does
        ([("write", "/slow/a", 1), ("scan", "/slow/a"), ("wait", 9.0), ("scan", "/slow/a")], 10.0),
        ([("write", "/slow/a", 1), ("scan", "/slow/a"), ("wait", 9.0), ("touch", "/slow/a")], 19.0),
        # it changed: with an event, seen by a scan, and seen only when it was due
        ([("write, with an event", "/slow/a", 1), ("wait", 9.0), ("write, with an event", "/slow/a", 2)], 19.0),
        ([("write, with an event", "/slow/a", 1), ("wait", 9.0), ("write", "/slow/a", 2), ("scan", "/slow/a")], 19.0),
        ([("write, with an event", "/slow/a", 1), ("wait", 9.0), ("write", "/slow/a", 2)], 20.0),
        # empty: looked at again after a minute; then it is new and has to settle
        ([("write, with an event", "/slow/a", 0), ("wait", 11.0), ("write", "/slow/a", 2)], 80.0),
        ([("write, with an event", "/slow/a", 0), ("wait", 11.0), ("write, with an event", "/slow/a", 2)], 21.0),
        ([("write, with an event", "/quick/a", 1)], 1.0),
    ],
)
def test_when_it_settles(story: list[tuple[object, ...]], moment: float) -> None:
    world = World()
    live(world, story)
    world.wait(500.0)
    assert [when for _, when in world.settled] == [moment]


def test_what_is_empty_keeps_waiting_at_a_minutes_pace() -> None:
    settler = Settler()
    settler.touch(SLOW, "/slow/a", EMPTY, 0.0)
    for moment in (10.0, 70.0, 130.0):
        assert settler.next_due() == moment
        assert list(settler.due(moment - 0.125)) == []
        assert list(settler.due(moment)) == [("slow", "/slow/a")]
        assert settler.looked("/slow/a", EMPTY, moment) is Verdict.EMPTY
    assert len(settler) == 1


@pytest.mark.parametrize(
    ("seen", "verdict", "left"),
    [
        (FULL, Verdict.SETTLED, 0),
        (Fingerprint(6, 1, 1), Verdict.CHANGED, 1),
        (Fingerprint(5, 2, 1), Verdict.CHANGED, 1),
        (Fingerprint(5, 1, 2), Verdict.CHANGED, 1),  # replaced by a file of the same size and time
        (None, Verdict.GONE, 0),
    ],
)
def test_the_verdict(seen: Fingerprint | None, verdict: Verdict, left: int) -> None:
    settler = Settler()
    settler.touch(SLOW, "/slow/a", FULL, 0.0)
    assert list(settler.due(10.0)) == [("slow", "/slow/a")]
    assert settler.looked("/slow/a", seen, 10.0) is verdict
    assert len(settler) == left
    assert settler.next_due() == (20.0 if left else None)


def test_what_was_forgotten_is_never_due() -> None:
    settler = Settler()
    settler.touch(SLOW, "/slow/a", FULL, 0.0)
    settler.forget("/slow/a")
    settler.forget("/slow/unknown")
    assert len(settler) == 0
    assert list(settler.due(100.0)) == []
    settler.touch(SLOW, "/slow/a", FULL, 100.0)
    assert list(settler.due(109.0)) == []
    assert list(settler.due(110.0)) == [("slow", "/slow/a")]


def test_a_file_that_was_touched_twice_in_one_moment_is_due_once() -> None:
    settler = Settler()
    settler.touch(SLOW, "/slow/a", FULL, 0.0)
    settler.touch(SLOW, "/slow/a", FULL, 0.0)
    found = []
    for _, path in settler.due(10.0):
        found.append(path)
        assert settler.looked(path, FULL, 10.0) is Verdict.SETTLED
    assert found == ["/slow/a"]
