"""Fetching when something goes wrong: the network, the server, the disk, the model."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stenod.hub import fetch, placing
from tests.hub.common import NAME, Mailbox, check_whole, everything, refused, request, silent
from tests.hub.conftest import BROKEN, FLOAT, INT8, TRANSFORMERS, TRANSLATION
from tests.hub_server.harness import HubServer
from tests.hub_server.messages import Fault

LARGE = "GET /large/"


def weights_bytes(server: HubServer, repository: str) -> int:
    return (server.root / repository / "model.bin").stat().st_size


# The connection.


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_is_resumed(server: HubServer, hub: Path, reset: bool) -> None:
    server.obey(Fault(match=LARGE, times=1, cut_after_bytes=3_000_000, reset=reset, bytes_per_second=8_000_000))
    fetch.run(request(hub, FLOAT), silent)
    check_whole(hub / NAME)
    asked = server.asked("/large/")
    assert [each.status for each in asked] == [200, 206]
    assert asked[1].range.startswith("bytes=")
    # RST takes with it what has been sent and not yet been read: therefore the pace.
    assert server.sent_bytes("/large/") < (1.9 if reset else 1.2) * weights_bytes(server, FLOAT)


def test_a_cut_connection_whose_rest_cannot_be_had_starts_over(server: HubServer, hub: Path) -> None:
    server.obey(
        Fault(match=LARGE, times=1, cut_after_bytes=1_000_000),
        Fault(match=LARGE, ignore_range=True),
    )
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    assert {each.status for each in server.asked("/large/")} == {200}


def test_a_connection_that_falls_silent_is_resumed(
    server: HubServer, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    server.obey(Fault(match=LARGE, times=1, stall_after_bytes=1_000_000))
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    assert [each.status for each in server.asked("/large/")] == [200, 206]


def test_a_problem_of_the_server_that_passes_is_waited_for(server: HubServer, hub: Path) -> None:
    server.obey(
        Fault(match="GET /api/models/", times=1, status=500),
        Fault(match=LARGE, times=1, status=503),
    )
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    assert sorted({each.status for each in server.asked()}) == [200, 302, 307, 500, 503]


def test_a_problem_of_the_server_that_stays_is_one_clear_line(server: HubServer, hub: Path) -> None:
    server.obey(Fault(match="GET /api/models/", status=500))
    error = refused(request(hub, INT8, FLOAT))
    assert error.message == f"{server.url} has a problem of its own (HTTP status 500)"
    assert error.retryable
    assert not server.asked(FLOAT)  # it says nothing of the first one being there or not
    assert everything(hub) == []


def test_no_network_is_one_clear_line(hub: Path) -> None:
    error = refused(request(hub, INT8, FLOAT))
    assert error.message == "http://127.0.0.1:9 cannot be reached: Connection refused"
    assert error.retryable
    assert everything(hub) == []


@pytest.mark.parametrize("by_environment", [False, True])
def test_offline_mode_asks_nobody(
    server: HubServer, hub: Path, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    if by_environment:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = refused(request(hub, INT8, FLOAT, offline=not by_environment))
    assert error.message == f"{INT8} is not here, and offline mode is on"
    assert not error.retryable
    assert server.asked() == []


def test_a_wrong_endpoint_is_one_clear_line(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    error = refused(request(hub, INT8))
    assert "HF_ENDPOINT" in error.next_step
    assert not error.retryable


# The repository.


def test_who_is_not_logged_in_is_told_what_may_be_so(server: HubServer, hub: Path) -> None:
    server.obey(private=[INT8])
    error = refused(request(hub, INT8))
    assert error.message == f"{INT8} is not at {server.url}, or needs a token"
    assert "hf auth login" in error.next_step
    assert not error.retryable


def test_a_gated_repository_is_said_to_be_one(server: HubServer, hub: Path) -> None:
    server.obey(gated=[INT8])
    error = refused(request(hub, INT8))
    assert f"{INT8} is gated" in error.message
    assert f"Accept them at {server.url}/{INT8}" in error.next_step


def test_what_does_not_exist_is_answered_with_what_may_be_meant(
    server: HubServer, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    server.obey(tokens=["hf_right"])
    error = refused(request(hub, "Systran/faster-whisper-smal"))
    assert error.message == f"there is no repository Systran/faster-whisper-smal at {server.url}"
    assert error.next_step == "Did you mean Systran/faster-whisper-small?"
    assert not error.retryable
    error = refused(request(hub, name="large-v3-trubo"))
    assert error.next_step == "Did you mean large-v3-turbo?"
    error = refused(request(hub, "someone/one", "someone/two"))
    assert error.message == f"model {NAME} cannot be fetched: none of its repositories can be used"
    assert len(error.problems) == 2


def test_another_format_is_said_to_be_one(server: HubServer, hub: Path) -> None:
    error = refused(request(hub, TRANSFORMERS))
    assert "is not a Whisper model in CTranslate2's format: model.bin" in error.message
    assert "model.safetensors" in error.message
    assert error.next_step == "Did you mean small?"
    assert server.sent_bytes("/resolve") == 0
    assert everything(hub) == []


@pytest.mark.parametrize(
    ("repository", "problem"), [(TRANSLATION, "AnotherSpec"), (BROKEN, "is not a sound model.bin")]
)
def test_weights_of_no_use_are_not_kept(server: HubServer, hub: Path, repository: str, problem: str) -> None:
    error = refused(request(hub, repository))
    assert error.message == f"{repository} has no Whisper model in CTranslate2's format"
    assert problem in error.problems[0]
    assert everything(hub) == []
    assert server.asked()


@pytest.mark.parametrize("path", ["/large/", "/api/resolve-cache/"])
def test_wrong_bytes_are_fetched_again_once(server: HubServer, hub: Path, path: str) -> None:
    server.obey(Fault(match=path, times=1, wrong_at_byte=100))
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    server.obey(Fault(match=path, wrong_at_byte=100))
    error = refused(request(hub, INT8, name="other"))
    assert "arrives damaged, twice: its sha" in error.message
    assert not error.retryable
    assert not (hub / "other").exists()


def test_what_changes_between_two_attempts_is_fetched_as_it_is_then(server: HubServer, hub: Path) -> None:
    """The first attempt leaves half of a model.bin that is not the same any more."""
    server.obey(Fault(match=LARGE, cut_after_bytes=1_000_000, times=1), Fault(match=LARGE, status=404))
    refused(request(hub, FLOAT))
    parts = Path(placing.work_folder(str(hub), NAME)) / placing.PARTS
    assert [path.stat().st_size > 0 for path in parts.iterdir()] == [True]
    server.obey()
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    assert [each.range for each in server.asked("/large/")] == [""]
    assert everything(hub) == [NAME]


# The disk.


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", str(place)], check=True)


def test_too_little_space_is_seen_before_the_download(server: HubServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 10) as disk:
        error = refused(request(disk / "hub", FLOAT))
        assert "it needs 12 MB (7 MB to download, 4 MB for its int8 form), and 10 MB are free" in error.message
        assert error.retryable
        assert server.sent_bytes("/resolve") == 0
        assert everything(disk / "hub") == []


def test_a_disk_that_fills_up_meanwhile_is_one_clear_line(server: HubServer, tmp_path: Path) -> None:
    server.obey(Fault(match=LARGE, bytes_per_second=4_000_000))
    with small_disk(tmp_path / "disk", 16) as disk:
        mailbox = Mailbox()
        child = fetch.start(request(disk / "hub", FLOAT), mailbox.post)
        mailbox.step("downloading", 1_000_000)
        with contextlib.suppress(OSError), open(disk / "other", "wb", buffering=0) as file:
            while file.write(bytes(100_000)):
                pass
        end = mailbox.end()
        child.stop()
        assert isinstance(end, fetch.Failed)
        assert "the disk is full" in end.message
        assert "No space left on device" in end.message
        assert end.retryable
        assert [name for name in everything(disk / "hub") if not name.startswith(placing.PREFIX)] == []
        (disk / "other").unlink()
        server.obey()
        fetch.run(request(disk / "hub", FLOAT), silent)
        check_whole(disk / "hub" / NAME)
        assert [each.status for each in server.asked("/large/")] == [206]
        assert everything(disk / "hub") == [NAME]


def test_a_hub_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(request(tmp_path / "file" / "hub", INT8))
    assert "cannot be used: Not a directory" in error.message
    assert not error.retryable


def test_a_file_in_the_way_stays(server: HubServer, hub: Path) -> None:
    hub.mkdir()
    (hub / NAME).write_text("mine")
    assert f"{hub / NAME} is in the way" in refused(request(hub, INT8)).message
    assert (hub / NAME).read_text() == "mine"
    (hub / NAME).unlink()
    server.obey()
    fetch.run(request(hub, INT8), silent)
    assert server.asked() == []  # it lay ready


# Several at once.


def test_of_two_at_once_the_second_says_who_is_at_work(server: HubServer, hub: Path) -> None:
    server.obey(Fault(match=LARGE, bytes_per_second=4_000_000))
    mailbox = Mailbox()
    child = fetch.start(request(hub, FLOAT), mailbox.post)
    mailbox.step("downloading", 500_000)
    error = refused(request(hub, INT8))
    assert error.message == f"model {NAME} is being made by another process ({child.pid})"
    assert error.retryable
    assert placing.is_held(placing.work_folder(str(hub), NAME))
    assert fetch.tidy(str(hub)) == []  # and lets it alone
    fetch.run(request(hub, INT8, name="other"), silent)
    assert isinstance(mailbox.end(), fetch.Fetched)
    child.stop()
    assert everything(hub) == [NAME, "other"]
    check_whole(hub / NAME)


def test_many_at_once_do_no_harm(server: HubServer, hub: Path) -> None:
    boxes = [Mailbox() for _ in range(4)]
    children = [fetch.start(request(hub, INT8), box.post) for box in boxes]
    ends = [box.end() for box in boxes]
    for child in children:
        child.stop()
    assert any(isinstance(end, fetch.Fetched) for end in ends)
    for end in ends:
        assert isinstance(end, fetch.Fetched) or "another process" in end.message
    check_whole(hub / NAME)
    assert everything(hub) == [NAME]
    assert threading.active_count() < 20
    assert server.asked()
