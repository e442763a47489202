"""From folders to the ledger: keeps the inboxes watched, lets files settle, and adds those that have arrived."""

import logging
import time
from collections.abc import Callable, Iterable

from stenod import inbox, ledger
from stenod.config import Inbox
from stenod.errors import os_error_text, printable
from stenod.recording import Arrival

log = logging.getLogger(__name__)

LONGEST_TURN_SECONDS = 0.2
BUSY_SECONDS = 1.0  # before asking again for a file that changed while it is being transcribed


class Arrivals:
    """Owns watcher, scanner and settler. Used by the service thread alone; `post` is called from others."""

    def __init__(self, inboxes: Iterable[Inbox], book: ledger.Ledger, post: Callable[[object], None]) -> None:
        self.inboxes = {item.name: item for item in inboxes}
        self._ledger = book
        self._settler = inbox.Settler()
        self._watcher = inbox.Watcher(post)
        self._scanner = inbox.Scanner(post)
        self._online: set[str] = set()
        self._told: dict[str, str] = {}  # the last thing said of an inbox, or of an empty file: once is enough

    # ---- what is so

    @property
    def settling(self) -> int:
        """How many files are not yet complete."""
        return len(self._settler)

    def online(self) -> list[str]:
        """Return the names of the inboxes that are there."""
        return [name for name in self.inboxes if name in self._online]

    def offline(self) -> list[str]:
        """Return the names of the inboxes that are not."""
        return [name for name in self.inboxes if name not in self._online]

    def next_due(self) -> float | None:
        """Return when `settle` should be called next (monotonic seconds)."""
        return self._settler.next_due()

    # ---- what happens

    def look_through(self) -> None:
        """Watch and scan every inbox that is there."""
        for name, item in self.inboxes.items():
            if problem := self._watcher.attach(item):
                self._go_offline(name, problem)
                continue
            self._online.add(name)
            self._tell(name, logging.INFO, f"inbox {name}: watching {printable(item.path)}")
            self._scanner.scan(item, item.path)

    def is_there(self, name: str) -> bool:
        """Tell whether the inbox is still the folder that was scanned. If not, it is offline until the next scan."""
        if name in self._online and not self._watcher.is_attached(self.inboxes[name]):
            self._go_offline(name, "it has gone away")
        return name in self._online

    def _go_offline(self, name: str, problem: str) -> None:
        self._online.discard(name)
        path = printable(self.inboxes[name].path)
        self._tell(name, logging.WARNING, f"inbox {name}: {path}: {problem}; stenod waits for it")

    def handle(self, message: "inbox.Touched | inbox.FolderTouched | inbox.Seen | inbox.Scanned") -> None:
        """Take in what watcher and scanner saw."""
        item = self.inboxes[message.inbox]
        match message:
            case inbox.Touched(_, path):
                self._on_touched(item, path)
            case inbox.FolderTouched(_, path):
                self._scanner.scan(item, path)
            case inbox.Seen(_, files):
                now = time.monotonic()
                for path, mark in files:
                    if not self._ledger.knows(path, mark):
                        self._settler.observe(item, path, mark, now)
            case inbox.Scanned(name, problem):
                if problem:
                    self._tell(f"{name}\0scan", logging.WARNING, f"inbox {name}: {problem}")
                else:
                    self._told.pop(f"{name}\0scan", None)

    def unsettle(self, name: str, path: str) -> None:
        """Let a file settle again that has changed since it arrived."""
        self._on_touched(self.inboxes[name], path)

    def settle(self) -> None:
        """Look at the files that are due, and add those that have not changed for their settle time.

        Stops after `LONGEST_TURN_SECONDS`: thousands may be due at once, and the rest is due again at once.
        """
        now = time.monotonic()
        for name, path in self._settler.due(now):
            self._settle_one(name, path, now)
            if time.monotonic() - now > LONGEST_TURN_SECONDS:
                return

    def stop(self) -> None:
        """End the threads."""
        self._scanner.stop()
        self._watcher.stop()

    def _settle_one(self, name: str, path: str, now: float) -> None:
        try:
            mark = inbox.fingerprint(path)
        except OSError as error:
            self._settler.forget(path)  # the next scan finds it again
            log.warning("%s cannot be looked at: %s; stenod tries again", printable(path), os_error_text(error))
            return
        verdict = self._settler.looked(path, mark, now)
        if verdict is inbox.Verdict.EMPTY:
            text = f"{printable(path)} is empty: stenod waits until something is written to it"
            self._tell(path, logging.WARNING, text)
        if verdict is not inbox.Verdict.SETTLED or mark is None:
            return
        self._told.pop(path, None)
        added = self._ledger.add(Arrival(name, path, mark), time.time())
        if added is ledger.Added.BUSY:
            self._settler.touch(self.inboxes[name], path, mark, now + BUSY_SECONDS)
        elif added is not ledger.Added.KNOWN:
            log.info("%s: queued%s", printable(path), " again: it changed" * (added is ledger.Added.CHANGED))

    def _on_touched(self, item: Inbox, path: str) -> None:
        try:
            mark = inbox.fingerprint(path)
        except OSError as error:
            log.warning("%s cannot be looked at: %s; stenod tries again", printable(path), os_error_text(error))
            return
        if mark is None or self._ledger.knows(path, mark):
            self._settler.forget(path)
        else:
            self._settler.touch(item, path, mark, time.monotonic())

    def _tell(self, key: str, level: int, text: str) -> None:
        """Log `text`, unless it was the last thing said under `key`."""
        if self._told.get(key) != text:
            self._told[key] = text
            log.log(level, "%s", text)
