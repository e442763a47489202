"""The held-out sentences: never synthesised for training, so a word error rate on them means something."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.demo_model import english, german
from tests.demo_model.grammar import Language, sentence

COMMITTED_FILE = Path(__file__).with_name("heldout.txt")
"""The sentences that the training of hub/demo left out."""

_ENGLISH_COUNT = 400
_GERMAN_COUNT = 60
_FEWEST_WORDS = 4


@dataclass(frozen=True)
class HeldOut:
    """400 English and 60 German sentences of at least four words, all different; none is a fixed sentence."""

    english: tuple[str, ...]
    german: tuple[str, ...]

    def as_text(self) -> str:
        """One sentence a line, the English ones first."""
        return "\n".join(self.english + self.german) + "\n"


def choose_held_out() -> HeldOut:
    """The held-out sentences of this grammar; always the same."""
    random = Random(777)
    return HeldOut(
        english=_choose(random, "en", _ENGLISH_COUNT, english.FIXED_SENTENCES),
        german=_choose(random, "de", _GERMAN_COUNT, german.FIXED_SENTENCES),
    )


def read_held_out(file: Path = COMMITTED_FILE) -> HeldOut:
    """The sentences of a file that `HeldOut.as_text` wrote."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return HeldOut(english=tuple(lines[:_ENGLISH_COUNT]), german=tuple(lines[_ENGLISH_COUNT:]))


def _choose(random: Random, language: Language, count: int, excluded: tuple[str, ...]) -> tuple[str, ...]:
    chosen: dict[str, None] = {}  # a set that keeps its order
    while len(chosen) < count:
        candidate = sentence(random, language)
        if candidate not in excluded and len(candidate.split()) >= _FEWEST_WORDS:
            chosen[candidate] = None
    return tuple(chosen)
