"""Background noises as log mel power, made once and mixed into the windows: hiss, rumble, mains hum, slow swells."""

import numpy as np
import numpy.typing as npt

from tests.demo_model.mel import FFT_SAMPLES, HOP_SAMPLES, SAMPLE_RATE_HZ, mel_power

Noise = npt.NDArray[np.float16]
"""log10 of the mel power (frames, 80), whose mean power is 1."""


def make_noises(count: int = 60, frames: int = 3_000, seed: int = 0) -> list[Noise]:
    """Different noises of this length."""
    generator = np.random.default_rng(seed)
    noises: list[Noise] = []
    for _ in range(count):
        audio = _audio(generator, frames * HOP_SAMPLES + FFT_SAMPLES).astype(np.float32)
        power = mel_power(audio[:-HOP_SAMPLES])
        noises.append(np.log10(np.maximum(power / power.mean(), 1e-9)).T.astype(np.float16))
    return noises


def _audio(generator: np.random.Generator, samples: int) -> npt.NDArray[np.float64]:
    """Coloured noise (samples,) at 16 kHz, sometimes with a hum, sometimes swelling slowly."""
    frequencies_hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ)
    slope = generator.choice([0, 0.5, 1, 1.5, 2])
    spectrum = generator.normal(size=len(frequencies_hz)) + 1j * generator.normal(size=len(frequencies_hz))
    spectrum = spectrum / np.maximum(frequencies_hz, 30) ** slope
    if generator.random() < 0.3:
        spectrum *= 1 / (1 + (frequencies_hz / generator.uniform(500, 4_000)) ** 4)
    audio: npt.NDArray[np.float64] = np.fft.irfft(spectrum, samples)
    audio /= audio.std()
    if generator.random() < 0.35:
        audio = _with_hum(generator, audio)
    if generator.random() < 0.3:
        times = np.arange(samples)
        audio = audio * np.interp(times, np.linspace(0, samples, 40), generator.uniform(0.2, 1.5, 40))
    return audio


def _with_hum(generator: np.random.Generator, audio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    hum_hz = generator.choice([50, 60, 100, 120])
    times_s = np.arange(len(audio)) / SAMPLE_RATE_HZ
    audio = audio * generator.uniform(0.05, 0.6)
    hum = np.zeros(len(audio))
    for harmonic in range(1, 6):
        hum += np.sin(2 * np.pi * hum_hz * harmonic * times_s + generator.uniform(0, 6)) / harmonic
    return audio + hum
