"""Spoken sentences as the training keeps them: log mel power, and where each word and phoneme is heard.

Times are in mel frames of 10 ms, fractions included, counted from the start of the utterance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.demo_model.grammar import Language


@dataclass(frozen=True)
class FrameSpan:
    """From `start` to `end`, in mel frames."""

    start: float
    end: float


@dataclass(frozen=True)
class PhonemeStart:
    """A phoneme of espeak-ng and the mel frame in which it begins; it lasts until the next one."""

    name: str
    frame: float


@dataclass(frozen=True)
class UtteranceNotes:
    """All that is known of an utterance but its sound; `words` has a span for each word of the text."""

    language: Language
    text: str
    voice: str
    speech: FrameSpan
    words: Sequence[FrameSpan]
    phonemes: Sequence[PhonemeStart]


@dataclass(frozen=True)
class Utterance:
    """`log_mel` is log10 of the mel power, (frames, 80)."""

    log_mel: npt.NDArray[np.float16]
    notes: UtteranceNotes
