"""Decoding: every sample, what is damaged or cut off, and what only pretends to be a recording."""

import errno
import io
import json
import os
import random
import socket
import struct
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stenod.worker import audio

WAV = "shopping list.wav"
MP3 = "dictation_0042.mp3"
FLAC = "interview (stereo).flac"


def decode(path: Path) -> audio.Audio:
    """Decode a file from which no sign of life is expected."""
    return audio.decode(os.fsencode(path), lambda: None)


def written(folder: Path, content: bytes | bytearray, name: str = "a.mp3") -> Path:
    """Return a new file with this content."""
    path = folder / name
    path.write_bytes(content)
    return path


def manifest() -> list[dict[str, str]]:
    """Return what is known of the samples."""
    path = Path(__file__).parents[1] / "samples" / "recordings" / "manifest.json"
    entries: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


@pytest.mark.parametrize("entry", manifest(), ids=lambda entry: entry["file"])
def test_every_sample_is_decoded_whole(samples: Path, entry: dict[str, str]) -> None:
    sound = decode(samples / entry["file"])
    assert sound.bad_packets == 0
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert sound.seconds == pytest.approx(float(entry["seconds"]), abs=0.011)
    assert np.abs(sound.samples).max() <= 1.0
    is_silent = np.abs(sound.samples).max() < 0.01
    assert is_silent == (entry["reference"] == "")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_a_second_stays_a_second_to_the_last_sample(tmp_path: Path, rate: int, channels: int) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * channels * rate))
    assert len(decode(tmp_path / "a.wav").samples) == audio.SAMPLE_RATE


def test_a_sign_of_life_comes_each_decoded_minute(samples: Path) -> None:
    signs: list[None] = []
    sound = audio.decode(os.fsencode(samples / "weekly meeting.opus"), lambda: signs.append(None))
    assert len(signs) == int(sound.seconds // 60)


@pytest.mark.parametrize("damage", ["noise", "zeros"])
@pytest.mark.parametrize("name", [MP3, FLAC, "Voice 001.m4a", "mailbox +49 30 5550123.wav", WAV])
def test_damage_in_the_middle_costs_little_of_the_rest(samples: Path, tmp_path: Path, name: str, damage: str) -> None:
    content = bytearray((samples / name).read_bytes())
    middle, length = len(content) // 2, max(64, len(content) // 100)
    content[middle : middle + length] = random.Random(3).randbytes(length) if damage == "noise" else bytes(length)
    whole, damaged = decode(samples / name), decode(written(tmp_path, content))
    assert 0.95 * whole.seconds <= damaged.seconds <= whole.seconds + 0.1


@pytest.mark.parametrize("name", ["Notiz für Käthe.ogg", "VID_20260314_175310.webm", "weekly meeting.opus"])
def test_damage_costs_no_more_than_a_page_where_sound_is_stored_in_pages(
    samples: Path, tmp_path: Path, name: str
) -> None:
    content = bytearray((samples / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    assert decode(written(tmp_path, content)).seconds >= decode(samples / name).seconds - 2.1


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("name", [MP3, FLAC, WAV, "Notiz für Käthe.ogg", "VID_20260314_175310.webm"])
def test_what_was_cut_off_is_decoded_up_to_there(samples: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (samples / name).read_bytes()
    sound = decode(written(tmp_path, content[: round(len(content) * share)]))
    whole = decode(samples / name).seconds
    assert share * whole - 1.5 <= sound.seconds <= whole


@pytest.mark.parametrize("field", ["data", "riff and data"])
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 1_000_000])
def test_a_wav_whose_header_promises_something_else_is_decoded_whole(
    samples: Path, tmp_path: Path, field: str, size: int
) -> None:
    """Recorders write the sizes last; who streams writes none."""
    content = bytearray((samples / WAV).read_bytes())
    data = content.index(b"data")
    content[data + 4 : data + 8] = struct.pack("<I", size)
    if field != "data":
        content[4:8] = struct.pack("<I", size)
    assert decode(written(tmp_path, content)).seconds == decode(samples / WAV).seconds


def pretender(kind: str, samples: Path) -> bytes:
    """Return the content of a file that is no recording."""
    sound = (samples / WAV).read_bytes()
    match kind:
        case "text":
            return b"Dear diary,\n" * 1000
        case "zeros":
            return bytes(100_000)
        case "noise":
            return random.Random(5).randbytes(100_000)
        case "picture":
            return (
                b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
                b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
            )
        case "wav without sound":
            return sound[: sound.index(b"data") + 8]
        case "m4a without its index":
            return (samples / "Voice 001.m4a").read_bytes()[:20_000]
        case _:
            return b"\x00"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "it holds no audio that can be decoded"),
        ("zeros", "it holds no audio that can be decoded"),
        ("noise", "it holds no audio that can be decoded"),
        ("picture", "there is no audio track in it"),
        ("wav without sound", "it holds no audio that can be decoded"),
        ("m4a without its index", "it holds no audio that can be decoded"),
        ("one byte", "it holds no audio that can be decoded"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.m4a"])
def test_what_is_no_recording_is_undecodable(samples: Path, tmp_path: Path, kind: str, reason: str, name: str) -> None:
    with pytest.raises(audio.UndecodableError) as raised:
        decode(written(tmp_path, pretender(kind, samples), name))
    assert str(raised.value) == reason


@pytest.mark.parametrize("rate", [1, 10, 100])
def test_a_header_whose_rate_no_recorder_has_does_not_fill_the_memory(tmp_path: Path, rate: int) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(200))  # few, so that this test does not fill it either
    with pytest.raises(audio.UndecodableError):
        decode(tmp_path / "a.wav")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    for path, reason in (
        (tmp_path, "it is not a regular file"),
        (tmp_path / "pipe.mp3", "it is not a regular file"),
        (Path("/dev/zero"), "it is not a regular file"),
        (written(tmp_path, b"", "empty.mp3"), "the file is empty"),
    ):
        with pytest.raises(audio.UndecodableError) as raised:
            decode(path)
        assert str(raised.value) == reason
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "missing.mp3")


def test_a_link_is_no_regular_file(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(samples / WAV)
    with pytest.raises(audio.UndecodableError, match="it is not a regular file"):
        decode(tmp_path / "link.wav")


def test_a_video_that_was_cut_off_within_its_header_is_undecodable(samples: Path, tmp_path: Path) -> None:
    content = (samples / "VID_20260314_175310.webm").read_bytes()
    for length in range(300, 420, 4):
        with pytest.raises(audio.UndecodableError):
            decode(written(tmp_path, content[:length], "a.webm"))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", [MP3, FLAC, WAV, "VID_20260314_175310.webm", "Voice 001.m4a"])
def test_a_disk_that_fails_is_not_taken_for_a_damaged_recording(
    samples: Path, monkeypatch: pytest.MonkeyPatch, name: str, share: float
) -> None:
    """Half a transcript of a recording that is whole would be worse than a try again."""
    readable = int(share * (samples / name).stat().st_size)

    class BadDisk(io.FileIO):
        def read(self, count: int | None = None) -> bytes:
            left = readable - self.tell()
            if left <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(left if count is None else min(count, left))

    monkeypatch.setattr(audio, "open_regular", BadDisk)
    with pytest.raises(OSError, match="Input/output error") as raised:
        decode(samples / name)
    assert raised.value.errno == errno.EIO


# ---- files that name other files


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Return a socket that listens, and to which nobody is to connect."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.setblocking(False)
        yield one


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
    "hls with a key": (
        '#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n'
    ),
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT9S" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static"><Period>'
        '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1000"><BaseURL>{url}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    ),
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
}


@pytest.mark.parametrize("name", ["a.mp3", "a.m3u8", "a.wav"])
@pytest.mark.parametrize("target", ["http", "tcp", "file", "path", "name"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_nothing(
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listener: socket.socket,
    kind: str,
    target: str,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # a bare name in the list is looked for here
    port = listener.getsockname()[1]
    sound = written(tmp_path, (samples / WAV).read_bytes(), "sound.wav")
    url = {
        "http": f"http://127.0.0.1:{port}/sound.wav",
        "tcp": f"tcp://127.0.0.1:{port}",
        "file": f"file://{sound}",
        "path": str(sound),
        "name": sound.name,
    }[target]
    with pytest.raises(audio.UndecodableError):
        decode(written(tmp_path, PLAYLISTS[kind].format(url=url, port=port).encode(), name))
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_damaged_files_of_any_kind_are_decoded_or_undecodable_and_nothing_else(samples: Path, tmp_path: Path) -> None:
    luck = random.Random(11)
    names = sorted(entry["file"] for entry in manifest() if entry["file"] != "weekly meeting.opus")
    outcomes = set()
    for number in range(120):
        content = bytearray((samples / names[number % len(names)]).read_bytes())
        reach = len(content) if number % 2 else 600  # every other time only in the header
        for _ in range(luck.choice([1, 5, 50])):
            content[luck.randrange(min(reach, len(content)))] = luck.randrange(256)
        try:
            outcomes.add(decode(written(tmp_path, content)).seconds > 0)
        except audio.UndecodableError:
            outcomes.add(False)
    assert outcomes == {True, False}
