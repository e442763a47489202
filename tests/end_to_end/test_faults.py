"""Pulling the plug: whatever is killed, in the end every transcript is there, once, and right."""

import functools
import os
import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import LONG, SHORT, Daemon, daemon, sample, wait_until

THREE = {"a.opus": LONG, "b.wav": "shopping list.wav", f"c {SHORT[0]}": SHORT[0]}


def _drop_three_and_wait_until_the_first_is_half_done(it: Daemon) -> None:
    for name, original in THREE.items():
        shutil.copy(sample(original), it.inbox / name)
        time.sleep(0.1)  # one after the other, so that the long one is the first
    wait_until(lambda: it.segments() >= 3, "some segments of the long recording", log=it.log)
    assert it.states()["a.opus"] == "running"


def test_restart_in_the_middle(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        _drop_three_and_wait_until_the_first_is_half_done(it)
        started = time.monotonic()
        assert it.stop() == 0
        assert time.monotonic() - started < 2.0, "SIGTERM must end it within a second or two"
        assert it.said("STOPPING=1")
        assert it.states() == {"a.opus": "queued", "b.wav": "queued", f"c {SHORT[0]}": "queued"}
        assert it.published() == set()
        assert it.rows("SELECT attempts FROM recording WHERE state != 'queued' OR attempts != 0") == []
        it.start()
        it.wait_for(*THREE)
        it.assert_transcribed(THREE)


def test_the_worker_is_killed_in_the_middle(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        _drop_three_and_wait_until_the_first_is_half_done(it)
        worker = it.worker()
        assert worker is not None
        worker.kill()
        it.wait_for(*THREE)
        it.assert_transcribed(THREE)
        assert "SIGKILL" in it.log()
        assert it.rows("SELECT attempts FROM recording ORDER BY id") == [(2,), (1,), (1,)]


def test_the_daemon_is_killed_in_the_middle(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        _drop_three_and_wait_until_the_first_is_half_done(it)
        worker = it.worker()
        assert worker is not None
        it.kill()
        wait_until(lambda: not worker.is_running() or worker.status() == "zombie", "the worker ends with its daemon", 5)
        it.start()
        it.wait_for(*THREE)
        it.assert_transcribed(THREE)


def test_a_recording_that_always_kills_the_worker_runs_out_of_tries(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        shutil.copy(sample(LONG), it.inbox / "a.opus")

        def is_at_work(attempt: int) -> bool:
            """In this order: once it is claimed anew, a worker is a new one, and then its segments are, too."""
            claimed = it.rows("SELECT attempts FROM recording") == [(attempt,)]
            return claimed and it.worker() is not None and it.segments() > 0

        for attempt in (1, 2, 3):
            wait_until(functools.partial(is_at_work, attempt), f"attempt {attempt} at work", log=it.log)
            worker = it.worker()
            assert worker is not None
            worker.send_signal(signal.SIGSEGV)
        wait_until(lambda: it.states() == {"a.opus": "failed"}, "given up", log=it.log)
        assert "a.opus: failed: the worker failed at it: it was ended by SIGSEGV" in it.log()
        shutil.copy(sample("shopping list.wav"), it.inbox / "b.wav")  # and the others go on
        it.wait_for("b.wav")


def test_publishing_waits_for_a_missing_outbox_and_transcribes_only_once(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        it.outbox.rmdir()
        shutil.copy(sample("shopping list.wav"), it.inbox / "b.wav")
        wait_until(lambda: "its transcript cannot be written" in it.log(), "the problem is said", log=it.log)
        assert not it.outbox.exists(), "a missing outbox may be a missing mount: it is not made anew"
        it.outbox.mkdir()
        it.wait_for("b.wav")
        assert (it.outbox / "b.txt").read_text() == "Buy apples, soap and tomatoes.\n"
        assert it.log().count("b.wav: transcribing") == 1, "the engine's work must not be done twice"


def test_an_inbox_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Nothing of an inbox that is gone is given up, and what it holds when it is back is transcribed."""
    with daemon(tmp_path, rescan="1s") as it:
        it.start()
        shutil.copy(sample(LONG), it.inbox / "a.opus")
        wait_until(lambda: it.states().get("a.opus") == "running", "running", log=it.log)
        shutil.copy(sample("shopping list.wav"), it.inbox / "b.wav")
        wait_until(lambda: it.states().get("b.wav") == "queued", "queued", log=it.log)
        away = tmp_path / "away"
        it.inbox.rename(away)
        it.wait_for("a.opus")
        wait_until(
            lambda: re.search("(does not exist|has gone away); stenod waits for it", it.log()) is not None,
            "said",
            log=it.log,
        )
        assert it.states()["b.wav"] == "queued"
        away.rename(it.inbox)
        it.wait_for("b.wav")
        shutil.copy(sample("shopping list.wav"), it.inbox / "c.wav")
        it.wait_for("c.wav")
        it.assert_transcribed({"a.opus": LONG, "b.wav": "shopping list.wav", "c.wav": "shopping list.wav"})


def test_a_crash_between_publishing_and_finishing_changes_nothing(tmp_path: Path) -> None:
    """As it stands on disk after a power cut between the two: transcripts there, the row still running."""
    with daemon(tmp_path) as it:
        it.start()
        shutil.copy(sample("shopping list.wav"), it.inbox / "b.wav")
        it.wait_for("b.wav")
        it.kill()
        with sqlite3.connect(tmp_path / "state" / "ledger.sqlite") as database:
            database.execute("UPDATE recording SET state = 'running'")
            database.execute("DELETE FROM event WHERE to_state = 'done'")
        database.close()
        (it.outbox / ".stenod-1.txt.tmp").write_text("half a tran")
        it.start()
        it.wait_for("b.wav")
        it.assert_transcribed({"b.wav": "shopping list.wav"})
        assert it.log().count("b.wav: transcribing") == 1


@pytest.mark.parametrize("outbox", ["outbox", "beside"])
def test_what_others_wrote_is_never_overwritten(tmp_path: Path, outbox: str) -> None:
    with daemon(tmp_path, outbox=outbox, formats="[txt, srt]") as it:
        it.outbox.mkdir(exist_ok=True)
        (it.outbox / "memo.txt").write_text("my own notes")
        (it.outbox / "link.srt").symlink_to(tmp_path / "elsewhere")
        it.start()
        for name in ("memo.wav", "link.wav"):
            shutil.copy(sample("shopping list.wav"), it.inbox / name)
        it.wait_for("memo.wav", "link.wav")
        assert (it.outbox / "memo.txt").read_text() == "my own notes"
        assert not (tmp_path / "elsewhere").exists()
        said = "Buy apples, soap and tomatoes.\n"
        assert (it.outbox / "memo.wav.txt").read_text() == (it.outbox / "link.wav.txt").read_text() == said
        # A transcript that was edited since is the user's, and a second recording of the same name gets its own.
        (it.outbox / "memo.wav.txt").write_text("corrected by hand")
        os.utime(it.inbox / "memo.wav", (1_700_000_000, 1_700_000_000))
        wait_until((it.outbox / "memo.wav.2.txt").exists, "the new version beside it", log=it.log)
        assert (it.outbox / "memo.wav.txt").read_text() == "corrected by hand"
        shutil.copy(sample(SHORT[1]), it.inbox / f"memo{os.path.splitext(SHORT[1])[1]}")
        it.wait_for("memo.wav", f"memo{os.path.splitext(SHORT[1])[1]}")
