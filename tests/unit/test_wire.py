"""The messages between daemon and worker: every one comes back as it was, and nothing else is taken for one."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod import wire
from tests.unit import build

numbers = st.integers(0, 2**63 - 1)
seconds = st.floats(allow_nan=False, allow_infinity=False)
text = st.text()
optional_text = st.none() | text

words = st.builds(wire.Word, seconds, seconds, text, seconds)
segments = st.builds(
    wire.Segment,
    start=seconds,
    end=seconds,
    text=text,
    avg_logprob=seconds,
    compression_ratio=seconds,
    no_speech_prob=seconds,
    words=st.none() | st.lists(words, max_size=4).map(tuple),
)
engines = st.builds(wire.Engine, model=st.binary(), device=text, compute_type=text, cpu_threads=st.integers(0, 1024))
options = st.builds(
    wire.Options,
    language=text,
    task=st.sampled_from(["transcribe", "translate"]),
    beam_size=st.integers(1, 20),
    vad_filter=st.booleans(),
    condition_on_previous_text=st.booleans(),
    word_timestamps=st.booleans(),
    initial_prompt=optional_text,
    hotwords=optional_text,
)
jobs = st.builds(wire.Transcribe, job=numbers, path=st.binary(), engine=engines, options=options)
answers = st.one_of(
    st.builds(wire.Hello, protocol=st.integers(0, 99), engine_versions=st.dictionaries(text, text, max_size=3)),
    st.builds(wire.Loaded, seconds=seconds, compute_type=text),
    st.builds(wire.Progress, job=numbers, done_seconds=seconds, total_seconds=seconds),
    st.builds(wire.Found, job=numbers, segment=segments),
    st.builds(
        wire.Finished, job=numbers, language=text, language_probability=seconds, duration_seconds=seconds,
        elapsed_seconds=seconds,
    ),
    st.builds(wire.Failed, job=numbers, failure=text, reason=text),
    st.builds(wire.NotLoaded, reason=text),
)  # fmt: skip

JOB = wire.Transcribe(
    job=1, path=b"/a", engine=wire.Engine(model=b"/m", device="cpu", compute_type="int8", cpu_threads=0),
    options=wire.Options(),
)  # fmt: skip


def is_one_line(line: bytes) -> bool:
    return line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line


@given(jobs)
def test_a_job_comes_back_as_it_was(job: wire.Transcribe) -> None:
    line = wire.encode(job)
    assert is_one_line(line)
    assert wire.decode_for_worker(line) == job


@given(answers)
def test_an_answer_comes_back_as_it_was(answer: wire.FromWorker) -> None:
    line = wire.encode(answer)
    assert is_one_line(line)
    decoded = wire.decode_from_worker(line)
    assert decoded == answer
    assert type(decoded) is type(answer)


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_a_file_name_need_not_be_utf_8(name: str) -> None:
    path = os.fsencode(f"/inbox/{name}")
    job = wire.Transcribe(job=1, path=path, engine=JOB.engine, options=JOB.options)
    assert wire.decode_for_worker(wire.encode(job)).path == path


@given(st.binary(max_size=50))
def test_what_is_no_message_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(wire.ProtocolError, match="not a message to the worker"):
        wire.decode_for_worker(line)
    with pytest.raises(wire.ProtocolError, match="not a message from the worker"):
        wire.decode_from_worker(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b'{"type":"unknown"}\n',
        b'{"type":"progress"}\n',
        b'{"type":"progress","job":"1","done_seconds":0,"total_seconds":0}\n',
        b'{"type":"progress","job":1,"done_seconds":0}\n',
        b'{"type":"loaded","seconds":1,"compute_type":"int8"}{}\n',
        b'{"type":"not-loaded","reason":"\xff"}\n',
        b'{"type":"not-loaded","reason":"cut off',
        b"printed by a library\n",
        b"\x00" * 10_000,
        wire.encode(JOB),  # the other way round
    ],
)
def test_garbage_from_the_worker_is_a_protocol_error_of_readable_length(line: bytes) -> None:
    with pytest.raises(wire.ProtocolError) as raised:
        wire.decode_from_worker(line)
    assert len(str(raised.value)) < 1000
    assert "\n" not in str(raised.value)


def test_the_workers_messages_are_none_for_the_worker() -> None:
    with pytest.raises(wire.ProtocolError):
        wire.decode_for_worker(wire.encode(wire.NotLoaded(reason="none")))


def test_a_job_with_options_that_make_no_sense_is_refused() -> None:
    for wrong in (b'"beam_size":0', b'"beam_size":21', b'"beam_size":2.5'):
        with pytest.raises(wire.ProtocolError):
            wire.decode_for_worker(wire.encode(JOB).replace(b'"beam_size":5', wrong))
    with pytest.raises(wire.ProtocolError):
        wire.decode_for_worker(wire.encode(JOB).replace(b'"transcribe","beam', b'"summarise","beam'))
