"""Every way in which a recording comes into an inbox: it is transcribed, once, whole, and right."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import LONG, SHORT, SILENCE, daemon, sample, wait_until

ONE = "shopping list.wav"


def test_copied_in(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        shutil.copy(sample(ONE), it.inbox)
        it.wait_for(ONE)
        it.assert_transcribed({ONE: ONE})
        assert (it.inbox / ONE).read_bytes() == sample(ONE).read_bytes()


def test_moved_in_and_renamed_from_a_temporary_name(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        outside = tmp_path / "outside.wav"
        shutil.copy(sample(ONE), outside)
        outside.rename(it.inbox / "moved.wav")
        shutil.copy(sample(SHORT[0]), it.inbox / "renamed.ogg.part")
        (it.inbox / "renamed.ogg.part").rename(it.inbox / "renamed.ogg")
        it.wait_for("moved.wav", "renamed.ogg")
        it.assert_transcribed({"moved.wav": ONE, "renamed.ogg": SHORT[0]})


def test_a_folder_of_recordings_is_moved_in(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        outside = tmp_path / "day"
        (outside / "deep" / "deeper").mkdir(parents=True)
        shutil.copy(sample(ONE), outside / "one.wav")
        shutil.copy(sample(ONE), outside / "deep" / "deeper" / "two.wav")
        outside.rename(it.inbox / "day")
        (it.inbox / "quick" / "er").mkdir(parents=True)  # a file that may be there before its folder is watched
        shutil.copy(sample(ONE), it.inbox / "quick" / "er" / "three.wav")
        names = ["day/one.wav", "day/deep/deeper/two.wav", "quick/er/three.wav"]
        it.wait_for(*names)
        it.assert_transcribed(dict.fromkeys(names, ONE))


def test_written_slowly(tmp_path: Path) -> None:
    content = sample(ONE).read_bytes()
    piece = len(content) // 20 + 1
    with daemon(tmp_path, settle="1s") as it:
        it.start()
        with (it.inbox / "slow.wav").open("wb") as file:
            for start in range(0, len(content), piece):
                file.write(content[start : start + piece])
                file.flush()
                time.sleep(0.15)
                assert it.states() == {}, "taken before it was complete"
        it.wait_for("slow.wav")
        it.assert_transcribed({"slow.wav": ONE})
        assert it.rows("SELECT attempts FROM recording") == [(1,)]


def test_appended_to_by_a_writer_that_opens_and_closes(tmp_path: Path) -> None:
    content = sample(ONE).read_bytes()
    half = len(content) // 2
    with daemon(tmp_path, settle="1s") as it:
        it.start()
        (it.inbox / "twice.wav").write_bytes(content[:half])
        time.sleep(0.7)
        with (it.inbox / "twice.wav").open("ab") as file:
            file.write(content[half:])
        it.wait_for("twice.wav")
        it.assert_transcribed({"twice.wav": ONE})


def test_thirty_at_once(tmp_path: Path) -> None:
    recordings = {f"{number:02d} {SHORT[number % len(SHORT)]}": SHORT[number % len(SHORT)] for number in range(30)}
    with daemon(tmp_path) as it:
        it.start()
        for name, original in recordings.items():
            shutil.copy(sample(original), it.inbox / name)
        it.wait_for(*recordings, seconds=55)
        it.assert_transcribed(recordings)


def test_there_before_the_start_old_and_new(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        shutil.copy(sample(ONE), it.inbox / "old.wav")
        os.utime(it.inbox / "old.wav", (1_000_000_000, 1_000_000_000))
        shutil.copy(sample(SILENCE), it.inbox / SILENCE)
        it.start()
        it.wait_for("old.wav", SILENCE)
        it.assert_transcribed({"old.wav": ONE, SILENCE: SILENCE})


def test_still_being_copied_while_the_daemon_starts(tmp_path: Path) -> None:
    content = sample(ONE).read_bytes()
    with daemon(tmp_path, settle="1s") as it:
        target = it.inbox / "growing.wav"
        with target.open("wb") as file:
            file.write(content[:20_000])
            file.flush()
            it.start()
            for start in range(20_000, len(content), 10_000):
                file.write(content[start : start + 10_000])
                file.flush()
                time.sleep(0.3)
                assert it.states() == {}
        it.wait_for("growing.wav")
        it.assert_transcribed({"growing.wav": ONE})


def test_nothing_is_queued_twice(tmp_path: Path) -> None:
    """Reading, chmod, rescans and restarts change nothing about a recording."""
    with daemon(tmp_path, rescan="1s") as it:
        it.start()
        shutil.copy(sample(ONE), it.inbox / ONE)
        it.wait_for(ONE)
        for _ in range(50):
            (it.inbox / ONE).read_bytes()
            (it.inbox / ONE).chmod(0o600)
            with (it.inbox / ONE).open("ab"):
                pass  # opened for writing, nothing written: an event, but no change
        time.sleep(2.5)
        it.stop()
        it.start()
        time.sleep(2.0)
        it.assert_transcribed({ONE: ONE})


def test_a_changed_recording_is_transcribed_again(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        target = it.inbox / "memo.wav"
        shutil.copy(sample(ONE), target)
        it.wait_for("memo.wav")
        shutil.copy(sample("mailbox +49 30 5550123.wav"), target)
        wait_until(
            lambda: "bank tomorrow" in (it.outbox / "memo.txt").read_text(),
            "the new transcript over stenod's own old one",
        )
        assert it.published() == {"memo.txt"}


def test_a_recording_that_changes_while_it_is_transcribed(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        target = it.inbox / "memo.opus"
        shutil.copy(sample(LONG), target)
        wait_until(lambda: it.states() == {"memo.opus": "running"}, "running")
        shutil.copy(sample("PTT-20260314-WA0007.opus"), target)
        wait_until(
            lambda: (
                (it.outbox / "memo.txt").exists()
                and (it.outbox / "memo.txt").read_text().startswith("I am going to the market.")
            ),
            "the transcript of what is there now",
        )


def test_a_recording_that_is_removed_before_its_turn(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        shutil.copy(sample(LONG), it.inbox / "a.opus")
        wait_until(lambda: it.states().get("a.opus") == "running", "running")
        shutil.copy(sample(ONE), it.inbox / "b.wav")
        wait_until(lambda: it.states().get("b.wav") == "queued", "queued")
        content = (it.inbox / "b.wav").read_bytes()
        (it.inbox / "b.wav").unlink()
        wait_until(lambda: it.states().get("b.wav") == "failed", "failed")
        assert "b.wav: failed: it is no longer there" in it.log()
        (it.inbox / "b.wav").write_bytes(content)  # it comes back: so does its turn
        it.wait_for("a.opus", "b.wav")


@pytest.mark.parametrize("outbox", ["outbox", "beside"])
def test_odd_names(tmp_path: Path, outbox: str) -> None:
    names = [
        b"new\nline.wav", b"-rf.wav", "\U0001f399 \u201equoted\u201c.wav".encode(), b"latin-\xe9\xff.wav",
        b"$(touch gone); `ls`.wav", b"x" * 251 + b".wav", "\u00e4".encode() * 125 + b"x.wav", b" .wav", b"a..wav..wav",
        b"100%s {0}.WAV",
    ]  # fmt: skip
    with daemon(tmp_path, outbox=outbox, formats="[txt, json]") as it:
        it.start()
        folder = os.fsencode(it.inbox)
        for name in names:
            shutil.copy(os.fsencode(sample(ONE)), os.path.join(folder, name))
        it.wait_for(*map(os.fsdecode, names))
        for name in names:
            stem = os.fsencode(os.path.splitext(os.fsdecode(name))[0])
            text = os.path.join(os.fsencode(it.outbox), stem + b".txt")
            with open(text, encoding="utf-8") as file:
                assert file.read() == "Buy apples, soap and tomatoes.\n"
        assert len(it.published()) == 2 * len(names)
        assert all(len(line) == len(line.encode().decode()) and line.isprintable() for line in it.log().splitlines())
