"""A recording that changes its own format on the way, as joined files and radio streams do."""

import io
import os
from pathlib import Path

import av
import numpy as np
import pytest

from stenod.worker import audio

SECONDS = 3


def tone(rate: int, layout: str, container: str = "mp3") -> bytes:
    """Return some seconds of a tone of 440 Hz."""
    file = io.BytesIO()
    samples = (np.sin(2 * np.pi * 440 * np.arange(rate * SECONDS) / rate) * 8000).astype("<i2")
    channels = 2 if layout == "stereo" else 1
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("mp3", rate=rate)
        stream.layout = layout
        for start in range(0, len(samples), 1152):
            piece = np.repeat(samples[start : start + 1152], channels).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=layout)
            frame.sample_rate = rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    "kinds",
    [
        [(44100, "stereo"), (22050, "mono"), (44100, "stereo")],
        [(22050, "mono"), (48000, "mono")],
        [(44100, "mono"), (44100, "stereo")],
    ],
)
def test_all_of_it_is_heard_at_its_own_pitch(tmp_path: Path, kinds: list[tuple[int, str]]) -> None:
    (tmp_path / "a.mp3").write_bytes(b"".join(tone(*kind) for kind in kinds))
    sound = audio.decode(os.fsencode(tmp_path / "a.mp3"), lambda: None)
    assert abs(sound.seconds - SECONDS * len(kinds)) < 0.5
    for part in range(len(kinds)):
        middle = sound.samples[int((SECONDS * part + 1) * 16000) : int((SECONDS * part + 2) * 16000)]
        spectrum = np.abs(np.fft.rfft(middle))
        assert abs(int(spectrum.argmax()) - 440) <= 2, part
