"""What happens by the clock. Jobs only post messages; whoever reads the mailbox does the work."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger


@dataclass(frozen=True, slots=True)
class RescanDue:
    """It is time to look through every inbox."""


class Schedule:
    """A running scheduler (one thread) that posts the messages of this module."""

    def __init__(self, post: Callable[[object], None], *, rescan_seconds: float) -> None:
        self._scheduler = BackgroundScheduler(timezone=dt.UTC, executors={"default": DebugExecutor()})
        self._scheduler.add_job(
            post,
            IntervalTrigger(seconds=max(1, round(rescan_seconds)), timezone=dt.UTC),
            args=[RescanDue()],
            id="rescan",
            coalesce=True,
            misfire_grace_time=None,  # after a suspend: late is better than not at all
        )
        self._scheduler.start()

    def stop(self) -> None:
        """End the scheduler."""
        self._scheduler.shutdown(wait=False)
