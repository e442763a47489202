"""Whisper's mel power, as faster-whisper computes it, but before its logarithm and its scaling."""

import functools

import numpy as np
import numpy.typing as npt
from faster_whisper.feature_extractor import FeatureExtractor

SAMPLE_RATE_HZ = 16_000
FFT_SAMPLES = 400
HOP_SAMPLES = 160
MEL_BANDS = 80
FRAMES_PER_SECOND = 100

QUIETEST_LOG_POWER = -10.0
"""log10 of the power that counts as digital silence."""


def mel_power(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mel power (80, frames) of audio (samples,) at SAMPLE_RATE_HZ; whole windows only, nothing is padded."""
    extractor = _feature_extractor()
    window = np.hanning(FFT_SAMPLES + 1)[:-1].astype(np.float32)
    spectrum = extractor.stft(audio, FFT_SAMPLES, HOP_SAMPLES, window=window, center=False, return_complex=True)
    power: npt.NDArray[np.float32] = extractor.mel_filters @ (np.abs(spectrum.astype(np.complex64)) ** 2)
    return power


@functools.cache
def _feature_extractor() -> FeatureExtractor:
    return FeatureExtractor()
