"""Word error rate: how much of a text came out wrong, without case and punctuation."""

import re
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True, slots=True)
class Errors:
    """`wrong` words (substituted, left out, put in) against the `total` words of the reference."""

    wrong: int
    total: int

    @property
    def rate(self) -> float:
        """Wrong words per word of the reference; a reference without words counts as one word."""
        return self.wrong / max(1, self.total)

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(self.wrong + other.wrong, self.total + other.total)


def plain(text: str) -> str:
    """Return the words of `text` in lower case, single spaces between them, without punctuation."""
    return " ".join(re.sub(r"[^\w\s]", "", text.lower()).split())


def compare(reference: str, text: str) -> Errors:
    """Return how `text` differs from `reference`."""
    expected, got = plain(reference), plain(text)
    if not expected:
        return Errors(len(got.split()), 0)
    counts = jiwer.process_words(expected, got)
    return Errors(counts.substitutions + counts.deletions + counts.insertions, len(expected.split()))
