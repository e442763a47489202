"""The engine with the demo model, and its segments as messages."""

import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stenod import bundled, wire
from stenod.worker import audio, engine

SETTINGS = wire.Engine(model=os.fsencode(bundled.DEMO_MODEL), device="cpu", compute_type="int8", cpu_threads=2)


@pytest.fixture(scope="module")
def loaded() -> engine.Engine:
    return engine.Engine(SETTINGS)


def texts(loaded: engine.Engine, path: Path, options: wire.Options) -> tuple[list[str], str]:
    """Return the texts of the segments and the language."""
    sound = audio.decode(os.fsencode(path), lambda: None)
    segments, language, _ = loaded.transcribe(sound.samples, options)
    return [segment.text.strip() for segment in segments], language


def test_it_is_loaded_as_int8(loaded: engine.Engine) -> None:
    assert loaded.compute_type.startswith("int8")
    assert loaded.settings == SETTINGS
    assert set(engine.versions()) == {"faster-whisper", "ctranslate2"}


@pytest.mark.parametrize(
    ("name", "language"), [("interview (stereo).flac", "en"), ("Notiz für Käthe.ogg", "de"), ("Voice 001.m4a", "en")]
)
def test_what_is_said_is_written_each_time_the_same(
    loaded: engine.Engine, samples: Path, name: str, language: str
) -> None:
    reference = (samples / f"{name}.reference.txt").read_text(encoding="utf-8").strip()
    for options in (wire.Options(), wire.Options(language=language, vad_filter=False), wire.Options()):
        said, found = texts(loaded, samples / name, options)
        assert " ".join(said) == reference
        assert found == language


def test_words_have_times_where_they_are_asked_for(loaded: engine.Engine, samples: Path) -> None:
    sound = audio.decode(os.fsencode(samples / "shopping list.wav"), lambda: None)
    for word_timestamps in (True, False):
        segments, _, _ = loaded.transcribe(sound.samples, wire.Options(word_timestamps=word_timestamps))
        (segment,) = segments
        assert (segment.words is not None) == word_timestamps
        for word in segment.words or ():
            assert segment.start <= word.start <= word.end <= segment.end
            assert word.word.strip() in segment.text
        line = wire.encode(wire.Found(job=1, segment=segment))
        assert wire.decode_from_worker(line) == wire.Found(job=1, segment=segment)


def segment(**changes: object) -> Any:
    """Return a segment as the engine gives it: with NumPy's floats."""
    figures: dict[str, object] = {
        "start": np.float64(1.00049), "end": np.float32(2.5), "text": " said", "avg_logprob": np.float32(-0.123456),
        "compression_ratio": 1.23456, "no_speech_prob": np.float64(0.00004), "words": None,
    }  # fmt: skip
    return SimpleNamespace(**(figures | changes))


def test_a_segment_is_plain_and_short() -> None:
    word = SimpleNamespace(
        start=np.float64(1.00049), end=np.float64(2.0), word=" said", probability=np.float32(0.98761)
    )
    made = engine._segment(segment(words=[word]))
    assert made == wire.Segment(
        start=1.0, end=2.5, text=" said", avg_logprob=-0.1235, compression_ratio=1.2346, no_speech_prob=0.0,
        words=(wire.Word(1.0, 2.0, " said", 0.9876),),
    )  # fmt: skip
    assert made.words is not None
    figures = [getattr(made, name) for name in ("start", "end", "avg_logprob", "compression_ratio", "no_speech_prob")]
    figures += [getattr(made.words[0], name) for name in ("start", "end", "probability")]
    assert {type(figure) for figure in figures} == {float}


@pytest.mark.parametrize("figure", ["avg_logprob", "compression_ratio", "no_speech_prob"])
def test_a_figure_that_is_no_number_does_not_cost_the_recording(figure: str) -> None:
    found = wire.Found(job=1, segment=engine._segment(segment(**{figure: math.nan})))
    assert isinstance(wire.decode_from_worker(wire.encode(found)), wire.Found)
