"""The commands as a user types them."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stenod import __version__, config
from tests.end_to_end.harness import LONG, SAMPLES, daemon, sample

STENOD = [sys.executable, "-m", "stenod"]


def _run(*arguments: "str | Path", cwd: Path, seconds: float = 50) -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "STENOD_"))}
    return subprocess.run(
        [*STENOD, *map(str, arguments)],
        cwd=cwd,
        env={**clean, "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def test_the_demo_is_all_right(tmp_path: Path) -> None:
    result = _run("demo", "--keep", "kept", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(SAMPLES)} of {len(SAMPLES)} recordings transcribed" in result.stdout
    assert "All is right." in result.stdout
    rate = re.search(r"Word error rate against the reference texts: ([\d.]+) %", result.stdout)
    assert rate is not None
    assert float(rate[1]) <= 4.0
    kept = tmp_path / "kept"
    assert {path.name for path in (kept / "inbox").iterdir()} == set(SAMPLES)
    assert (kept / "outbox" / "shopping list.txt").read_text() == "Buy apples, soap and tomatoes.\n"
    assert (kept / "stenod.log").read_text().rstrip().endswith("stopped")
    again = _run("demo", "--keep", "kept", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr.startswith(f"stenod: the demo cannot use {kept}/inbox: File exists\n")


def test_the_demo_leaves_nothing_behind_and_needs_no_configuration(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "HOME": str(tmp_path), "STENOD_CONFIG": "/nonexistent"}
    result = subprocess.run([*STENOD, "demo"], env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(temporary.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


def test_init_makes_a_configuration_that_runs(tmp_path: Path) -> None:
    result = _run("init", "my recordings", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.splitlines()[1] == (
        f"Start the service:  stenod run --config '{tmp_path}/my recordings/stenod.yaml'"
    )
    folder = tmp_path / "my recordings"
    settings = config.load(str(folder / "stenod.yaml"), {})
    assert settings.inboxes[0].path == str(folder / "inbox")
    assert settings.inboxes[0].outbox == str(folder / "outbox")
    assert (settings.state, settings.hub) == (str(folder / "state"), str(folder / "hub"))
    with daemon(folder) as it:
        (folder / "stenod.yaml").unlink()  # the test's own
        assert _run("init", ".", cwd=folder).returncode == 0
        it.start()
        shutil.copy(sample("shopping list.wav"), it.inbox)
        it.wait_for("shopping list.wav")
        it.assert_transcribed({"shopping list.wav": "shopping list.wav"})


def test_transcribe(tmp_path: Path) -> None:
    shutil.copy(sample("shopping list.wav"), tmp_path / "memo.wav")
    (tmp_path / "notes.mp3").write_text("text")
    result = _run("transcribe", "memo.wav", "notes.mp3", sample(LONG), "--output", "out", "--format", "txt",
                  "--format", "json", cwd=tmp_path)  # fmt: skip
    assert result.returncode == 1, "one of them is no recording"
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"memo\.wav: 2\.5 s \(en\) in [\d.]+ s, \d+ times real time: memo\.txt, memo\.json", lines[0])
    assert lines[1] == "notes.mp3: failed: it holds no audio that can be decoded"
    assert lines[2].startswith(f"{LONG}: 179.0 s (en) in ")
    assert (tmp_path / "out" / "memo.txt").read_text() == "Buy apples, soap and tomatoes.\n"
    assert json.loads((tmp_path / "out" / "memo.json").read_text())["engine"]["model"] == "demo"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "memo.json", "memo.txt", "weekly meeting.json", "weekly meeting.txt",
    ]  # fmt: skip


def test_transcribe_writes_beside_and_never_over_what_is_there(tmp_path: Path) -> None:
    shutil.copy(sample("shopping list.wav"), tmp_path / "memo.wav")
    (tmp_path / "memo.txt").write_text("my notes")
    for _ in range(2):  # a second time finds its own text there, and leaves it
        assert _run("transcribe", "memo.wav", cwd=tmp_path).returncode == 0
    assert (tmp_path / "memo.txt").read_text() == "my notes"
    assert (tmp_path / "memo.wav.txt").read_text() == "Buy apples, soap and tomatoes.\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_transcribe_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*STENOD, "transcribe", str(sample(LONG)), "--output", str(tmp_path)],
        stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(slave)
    screen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        screen += piece
    os.close(master)
    assert process.wait(10) == 0
    shares = {int(share) for share in re.findall(rb"(\d+) %", screen)}
    assert len(shares) > 3, "the bar moves"
    assert b"weekly meeting.txt" in screen


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["transcribe", "nowhere.mp3"], 2, "does not exist"),
        (["transcribe"], 2, "Missing argument"),
        (["transcribe", ".", "--format", "doc"], 2, "doc"),
        (["transcribe", "file.wav", "--model", "nope"], 1, "stenod: model 'nope' is not in the hub"),
        (["transcribe", "file.wav", "--language", "english"], 1, "stenod: --language english: not a language code"),
        (
            ["transcribe", "file.wav", "--output", "file.wav"],
            1,
            "stenod: --output file.wav cannot be made: File exists",
        ),
        (["run", "--config", "nope.yaml"], 1, "stenod: the configuration nope.yaml cannot be read: No such file"),
        (["init", "file.wav/x"], 1, "cannot be made: Not a directory"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], code: int, line: str) -> None:
    shutil.copy(sample("shopping list.wav"), tmp_path / "file.wav")
    result = _run(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert line in result.stderr
    assert "Traceback" not in result.stderr


def test_version_and_help(tmp_path: Path) -> None:
    assert _run("--version", cwd=tmp_path).stdout == f"stenod, version {__version__}\n"
    for command in ("run", "init", "demo", "transcribe"):
        assert command in _run("--help", cwd=tmp_path).stdout
        assert _run(command, "--help", cwd=tmp_path).returncode == 0


def test_ctrl_c_on_transcribe_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen([*STENOD, "transcribe", str(sample(LONG)), "--output", str(tmp_path / "out")],
                               stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    with process:
        while not (tmp_path / "out").exists() and process.poll() is None:
            pass
        process.send_signal(2)
        _, error = process.communicate(timeout=10)
    assert process.returncode == 130
    assert error.decode().splitlines()[-1] == "stenod: interrupted"
    assert list((tmp_path / "out").iterdir()) == []
