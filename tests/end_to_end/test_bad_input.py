"""Bad input: one clear line each, the daemon goes on, nothing is lost."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stenod import bundled
from tests.end_to_end.harness import daemon, sample, wait_until

GOOD = "shopping list.wav"


def _run(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "STENOD_"))}
    return subprocess.run(
        [sys.executable, "-m", "stenod", *arguments],
        cwd=cwd,
        env={**clean, "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        (it.inbox / "notes.mp3").write_text("Dear diary,\n" * 50)
        (it.inbox / "noise.m4a").write_bytes(os.urandom(5000))
        (it.inbox / "zeros.mp3").write_bytes(bytes(50_000))
        (it.inbox / "half.m4a").write_bytes(sample("Voice 001.m4a").read_bytes()[:9000])
        os.mkfifo(it.inbox / "pipe.wav")
        (it.inbox / "folder.wav").mkdir()
        (it.inbox / "outward.wav").symlink_to(sample(GOOD))
        (it.inbox / "loop").symlink_to(it.inbox)
        (it.inbox / ".hidden.wav").write_bytes(sample(GOOD).read_bytes())
        (it.inbox / ".trash").mkdir()
        shutil.copy(sample(GOOD), it.inbox / ".trash" / "deleted.wav")
        (it.inbox / "letter.txt").write_text("no recording")
        it.start()
        shutil.copy(sample(GOOD), it.inbox / "good.wav")
        it.wait_for("good.wav")
        broken = ["notes.mp3", "noise.m4a", "zeros.mp3", "half.m4a"]
        wait_until(lambda: all(it.states().get(name) == "failed" for name in broken), "all judged", log=it.log)
        assert it.states() == {**dict.fromkeys(broken, "failed"), "good.wav": "done"}
        for name in broken:
            lines = [line for line in it.log().splitlines() if f"{name}: failed: " in line]
            assert len(lines) == 1, lines
            assert lines[0].endswith("it holds no audio that can be decoded")
            assert (it.inbox / name).exists()
        assert "Traceback" not in it.log()
        assert it.published() == {"good.txt"}


def test_a_broken_recording_that_is_replaced_is_transcribed(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        (it.inbox / "memo.wav").write_bytes(os.urandom(3000))
        wait_until(lambda: it.states() == {"memo.wav": "failed"}, "failed", log=it.log)
        shutil.copy(sample(GOOD), it.inbox / "memo.wav")
        it.wait_for("memo.wav")
        assert (it.outbox / "memo.txt").read_text() == "Buy apples, soap and tomatoes.\n"


def test_an_empty_file_waits_until_something_is_written_to_it(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        (it.inbox / "empty.wav").touch()
        wait_until(
            lambda: "empty.wav is empty: stenod waits until something is written to it" in it.log(), "said", log=it.log
        )
        assert it.states() == {}
        shutil.copy(sample(GOOD), it.inbox / "empty.wav")
        it.wait_for("empty.wav")
        it.assert_transcribed({"empty.wav": GOOD})


def test_a_playlist_dressed_as_a_recording_reaches_nothing(tmp_path: Path) -> None:
    """FFmpeg would follow it: to other files, and to the network."""
    secret = tmp_path / "secret.wav"
    shutil.copy(sample(GOOD), secret)
    listener = socket.create_server(("127.0.0.1", 0))
    called = threading.Event()

    def listen() -> None:
        try:
            listener.accept()
        except OSError:
            return
        called.set()

    threading.Thread(target=listen, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.wav"
    with daemon(tmp_path) as it:
        it.start()
        for name, target in (("net.mp3", url), ("file.mp3", f"file://{secret}"), ("plain.mp3", str(secret))):
            (it.inbox / name).write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n")
        (it.inbox / "concat.wav").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
        names = ["net.mp3", "file.mp3", "plain.mp3", "concat.wav"]
        wait_until(lambda: all(it.states().get(name) == "failed" for name in names), "all failed", log=it.log)
        assert it.published() == set()
    listener.close()
    assert not called.is_set()


def test_a_missing_inbox_is_waited_for(tmp_path: Path) -> None:
    with daemon(tmp_path, rescan="1s") as it:
        it.inbox.rmdir()
        it.start()
        assert f"inbox inbox: {it.inbox}: it does not exist; stenod waits for it" in it.log()
        it.inbox.mkdir()
        shutil.copy(sample(GOOD), it.inbox)
        it.wait_for(GOOD)
        it.assert_transcribed({GOOD: GOOD})
        assert it.log().count("it does not exist") == 1


def test_a_second_daemon_on_the_same_ledger_is_refused(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        second = _run("run", "--config", str(it.config), cwd=tmp_path)
        assert second.returncode == 1
        assert it.process is not None
        assert second.stderr.splitlines()[0] == (
            f"stenod: another stenod (process {it.process.pid}) is at work on {tmp_path}/state"
        )


def test_no_configuration(tmp_path: Path) -> None:
    result = _run("run", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"stenod: no configuration: stenod.yaml, {tmp_path}/.config/stenod/stenod.yaml, /etc/stenod/stenod.yaml "
        "do not exist",
        "  Run `stenod init FOLDER` to make one, or name yours with --config FILE.",
    ]


def test_a_bad_configuration_names_every_problem(tmp_path: Path) -> None:
    (tmp_path / "stenod.yaml").write_text(
        "inboxes:\n"
        "  - path: in\n"
        "    outbx: out\n"
        "    settle: soon\n"
        "  - path: other\n"
        "    outbox: in/texts\n"
        "    recursive: 7\n"
        "model: {cpu_threads: many}\n"
    )
    result = _run("run", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[:6] == [
        "stenod: stenod.yaml: 5 problems in the configuration",
        "  - line 3: inboxes[0].outbx: unknown key; did you mean `outbox`?",
        "  - line 4: inboxes[0].settle: 'soon' is not a length of time: write a number with a unit, for example 5s, "
        "10min or 1h30m",
        f"  - line 6: inboxes[1].outbox: {tmp_path}/in/texts lies in the watched folder of inboxes[0] ({tmp_path}/in), "
        "which would feed itself; choose a folder outside, or `beside`",
        "  - line 7: inboxes[1].recursive: 7 must be true or false",
        "  - line 8: model.cpu_threads: 'many' must be a whole number",
    ]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("smal", "line 3: model.name: 'smal' is no model that is in the hub or can be fetched; did you mean small?"),
        ("./nowhere", "line 3: model.name: there is no folder"),
        ("half", "line 3: model.name: 'half' is no model that is in the hub or can be fetched; known: demo, tiny"),
        ("./half", "/half is not whole"),
    ],
)
def test_a_model_that_is_not_there(tmp_path: Path, model: str, line: str) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "stenod.yaml").write_text(f"inboxes: [{{path: in}}]\nstate: state\nmodel: {{name: {model}}}\n")
    result = _run("run", cwd=tmp_path)
    assert result.returncode == 1
    assert line in "".join(result.stderr.splitlines()[:2])
    assert "Traceback" not in result.stderr


def test_a_model_that_cannot_be_loaded_holds_the_queue_and_fails_no_recording(tmp_path: Path) -> None:
    with daemon(tmp_path, rescan="1s") as it:
        model = tmp_path / "model"
        shutil.copytree(bundled.DEMO_MODEL, model, ignore=shutil.ignore_patterns("stenod.json"))
        (model / "tokenizer.json").write_text("{}")
        it.config.write_text(it.config.read_text().replace("name: demo", "name: ./model"))
        it.start()
        shutil.copy(sample(GOOD), it.inbox / "a.wav")
        wait_until(lambda: "the queue waits and stenod tries again" in it.log(), "said", log=it.log)
        assert it.states() == {"a.wav": "queued"}
        shutil.copy(Path(bundled.DEMO_MODEL) / "tokenizer.json", model)
        it.wait_for("a.wav")
        it.assert_transcribed({"a.wav": GOOD})
