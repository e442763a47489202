"""Small builders of the plain values that many tests need."""

from hypothesis import strategies as st

from stenod import formats, wire
from stenod.recording import Arrival, Failure, Fingerprint, Recording, State

# Names that have hurt others: each is one component, at most 255 bytes (given as text by surrogateescape).
DIFFICULT_NAMES = (
    "plain.mp3",
    "with space and 'quotes\".mp3",
    "line\nbreak\r\ttab\x1b[31m.mp3",
    "not utf-8 \udcff\udc80.mp3",
    "Käthe, 会議 😀.mp3",
    "%41?mode=ro#x&cache=shared.mp3",
    "x" * 251 + ".mp3",
    "ü" * 125 + "x.mp3",
)


def segment(start: float = 0.0, end: float = 1.0, text: str = "said") -> wire.Segment:
    """Return a segment whose figures do not matter."""
    return wire.Segment(start=start, end=end, text=text, avg_logprob=-0.25, compression_ratio=1.5, no_speech_prob=0.125)


def finished(job: int = 1) -> wire.Finished:
    """Return the message that ends a job."""
    return wire.Finished(job=job, language="en", language_probability=0.5, duration_seconds=8.0, elapsed_seconds=0.5)


def arrival(path: str = "/inbox/a.mp3", size: int = 10, mtime: int = 20, inode: int = 30, inbox: str = "i") -> Arrival:
    """Return an arrival."""
    return Arrival(inbox, path, Fingerprint(size, mtime, inode))


def recording(
    *, attempts: int = 1, crashes: int = 0, interruptions: int = 0, path: str = "/inbox/a.mp3", number: int = 1
) -> Recording:
    """Return a recording as it is while the worker has it."""
    return Recording(
        id=number,
        inbox="i",
        path=path,
        fingerprint=Fingerprint(10, 20, 30),
        state=State.RUNNING,
        attempts=attempts,
        crashes=crashes,
        interruptions=interruptions,
        not_before=0.0,
        failure=None,
        reason="",
    )


def transcript(*segments: wire.Segment, language: str = "en", source: str = "a.mp3") -> formats.Transcript:
    """Return a transcript of these segments."""
    return formats.Transcript(
        source=source,
        duration_seconds=segments[-1].end if segments else 3.0,
        language=language,
        language_probability=0.987654,
        model="demo",
        compute_type="int8",
        options=wire.Options(),
        segments=segments,
        stenod_version="1.2.3",
    )


failures = st.sampled_from(Failure)
