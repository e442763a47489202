"""espeak-ng's voices: those that the training uses, and those that it leaves to the evaluation."""

from random import Random

from tests.demo_model.grammar import Language
from tests.demo_model.speech import Delivery

_ENGLISH_ACCENTS = {
    "gmw/en-US": 50,
    "gmw/en": 30,
    "gmw/en-GB-x-rp": 10,
    "gmw/en-GB-scotland": 5,
    "gmw/en-GB-x-gbclan": 5,
}
_GERMAN_ACCENT = "gmw/de"
_COMMON_VARIANTS = ("m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f3", "f5")
_OTHER_VARIANTS = tuple(
    "Alicia Andy Annie Mike Denis Hugo Mario Michael Nguyen adam anika antonio belinda benjamin caleb ed edward "
    "gustave iven john linda max michel paul quincy rob robert sandro shelby steph victor zac".split()
)

UNSEEN_VOICES = (
    "gmw/en-US+m5",
    "gmw/en+f4",
    "gmw/en-US+Andrea",
    "gmw/en+Lee",
    "gmw/en-US+boris",
    "gmw/en-US+david",
    "gmw/en+travis",
    "gmw/en-US-nyc",
    "gmw/en-GB-x-gbcwmd",
    "gmw/en-US-nyc+f4",
)
"""Two accents and seven variants that the training never hears (the variant Jacky is an eighth)."""


def training_voice(random: Random, language: Language) -> str:
    """A voice of the training: the plain accent, or the accent with one of its variants."""
    accent = _GERMAN_ACCENT
    if language == "en":
        accent = random.choices(list(_ENGLISH_ACCENTS), list(_ENGLISH_ACCENTS.values()))[0]
    share = random.random()
    if share < 0.30:
        return accent
    return accent + "+" + random.choice(_COMMON_VARIANTS if share < 0.75 else _OTHER_VARIANTS)


def training_delivery(random: Random, voice: str) -> Delivery:
    """How the training speaks: slow to fast, and mostly near the voice's own pitch."""
    rate_words_per_minute = random.uniform(125, 205)
    pitch = random.gauss(50, 16) if random.random() < 0.8 else random.uniform(10, 90)
    return Delivery(voice, rate_words_per_minute, pitch, random.uniform(30, 75))
