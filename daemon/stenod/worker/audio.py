"""Decoding a recording of any format to what Whisper hears: mono, 16 kHz, float32 from -1 to 1.

Packet by packet: wrapping `container.decode()` would end at the first damaged packet
(https://github.com/SYSTRAN/faster-whisper/issues/988), so each packet is decoded on its own and a bad one is skipped.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer

SAMPLE_RATE = 16_000  # samples a second, what Whisper was trained on
BLOCK_SAMPLES = 500_000  # of the recording's own rate, resampled at once
LOWEST_RATE = 1000  # no recorder's is below 8000; a damaged header's may be 1, and 20 kB would become gigabytes
REPORT_SECONDS = 60.0  # of audio between two signs of life

# A recording is one file: nothing in it may make FFmpeg open another one, or the network (playlists can).
_OPTIONS = {"protocol_whitelist": "none"}


class UndecodableError(Exception):
    """There is no audio in it that can be decoded. The text is one line for a person."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A decoded recording: `samples` float32 (n,), mono, 16 kHz; `bad_packets` were damaged and left out."""

    samples: npt.NDArray[np.float32]
    bad_packets: int

    @property
    def seconds(self) -> float:
        """The length."""
        return len(self.samples) / SAMPLE_RATE


def open_regular(path: bytes) -> BinaryIO:
    """Open the regular file at `path`. Raise OSError; UndecodableError if it is a link, pipe, device or folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket
            raise UndecodableError("it is not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UndecodableError("it is not a regular file")
    return os.fdopen(descriptor, "rb")


def decode(path: bytes, alive: Callable[[], None]) -> Audio:
    """Return the first audio track of the file at `path`. `alive` is called every decoded minute.

    Raise OSError if the file cannot be read, UndecodableError if there is no audio in it.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise UndecodableError("the file is empty")
        source = _Source(file)
        try:
            with av.open(source, mode="r", metadata_errors="ignore", options=_OPTIONS) as container:
                if not container.streams.audio:
                    raise UndecodableError("there is no audio track in it")
                decoded = _decode_all(container, alive)
                source.raise_trouble()
                return decoded
        except (av.error.FFmpegError, EOFError) as error:
            source.raise_trouble()
            raise UndecodableError("it holds no audio that can be decoded") from error


class _Source:
    """The file as FFmpeg reads it. Keeps the system's error: FFmpeg has its own EIO for damage, and would hide it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._trouble: OSError | None = None
        self.name = file.name

    def read(self, count: int) -> bytes:
        try:
            return self._file.read(count)
        except OSError as error:
            self._trouble = error
            raise

    def seek(self, offset: int, whence: int) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def raise_trouble(self) -> None:
        """Raise what the disk or the mount said, if it said anything."""
        if self._trouble is not None:
            raise self._trouble


def _decode_all(container: InputContainer, alive: Callable[[], None]) -> Audio:
    pieces: list[npt.NDArray[np.int16]] = []
    counter = _Counter()
    samples = reported = 0
    resampler = _resampler()
    for block in _blocks(_frames(container, counter)):
        try:
            made = resampler.resample(block)
        except ValueError:  # the recording changes its own format on the way
            made = resampler.resample(None)
            resampler = _resampler()
            made += resampler.resample(block)
        for piece in map(_samples, made):
            pieces.append(piece)
            samples += len(piece)
        if samples - reported >= REPORT_SECONDS * SAMPLE_RATE:
            reported = samples
            alive()
    pieces.extend(map(_samples, resampler.resample(None)))
    whole = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    if not len(whole):
        raise UndecodableError("it holds no audio that can be decoded")
    return Audio(whole.astype(np.float32) / np.float32(32768.0), counter.bad)


def _resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _blocks(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """Yield the same audio in blocks of one format each: frames are small, and resampling each costs a third more.

    A change of format is looked for here: PyAV 18's AudioFifo ends the process (SIGSEGV) when it is given one.
    """
    fifo, kind = AudioFifo(), None
    for frame in frames:
        if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
            yield from _rest(fifo)
            fifo = AudioFifo()
        fifo.write(frame)
        if fifo.samples >= BLOCK_SAMPLES:
            yield from _rest(fifo)
    yield from _rest(fifo)


def _rest(fifo: AudioFifo) -> Iterator[AudioFrame]:
    if fifo.samples and (block := fifo.read()) is not None:
        yield block


def _samples(frame: AudioFrame) -> npt.NDArray[np.int16]:
    return frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)


@dataclass(slots=True)
class _Counter:
    bad: int = 0


def _frames(container: InputContainer, counter: _Counter) -> Iterator[AudioFrame]:
    """Yield every frame of the first audio track that can be decoded; count the packets that cannot."""
    packets = container.demux(container.streams.audio[0])
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError):
            counter.bad += 1
            return  # the container itself ends here; what came before counts
        try:
            for frame in packet.decode():
                if isinstance(frame, AudioFrame):
                    if frame.sample_rate < LOWEST_RATE:
                        counter.bad += 1
                        continue
                    frame.pts = None  # damaged times would stretch or drop audio
                    yield frame
        except av.error.FFmpegError:  # any kind: damage has been seen to give EPERM as well as EINVAL
            counter.bad += 1
