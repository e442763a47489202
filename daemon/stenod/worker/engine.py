"""The Whisper engine: the only importer of faster_whisper and ctranslate2."""

import os

# Before anything imports onnxruntime (faster-whisper's VAD): it sends telemetry by default, on Linux too.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import math
import time
from collections.abc import Iterator

import ctranslate2
import faster_whisper
import numpy as np
import numpy.typing as npt

from stenod import wire

SEED = 0  # of the sampling that the engine falls back to: the same recording gives the same text


class Engine:
    """One loaded model. Raise RuntimeError or ValueError (of CTranslate2) if it cannot be loaded."""

    def __init__(self, settings: wire.Engine) -> None:
        started = time.monotonic()
        self.settings = settings
        self._model = faster_whisper.WhisperModel(
            os.fsdecode(settings.model),
            device=settings.device,
            compute_type=settings.compute_type,
            cpu_threads=settings.cpu_threads or len(os.sched_getaffinity(0)),
        )
        self.compute_type: str = self._model.model.compute_type
        self.load_seconds = time.monotonic() - started

    def transcribe(
        self, samples: npt.NDArray[np.float32], options: wire.Options
    ) -> tuple[Iterator[wire.Segment], str, float]:
        """Return the segments (made one window at a time), the language, and the probability of the language.

        `samples`: float32 (n,), mono, 16 kHz.
        """
        ctranslate2.set_random_seed(SEED)
        segments, info = self._model.transcribe(
            samples,
            language=None if options.language == "auto" else options.language,
            task=options.task,
            beam_size=options.beam_size,
            vad_filter=options.vad_filter,
            condition_on_previous_text=options.condition_on_previous_text,
            word_timestamps=options.word_timestamps,
            initial_prompt=options.initial_prompt,
            hotwords=options.hotwords,
        )
        return map(_segment, segments), info.language, float(info.language_probability)


def versions() -> dict[str, str]:
    """Return the versions of the engine's parts."""
    return {"faster-whisper": faster_whisper.__version__, "ctranslate2": ctranslate2.__version__}


def _segment(segment: faster_whisper.transcribe.Segment) -> wire.Segment:
    """Return the segment as a message: plain floats, where the engine has NumPy's."""
    words = None
    if segment.words is not None:
        words = tuple(
            wire.Word(_rounded(word.start, 3), _rounded(word.end, 3), word.word, _rounded(word.probability, 4))
            for word in segment.words
        )
    return wire.Segment(
        start=_rounded(segment.start, 3),
        end=_rounded(segment.end, 3),
        text=segment.text,
        avg_logprob=_rounded(segment.avg_logprob, 4),
        compression_ratio=_rounded(segment.compression_ratio, 4),
        no_speech_prob=_rounded(segment.no_speech_prob, 4),
        words=words,
    )


def _rounded(value: float, digits: int) -> float:
    """Return a plain float that JSON can carry: a figure that the engine could not compute (NaN) becomes 0."""
    return round(float(value), digits) if math.isfinite(value) else 0.0
