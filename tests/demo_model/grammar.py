"""The closed grammar: random sentences of everyday memos, and all the words that occur in them."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.demo_model import english, german
from tests.demo_model.templates import Rule, Slot, expand

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "de")

ENGLISH_HOMOPHONES = frozenset({"to", "for"})
"""Sound like "two" and "four": only the grammar tells them apart, so they are never drawn without it."""


@dataclass(frozen=True)
class Grammar:
    """The sentences of one language.

    `sampled_sentences` are enough to meet every word of it; `is_lowered` tells of a sentence's first word whether its
    capital letter comes only from its place.
    """

    rules: tuple[Rule, ...]
    slots: Mapping[str, Slot]
    sampled_sentences: int
    is_lowered: Callable[[str], bool]


_CAPITAL_IN_ENGLISH = frozenset({*english.PEOPLE, *english.DAYS, *english.MONTHS, "I"})
_SMALL_IN_GERMAN = frozenset("Bitte Das Die Ich Wo Wir Ruf Auf Wie Guten Danke Hallo Eins".split())

GRAMMARS: Mapping[Language, Grammar] = {
    "en": Grammar(english.RULES, english.SLOTS, 30_000, lambda word: word not in _CAPITAL_IN_ENGLISH),
    "de": Grammar(german.RULES, german.SLOTS, 8_000, lambda word: word in _SMALL_IN_GERMAN),
}


def sentence(random: Random, language: Language) -> str:
    """A sentence of the grammar, with its capital letter and its full stop or question mark."""
    grammar = GRAMMARS[language]
    rule = random.choices(grammar.rules, [rule.weight for rule in grammar.rules])[0]
    return expand(rule.template, grammar.slots, random)


def random_words(random: Random, language: Language) -> str:
    """Two to seven words of the vocabulary without any grammar, written like a sentence."""
    words = vocabulary(language)
    chosen = [random.choice(words) for _ in range(random.randint(2, 7))]
    return capitalised(" ".join(chosen)) + random.choice((".", ".", ".", ".", "?"))


def sentence_or_words(random: Random, language: Language, share_of_words: float) -> str:
    """A sentence, or with this probability random words, so that the model learns to hear and not only to guess."""
    if random.random() < share_of_words:
        return random_words(random, language)
    return sentence(random, language)


@functools.cache
def vocabulary(language: Language) -> tuple[str, ...]:
    """All words of the language's sentences, sorted, without the English homophones."""
    grammar = GRAMMARS[language]
    random = Random(12345)
    words: set[str] = set()
    for _ in range(grammar.sampled_sentences):
        first, *others = plain_words(sentence(random, language))
        words.add(first.lower() if grammar.is_lowered(first) else first)
        words.update(others)
    return tuple(sorted(words - ENGLISH_HOMOPHONES))


def plain_words(text: str) -> list[str]:
    """The words of a sentence of the grammar without its punctuation."""
    return text.translate(str.maketrans("", "", ",.?")).split()


def capitalised(text: str) -> str:
    """The text with its first letter in upper case and all others as they are."""
    return text[:1].upper() + text[1:]
