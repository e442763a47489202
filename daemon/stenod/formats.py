"""Transcripts as text: txt, srt, vtt, json. Pure: no paths, no files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stenod import wire

PARAGRAPH_PAUSE_SECONDS = 2.0  # a longer silence between two segments starts a new paragraph in txt
SCHEMA = "stenod-transcript/1"


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that a transcript says. `source` is the recording's file name, already printable."""

    source: str
    duration_seconds: float
    language: str
    language_probability: float
    model: str
    compute_type: str
    options: wire.Options
    segments: Sequence[wire.Segment]
    stenod_version: str


def txt(transcript: Transcript) -> str:
    """Return the plain text: a paragraph until the next pause, a blank line between paragraphs. May be empty."""
    paragraphs: list[list[str]] = []
    end = float("-inf")
    for segment in transcript.segments:
        text = " ".join(segment.text.split())
        if not text:
            continue
        if not paragraphs or segment.start - end >= PARAGRAPH_PAUSE_SECONDS:
            paragraphs.append([])
        paragraphs[-1].append(text)
        end = segment.end
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs) + ("\n" if paragraphs else "")


def srt(transcript: Transcript) -> str:
    """Return SubRip: numbered from 1, CRLF-free, times as HH:MM:SS,mmm."""
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cues(transcript), start=1)
    )


def vtt(transcript: Transcript) -> str:
    """Return WebVTT (W3C): `&`, `<` and `>` of the text are escaped as its cue text requires."""
    cues = "".join(
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n"
        f"{text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n\n"
        for start, end, text in _cues(transcript)
    )
    return f"WEBVTT\n\n{cues}"


def json(transcript: Transcript) -> str:
    """Return the transcript as JSON with everything that is known of it. `schema` names the layout and its version."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "source": {"name": transcript.source, "duration": round(transcript.duration_seconds, 3)},
        "language": transcript.language,
        "language_probability": round(transcript.language_probability, 4),
        "text": " ".join(segment.text.strip() for segment in transcript.segments),
        "segments": [
            {"id": number, **msgspec.to_builtins(segment)} for number, segment in enumerate(transcript.segments)
        ],
        "engine": {
            "stenod": transcript.stenod_version,
            "model": transcript.model,
            "compute_type": transcript.compute_type,
            "options": msgspec.to_builtins(transcript.options),
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


WRITERS: dict[str, Callable[[Transcript], str]] = {"txt": txt, "srt": srt, "vtt": vtt, "json": json}


def render(name: str, transcript: Transcript) -> bytes:
    """Return the transcript in the format called `name` (a key of WRITERS), in UTF-8."""
    return WRITERS[name](transcript).encode("utf-8", "replace")


def _cues(transcript: Transcript) -> Iterator[tuple[int, int, str]]:
    """Yield start and end in milliseconds, and the text in one line; what is without text or length gets neither."""
    for segment in transcript.segments:
        text = " ".join(segment.text.split())
        if text:
            start = max(0, round(segment.start * 1000))
            yield start, max(start + 1, round(segment.end * 1000)), text


def _clock(milliseconds: int, point: str) -> str:
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
