"""The service as its manager and its user see it: states, memory, several inboxes, formats, stopping."""

import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from stenod import words
from tests.end_to_end.harness import LONG, SAMPLES, SHORT, SILENCE, daemon, sample, wait_until

ONE = "shopping list.wav"
IDLE_MEGABYTES = 40


def _pss_megabytes(pid: int) -> float:
    """Proportional set size, as smaps_rollup has it (proc(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def test_what_systemd_is_told(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        assert it.notifications[0] == "READY=1"
        shutil.copy(sample(LONG), it.inbox / "Gespräch.opus")
        wait_until(lambda: it.said("STATUS=0 queued, 1 settling"), "settling")
        wait_until(lambda: it.said("STATUS=0 queued, transcribing Gesprach.opus"), "transcribing, in ASCII", log=it.log)
        it.wait_for("Gespräch.opus")
        shares = [text.split()[-2] for text in it.notifications if text.endswith(" %")]
        assert len(set(shares)) > 3
        assert shares == sorted(shares, key=int)
        wait_until(lambda: it.notifications[-1] == "STATUS=0 queued", "idle again")
        assert it.stop() == 0
        wait_until(lambda: it.said("STOPPING=1"), "stopping")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_at_once_when_idle(tmp_path: Path, number: signal.Signals) -> None:
    with daemon(tmp_path) as it:
        it.start()
        assert it.process is not None
        started = time.monotonic()
        it.process.send_signal(number)
        assert it.process.wait(5) == 0
        assert time.monotonic() - started < 2.0
        assert f"{number.name}: stopping" in it.log()
        assert "Traceback" not in it.log()


def test_the_worker_goes_when_idle_and_comes_back(tmp_path: Path) -> None:
    with daemon(tmp_path, unload_after="1s") as it:
        it.start()
        assert it.process is not None
        assert it.worker() is None, "no worker without work"
        assert _pss_megabytes(it.process.pid) <= IDLE_MEGABYTES
        shutil.copy(sample(ONE), it.inbox / "a.wav")
        it.wait_for("a.wav")
        assert it.worker() is not None, "the model is kept for a while"
        process = psutil.Process(it.process.pid)
        wait_until(
            lambda: process.children() == [], "the worker's memory is given back, and no zombie left", log=it.log
        )
        assert _pss_megabytes(it.process.pid) <= IDLE_MEGABYTES
        shutil.copy(sample(ONE), it.inbox / "b.wav")
        it.wait_for("b.wav")
        it.assert_transcribed({"a.wav": ONE, "b.wav": ONE})


def test_the_model_is_loaded_once_for_many(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start()
        for name in SHORT[:4]:
            shutil.copy(sample(name), it.inbox / name)
        it.wait_for(*SHORT[:4])
        assert it.log().count("model loaded") == 1


def test_the_shipped_samples_through_the_daemon(tmp_path: Path) -> None:
    """The demo model's word error rate over all samples, in every format's text: at most 4 %."""
    with daemon(tmp_path, formats="[txt, srt, vtt, json]", inbox_extra="    word_timestamps: true\n") as it:
        it.start()
        for name in SAMPLES:
            shutil.copy(sample(name), it.inbox / name)
        it.wait_for(*SAMPLES)
        total = words.Errors(0, 0)
        for name, original in SAMPLES.items():
            stem = name.rsplit(".", 1)[0]
            document = json.loads((it.outbox / f"{stem}.json").read_text())
            total += words.compare(original.reference, document["text"])
            assert words.plain((it.outbox / f"{stem}.txt").read_text()) == words.plain(document["text"])
            assert original.language in {None, document["language"]}
            assert document["source"]["name"] == name
            assert abs(document["source"]["duration"] - original.seconds) < 0.2
            for before, after in zip(document["segments"], document["segments"][1:], strict=False):
                assert before["end"] <= after["start"] + 0.001
            assert all(segment["words"] for segment in document["segments"])
        assert (it.outbox / f"{SILENCE.rsplit('.', 1)[0]}.txt").read_text() == ""
        assert total.rate <= 0.04
        assert len(it.published()) == 4 * len(SAMPLES)


def test_several_inboxes_each_with_its_own_settings(tmp_path: Path) -> None:
    (tmp_path / "second" / "deep").mkdir(parents=True)
    extra = (
        "  - path: second\n"
        "    recursive: false\n"
        "    extensions: ['.ogg']\n"
        "    formats: [srt]\n"
        "    language: de\n"
        "    settle: 300ms\n"
    )
    with daemon(tmp_path, inbox_extra=extra) as it:
        it.start()
        (it.inbox / "2026" / "11").mkdir(parents=True)
        shutil.copy(sample(ONE), it.inbox / "2026" / "11" / "memo.wav")
        german = "Notiz für Käthe.ogg"
        for place in ("second", "second/deep"):
            shutil.copy(sample(german), tmp_path / place / german)
            shutil.copy(sample(ONE), tmp_path / place / ONE)
        it.wait_for("2026/11/memo.wav", f"../second/{german}")
        assert it.published() == {"2026/11/memo.txt"}, "the outbox mirrors the inbox's tree"
        assert (tmp_path / "second" / "Notiz für Käthe.srt").read_text().startswith("1\n00:00:")
        time.sleep(1.0)
        assert set(it.states()) == {"2026/11/memo.wav", f"../second/{german}"}


def test_the_transcript_of_a_recording_keeps_the_users_mask(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        it.start(["sh", "-c", 'umask 027; exec "$@"', "sh"])
        shutil.copy(sample(ONE), it.inbox / ONE)
        it.wait_for(ONE)
        assert (it.outbox / "shopping list.txt").stat().st_mode & 0o777 == 0o640
