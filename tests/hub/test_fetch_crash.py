"""Killed at any moment: there is a whole model or none, and the next start goes on by itself."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from stenod.errors import UserError
from stenod.hub import fetch, manifest, placing, store
from tests.bench import models
from tests.hub.common import NAME, PATIENCE_SECONDS, Mailbox, check_whole, everything, request, silent
from tests.hub.conftest import FLOAT, INT8, copy_model
from tests.hub_server.harness import ROOT, HubServer
from tests.hub_server.messages import Fault

LARGE = "GET /large/"


def whole_or_none(hub: Path) -> bool:
    found = store.resolve(NAME, str(hub), "int8")
    if found is not None:
        assert manifest.check(found.folder, thorough=True).problems == ()
    return found is not None


def test_killed_at_random_moments_the_next_one_goes_on(server: HubServer, hub: Path) -> None:
    server.obey(Fault(match=LARGE, bytes_per_second=4_000_000))
    moments = random.Random(7)
    kills = 0
    for _ in range(12):
        mailbox = Mailbox()
        child = fetch.start(request(hub, FLOAT), mailbox.post)
        mailbox.step("looking")
        time.sleep(moments.uniform(0, 0.5))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        end = mailbox.end()
        if isinstance(end, fetch.Failed):
            kills += 1
            assert end.message == f"fetching model {NAME!r} was broken off (killed by signal 9)"
            assert end.retryable
        whole_or_none(hub)
        fetch.tidy(str(hub))
        if whole_or_none(hub):
            check_whole(hub / NAME)
            assert everything(hub) == [NAME]
            shutil.rmtree(hub)
    assert kills >= 8
    fetch.run(request(hub, FLOAT), silent)
    check_whole(hub / NAME)
    assert everything(hub) == [NAME]
    assert [each for each in server.asked("/large/") if each.status == 206]


def test_what_was_downloaded_by_a_killed_process_is_not_downloaded_again(server: HubServer, hub: Path) -> None:
    server.obey(Fault(match=LARGE, times=3, bytes_per_second=5_000_000))
    for share in (1, 2, 3):
        mailbox = Mailbox()
        child = fetch.start(request(hub, FLOAT), mailbox.post)
        mailbox.step("downloading", share * 1_700_000)
        os.kill(child.pid, signal.SIGKILL)
        assert isinstance(mailbox.end(), fetch.Failed)
        assert not whole_or_none(hub)
        assert fetch.tidy(str(hub)) == []
        assert not whole_or_none(hub)
    fetch.run(request(hub, FLOAT), silent)
    check_whole(hub / NAME)
    asked = server.asked("/large/")
    starts = [int(each.range.removeprefix("bytes=").removesuffix("-") or 0) for each in asked]
    assert starts == sorted(set(starts))
    assert len(starts) == 4
    assert starts[-1] > 5_000_000


@pytest.mark.parametrize("kind", ["source", "own-keep", "own-rename"])
def test_killed_at_each_step_there_is_a_whole_model_or_none(hub: Path, kind: str) -> None:
    source = hub.parent / "source"
    models.write(str(source), models.Dimensions(64, 2, 2, 1, vocabulary=2000))
    command = [sys.executable, "-m", "tests.hub.crash", kind, str(hub), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["steps"] > 15


def test_while_int8_replaces_float_there_is_always_a_model(hub: Path) -> None:
    """A look takes time, and sees half of each if the replacement comes in between: so it looks twice."""
    source = hub / NAME
    copy_model("demo-float32", source)
    stop = threading.Event()
    forms: list[str] = []
    gaps: list[float] = []

    def look() -> store.Entry | None:
        try:
            return store.resolve(NAME, str(hub), "int8")
        except UserError:  # "is not whole"
            return None

    def watch() -> None:
        while not stop.is_set():
            found = look() or look()
            if found is None:
                gaps.append(time.monotonic())
            else:
                forms.append(found.form)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            fetch.run(request(hub, source=str(source)), silent)
            check_whole(source)
            wide = hub / "wide"
            copy_model("demo-float32", hub / ".wide")
            os.rename(hub / ".wide", wide)
            assert placing._exchange(str(wide), str(source))
            shutil.rmtree(wide)
        fetch.run(request(hub, source=str(source)), silent)
    finally:
        stop.set()
        watcher.join()
    assert gaps == []
    assert {"float32", "int8"} <= set(forms)
    assert len(forms) > 100


# The process and its parent.


def test_stopping_ends_it_with_one_message(server: HubServer, hub: Path) -> None:
    server.obey(Fault(match=LARGE, bytes_per_second=1_000_000))
    mailbox = Mailbox()
    child = fetch.start(request(hub, FLOAT), mailbox.post)
    mailbox.step("downloading", 300_000)
    started = time.monotonic()
    child.stop()
    assert time.monotonic() - started < 1
    end = mailbox.end()
    assert end == fetch.Failed(f"fetching model {NAME!r} was stopped", retryable=True)
    child.stop()
    assert not psutil.pid_exists(child.pid)


PARENT = """
import sys
from stenod.hub import fetch
request = fetch.Request(name="model", hub=sys.argv[1], compute_type="int8", repositories=(sys.argv[2],))
fetch.run(request, lambda progress: print(progress.step, progress.done_bytes, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_parent(server: HubServer, hub: Path, number: signal.Signals) -> None:
    """Ctrl-C goes to the parent and to the process, as on a terminal."""
    server.obey(Fault(match=LARGE, bytes_per_second=500_000))
    command = [sys.executable, "-c", PARENT, str(hub), FLOAT]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout
        assert parent.stderr
        for line in parent.stdout:
            if line.startswith("downloading") and int(line.split()[1]) > 100_000:
                break
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 1
        if number == signal.SIGINT:
            os.killpg(parent.pid, number)
        else:
            parent.kill()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
        assert alive == []
        assert parent.wait(PATIENCE_SECONDS) != 0
        if number == signal.SIGINT:
            assert parent.stderr.read().rstrip().endswith("KeyboardInterrupt")
    assert not whole_or_none(hub)
    assert not placing.is_held(placing.work_folder(str(hub), NAME))


def test_leftovers_that_are_of_no_use_go(hub: Path) -> None:
    work = Path(placing.work_folder(str(hub), NAME))
    (work / "quantized").mkdir(parents=True)
    (work / "quantized" / "model.bin").write_bytes(b"half of it")
    (work / "parts").mkdir()
    assert fetch.tidy(str(hub)) == []
    assert everything(hub) == []
    assert fetch.tidy(str(hub / "nowhere")) == []
    (work / "parts").mkdir(parents=True)
    (work / "parts" / "1234-model.bin").write_bytes(b"half of it")
    (work / "ready.json").write_text("{")
    assert fetch.tidy(str(hub)) == []
    assert everything(work) == ["lock", "parts"]


def test_an_interrupted_fetch_of_another_form_is_not_taken_for_this_one(server: HubServer, hub: Path) -> None:
    """A float model lies ready; int8 is wanted now."""
    hub.mkdir()
    (hub / NAME).write_text("in the way")
    with pytest.raises(fetch.FetchError, match="in the way"):
        fetch.run(request(hub, FLOAT, compute_type="float32"), silent)
    (hub / NAME).unlink()
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    assert everything(hub) == [NAME]
    assert server.asked(INT8)
