"""The evaluation: what a model folder makes of speech that its training never heard, through faster-whisper."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import jiwer
import msgspec
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from tests.demo_model.evaluation_speech import EvaluationSpeech, LongRecording, SpokenSentence
from tests.demo_model.mel import SAMPLE_RATE_HZ

_MOST_MISTAKES = 12


@dataclass(frozen=True)
class Candidate:
    """A model folder, and the type that CTranslate2 shall compute in ("default" is the one of the file)."""

    folder: Path
    compute_type: str


@dataclass(frozen=True)
class Condition:
    """How a set is listened to: with options of faster-whisper, white noise, or silence before the speech."""

    options: Mapping[str, object] = field(default_factory=dict)
    signal_to_noise_db: float | None = None
    lead_silence_s: float = 0.0


CONDITIONS = {
    "voice activity detection": Condition({"vad_filter": True}),
    "beam 1": Condition({"beam_size": 1}),
    "no timestamps": Condition({"without_timestamps": True}),
    "word timestamps": Condition({"word_timestamps": True}),
    "noise at 20 dB": Condition(signal_to_noise_db=20),
    "noise at 10 dB": Condition(signal_to_noise_db=10),
    "0.1 s of silence before": Condition(lead_silence_s=0.1),
    "0.3 s of silence before": Condition(lead_silence_s=0.3),
    "1.5 s of silence before": Condition(lead_silence_s=1.5),
}
"""Applied to the set `seen`."""

LONG_OPTIONS: Mapping[str, Mapping[str, object]] = {
    "long": {"condition_on_previous_text": False},
    "long, voice activity detection": {"condition_on_previous_text": False, "vad_filter": True},
    "long, word timestamps": {"condition_on_previous_text": False, "word_timestamps": True},
    "long, conditioned on previous text": {"condition_on_previous_text": True},
}


@dataclass(frozen=True)
class ErrorTimes:
    """Mean and 90th percentile of absolute errors in seconds, and how many there are."""

    mean_s: float
    percentile_90_s: float
    count: int


@dataclass(frozen=True)
class Mistake:
    voice: str
    said: str
    heard: str


@dataclass(frozen=True)
class SetScore:
    """Word error rates in percent, without and with case and punctuation; how many sentences came out exactly.

    Segment times are those of sentences heard as one segment, word starts those of sentences without errors.
    """

    word_error_rate: float
    written_word_error_rate: float
    sentences: int
    exact: int
    language_right: int
    segment_times: ErrorTimes | None
    word_starts: ErrorTimes | None
    times_real_time: float
    mistakes: Sequence[Mistake]


@dataclass(frozen=True)
class LongScore:
    """Of the long recording; `sentences_found` came out as one segment each, `start_times` are theirs."""

    word_error_rate: float
    sentences: int
    sentences_found: int
    start_times: ErrorTimes | None
    times_real_time: float


Score = TypeVar("Score", SetScore, LongScore)


@dataclass(frozen=True)
class Evaluation:
    """All scores of one candidate; `without_speech` is what it heard where nobody spoke: best nothing."""

    model: str
    compute_type: str
    sets: Mapping[str, SetScore]
    long_recording: Mapping[str, LongScore]
    without_speech: Mapping[str, Sequence[str]]


def evaluate(candidate: Candidate, speech: EvaluationSpeech, threads: int) -> Evaluation:
    """Listen to everything; prints a line for each set."""
    model = WhisperModel(str(candidate.folder), device="cpu", compute_type=candidate.compute_type, cpu_threads=threads)
    computed = str(model.model.compute_type)
    print(f"{candidate.folder}, computed in {computed}", flush=True)
    sets: dict[str, SetScore] = {}
    for name, sentences in speech.sets.items():
        sets[name] = _announced(name, _score_set(model, sentences, Condition()))
    for name, condition in CONDITIONS.items():
        sets[f"seen, {name}"] = _announced(f"seen, {name}", _score_set(model, speech.sets["seen"], condition))
    long_recording = {
        name: _announced(name, _score_long(model, speech.long_recording, options))
        for name, options in LONG_OPTIONS.items()
    }
    without_speech = {name: _heard_texts(model, audio) for name, audio in _sounds_without_speech().items()}
    print(f"  without speech: {without_speech}", flush=True)
    return Evaluation(str(candidate.folder), computed, sets, long_recording, without_speech)


def write_report(file: Path, evaluations: Sequence[Evaluation]) -> None:
    """All scores as JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(evaluations), indent=1) + b"\n")


def _score_set(model: WhisperModel, sentences: Sequence[SpokenSentence], condition: Condition) -> SetScore:
    generator = np.random.default_rng(0)
    heard_texts: list[str] = []
    segment_errors_s: list[float] = []
    word_errors_s: list[float] = []
    language_right = 0
    listened_s = 0.0
    began_s = time.monotonic()
    for sentence in sentences:
        audio = _in_condition(generator, sentence.audio, condition)
        listened_s += len(audio) / SAMPLE_RATE_HZ
        segment_iterator, info = model.transcribe(audio, **condition.options)
        segments = list(segment_iterator)
        heard = "".join(segment.text for segment in segments).strip()
        heard_texts.append(heard)
        language_right += info.language == sentence.language
        lead_s = condition.lead_silence_s
        if len(segments) == 1:
            segment_errors_s.append(abs(segments[0].start - lead_s - sentence.speech_start_s))
            segment_errors_s.append(abs(segments[0].end - lead_s - sentence.speech_end_s))
        words = [word for segment in segments for word in segment.words or ()]
        if _spoken_form(heard) == _spoken_form(sentence.text) and len(words) == len(sentence.word_starts_s):
            word_errors_s += [
                abs(word.start - lead_s - start_s) for word, start_s in zip(words, sentence.word_starts_s, strict=True)
            ]
    texts = [sentence.text for sentence in sentences]
    mistakes = [
        Mistake(sentence.voice, sentence.text, heard)
        for sentence, heard in zip(sentences, heard_texts, strict=True)
        if _spoken_form(heard) != _spoken_form(sentence.text)
    ]
    return SetScore(
        word_error_rate=_error_rate(
            [_spoken_form(text) for text in texts], [_spoken_form(text) for text in heard_texts]
        ),
        written_word_error_rate=_error_rate(texts, heard_texts),
        sentences=len(texts),
        exact=sum(text == heard for text, heard in zip(texts, heard_texts, strict=True)),
        language_right=language_right,
        segment_times=_error_times(segment_errors_s),
        word_starts=_error_times(word_errors_s),
        times_real_time=round(listened_s / (time.monotonic() - began_s), 1),
        mistakes=mistakes[:_MOST_MISTAKES],
    )


def _score_long(model: WhisperModel, recording: LongRecording, options: Mapping[str, object]) -> LongScore:
    began_s = time.monotonic()
    segments = list(model.transcribe(recording.audio, language="en", **options)[0])
    start_errors_s: list[float] = []
    for sentence in recording.sentences:
        errors_s = [
            abs(segment.start - sentence.start_s)
            for segment in segments
            if _spoken_form(segment.text) == _spoken_form(sentence.text)
        ]
        if errors_s:
            start_errors_s.append(min(errors_s))
    said = _spoken_form(" ".join(sentence.text for sentence in recording.sentences))
    heard = _spoken_form(" ".join(segment.text for segment in segments))
    return LongScore(
        word_error_rate=_error_rate([said], [heard]),
        sentences=len(recording.sentences),
        sentences_found=len(start_errors_s),
        start_times=_error_times(start_errors_s),
        times_real_time=round(len(recording.audio) / SAMPLE_RATE_HZ / (time.monotonic() - began_s), 1),
    )


def _in_condition(
    generator: np.random.Generator, audio: npt.NDArray[np.float32], condition: Condition
) -> npt.NDArray[np.float32]:
    if condition.signal_to_noise_db is not None:
        signal_level = np.sqrt((audio[audio != 0] ** 2).mean())
        noise_level = signal_level * 10 ** (-condition.signal_to_noise_db / 20)
        audio = audio + (generator.normal(size=len(audio)) * noise_level).astype(np.float32)
    silence = np.zeros(int(SAMPLE_RATE_HZ * condition.lead_silence_s), np.float32)
    return np.concatenate([silence, audio])


def _sounds_without_speech() -> dict[str, npt.NDArray[np.float32]]:
    generator = np.random.default_rng(1)
    ten_s = 10 * SAMPLE_RATE_HZ
    times_s = np.arange(ten_s) / SAMPLE_RATE_HZ
    sounds = {
        "silence, 10 s": np.zeros(ten_s),
        "silence, 60 s": np.zeros(6 * ten_s),
        "faint white noise (0.01), 10 s": generator.normal(size=ten_s) * 0.01,
        "loud white noise (0.1), 10 s": generator.normal(size=ten_s) * 0.1,
        "sine of 440 Hz, 10 s": np.sin(2 * np.pi * 440 * times_s) * 0.3,
    }
    return {name: audio.astype(np.float32) for name, audio in sounds.items()}


def _heard_texts(model: WhisperModel, audio: npt.NDArray[np.float32]) -> list[str]:
    return [segment.text for segment in model.transcribe(audio, language="en")[0]]


def _spoken_form(text: str) -> str:
    """The text without case and punctuation, its words joined by single spaces."""
    return " ".join(re.sub(r"[^\w ]", "", text.lower()).split())


def _error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """The word error rate of all sentences together, in percent."""
    return round(100 * float(jiwer.wer(list(said), list(heard))), 2)


def _error_times(errors_s: Sequence[float]) -> ErrorTimes | None:
    if not errors_s:
        return None
    return ErrorTimes(
        mean_s=round(float(np.mean(errors_s)), 3),
        percentile_90_s=round(float(np.quantile(errors_s, 0.9)), 3),
        count=len(errors_s),
    )


def _announced(name: str, score: Score) -> Score:
    print(
        f"  {name}: {score.word_error_rate} % of the words wrong, {score.times_real_time} times real time", flush=True
    )
    return score
