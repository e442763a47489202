"""stenod never phones home: with a model at hand the whole service makes no outward connection."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.harness import daemon, sample

SAMPLE = "Voice 001.m4a"  # decoded, through the VAD (onnxruntime) and the model
EXPECTED = "Did Clara walk the dog? Remind me to close the garage tomorrow morning.\n"


def _works(*command: str) -> bool:
    try:
        return subprocess.run([*command, "true"], capture_output=True, check=False, timeout=10).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not _works("strace", "-f", "-o", "/dev/null"), reason="strace is not there, or may not trace")
def test_no_process_of_it_reaches_for_the_network(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with daemon(tmp_path, formats="[txt, srt, vtt, json]") as it:
        # -D: the daemon stays our own child, so that it can be stopped as always
        it.start(["strace", "-D", "-f", "-e", "trace=socket,connect,sendto,sendmsg,sendmmsg", "-o", str(trace)])
        shutil.copy(sample(SAMPLE), it.inbox)
        it.wait_for(SAMPLE)
        assert (it.outbox / "Voice 001.txt").read_text() == EXPECTED
        assert it.stop() == 0
    calls = trace.read_text().splitlines()
    assert any("AF_UNIX" in call and "connect(" in call for call in calls), "the trace saw nothing, not even sd_notify"
    outward = [call for call in calls if re.search(r"AF_INET6?\b|AF_PACKET", call)]
    assert outward == []


@pytest.mark.skipif(not _works("unshare", "-rn"), reason="no network namespace may be made here")
def test_it_works_where_there_is_no_network_at_all(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start(["unshare", "-rn"])
        shutil.copy(sample(SAMPLE), it.inbox)
        it.wait_for(SAMPLE)
        assert (it.outbox / "Voice 001.txt").read_text() == EXPECTED
