"""The messages between the daemon and its worker: typed structs, one JSON object a line, UTF-8.

File names travel as bytes (base64 in JSON), because a name need not be UTF-8. Times are seconds from the start of the
recording. Every job has a number that its answers carry, so that a late answer is never taken for another job's.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

PROTOCOL = 1


class Message(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """The base of all messages."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to transcribe, in faster-whisper's own terms. The configuration's `transcription` section is this class."""

    language: Annotated[str, Meta(description="The language spoken (en, de, ...), or auto: find out.")] = "auto"
    task: Annotated[
        Literal["transcribe", "translate"], Meta(description="translate: into English, if the model can.")
    ] = "transcribe"
    beam_size: Annotated[int, Meta(ge=1, le=20, description="Candidates weighed at once. 1 is fastest.")] = 5
    vad_filter: Annotated[bool, Meta(description="Skip what is not speech (Silero VAD).")] = True
    condition_on_previous_text: Annotated[
        bool, Meta(description="Let each window see the last one's text. Can start repetition loops.")
    ] = False
    word_timestamps: Annotated[bool, Meta(description="Times for every word (in json).")] = False
    initial_prompt: Annotated[
        str | None, Meta(description="A sentence in the style and with the names that are to come.")
    ] = None
    hotwords: Annotated[str | None, Meta(description="Words to listen for, separated by spaces.")] = None


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Which model to load and how. `model` is a folder; `cpu_threads` 0: as many as the worker may use."""

    model: bytes
    device: str
    compute_type: str
    cpu_threads: int


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One word with its times and the model's probability for it (0 to 1)."""

    start: float
    end: float
    word: str
    probability: float


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of speech as faster-whisper defines it, with the figures that it judges a decoding by."""

    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] | None = None


# daemon -> worker. To end it, the daemon closes its input.


class Transcribe(Message, frozen=True, kw_only=True, tag="transcribe"):
    """Transcribe one file. The model is loaded first where it is not yet."""

    job: int
    path: bytes
    engine: Engine
    options: Options


# worker -> daemon


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The worker is up. `protocol` must be the daemon's own."""

    protocol: int
    engine_versions: dict[str, str]


class Loaded(Message, frozen=True, kw_only=True, tag="loaded"):
    """The model is in memory, after so many seconds, with the compute type that the engine really uses."""

    seconds: float
    compute_type: str


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """The job has begun, or moves: `done_seconds` of `total_seconds` are transcribed; both 0 while it is decoded."""

    job: int
    done_seconds: float
    total_seconds: float


class Found(Message, frozen=True, kw_only=True, tag="found"):
    """One more segment of the job, in order of time."""

    job: int
    segment: Segment


class Finished(Message, frozen=True, kw_only=True, tag="finished"):
    """The job is done: all its segments have been sent."""

    job: int
    language: str
    language_probability: float
    duration_seconds: float
    elapsed_seconds: float


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """The job ended without a result. `failure` is a name of `recording.Failure`, `reason` one line for a person."""

    job: int
    failure: str
    reason: str


class NotLoaded(Message, frozen=True, kw_only=True, tag="not-loaded"):
    """The model could not be loaded. No job is to blame; `reason` is one line for a person."""

    reason: str


# to and from `stenod.worker.measure`, a JSON object each


class Task(msgspec.Struct, frozen=True):
    """Load this model and transcribe these files (paths as bytes) with it."""

    engine: Engine
    options: Options
    files: tuple[bytes, ...]


class Measured(msgspec.Struct, frozen=True):
    """Memory in bytes, as proc(5) has it: `loading_peak` VmHWM until loaded, `resident` VmRSS then, `peak` at the end.

    `base` is the process with its libraries, before the model. `texts` are in the order of the files.
    """

    compute_type: str
    load_seconds: float
    base_bytes: int
    loading_peak_bytes: int
    resident_bytes: int
    peak_bytes: int
    audio_seconds: float
    transcribe_seconds: float
    texts: tuple[str, ...]


FromWorker: TypeAlias = Hello | Loaded | Progress | Found | Finished | Failed | NotLoaded

_encoder = msgspec.json.Encoder()
_to_worker: msgspec.json.Decoder[Transcribe] = msgspec.json.Decoder(Transcribe)
_from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


class ProtocolError(Exception):
    """A line that is no message of this protocol."""


def encode(message: Message) -> bytes:
    """Return `message` as one line, its line feed included."""
    return _encoder.encode(message) + b"\n"


def decode_for_worker(line: bytes) -> Transcribe:
    """Return the daemon's message in `line`. Raise ProtocolError if it is none."""
    try:
        return _to_worker.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message to the worker: {line[:200]!r}") from error


def decode_from_worker(line: bytes) -> FromWorker:
    """Return the worker's message in `line`. Raise ProtocolError if it is none."""
    try:
        return _from_worker.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message from the worker: {line[:200]!r}") from error
