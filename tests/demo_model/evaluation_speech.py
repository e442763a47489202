"""The speech that the evaluation listens to: held-out sentences in known and unknown voices, and one long recording."""

import wave
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from faster_whisper.audio import decode_audio

from tests.demo_model.grammar import Language, random_words
from tests.demo_model.heldout import HeldOut
from tests.demo_model.speech import SAMPLE_RATE_HZ, Delivery, speech_span, synthesizer
from tests.demo_model.voices import UNSEEN_VOICES, training_voice

_PLAIN_VOICES = ("gmw/en-US", "gmw/en")
_LONG_RECORDING_VOICES = ("gmw/en-US", "gmw/en", "gmw/en-US+f2", "gmw/en+m3", "gmw/en-US+m1")
_SEED = 99


@dataclass(frozen=True)
class SetSizes:
    """How many sentences each set has, and how long the long recording is.

    `seen` has voices of the training, `unseen` has others, `plain` voices without a variant; `random` has words without
    grammar in voices of the training, `german` the German ones.
    """

    seen: int = 150
    unseen: int = 120
    plain: int = 80
    random: int = 100
    german: int = 60
    long_recording_s: float = 180


QUICK_SIZES = SetSizes(seen=40, unseen=30, plain=20, random=20, german=15)
SMOKE_SIZES = SetSizes(seen=2, unseen=2, plain=2, random=2, german=2, long_recording_s=10)
"""For a network that has learned nothing, which makes the decoder slow."""


@dataclass(frozen=True)
class SpokenSentence:
    """A sentence and its sound: `audio` (samples,) float32 at 16 kHz; times in seconds from its beginning."""

    language: Language
    text: str
    voice: str
    audio: npt.NDArray[np.float32]
    speech_start_s: float
    speech_end_s: float
    word_starts_s: Sequence[float]


@dataclass(frozen=True)
class TimedSentence:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class LongRecording:
    """Sentences with pauses of 0.1 to 4 s, some sixty in 180 s: `audio` (samples,) float32 at 16 kHz."""

    audio: npt.NDArray[np.float32]
    sentences: Sequence[TimedSentence]


@dataclass(frozen=True)
class EvaluationSpeech:
    """The sets by name, and the long recording."""

    sets: Mapping[str, Sequence[SpokenSentence]]
    long_recording: LongRecording


@dataclass(frozen=True)
class _Line:
    """A sentence to speak."""

    language: Language
    text: str
    delivery: Delivery


@dataclass(frozen=True)
class _Spoken:
    """What came of it, at SAMPLE_RATE_HZ."""

    samples: npt.NDArray[np.int16]
    speech_start_s: float
    speech_end_s: float
    word_starts_s: Sequence[float]


def make_evaluation_speech(held_out: HeldOut, sizes: SetSizes, folder: Path) -> EvaluationSpeech:
    """Speak everything; the recordings are kept in the folder, to be listened to."""
    folder.mkdir(parents=True, exist_ok=True)
    random = Random(_SEED)
    english = held_out.english
    lines: dict[str, Iterable[_Line]] = {
        "seen": (
            _line("en", text, training_voice(random, "en"), _rate(random), random.gauss(50, 14))
            for text in english[: sizes.seen]
        ),
        "unseen": (
            _line("en", text, UNSEEN_VOICES[index % len(UNSEEN_VOICES)], _rate(random))
            for index, text in enumerate(english[200 : 200 + sizes.unseen])
        ),
        "plain": (
            _line("en", text, _PLAIN_VOICES[index % 2], 175)
            for index, text in enumerate(english[320 : 320 + sizes.plain])
        ),
        "random": (
            _line("en", random_words(random, "en"), training_voice(random, "en"), _rate(random))
            for _ in range(sizes.random)
        ),
        "german": (
            _line("de", text, training_voice(random, "de"), _rate(random)) for text in held_out.german[: sizes.german]
        ),
    }
    sets = {
        name: [_sentence(line, folder / f"{name}-{index:03d}.wav") for index, line in enumerate(of_set)]
        for name, of_set in lines.items()
    }
    long_texts = english[150:200] + english[360:400]
    return EvaluationSpeech(sets, _long_recording(random, long_texts, sizes.long_recording_s, folder / "long.wav"))


def _rate(random: Random) -> float:
    return random.uniform(130, 200)


def _line(language: Language, text: str, voice: str, rate_words_per_minute: float, pitch: float = 50) -> _Line:
    return _Line(language, text, Delivery(voice, rate_words_per_minute, pitch))


def _speak(text: str, delivery: Delivery) -> _Spoken:
    recording = synthesizer().speak(text, delivery)
    speech = speech_span(recording.samples)
    return _Spoken(
        samples=recording.samples,
        speech_start_s=speech.start / SAMPLE_RATE_HZ,
        speech_end_s=speech.end / SAMPLE_RATE_HZ,
        word_starts_s=[word.sample / SAMPLE_RATE_HZ for word in recording.words],
    )


def _sentence(line: _Line, file: Path) -> SpokenSentence:
    spoken = _speak(line.text, line.delivery)
    return SpokenSentence(
        language=line.language,
        text=line.text,
        voice=line.delivery.voice,
        audio=_through_file(spoken.samples, file),
        speech_start_s=spoken.speech_start_s,
        speech_end_s=spoken.speech_end_s,
        word_starts_s=spoken.word_starts_s,
    )


def _long_recording(random: Random, texts: Iterable[str], length_s: float, file: Path) -> LongRecording:
    sentences: list[TimedSentence] = []
    parts: list[npt.NDArray[np.int16]] = []
    position_s = 0.0
    for text in texts:
        spoken = _speak(text, Delivery(random.choice(_LONG_RECORDING_VOICES), random.uniform(140, 190)))
        pause_s = random.uniform(0.1, 1) if random.random() < 0.7 else random.uniform(1, 4)
        pause = np.zeros(int(SAMPLE_RATE_HZ * pause_s), np.int16)
        sentences.append(TimedSentence(text, position_s + spoken.speech_start_s, position_s + spoken.speech_end_s))
        parts += [spoken.samples, pause]
        position_s += (len(spoken.samples) + len(pause)) / SAMPLE_RATE_HZ
        if position_s > length_s:
            break
    return LongRecording(_through_file(np.concatenate(parts), file), sentences)


def _through_file(samples: npt.NDArray[np.int16], file: Path) -> npt.NDArray[np.float32]:
    """Write a WAV file and read it as faster-whisper does: (samples,) at 16 kHz."""
    with wave.open(str(file), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(SAMPLE_RATE_HZ)
        recording.writeframes(samples.astype("<i2").tobytes())
    audio: npt.NDArray[np.float32] = decode_audio(str(file))
    return audio
