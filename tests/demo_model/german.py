"""The German half of the closed grammar, much smaller than the English one."""

from random import Random

from tests.demo_model.templates import Rule, Slot

_NUMBERS = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf")
_ITEMS = ("Milch", "Eier", "Brot", "Butter", "Käse", "Äpfel", "Kaffee", "Wasser")
_THINGS = ("die Tür", "das Fenster", "das Auto", "das Buch", "das Licht")

FIXED_SENTENCES = (
    "Guten Morgen.",
    "Guten Abend.",
    "Danke schön.",
    "Das ist ein Test.",
    "Hallo Welt.",
    "Wie geht es dir?",
    "Auf Wiedersehen.",
    "Eins zwei drei vier.",
)


def _items(random: Random) -> str:
    chosen = random.sample(_ITEMS, random.choice((1, 2, 2, 3)))
    return chosen[0] if len(chosen) == 1 else ", ".join(chosen[:-1]) + " und " + chosen[-1]


def _digits(random: Random) -> str:
    return " ".join(random.choice(_NUMBERS[:9]) for _ in range(random.randint(3, 6)))


SLOTS: dict[str, Slot] = {
    "person": ("Anna", "Peter", "Julia", "Frank", "Maria"),
    "day": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "number": _NUMBERS,
    "two to twelve": _NUMBERS[1:],
    "items": _items,
    "digits": _digits,
    "where": ("in der Küche", "im Garten", "im Büro", "im Zimmer"),
    "thing": _THINGS,
    "Thing": tuple(thing[0].upper() + thing[1:] for thing in _THINGS),
    "adjective": ("rot", "blau", "grün", "neu", "alt", "kalt", "warm", "offen"),
    "fixed sentence": FIXED_SENTENCES,
    "when": (
        "am {day}",
        "morgen",
        "heute",
        "um {number} Uhr",
        "am {day} um {two to twelve} Uhr",
        "heute Abend",
    ),
}

RULES = (
    Rule(3, "Bitte (kaufe|bringe) {items}."),
    Rule(3, "Das Treffen ist {when}."),
    Rule(3, "{person} kommt {when}."),
    Rule(3, "Ich brauche {items}."),
    Rule(2, "{Thing} {where} ist {adjective}."),
    Rule(2, "Wo ist {person+thing}?"),
    Rule(2, "Wir gehen {when} nach Hause."),
    Rule(2, "Die Nummer ist {digits}."),
    Rule(2, "{fixed sentence}"),
    Rule(2, "{person} und {person} sind {where}."),
    Rule(2, "Ruf bitte {person} {when} an."),
)
