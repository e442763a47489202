"""espeak-ng as a library: speech with the times of its words and phonemes.

Nothing is loaded before the first call of `synthesizer`. The library keeps one voice and one callback for the whole
process, so there is one synthesizer and it belongs to one thread.
"""

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.demo_model.work import RecipeError

SAMPLE_RATE_HZ = 22_050
"""espeak-ng's own rate."""

_LIBRARY = "libespeak-ng.so.1"

# The numbers below are those of espeak-ng's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_OPTION_PHONEME_EVENTS = 1
_TEXT_IS_UTF8 = 1
_POSITION_IN_CHARACTERS = 1
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_PARAMETER_PITCH_RANGE = 4
_PARAMETER_WORD_GAP = 7
_EVENT_LIST_ENDS = 0
_EVENT_WORD = 1
_EVENT_PHONEME = 7

_TRIM_BLOCK_SAMPLES = 110  # 5 ms


class SpeechError(RecipeError):
    """espeak-ng is missing or does not do what it was asked to."""


@dataclass(frozen=True)
class Delivery:
    """How a sentence is spoken.

    `voice` is a voice of espeak-ng, perhaps with a variant ("gmw/en-US+f2"); the rate is in words a minute, pitch and
    pitch range go from 0 to 100. The library takes whole numbers: fractions are cut off.
    """

    voice: str
    rate_words_per_minute: float = 165
    pitch: float = 50
    pitch_range: float = 50


@dataclass(frozen=True)
class WordEvent:
    """A word begins at `sample`; `text_position` counts the text's characters from 1."""

    text_position: int
    sample: int


@dataclass(frozen=True)
class PhonemeEvent:
    """A phoneme begins at `sample`; names that begin with an underscore are pauses."""

    name: str
    sample: int


@dataclass(frozen=True)
class Recording:
    """What was spoken: `samples` (samples,) at SAMPLE_RATE_HZ, and the events in the order of their times.

    espeak-ng leaves out the event of a word now and then, where it joins two words.
    """

    samples: npt.NDArray[np.int16]
    words: Sequence[WordEvent]
    phonemes: Sequence[PhonemeEvent]


@dataclass(frozen=True)
class SampleSpan:
    """From the sample `start` to before the sample `end`."""

    start: int
    end: int


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesizer:
    """The loaded library; get it from `synthesizer`, never make a second one."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise SpeechError(f"{_LIBRARY} cannot be loaded (is espeak-ng installed?): {error}") from error
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._words: list[WordEvent] = []
        self._phonemes: list[PhonemeEvent] = []
        rate_hz = self._library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, None, _OPTION_PHONEME_EVENTS)
        if rate_hz != SAMPLE_RATE_HZ:
            raise SpeechError(f"espeak-ng works at {rate_hz} Hz, not at {SAMPLE_RATE_HZ} Hz")
        self._callback = _Callback(self._receive)  # kept here: the library only holds a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, delivery: Delivery) -> Recording:
        """Speak one sentence; raises SpeechError if there is no such voice."""
        if self._library.espeak_SetVoiceByName(delivery.voice.encode()) != 0:
            raise SpeechError(f"espeak-ng has no voice {delivery.voice!r}")
        for parameter, value in (
            (_PARAMETER_RATE, delivery.rate_words_per_minute),
            (_PARAMETER_PITCH, delivery.pitch),
            (_PARAMETER_PITCH_RANGE, delivery.pitch_range),
            (_PARAMETER_WORD_GAP, 0),
        ):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._blocks, self._words, self._phonemes = [], [], []
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_IN_CHARACTERS, 0, _TEXT_IS_UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        return Recording(samples, self._words, self._phonemes)

    def _receive(self, block: "ctypes._Pointer[ctypes.c_short]", length: int, events: "ctypes._Pointer[_Event]") -> int:
        """The library's callback: a block of samples and the events that fall into it; 0 means go on."""
        index = 0
        while events[index].type != _EVENT_LIST_ENDS:
            event = events[index]
            if event.type == _EVENT_WORD:
                self._words.append(WordEvent(event.text_position, event.sample))
            elif event.type == _EVENT_PHONEME:
                name = bytes(event.id.string).split(b"\0")[0].decode(errors="replace")
                self._phonemes.append(PhonemeEvent(name, event.sample))
            index += 1
        if block and length:  # type: ignore[truthy-bool]  # a null pointer is false
            self._blocks.append(np.ctypeslib.as_array(block, (length,)).copy())
        return 0


@functools.cache
def synthesizer() -> Synthesizer:
    """The process's synthesizer; the first call loads espeak-ng."""
    return Synthesizer()


def speech_span(samples: npt.NDArray[np.int16]) -> SampleSpan:
    """Where the speech begins and ends, exact to 5 ms; the whole recording if all of it is silent."""
    blocks = len(samples) // _TRIM_BLOCK_SAMPLES
    loudness = np.abs(samples.astype(np.int32))[: blocks * _TRIM_BLOCK_SAMPLES].reshape(blocks, _TRIM_BLOCK_SAMPLES)
    peaks = loudness.max(axis=1)
    (loud,) = np.nonzero(peaks > max(200, 0.012 * peaks.max()))
    if not len(loud):
        return SampleSpan(0, len(samples))
    return SampleSpan(int(loud[0]) * _TRIM_BLOCK_SAMPLES, (int(loud[-1]) + 1) * _TRIM_BLOCK_SAMPLES)
