"""Make the sample recordings: synthetic speech by espeak-ng, encoded by PyAV, with reference texts and a manifest.

Run from the root of the repository: `python -m tests.samples.make [--into DIRECTORY]`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from tests.samples.table import SAMPLES, Sample

RECORDINGS = Path(__file__).parent / "recordings"
MANIFEST = "manifest.json"
REFERENCE_SUFFIX = ".reference.txt"
WORDS_PER_MINUTE = 165
PICTURES_PER_SECOND = 5

Samples = npt.NDArray[np.int16]


class SamplesNotMadeError(Exception):
    """The samples cannot be made on this machine; the message says why in one line."""


def espeak_program() -> str:
    """Return the path of espeak-ng, or raise SamplesNotMadeError."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise SamplesNotMadeError("espeak-ng is not installed: install the package espeak-ng")
    return program


def speak(program: str, voice: str, sentence: str) -> tuple[Samples, int]:
    """Return the sentence as spoken by one voice, without silence around it, and its sample rate in hertz."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sentence.wav"
        # -z: no pause after the sentence, the table says how long the pauses are.
        command = [program, "-z", "-b", "1", "-v", voice, "-s", str(WORDS_PER_MINUTE), "-w", str(path), sentence]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not path.exists():
            raise SamplesNotMadeError(
                f"{' '.join(command)} failed with status {done.returncode}: {done.stderr.strip()}"
            )
        with wave.open(str(path), "rb") as file:
            return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2"), file.getframerate()


def speech(sample: Sample, program: str) -> tuple[Samples, int]:
    """Return the whole recording as one channel, and its sample rate in hertz: espeak-ng's, not yet the sample's."""
    spoken = [
        speak(program, sample.voices[index % len(sample.voices)], sentence)
        for index, sentence in enumerate(sample.sentences)
    ]
    rates = {rate for _, rate in spoken} or {sample.sample_rate_hertz}
    if len(rates) > 1:
        raise SamplesNotMadeError(f"{sample.file}: the voices speak at different sample rates: {sorted(rates)}")
    rate_hertz = rates.pop()

    def pause(index: int) -> Samples:
        seconds = sample.pauses_seconds[index % len(sample.pauses_seconds)]
        return np.zeros(round(seconds * rate_hertz), dtype=np.int16)

    parts = [part for index, (samples, _) in enumerate(spoken) for part in (pause(index), samples)]
    return np.concatenate([*parts, pause(len(spoken))]), rate_hertz


def mux_audio(container: OutputContainer, stream: AudioStream, sample: Sample, mono: Samples, rate_hertz: int) -> None:
    """Encode and write the sound; the encoder brings it to its own sample rate and format."""
    channels = np.stack([np.rint(mono * gain).astype(np.int16) for gain in sample.channel_gains], axis=1)
    frame = av.AudioFrame.from_ndarray(channels.reshape(1, -1), format="s16", layout=stream.layout.name)
    frame.sample_rate = rate_hertz
    frame.time_base = Fraction(1, rate_hertz)
    frame.pts = 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def mux_picture(container: OutputContainer, stream: VideoStream, seconds: float) -> None:
    """Encode and write the picture: a grey ramp that stays as it is."""
    ramp = np.linspace(40, 200, stream.width).astype(np.uint8)
    picture = np.repeat(np.tile(ramp, (stream.height, 1))[:, :, np.newaxis], 3, axis=2)
    for index in range(int(seconds * PICTURES_PER_SECOND)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.time_base = Fraction(1, PICTURES_PER_SECOND)
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def encode(sample: Sample, mono: Samples, rate_hertz: int, path: Path) -> None:
    """Write one recording to path, over any earlier one, in the sample's own format."""
    # Bit-exact: no random serial numbers, no creation times, no encoder versions in the file.
    # No limit to the time between streams: the whole picture is handed over before the first of the sound.
    muxing = {"fflags": "+bitexact", "max_interleave_delta": "0"}
    options = {"flags": "+bitexact", **sample.codec_options}
    if sample.bits_per_second is not None:
        options["b"] = str(sample.bits_per_second)
    with av.open(str(path), "w", format=sample.container, container_options=muxing) as container:
        layout = "mono" if len(sample.channel_gains) == 1 else "stereo"
        audio = container.add_stream(sample.codec, rate=sample.sample_rate_hertz, options=options, layout=layout)
        assert isinstance(audio, AudioStream), sample.codec
        if sample.has_picture:
            video = container.add_stream("libvpx", rate=PICTURES_PER_SECOND, options={"flags": "+bitexact"})
            assert isinstance(video, VideoStream)
            video.width, video.height, video.pix_fmt, video.bit_rate = 160, 90, "yuv420p", 20_000
            video.codec_context.thread_count = 1  # how many threads there are would show in the encoded picture
            mux_picture(container, video, len(mono) / rate_hertz)
        mux_audio(container, audio, sample, mono, rate_hertz)


def duration_seconds(path: Path) -> float:
    """Return how long the sound of a recording is once decoded."""
    with av.open(str(path), "r") as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def make(directory: Path) -> None:
    """Write every sample, its reference text and the manifest into directory, which is made if need be.

    Raises SamplesNotMadeError. Earlier files of the same names are written over, others are left alone.
    """
    program = espeak_program()
    directory.mkdir(parents=True, exist_ok=True)
    manifest = []
    for sample in sorted(SAMPLES, key=lambda sample: sample.file):
        path = directory / sample.file
        encode(sample, *speech(sample, program), path)
        text = f"{sample.reference}\n" if sample.sentences else ""
        Path(f"{path}{REFERENCE_SUFFIX}").write_text(text, encoding="utf-8")
        manifest.append(
            {
                "file": sample.file,
                "language": sample.language,
                "seconds": round(duration_seconds(path), 2),
                "reference": sample.reference,
            }
        )
        print(f"{path.stat().st_size:>8} bytes  {sample.file}")
    (directory / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line: 0 when everything is made, 1 when it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m tests.samples.make", description="Make the sample recordings.")
    parser.add_argument("--into", type=Path, default=RECORDINGS, metavar="DIRECTORY", help="default: %(default)s")
    try:
        make(parser.parse_args(arguments).into)
    except SamplesNotMadeError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
