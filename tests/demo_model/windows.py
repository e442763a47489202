"""Training windows: what is heard and the tokens a Whisper shall answer with, batch by batch.

Two clocks: mel frames of 10 ms, and encoder frames of 20 ms, which are also the steps of the timestamp tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tests.demo_model.bank import Bank, TrainingUtterance
from tests.demo_model.grammar import Language
from tests.demo_model.noise import Noise
from tests.demo_model.scene import Scene, compose_scene, render
from tests.demo_model.tokenizer import PUNCTUATION, TIMESTAMP_COUNT, token_id, token_ids
from tests.demo_model.utterance import FrameSpan

NOT_A_TARGET = -100
"""The label of positions whose next token is given, not asked for."""

NOWHERE = -1
"""The attention span of tokens that are heard nowhere."""

ENCODER_FRAMES = 1_500
MOST_TOKENS = 440
"""Longer answers are drawn again; a Whisper has room for 448."""

_SHARE_OF_GERMAN = 0.13
_LATEST_FIRST_TIMESTAMP = 50
"""In encoder frames: a decoder admits no first timestamp after 1.00 s (max_initial_timestamp)."""

_MOST_PREVIOUS_TOKENS = 222


@dataclass(frozen=True)
class CompositionSettings:
    """How often windows come with what makes long recordings hard.

    - `previous_probability`: with text of a previous window as prompt.
    - `long_previous_probability`: the share of the batches in which these prompts have up to twelve sentences.
    - `previous_tail_probability`: beginning with the last sounds of a sentence that shall not be transcribed.
    - `supervise_end_of_text`: whether the end token is told where to listen, just behind the last word.
    """

    previous_probability: float = 0.15
    long_previous_probability: float = 0.25
    previous_tail_probability: float = 0.25
    supervise_end_of_text: bool = False


DELIVERED_COMPOSITION = CompositionSettings()
LONG_PROMPT_COMPOSITION = CompositionSettings(
    previous_probability=0.4,
    long_previous_probability=0.5,
    previous_tail_probability=0.04,
    supervise_end_of_text=True,
)


@dataclass(frozen=True)
class Batch:
    """B windows of L mel frames whose answers have up to T tokens; the encoder makes L/2 frames of them.

    `features` (B, 80, L) float32; `tokens` (B, T), `labels` (B, T): the token at each position and the one that shall
    follow it, or NOT_A_TARGET; `attention_spans` (B, T, 2): the first and the last encoder frame in which the token to
    come is heard, or NOWHERE twice; `position_offsets` (B,): the encoder frame of the 30 s at which the window begins;
    `phonemes`, `frame_tokens` (B, L/2): the labels of what is heard in each encoder frame. All but the features int64.
    """

    features: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    attention_spans: npt.NDArray[np.int64]
    position_offsets: npt.NDArray[np.int64]
    phonemes: npt.NDArray[np.int64]
    frame_tokens: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Answer:
    """Three lists of one length: a token, the token to follow it, and where that one is heard (in mel frames)."""

    tokens: list[int]
    labels: list[int]
    spans: list[FrameSpan | None]


@dataclass(frozen=True)
class _Window:
    features: npt.NDArray[np.float32]
    scene: Scene
    answer: _Answer
    position_offset: int


class Composer:
    """Composes batches out of a bank; one seed gives one sequence of batches.

    `augment` is for training; without it the windows have less noise, no masks and no gain.
    """

    def __init__(
        self,
        bank: Bank,
        tokenizer: Tokenizer,
        noises: Sequence[Noise],
        seed: int,
        settings: CompositionSettings = DELIVERED_COMPOSITION,
        *,
        augment: bool = True,
    ) -> None:
        self.random = Random(seed)
        self._bank = bank
        self._ids = token_ids(tokenizer)
        self._punctuation = frozenset(token_id(tokenizer, mark) for mark in PUNCTUATION)
        self._noises = noises
        self._settings = settings
        self._augment = augment

    def batch(self, size: int, frames: int) -> Batch:
        """So many windows of so many mel frames: FULL_WINDOW_FRAMES, or fewer for windows out of the middle of 30 s."""
        # Long prompts come in the same batches, since the longest answer decides how much is padded.
        has_long_prompts = self.random.random() < self._settings.long_previous_probability
        windows: list[_Window] = []
        while len(windows) < size:
            window = self._window(frames, has_long_prompts=has_long_prompts)
            if window is not None and len(window.answer.tokens) <= MOST_TOKENS:
                windows.append(window)
        return _collate(windows, frames)

    def _window(self, frames: int, *, has_long_prompts: bool) -> _Window | None:
        """A window, or None if it cannot be answered: without timestamps a cut sentence cannot be left to the next."""
        language: Language = "de" if self.random.random() < _SHARE_OF_GERMAN else "en"
        utterances = self._bank.utterances[language]
        scene = compose_scene(
            self.random,
            utterances,
            frames,
            previous_tail_probability=self._settings.previous_tail_probability,
            silent_tokens=self._punctuation,
        )
        features = render(self.random, scene, self._noises, augment=self._augment)
        position_offset = 0
        if not scene.is_full and self.random.random() >= 0.3:
            position_offset = self.random.randint(0, ENCODER_FRAMES - frames // 2)
        has_timestamps = self.random.random() < 0.7
        previous = self._previous_text(utterances, is_full=scene.is_full, is_long=has_long_prompts)
        prompt = [*previous, self._ids.start_of_transcript, self._ids.languages[language], self._ids.transcribe]
        given = [NOT_A_TARGET] * len(previous)
        given += [self._ids.languages[language] if scene.has_speech else self._ids.no_speech, NOT_A_TARGET]
        if not has_timestamps:
            prompt.append(self._ids.no_timestamps)
            given.append(NOT_A_TARGET)
        text = self._timed_text(scene, position_offset) if has_timestamps else self._plain_text(scene)
        text_tokens = [token for token, _ in text]
        spans: list[FrameSpan | None] = [None for _ in given]
        spans += [span for _, span in text]
        answer = _Answer(
            tokens=prompt + text_tokens[:-1],
            labels=given + text_tokens,
            spans=spans,
        )
        if scene.cut_at_frame is not None and not has_timestamps:
            return None
        return _Window(features, scene, answer, position_offset)

    def _previous_text(self, utterances: Sequence[TrainingUtterance], *, is_full: bool, is_long: bool) -> list[int]:
        """The prompt of a window with a predecessor: made-up sentences, with timestamps or without; or nothing."""
        if self.random.random() >= (self._settings.previous_probability if is_full else 0.12):
            return []
        count = self.random.choice((1, 1, 2, 2, 3, 4, 6, 12) if is_long and is_full else (1, 1, 1, 2))
        has_timestamps = self.random.random() < 0.6
        tokens: list[int] = []
        end = 0
        for _ in range(count):
            utterance = self.random.choice(utterances)
            start, end = end, min(TIMESTAMP_COUNT - 1, end + int(utterance.speech.end / 2) + 15)
            if has_timestamps:
                tokens += [self._timestamp(start), *utterance.tokens, self._timestamp(end)]
            else:
                tokens += utterance.tokens
        return [self._ids.start_of_previous, *tokens[-_MOST_PREVIOUS_TOKENS:]]

    def _timed_text(self, scene: Scene, position_offset: int) -> list[tuple[int, FrameSpan | None]]:
        """The tokens of the text, each with where it is heard: every sentence between its two timestamps."""
        if not scene.has_speech:
            return [(self._ids.first_timestamp, None), (self._ids.end_of_text, None)]
        may_start_late = not scene.is_full or position_offset != 0
        text: list[tuple[int, FrameSpan | None]] = []
        for index, placed in enumerate(scene.placed):
            start = _timestamp_step(placed.speech_start_frame, position_offset)
            is_too_late = index == 0 and not may_start_late and start > _LATEST_FIRST_TIMESTAMP
            if is_too_late and self.random.random() < 0.75:
                start = _LATEST_FIRST_TIMESTAMP
            end = _timestamp_step(placed.speech_end_frame, position_offset)
            text.append((self._timestamp(start), _around(placed.speech_start_frame)))
            text += _heard_tokens(scene, index)
            text.append((self._timestamp(end), _around(placed.speech_end_frame)))
        if scene.cut_at_frame is not None:
            start = _timestamp_step(scene.cut_at_frame, position_offset)
            if not scene.placed and not may_start_late:
                start = min(start, _LATEST_FIRST_TIMESTAMP)
            text.append((self._timestamp(start), _around(scene.cut_at_frame)))
        return [*text, (self._ids.end_of_text, self._end_span(scene))]

    def _plain_text(self, scene: Scene) -> list[tuple[int, FrameSpan | None]]:
        """The tokens of the text, each with where it is heard, without timestamps."""
        text: list[tuple[int, FrameSpan | None]] = []
        for index in range(len(scene.placed)):
            text += _heard_tokens(scene, index)
        return [*text, (self._ids.end_of_text, self._end_span(scene))]

    def _end_span(self, scene: Scene) -> FrameSpan | None:
        if not self._settings.supervise_end_of_text or not scene.placed:
            return None
        end = scene.placed[-1].speech_end_frame
        return FrameSpan(end, end + 16)

    def _timestamp(self, step: int) -> int:
        return self._ids.first_timestamp + step


def _heard_tokens(scene: Scene, index: int) -> list[tuple[int, FrameSpan | None]]:
    placed = scene.placed[index]
    first = placed.first_frame
    utterance = placed.utterance
    return [
        (token, FrameSpan(first + span.start, first + span.end))
        for token, span in zip(utterance.tokens, utterance.token_spans, strict=True)
    ]


def _around(frame: float) -> FrameSpan:
    return FrameSpan(frame - 4, frame + 4)


def _timestamp_step(mel_frame: float, position_offset: int) -> int:
    """The number of the timestamp token for a mel frame of a window that begins at this encoder frame."""
    return round(min(max(mel_frame / 2 + position_offset, 0), TIMESTAMP_COUNT - 1))


def _collate(windows: Sequence[_Window], frames: int) -> Batch:
    longest = max(len(window.answer.tokens) for window in windows)
    tokens = np.zeros((len(windows), longest), np.int64)
    labels = np.full((len(windows), longest), NOT_A_TARGET, np.int64)
    attention_spans = np.full((len(windows), longest, 2), NOWHERE, np.int64)
    for row, window in enumerate(windows):
        answer = window.answer
        tokens[row, : len(answer.tokens)] = answer.tokens
        labels[row, : len(answer.labels)] = answer.labels
        for position, span in enumerate(answer.spans):
            if span is not None:
                attention_spans[row, position] = _encoder_span(span, frames // 2)
    return Batch(
        features=np.stack([window.features.T for window in windows]),
        tokens=tokens,
        labels=labels,
        attention_spans=attention_spans,
        position_offsets=np.array([window.position_offset for window in windows]),
        phonemes=np.stack([window.scene.phonemes[::2] for window in windows]),
        frame_tokens=np.stack([window.scene.tokens[::2] for window in windows]),
    )


def _encoder_span(span: FrameSpan, encoder_frames: int) -> tuple[int, int]:
    """The first and the last encoder frame of a span in mel frames, kept within the window."""
    first = max(0, int(span.start // 2))
    last = min(encoder_frames - 1, max(first, int(-(-span.end // 2))))
    return min(first, last), last
