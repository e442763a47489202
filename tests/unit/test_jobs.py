"""What the worker is asked for a recording, and what becomes of its answer."""

import dataclasses
import os

import msgspec
import pytest

from stenod import __version__, config, formats, jobs, wire
from stenod.config import Config, Inbox, Model
from stenod.recording import Fingerprint
from tests.unit import build

OPTIONS = wire.Options(language="de", beam_size=1)
INBOX = Inbox(path="/in", name="i", options=OPTIONS)
CONFIG = Config(inboxes=(INBOX,), state="/state", hub="/hub", model=Model(name="small", cpu_threads=3))
RECORDING = build.recording(number=7, path="/in/not utf-8 \udcff.mp3")
JOB = jobs.make(CONFIG, INBOX, "/hub/small", RECORDING)


def test_the_message_has_what_the_worker_needs() -> None:
    assert JOB.message == wire.Transcribe(
        job=7,
        path=b"/in/not utf-8 \xff.mp3",
        engine=wire.Engine(model=b"/hub/small", device="cpu", compute_type="int8", cpu_threads=3),
        options=OPTIONS,
    )
    assert os.fsdecode(JOB.message.path) == RECORDING.path


def digest(
    model: Model = CONFIG.model, options: wire.Options = OPTIONS, mark: Fingerprint = RECORDING.fingerprint
) -> str:
    """Return the digest of a job that differs in this from the usual one."""
    settings = msgspec.structs.replace(CONFIG, model=model)
    inbox = msgspec.structs.replace(INBOX, options=options)
    return jobs.make(settings, inbox, "/hub/small", dataclasses.replace(RECORDING, fingerprint=mark)).digest


def test_what_was_made_from_the_same_is_not_made_again() -> None:
    assert digest() == JOB.digest
    assert digest(model=msgspec.structs.replace(CONFIG.model, cpu_threads=1)) == JOB.digest
    assert digest(mark=dataclasses.replace(RECORDING.fingerprint, inode=99)) == JOB.digest


@pytest.mark.parametrize("field", wire.Options.__struct_fields__)
def test_every_option_counts(field: str) -> None:
    others: dict[str, object] = {
        "language": "fr",
        "task": "translate",
        "beam_size": 2,
        "hotwords": "a",
        "initial_prompt": "b",
    }
    before = getattr(OPTIONS, field)
    other = others.get(field, not before)
    assert other != before
    assert digest(options=msgspec.structs.replace(OPTIONS, **{field: other})) != JOB.digest


def test_model_and_file_count() -> None:
    mark = RECORDING.fingerprint
    digests = [
        JOB.digest,
        digest(model=msgspec.structs.replace(CONFIG.model, name="medium")),
        digest(model=msgspec.structs.replace(CONFIG.model, compute_type="float32")),
        digest(mark=dataclasses.replace(mark, size_bytes=mark.size_bytes + 1)),
        digest(mark=dataclasses.replace(mark, mtime_ns=mark.mtime_ns + 1)),
    ]
    assert len(set(digests)) == len(digests)


def test_the_transcript() -> None:
    segments = (build.segment(),)
    made = jobs.transcript(JOB, RECORDING, build.finished(), segments)
    assert made == dataclasses.replace(
        build.transcript(*segments, source="not utf-8 \\xff.mp3"),
        duration_seconds=8.0, language_probability=0.5, model="small", options=OPTIONS, stenod_version=__version__,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("segments", "elapsed", "text"),
    [
        ((build.segment(),), 0.5, "8.0 s (en) in 0.5 s, 16 times real time: a.txt, b\\n.srt"),
        ((), 0.5, "8.0 s (no speech) in 0.5 s, 16 times real time: a.txt, b\\n.srt"),
        ((), 0.0, "8.0 s (no speech) in 0.0 s, 8000 times real time: a.txt, b\\n.srt"),
    ],
)
def test_the_summary_is_one_line(segments: tuple[wire.Segment, ...], elapsed: float, text: str) -> None:
    finished = msgspec.structs.replace(build.finished(), elapsed_seconds=elapsed)
    assert jobs.summary(finished, segments, ["a.txt", "b\n.srt"]) == text


def test_every_format_of_the_configuration_can_be_written() -> None:
    assert set(config.FORMATS) == set(formats.WRITERS)
