"""Transcribe the sample recordings with the demo model and compare them with their reference texts.

Run from the root of the repository: `python -m tests.samples.check [--recordings DIRECTORY] [--model DIRECTORY]`.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import jiwer
from faster_whisper import WhisperModel

from tests.samples.make import MANIFEST, RECORDINGS

DEMO_MODEL = Path(__file__).parents[2] / "hub" / "demo"
MOST_WORD_ERROR_RATE = 0.03


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to transcribe a sample."""

    vad_filter: bool
    language_given: bool

    def __str__(self) -> str:
        return f"{'VAD' if self.vad_filter else 'no VAD'}, language {'given' if self.language_given else 'detected'}"


MODES = tuple(Mode(vad_filter, language_given) for vad_filter in (True, False) for language_given in (True, False))


@dataclass(frozen=True, slots=True)
class Result:
    """What one mode made of one sample."""

    file: str
    reference: str
    text: str
    expected_language: str | None
    language: str

    @property
    def words(self) -> int:
        """How many words were said."""
        return len(normal(self.reference).split())

    @property
    def wrong_words(self) -> int:
        """How many words are wrong, missing or too many, without case and punctuation."""
        if not self.words:
            return len(normal(self.text).split())  # jiwer compares only with something said
        output = jiwer.process_words(normal(self.reference), normal(self.text))
        return output.substitutions + output.deletions + output.insertions

    @property
    def differences(self) -> list[str]:
        """What was said and what was heard instead, a line for each place where they differ."""
        said, heard = normal(self.reference).split(), normal(self.text).split()
        places = SequenceMatcher(None, said, heard, autojunk=False).get_opcodes()
        return [
            f"said {quoted(said[said_from:said_to])}, heard {quoted(heard[heard_from:heard_to])}"
            for kind, said_from, said_to, heard_from, heard_to in places
            if kind != "equal"
        ]

    @property
    def language_is_right(self) -> bool:
        """Whether the language is the one spoken; silence has none that could be wrong."""
        return self.expected_language in (None, self.language)


def normal(text: str) -> str:
    """Return the words of text in lower case, without punctuation, one space between them."""
    return " ".join(re.sub(r"[^\w\s]", "", text.lower()).split())


def quoted(words: Sequence[str]) -> str:
    """Return words for a message to the user."""
    return repr(" ".join(words)) if words else "nothing"


def transcribe(model: WhisperModel, recordings: Path, entry: dict[str, Any], mode: Mode) -> Result:
    """Transcribe the recording of one entry of the manifest."""
    segments, info = model.transcribe(
        str(recordings / entry["file"]),
        beam_size=5,
        condition_on_previous_text=False,
        vad_filter=mode.vad_filter,
        language=entry["language"] if mode.language_given else None,
    )
    text = "".join(segment.text for segment in segments).strip()
    return Result(entry["file"], entry["reference"], text, entry["language"], info.language)


def word_error_rate(results: Sequence[Result]) -> float:
    """Return wrong words per word said, over all results together."""
    return sum(result.wrong_words for result in results) / sum(result.words for result in results)


def problems(results: dict[Mode, list[Result]]) -> list[str]:
    """Return what is not as it has to be, a line each."""
    found = []
    for mode, of_mode in results.items():
        rate = word_error_rate(of_mode)
        if mode.vad_filter and rate > MOST_WORD_ERROR_RATE:
            found.append(f"{mode}: the word error rate is {rate:.1%}, more than {MOST_WORD_ERROR_RATE:.0%}")
        found += [
            f"{mode}: {result.file}: language {result.language}, not {result.expected_language}"
            for result in of_mode
            if not result.language_is_right
        ]
    return found


def show(results: dict[Mode, list[Result]]) -> None:
    """Print wrong words of each sample and mode, and what was heard wherever that is not what was said."""
    width = max(len(result.file) for of_mode in results.values() for result in of_mode)
    columns = [str(mode) for mode in results]
    print(" " * width, "words", *columns, sep="  ")
    for of_sample in zip(*results.values(), strict=True):
        cells = [
            f"{f'{result.wrong_words} wrong, {result.language}':>{len(column)}}"
            for result, column in zip(of_sample, columns, strict=True)
        ]
        print(f"{of_sample[0].file:<{width}}", f"{of_sample[0].words:>5}", *cells, sep="  ")
    rates = [
        f"{word_error_rate(of_mode):>{len(column)}.1%}"
        for of_mode, column in zip(results.values(), columns, strict=True)
    ]
    print(" " * width, " " * 5, *rates, sep="  ")
    for mode, of_mode in results.items():
        for result in of_mode:
            for difference in result.differences:
                print(f"{result.file} ({mode}): {difference}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line: 0 when the samples are recognised well enough, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.samples.check", description="Check the sample recordings.")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, metavar="DIRECTORY", help="default: %(default)s")
    parser.add_argument("--model", type=Path, default=DEMO_MODEL, metavar="DIRECTORY", help="default: %(default)s")
    options = parser.parse_args(arguments)
    entries = json.loads((options.recordings / MANIFEST).read_text(encoding="utf-8"))
    model = WhisperModel(str(options.model), device="cpu", compute_type="int8", cpu_threads=2)
    results = {mode: [transcribe(model, options.recordings, entry, mode) for entry in entries] for mode in MODES}
    show(results)
    found = problems(results)
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
