"""What happens by the clock, by a real one."""

import queue
import threading
import time

from stenod.schedule import RescanDue, Schedule


def test_rescans_are_posted_at_their_pace_and_no_more_after_the_end() -> None:
    mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    started = time.monotonic()
    schedule = Schedule(mailbox.put, rescan_seconds=0.2)  # the shortest that there is: one second
    assert mailbox.get(timeout=5.0) == RescanDue()
    assert 0.8 <= time.monotonic() - started < 3.0
    schedule.stop()
    while not mailbox.empty():
        mailbox.get()
    for thread in threading.enumerate():
        if "APScheduler" in thread.name:
            thread.join(5.0)
            assert not thread.is_alive()
    assert mailbox.empty()


def test_a_long_pace_posts_nothing_soon() -> None:
    mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    schedule = Schedule(mailbox.put, rescan_seconds=3600.4)
    (job,) = schedule._scheduler.get_jobs()
    assert job.trigger.interval.total_seconds() == 3600
    assert mailbox.empty()
    schedule.stop()
