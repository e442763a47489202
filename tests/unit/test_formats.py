"""Transcripts as text: read back by other people's programs, they say the same at the same times."""

import html
import itertools
import json
import re
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stenod import formats, wire
from tests.unit import build

LONGEST = 99 * 3600 * 1000  # milliseconds: two digits of hours, which is all that some readers know


@st.composite
def spoken(draw: st.DrawFn, characters: st.SearchStrategy[str]) -> list[wire.Segment]:
    """Draw segments in order of time, whose times are whole milliseconds and whose texts have something in them."""
    text = st.text(characters, min_size=1).filter(lambda text: bool(text.split()))
    moments = sorted(draw(st.lists(st.integers(0, LONGEST), unique=True, max_size=12)))
    pairs = zip(moments[::2], moments[1::2], strict=False)
    return [build.segment(start / 1000, end / 1000, draw(text)) for start, end in pairs]


plain_characters = st.characters(categories=["L", "Nd", "Zs", "Zl", "Cc", "Po"], exclude_characters="\x00\\&{}<>")
any_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")


def words(text: str) -> list[str]:
    return text.split()


# ---- txt


@pytest.mark.parametrize(
    ("segments", "text"),
    [
        ([], ""),
        ([(0, 1, "  ")], ""),
        ([(0, 1, " Hello. ")], "Hello.\n"),
        ([(0, 1, "One."), (1, 2, "Two.")], "One. Two.\n"),
        ([(0, 1, "One."), (2.99, 4, "Two.")], "One. Two.\n"),
        ([(0, 1, "One."), (3, 4, "Two.")], "One.\n\nTwo.\n"),
        ([(5, 6, "One."), (100, 101, "Two."), (101, 102, "Three.")], "One.\n\nTwo. Three.\n"),
        ([(0, 1, "One."), (1.5, 2, ""), (3, 4, "Two.")], "One.\n\nTwo.\n"),  # what is empty is no speech
        pytest.param(
            [(0, 1, "One\n\nline.")], "One line.\n"
        ),
    ],
)  # fmt: skip
def test_txt_has_a_paragraph_for_each_pause(segments: list[tuple[float, float, str]], text: str) -> None:
    assert formats.txt(build.transcript(*(build.segment(*segment) for segment in segments))) == text


@given(spoken(any_characters))
def test_txt_has_every_word_and_ends_its_last_line(segments: list[wire.Segment]) -> None:
    text = formats.txt(build.transcript(*segments))
    assert words(text) == words(" ".join(segment.text for segment in segments))
    assert text == "" or text.endswith("\n")


# ---- srt and vtt


def test_srt() -> None:
    segments = [
        build.segment(0, 1.5, " Hello. "),
        build.segment(61.25, 3661.001, "two\nlines"),
        build.segment(5, 6, " "),
    ]
    assert formats.srt(build.transcript(*segments)) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n00:01:01,250 --> 01:01:01,001\ntwo lines\n\n"
    )


def test_vtt() -> None:
    segments = [build.segment(0, 1.5, " a < b && c --> d "), build.segment(359999.999, 360000, "late")]
    assert formats.vtt(build.transcript(*segments, language="de")) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na &lt; b &amp;&amp; c --&gt; d\n\n"
        "99:59:59.999 --> 100:00:00.000\nlate\n\n"
    )


@given(spoken(plain_characters))
def test_srt_is_read_back_with_the_same_times_and_words(segments: list[wire.Segment]) -> None:
    pysubs2 = pytest.importorskip("pysubs2")
    read = pysubs2.SSAFile.from_string(formats.srt(build.transcript(*segments)), format_="srt")
    assert [(line.start, line.end, words(line.plaintext)) for line in read] == [
        (round(segment.start * 1000), round(segment.end * 1000), words(segment.text)) for segment in segments
    ]


@given(spoken(any_characters))
@example([build.segment(0, 1, "<b>&amp;</b> --> 00:00:01.000\nNOTE no")])
def test_vtt_is_read_back_with_the_same_times_and_words(segments: list[wire.Segment]) -> None:
    webvtt = pytest.importorskip("webvtt")
    read = webvtt.from_string(formats.vtt(build.transcript(*segments)))
    assert [(milliseconds(cue.start), milliseconds(cue.end), words(html.unescape(cue.raw_text))) for cue in read] == [
        (round(segment.start * 1000), round(segment.end * 1000), words(segment.text)) for segment in segments
    ]


def milliseconds(clock: str) -> int:
    hours, minutes, seconds, thousandths = map(int, re.split("[:.]", clock))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


@given(spoken(any_characters))
def test_cues_are_one_line_each_and_their_times_never_go_back(segments: list[wire.Segment]) -> None:
    for render, numbered in ((formats.srt, True), (formats.vtt, False)):
        blocks = render(build.transcript(*segments)).replace(",", ".").split("\n\n")
        assert blocks.pop() == ""
        if not numbered:
            assert blocks.pop(0) == "WEBVTT"
        assert len(blocks) == len(segments)
        moments: list[int] = []
        for number, block in enumerate(blocks, start=1):
            lines = block.split("\n")
            if numbered:
                assert lines.pop(0) == str(number)
            assert len(lines) == 2
            moments += map(milliseconds, lines[0].split(" --> "))
        assert all(before < after for before, after in itertools.pairwise(moments))


@pytest.mark.parametrize(
    ("start", "end", "clocks"),
    [
        (0.0, 0.0, "00:00:00,000 --> 00:00:00,001"),  # a cue has a length
        (5.0, 4.0, "00:00:05,000 --> 00:00:05,001"),
        (-0.5, 1.0, "00:00:00,000 --> 00:00:01,000"),
        (59.9996, 61.0, "00:01:00,000 --> 00:01:01,000"),  # rounding carries over
        (1.0004, 1.0006, "00:00:01,000 --> 00:00:01,001"),
        pytest.param(
            0.0015, 0.0015, "00:00:00,002 --> 00:00:00,003"
        ),
    ],
)  # fmt: skip
def test_odd_times_give_a_cue_all_the_same(start: float, end: float, clocks: str) -> None:
    assert formats.srt(build.transcript(build.segment(start, end))) == f"1\n{clocks}\nsaid\n\n"


# ---- json


@given(spoken(any_characters))
def test_json_has_everything_that_is_known(segments: list[wire.Segment]) -> None:
    transcript = build.transcript(*segments)
    document = json.loads(formats.json(transcript))
    assert list(document) == ["schema", "source", "language", "language_probability", "text", "segments", "engine"]
    assert document["schema"] == "stenod-transcript/1"
    assert document["source"] == {"name": "a.mp3", "duration": round(transcript.duration_seconds, 3)}
    assert document["language"] == "en"
    assert document["language_probability"] == 0.9877
    assert document["engine"] == {
        "stenod": "1.2.3", "model": "demo", "compute_type": "int8", "options": msgspec.to_builtins(wire.Options()),
    }  # fmt: skip
    assert words(document["text"]) == words(" ".join(segment.text for segment in segments))
    assert [item.pop("id") for item in document["segments"]] == list(range(len(segments)))
    assert [msgspec.convert(item, wire.Segment) for item in document["segments"]] == segments


def test_json_has_the_words_where_there_are_any() -> None:
    spoken_words = (wire.Word(0.0, 0.5, " Hello", 0.9), wire.Word(0.5, 1.0, " you", 0.8))
    segment = msgspec.structs.replace(build.segment(), words=spoken_words)
    document = json.loads(formats.json(build.transcript(segment, build.segment())))
    assert [item["words"] for item in document["segments"]] == [
        [
            {"start": 0.0, "end": 0.5, "word": " Hello", "probability": 0.9},
            {"start": 0.5, "end": 1.0, "word": " you", "probability": 0.8},
        ],
        None,
    ]


# ---- all of them


@pytest.mark.parametrize(
    ("name", "content"),
    [("txt", b""), ("srt", b""), ("vtt", b"WEBVTT\n\n")],
)
def test_a_transcript_without_speech(name: str, content: bytes) -> None:
    for transcript in (build.transcript(), build.transcript(build.segment(text="  "))):
        assert formats.render(name, transcript) == content


def test_a_transcript_without_speech_is_json_all_the_same() -> None:
    document = SimpleNamespace(**json.loads(formats.render("json", build.transcript())))
    assert (document.text, document.segments, document.source["duration"]) == ("", [], 3.0)


@pytest.mark.parametrize("name", sorted(formats.WRITERS))
def test_every_format_is_utf_8_with_unix_line_ends(name: str) -> None:
    content = formats.render(name, build.transcript(build.segment(text="Käthe 会議 😀"), source="Käthe.mp3"))
    assert "Käthe" in content.decode("utf-8")
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert b"\xef\xbb\xbf" not in content
