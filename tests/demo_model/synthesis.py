"""From text to the bank: espeak-ng speaks random sentences, and its events tell where the words and phonemes are.

The audio before and after the speech is cut off but for 20 ms; the pauses come back when windows are composed.
"""

import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from tests.demo_model import mel
from tests.demo_model.bank import write_shard
from tests.demo_model.grammar import Language, sentence_or_words
from tests.demo_model.speech import SAMPLE_RATE_HZ, Delivery, Recording, SampleSpan, WordEvent, speech_span, synthesizer
from tests.demo_model.utterance import FrameSpan, PhonemeStart, Utterance, UtteranceNotes
from tests.demo_model.voices import training_delivery, training_voice

_SHARE_OF_RANDOM_WORDS = 0.25
_MARGIN_SAMPLES = 441  # 20 ms at espeak-ng's rate, two mel frames


@dataclass(frozen=True)
class BankSize:
    """How much to synthesise; the defaults are those of the demo model."""

    english: int = 40_000
    german: int = 7_000
    utterances_per_shard: int = 2_000
    seed: int = 1


def write_bank(folder: Path, size: BankSize, held_out: Collection[str]) -> None:
    """Synthesise a bank without any of the held-out sentences; raises SpeechError if espeak-ng cannot do it."""
    folder.mkdir(parents=True, exist_ok=True)
    excluded = frozenset(held_out)
    random = Random(size.seed)
    languages: list[Language] = ["en" for _ in range(size.english)]
    languages += ["de" for _ in range(size.german)]
    random.shuffle(languages)
    began_s = time.monotonic()
    for shard, first in enumerate(range(0, len(languages), size.utterances_per_shard)):
        of_shard = languages[first : first + size.utterances_per_shard]
        utterances = [_random_utterance(random, language, excluded) for language in of_shard]
        write_shard(folder / f"shard-{shard:03d}", utterances)
        done = first + len(utterances)
        print(f"shard {shard}: {done} of {len(languages)} utterances, {time.monotonic() - began_s:.0f} s", flush=True)


def synthesise(language: Language, text: str, delivery: Delivery) -> Utterance:
    """Speak a sentence and note where its words and phonemes are."""
    recording = synthesizer().speak(text, delivery)
    speech = speech_span(recording.samples)
    log_mel = _log_mel(recording, speech)

    def frame_of(sample: int) -> float:
        seconds = (sample - speech.start + _MARGIN_SAMPLES) / SAMPLE_RATE_HZ
        return float(np.clip(seconds * mel.FRAMES_PER_SECOND, 0, len(log_mel) - 1))

    speech_frames = FrameSpan(frame_of(speech.start), frame_of(speech.end))
    starts: list[float | None] = [
        None if sample is None else frame_of(sample) for sample in _word_starts(text, recording)
    ]
    starts[0] = speech_frames.start
    notes = UtteranceNotes(
        language=language,
        text=text,
        voice=delivery.voice,
        speech=speech_frames,
        words=_word_spans(starts, speech_frames.end),
        phonemes=[PhonemeStart(phoneme.name, frame_of(phoneme.sample)) for phoneme in recording.phonemes],
    )
    return Utterance(log_mel, notes)


def _random_utterance(random: Random, language: Language, excluded: frozenset[str]) -> Utterance:
    text = sentence_or_words(random, language, _SHARE_OF_RANDOM_WORDS)
    while text in excluded:
        text = sentence_or_words(random, language, _SHARE_OF_RANDOM_WORDS)
    return synthesise(language, text, training_delivery(random, training_voice(random, language)))


def _log_mel(recording: Recording, speech: SampleSpan) -> npt.NDArray[np.float16]:
    reach = 1000  # so many zeros on both sides that the margins never leave the audio
    padded = np.pad(recording.samples, (reach, reach))
    cut = padded[reach + speech.start - _MARGIN_SAMPLES : reach + speech.end + _MARGIN_SAMPLES]
    audio = resample_poly(cut.astype(np.float32) / 32_768, 320, 441).astype(np.float32)
    half_window = mel.FFT_SAMPLES // 2
    to_whole_frames = -len(audio) % mel.HOP_SAMPLES
    audio = np.pad(audio, (half_window, half_window + to_whole_frames + mel.HOP_SAMPLES))
    log_power: npt.NDArray[Any] = np.log10(np.clip(mel.mel_power(audio), 10.0**mel.QUIETEST_LOG_POWER, None))
    return log_power.astype(np.float16).T


def _word_starts(text: str, recording: Recording) -> list[int | None]:
    """For each word the sample at which it begins, None where espeak-ng gave no event."""
    positions: list[int] = []
    search_from = 0
    for word in text.split():
        positions.append(text.index(word, search_from))
        search_from = positions[-1] + len(word)
    starts: list[int | None] = [None] * len(positions)
    for event in recording.words:
        index = _word_at(positions, event)
        if starts[index] is None:
            starts[index] = event.sample
    return starts


def _word_at(positions: Sequence[int], event: WordEvent) -> int:
    """The last word that begins at or before the event; positions count from 0, the event's from 1."""
    return max((index for index, position in enumerate(positions) if position + 1 <= event.text_position), default=0)


def _word_spans(starts: Sequence[float | None], end: float) -> list[FrameSpan]:
    """Let each word last until the next; words without a start share the time up to the next known one evenly.

    The first start must be known.
    """
    bounds: list[float] = []
    index = 0
    while index < len(starts):
        start = starts[index]
        if start is not None:
            bounds.append(start)
            index += 1
            continue
        following = index
        while following < len(starts) and starts[following] is None:
            following += 1
        before = bounds[-1]
        known = starts[following] if following < len(starts) else None
        after = end if known is None else known
        steps = following - index + 1
        bounds.extend(before + (after - before) * step / steps for step in range(1, steps))
        index = following
    bounds.append(end)
    return [FrameSpan(start, stop) for start, stop in itertools.pairwise(bounds)]
