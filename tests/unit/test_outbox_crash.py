"""A process that is killed while it publishes: whatever can be seen is whole, and the next try clears up."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from stenod import outbox

# Publishes the transcripts of the recordings 0, 1, 2... in turn, each time with another text, for ever.
# A transcript ends with the digest of what stands before, so that a part of one is not taken for a whole one.
WRITER = """
import hashlib, itertools, os, sys
from stenod import outbox

folder, seed = sys.argv[1:]

def whole(text):
    return text + b"\\n" + hashlib.sha256(text).hexdigest().encode()

written = {}
def ours(path):
    return written.setdefault(path, set()) | ({outbox._digest(path)} if os.path.exists(path) else set())

for turn in itertools.count():
    number = turn % 5
    text = f"{seed} {turn} ".encode() * 20_000
    contents = [(ending, whole(ending.encode() + b" " + text)) for ending in ("txt", "srt")]
    drafts = outbox.draft(os.path.join(folder, "below"), f"/in/{number}.mp3", contents, ours)
    outbox.publish(drafts, folder, str(number), ours)
    print(turn, flush=True)
"""


def is_whole(content: bytes) -> bool:
    text, _, digest = content.rpartition(b"\n")
    return hashlib.sha256(text).hexdigest().encode() == digest


def test_whenever_it_is_killed_each_visible_transcript_is_whole(tmp_path: Path) -> None:
    luck = random.Random(2)
    leftovers = 0
    for kill in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(kill)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"0\n", "the writer did not begin"
            time.sleep(luck.uniform(0.0, 0.04))
            writer.send_signal(signal.SIGKILL)
        found = sorted(os.listdir(tmp_path / "below"))
        visible = [name for name in found if not name.startswith(".")]
        leftovers += len(found) - len(visible)
        assert set(visible) <= {f"{number}.{ending}" for number in range(5) for ending in ("txt", "srt")}
        assert {"0.txt", "0.srt"} <= set(visible)
        for name in visible:
            assert is_whole((tmp_path / "below" / name).read_bytes()), f"{name} is not whole"
    assert leftovers, "it was never killed in the middle: the test shows nothing"

    for number in range(5):
        drafts = [
            outbox.Draft(str(tmp_path / "below" / f"last {number}.{ending}"), b"the next try")
            for ending in ("txt", "srt")
        ]
        outbox.publish(drafts, str(tmp_path), str(number), lambda _path: set())
    assert not [name for name in os.listdir(tmp_path / "below") if name.startswith(".")]
