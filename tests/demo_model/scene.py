"""What is heard in one window: sentences, pauses, noise, loudness. All of it is mixed as log mel power.

Mixing there instead of in audio is what makes the training fast: a window is composed in a few milliseconds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import numpy.typing as npt

from tests.demo_model.bank import NO_PHONEME, TrainingUtterance
from tests.demo_model.mel import MEL_BANDS, QUIETEST_LOG_POWER
from tests.demo_model.noise import Noise

FULL_WINDOW_FRAMES = 3_000
"""Whisper's window of 30 s; shorter windows are for the beginning of the training only."""

NO_TOKEN = -1
"""The label of frames in which no token is heard."""

_LOUDNESS_JITTER = 0.3
"""How much louder or softer a sentence may be than its neighbours, in log10 of the power."""

_PADDED_FEATURE = 0.0
"""The feature of frames behind the end of the audio: faster-whisper pads the features, not the audio."""


@dataclass(frozen=True)
class PlacedUtterance:
    """An utterance that begins at the window's frame `first_frame`."""

    first_frame: int
    utterance: TrainingUtterance

    @property
    def speech_start_frame(self) -> float:
        return self.first_frame + self.utterance.speech.start

    @property
    def speech_end_frame(self) -> float:
        return self.first_frame + self.utterance.speech.end


@dataclass
class Scene:
    """A window under construction; everything is counted in mel frames.

    `log_mel` (frames, 80) is log10 of the mel power; `phonemes` and `tokens` (frames,) are the labels of what is heard.
    The audio ends at `content_frames`. `cut_at_frame` is where a sentence begins that the window's end cuts off.
    """

    frames: int
    content_frames: int
    log_mel: npt.NDArray[np.float32] = field(init=False)
    phonemes: npt.NDArray[np.int64] = field(init=False)
    tokens: npt.NDArray[np.int64] = field(init=False)
    placed: list[PlacedUtterance] = field(default_factory=list)
    cut_at_frame: float | None = None

    def __post_init__(self) -> None:
        self.log_mel = np.full((self.frames, MEL_BANDS), QUIETEST_LOG_POWER, np.float32)
        self.phonemes = np.full(self.frames, NO_PHONEME, np.int64)
        self.tokens = np.full(self.frames, NO_TOKEN, np.int64)

    @property
    def is_full(self) -> bool:
        return self.frames == FULL_WINDOW_FRAMES

    @property
    def has_speech(self) -> bool:
        return bool(self.placed) or self.cut_at_frame is not None


def compose_scene(
    random: Random,
    utterances: Sequence[TrainingUtterance],
    frames: int,
    *,
    previous_tail_probability: float,
    silent_tokens: Collection[int],
) -> Scene:
    """Place sentences in a window of this length, or now and then none.

    With the given probability the window begins with the last sounds of a sentence of the window before. The frames of
    `silent_tokens` (punctuation) get no token label.
    """
    scene = _empty_scene(random, frames)
    if random.random() < (0.06 if scene.is_full else 0.03):
        return scene
    position = _first_position(random, scene.content_frames)
    if random.random() < previous_tail_probability:
        position = max(position, _place_tail(random, scene, random.choice(utterances)) + 4)
    most_sentences = random.choice((1, 2, 3, 30, 30, 30, 30, 30))
    has_even_gaps = random.random() < 0.3
    even_gap = random.uniform(12, 60)
    while len(scene.placed) < most_sentences:
        utterance = random.choice(utterances)
        placed = PlacedUtterance(int(position), utterance)
        end = placed.first_frame + len(utterance.log_mel)
        if end > scene.content_frames:
            _place_cut(random, scene, placed)
            break
        _place(random, scene, placed, end, silent_tokens)
        position = end + (even_gap if has_even_gaps else _gap(random))
    return scene


def render(random: Random, scene: Scene, noises: Sequence[Noise], *, augment: bool) -> npt.NDArray[np.float32]:
    """Whisper's features (frames, 80) of the scene; `augment` adds what only a training wants: colours, masks, gain.

    Works on the scene's own `log_mel`.
    """
    audio = scene.log_mel[: scene.content_frames]
    peak = audio.max() if scene.has_speech else random.uniform(-1, 2)
    if augment and random.random() < 0.5:
        audio += np.linspace(-1, 1, MEL_BANDS) * random.uniform(-0.35, 0.35)
    if augment and random.random() < 0.15:  # a low-pass, as of a telephone
        audio[:, random.randint(55, 78) :] -= random.uniform(1, 5)
    is_noisy = random.random() < (0.62 if augment else 0.3)
    if is_noisy or (not scene.has_speech and random.random() < 0.8):
        _add_noise(random, scene, random.choice(noises), peak)
    gain = random.uniform(-2.2, 0.3) if augment else 0.0
    audio[:] = np.maximum(audio + gain, QUIETEST_LOG_POWER)
    loudest = audio.max()
    if random.random() < 0.25:  # something louder elsewhere in the recording, which Whisper's scaling refers to
        loudest = loudest + random.uniform(0, 1.0 if scene.has_speech else 4.0)
    features: npt.NDArray[np.float32] = (np.maximum(scene.log_mel, loudest - 8) + 4) / 4
    if augment:
        _mask(random, features[: scene.content_frames])
    features[scene.content_frames :] = _PADDED_FEATURE
    return features


def _empty_scene(random: Random, frames: int) -> Scene:
    is_full = frames == FULL_WINDOW_FRAMES
    share = random.random()
    if share < 0.5:
        content_frames = frames
    elif share < 0.95:
        content_frames = int(random.uniform(0.15 if is_full else 0.4, 1) * frames)
    else:
        content_frames = int(random.uniform(60, frames))
    return Scene(frames, content_frames)


def _first_position(random: Random, content_frames: int) -> float:
    """The frame at which the first sentence begins: mostly at once, sometimes after a long silence."""
    share = random.random()
    if share < 0.5:
        return random.uniform(0, 30)
    if share < 0.85:
        return random.uniform(0, 200)
    if share < 0.97:
        return random.uniform(100, min(1_000, content_frames * 0.5) + 101)
    return random.uniform(0, max(1, content_frames - 300))


def _gap(random: Random) -> float:
    """The frames between two sentences: 0.1 to 6 s."""
    share = random.random()
    if share < 0.35:
        return random.uniform(12, 50)
    if share < 0.8:
        return random.uniform(30, 150)
    return random.uniform(150, 600)


def _place_tail(random: Random, scene: Scene, utterance: TrainingUtterance) -> int:
    """Begin the window with the last frames of an utterance, which nobody shall transcribe; return how many."""
    speech_frames = int(random.uniform(1, 9))
    tail = utterance.log_mel[max(0, int(utterance.speech.end) - speech_frames + 2) :][: scene.frames]
    scene.log_mel[: len(tail)] = tail
    return len(tail)


def _place(
    random: Random, scene: Scene, placed: PlacedUtterance, end_frame: int, silent_tokens: Collection[int]
) -> None:
    utterance = placed.utterance
    window = slice(placed.first_frame, end_frame)
    loudness = random.uniform(-_LOUDNESS_JITTER, _LOUDNESS_JITTER)
    scene.log_mel[window] = np.maximum(scene.log_mel[window], utterance.log_mel.astype(np.float32) + loudness)
    scene.phonemes[window] = utterance.phonemes
    _label_tokens(scene, placed, silent_tokens)
    scene.placed.append(placed)


def _place_cut(random: Random, scene: Scene, placed: PlacedUtterance) -> None:
    """Let the window's end cut this sentence off, in half of the windows whose audio goes on there."""
    if scene.content_frames < scene.frames or not scene.is_full or random.random() >= 0.5:
        return
    utterance = placed.utterance
    if placed.first_frame + int(utterance.speech.start) + 15 >= scene.frames:
        return
    remaining = scene.frames - placed.first_frame
    loudness = random.uniform(-_LOUDNESS_JITTER, _LOUDNESS_JITTER)
    scene.log_mel[placed.first_frame :] = utterance.log_mel[:remaining].astype(np.float32) + loudness
    scene.phonemes[placed.first_frame :] = utterance.phonemes[:remaining]
    _label_tokens(scene, placed, silent_tokens=())  # punctuation too, as the delivered model was trained
    scene.cut_at_frame = placed.speech_start_frame


def _label_tokens(scene: Scene, placed: PlacedUtterance, silent_tokens: Collection[int]) -> None:
    for token, span in zip(placed.utterance.tokens, placed.utterance.token_spans, strict=True):
        if token not in silent_tokens:
            scene.tokens[placed.first_frame + int(span.start) : placed.first_frame + int(span.end)] = token


def _add_noise(random: Random, scene: Scene, noise: Noise, peak: float) -> None:
    """Add the power of a noise, 12 to 65 dB below the peak of the speech, or of any loudness where nobody speaks."""
    start = random.randint(0, max(0, len(noise) - scene.frames))
    level = peak - random.uniform(1.2, 6.5) if scene.has_speech else random.uniform(-7, 1)
    audio = scene.log_mel[: scene.content_frames]
    noise_part = noise[start : start + scene.content_frames].astype(np.float32)
    audio[:] = np.log10(10**audio + 10 ** (noise_part + level - 1.0))


def _mask(random: Random, features: npt.NDArray[np.float32]) -> None:
    """Hide some mel bands and some moments behind the mean (SpecAugment), in place."""
    frames = len(features)
    for _ in range(random.choice((0, 1, 2))):
        band = random.randint(0, 72)
        features[:, band : band + random.randint(1, 8)] = features.mean()
    for _ in range(random.choice((0, 0, 1, 2))):
        moment = random.randint(0, max(0, frames - 12))
        features[moment : moment + random.randint(1, 8)] = features.mean()
