"""A process that is killed while it writes leaves a whole ledger, with everything that it was told is in it."""

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from stenod.ledger import Ledger
from stenod.recording import Retry, State

# Writes until it is killed, and says after each step what the ledger has promised to keep.
WRITER = """
import sys
from stenod import wire
from stenod.ledger import Ledger
from stenod.recording import Arrival, Fingerprint

book = Ledger(sys.argv[1])
book.recover(1.0)
number = int(sys.argv[2])
segment = wire.Segment(start=0, end=1, text="said", avg_logprob=0, compression_ratio=0, no_speech_prob=0)
finished = wire.Finished(job=1, language="en", language_probability=1, duration_seconds=1, elapsed_seconds=1)
while True:
    path = f"/inbox/{number}"
    book.add(Arrival("i", path, Fingerprint(1, 2, 3)), 1.0)
    print("added", path, flush=True)
    one = book.claim(["i"], 1.0)
    book.start_over(one.id)
    for ordinal in range(3):
        book.checkpoint(one.id, ordinal, [segment])
    book.complete(one.id, "job", finished)
    book.intend(one.id, [(path + ".txt", "digest")], 1.0)
    book.finish(one.id, 1.0, "ok")
    print("done", one.path, flush=True)
    number += 1
"""


def test_a_killed_writer_leaves_a_whole_ledger_and_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    luck = random.Random(1)
    promised: dict[str, State | None] = {}
    for kill in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(kill * 1_000_000)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            said = writer.stdout.readline() + writer.stdout.readline()
            assert [line.split()[0] for line in said.splitlines()] == ["added", "done"], "the writer did not begin"
            time.sleep(luck.uniform(0.0, 0.06))
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.read()
        for line in said.splitlines(keepends=True):
            if line.endswith("\n"):
                what, name = line.split()
                promised[name] = State.DONE if what == "done" else promised.get(name)

        with contextlib.closing(Ledger(path)) as book:
            assert book._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert book._db.execute("PRAGMA foreign_key_check").fetchall() == []
            assert book.counts()[State.RUNNING] <= 1
            orphans = book.recover(2.0)
            assert all(verdict == Retry(0.0) for _, verdict in orphans)
            assert book.counts()[State.RUNNING] == 0
            for name, state in promised.items():
                found = book.find(name)
                assert found is not None, f"{name} was lost"
                assert state is None or found.state is state, f"{name} is {found.state} and was {state}"
    assert sum(state is State.DONE for state in promised.values()) >= 6
