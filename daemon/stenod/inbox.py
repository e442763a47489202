"""Watching folders: events are hints, scans are the truth, and a file arrives when it has settled.

The watcher and the scanner run in threads of their own and only post what they saw; `Settler` decides, as a pure
function of what it was told and of `now` (monotonic seconds).
"""

import enum
import errno
import heapq
import logging
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from watchdog import events, observers
from watchdog.observers.api import BaseObserver, ObservedWatch

from stenod.config import Inbox
from stenod.errors import os_error_text, printable
from stenod.recording import Fingerprint

log = logging.getLogger(__name__)

BATCH = 256  # files in one message, so that a scan of thousands never holds up the loop
EMPTY_RECHECK_SECONDS = 60.0  # how often to look at a file that stays empty
_HINTS: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent,
    events.FileMovedEvent,
    events.FileClosedEvent,  # closed after writing. Not each write: whether it still grows, the size tells
    events.FileDeletedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
]


@dataclass(frozen=True, slots=True)
class Touched:
    """Something happened to this file. It may be there or not, complete or not."""

    inbox: str
    path: str


@dataclass(frozen=True, slots=True)
class FolderTouched:
    """A folder appeared: what lies in it may have come before its watch."""

    inbox: str
    path: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Files that a scan found, each a regular one whose name is a recording's."""

    inbox: str
    files: list[tuple[str, Fingerprint]]


@dataclass(frozen=True, slots=True)
class Scanned:
    """A scan has ended. `problem` says what kept it from seeing everything."""

    inbox: str
    problem: str


Post = Callable[[object], None]


def is_recording(inbox: Inbox, path: str) -> bool:
    """Tell whether `path`, which lies in `inbox`, has a recording's name. What is hidden, or lies hidden, never has."""
    ending = os.path.splitext(path)[1].lower().lstrip(".")
    return ending in inbox.extensions and not _hidden(inbox, path)


def _hidden(inbox: Inbox, path: str) -> bool:
    return any(part.startswith(".") for part in path[len(inbox.path) :].split("/"))


def fingerprint(path: str) -> Fingerprint | None:
    """Return what the regular file at `path` looks like, or None if there is none (gone, a link...). Raise OSError."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Fingerprint.of(status) if stat.S_ISREG(status.st_mode) else None


def walk(inbox: Inbox, folder: str, problems: list[str]) -> Iterator[tuple[str, Fingerprint]]:
    """Yield every recording in `folder` (and below, if the inbox is recursive), following no symbolic link.

    What cannot be read is noted in `problems`, a line each, and passed over.
    """
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            if inbox.recursive and not entry.name.startswith("."):
                                pending.append(entry.path)
                        elif is_recording(inbox, entry.path) and entry.is_file(follow_symlinks=False):
                            yield entry.path, Fingerprint.of(entry.stat(follow_symlinks=False))
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        problems.append(f"{printable(entry.path)}: {os_error_text(error)}")
        except FileNotFoundError:
            if current == inbox.path:
                problems.append(f"{printable(current)} does not exist")
        except OSError as error:
            problems.append(f"{printable(current)}: {os_error_text(error)}")


class Scanner:
    """Looks through folders in a thread of its own and posts `Seen` and `Scanned`."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._requests: queue.SimpleQueue[tuple[Inbox, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scanner", daemon=True)
        self._thread.start()

    def scan(self, inbox: Inbox, folder: str) -> None:
        """Ask for a scan of `folder`, the inbox's own or one below it."""
        self._requests.put((inbox, folder))

    def stop(self) -> None:
        """End the thread once the running scan is through."""
        self._requests.put(None)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            inbox, folder = request
            problems: list[str] = []
            batch: list[tuple[str, Fingerprint]] = []
            for item in walk(inbox, folder, problems):
                batch.append(item)
                if len(batch) >= BATCH:
                    self._post(Seen(inbox.name, batch))
                    batch = []
            self._post(Seen(inbox.name, batch))
            self._post(Scanned(inbox.name, "; ".join(problems)))


class Watcher:
    """Posts `Touched` and `FolderTouched` for every inbox that it is attached to, from inotify."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._observer: BaseObserver = observers.Observer()
        self._watches: dict[str, tuple[ObservedWatch, Root]] = {}
        self._observer.start()

    def attach(self, inbox: Inbox) -> str:
        """Watch this inbox, if it is not watched yet. Return '' or why it cannot be (a line for a person)."""
        if self.is_attached(inbox):
            return ""
        if known := self._watches.pop(inbox.name, None):
            self._observer.unschedule(known[0])
        try:
            root = _root(inbox.path)
            watch = self._observer.schedule(
                _Hints(inbox, self._post), inbox.path, recursive=inbox.recursive, event_filter=_HINTS
            )
        except FileNotFoundError:
            return "it does not exist"
        except OSError as error:
            return os_error_text(error)
        self._watches[inbox.name] = (watch, root)
        return ""

    def is_attached(self, inbox: Inbox) -> bool:
        """Tell whether the inbox is watched, and is still the folder that it was (not another mount, not a new one)."""
        if inbox.name not in self._watches:
            return False
        watch, root = self._watches[inbox.name]
        try:
            there = _root(inbox.path) == root
        except OSError:
            return False
        return there and any(emitter.watch == watch and emitter.is_alive() for emitter in self._observer.emitters)

    def stop(self) -> None:
        """End all watches."""
        self._observer.stop()
        self._observer.join(2.0)


Root = tuple[int, int]  # device and inode of an inbox's own folder


def _root(path: str) -> Root:
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", path)
    return status.st_dev, status.st_ino


class _Hints(events.FileSystemEventHandler):
    """Runs in the watcher's thread: turns each event into a message and does nothing else."""

    def __init__(self, inbox: Inbox, post: Post) -> None:
        self._inbox = inbox
        self._post = post

    def on_any_event(self, event: events.FileSystemEvent) -> None:
        for name in (event.src_path, event.dest_path):
            path = os.fsdecode(name)
            if not path or (name == event.src_path and event.event_type == events.EVENT_TYPE_MOVED):
                continue  # of a move, only where it went matters: what is gone shows when it is looked at
            if event.is_directory:
                if self._inbox.recursive and not _hidden(self._inbox, path):
                    self._post(FolderTouched(self._inbox.name, path))
            elif is_recording(self._inbox, path):
                self._post(Touched(self._inbox.name, path))


class Verdict(enum.Enum):
    """What a look at a file that was due has shown."""

    SETTLED = "settled"  # unchanged for the settle time: it is complete
    CHANGED = "changed"  # the time starts anew
    EMPTY = "empty"  # nothing in it yet: keeps waiting
    GONE = "gone"  # no regular file any more


@dataclass(slots=True)
class _Waiting:
    inbox: str
    settle_seconds: float
    fingerprint: Fingerprint
    due: float


class Settler:
    """Knows the files that are not yet complete, and when to look at each again."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._heap: list[
            tuple[float, str]
        ] = []  # of (due, path); what was put off since stays in it and is passed over

    def __len__(self) -> int:
        return len(self._waiting)

    def touch(self, inbox: Inbox, path: str, seen: Fingerprint, now: float) -> None:
        """Take in that something happened to `path`, which looks like `seen`: its time starts anew."""
        self._wait(path, _Waiting(inbox.name, inbox.settle, seen, now + inbox.settle))

    def observe(self, inbox: Inbox, path: str, seen: Fingerprint, now: float) -> None:
        """Take in that `path` looks like `seen`. Only what is new or has changed starts its time anew."""
        waiting = self._waiting.get(path)
        if waiting is None or waiting.fingerprint != seen:
            self.touch(inbox, path, seen, now)

    def forget(self, path: str) -> None:
        """Wait for this file no longer."""
        self._waiting.pop(path, None)

    def due(self, now: float) -> Iterator[tuple[str, str]]:
        """Yield inbox and path of each file whose time is over. The caller looks at it and calls `looked`."""
        while self._heap and self._heap[0][0] <= now:
            when, path = heapq.heappop(self._heap)
            waiting = self._waiting.get(path)
            if waiting is not None and waiting.due == when:
                yield waiting.inbox, path

    def looked(self, path: str, seen: Fingerprint | None, now: float) -> Verdict:
        """Judge a file that was due. Unless it is settled or gone, it goes on waiting."""
        waiting = self._waiting[path]
        if seen is None:
            del self._waiting[path]
            return Verdict.GONE
        if seen != waiting.fingerprint:
            self._wait(path, replace(waiting, fingerprint=seen, due=now + waiting.settle_seconds))
            return Verdict.CHANGED
        if seen.size_bytes == 0:
            self._wait(path, replace(waiting, due=now + max(waiting.settle_seconds, EMPTY_RECHECK_SECONDS)))
            return Verdict.EMPTY
        del self._waiting[path]
        return Verdict.SETTLED

    def next_due(self) -> float | None:
        """Return when the next file is due (monotonic seconds). It may have been put off since."""
        return self._heap[0][0] if self._heap else None

    def _wait(self, path: str, waiting: _Waiting) -> None:
        self._waiting[path] = waiting
        heapq.heappush(self._heap, (waiting.due, path))
