"""The English half of the closed grammar: everyday memos and dictation."""

from random import Random

from tests.demo_model.templates import Rule, Slot

PEOPLE = tuple("Anna Ben Clara David Emma Frank Grace Henry Julia Kevin Laura Maria Oliver Peter Sarah Tom".split())
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple("January February March April May June July August September October November December".split())
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGITS = ("zero", *_ONES)
_TEENS = tuple("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ITEMS = tuple(
    "milk eggs bread butter cheese apples bananas coffee tea sugar rice water fish chicken tomatoes onions potatoes "
    "soap paper".split()
)
_DOCUMENTS = ("report", "letter", "invoice", "email", "message", "photo", "document", "contract")

FIXED_SENTENCES = (
    "Hello world.",
    "This is a test.",
    "Testing one two three.",
    "Good morning.",
    "Good evening.",
    "Good afternoon.",
    "Thank you very much.",
    "The quick brown fox jumps over the lazy dog.",
    "New line.",
    "New paragraph.",
    "Stop recording.",
    "Start recording.",
    "Delete that.",
    "Undo that.",
    "Save the file.",
    "Close the window.",
    "Please stop.",
    "How are you?",
    "I am fine.",
    "See you tomorrow.",
    "Hello computer.",
    "Yes please.",
    "No thank you.",
    "What is your name?",
    "Send the message.",
    "Read it again.",
    "That is all for today.",
    "Please wait a minute.",
    "Start listening.",
    "Stop listening.",
    "Cancel.",
    "Repeat the last sentence.",
)


def _number(random: Random) -> str:
    """Mostly small numbers, up to nine hundred."""
    share = random.random()
    if share < 0.45:
        return random.choice(_ONES)
    if share < 0.7:
        return random.choice(_TEENS)
    if share < 0.85:
        return random.choice(_TENS)
    if share < 0.97:
        return random.choice(_TENS) + " " + random.choice(_ONES)
    return random.choice(_ONES) + " hundred"


def _hour(random: Random) -> str:
    hour = random.choice((*_ONES, "ten", "eleven", "twelve"))
    plain = (hour, hour, hour)
    with_minutes = (
        f"half past {hour}",
        f"quarter past {hour}",
        f"quarter to {hour}",
        f"{hour} thirty",
        f"{hour} fifteen",
    )
    return random.choice(plain + with_minutes)


def _items(random: Random) -> str:
    chosen = random.sample(_ITEMS, random.choice((1, 2, 2, 3)))
    return chosen[0] if len(chosen) == 1 else ", ".join(chosen[:-1]) + " and " + chosen[-1]


def _digits(random: Random) -> str:
    return " ".join(random.choice(_DIGITS) for _ in range(random.randint(3, 7)))


def _counting(random: Random) -> str:
    """Three to six numbers in order, as someone counts; the first is capitalised."""
    first = random.choice(range(9))
    return " ".join((*_ONES, "ten")[first : first + random.randint(3, 6)]).capitalize()


SLOTS: dict[str, Slot] = {
    "person": PEOPLE,
    "day": DAYS,
    "month": MONTHS,
    "number": _number,
    "hour": _hour,
    "items": _items,
    "digits": _digits,
    "counting": _counting,
    "two to nine": _ONES[1:],
    "item": _ITEMS,
    "other countable": ("boxes", "books", "people"),
    "room": ("kitchen", "bedroom", "garden", "office", "garage", "bathroom"),
    "event": ("meeting", "party", "lesson", "concert", "interview", "dinner", "class", "movie"),
    "document": _DOCUMENTS,
    "to read": ("book", *_DOCUMENTS),
    "thing": tuple("door window car key phone book table computer bicycle box camera bag".split()),
    "device": ("light", "heating", "radio", "television", "fan", "camera", "computer"),
    "adjective": tuple(
        "big small new old red blue green white black yellow warm cold good bad early late ready broken open empty "
        "full clean".split()
    ),
    "weather": ("sunny", "rainy", "cloudy", "windy", "warm", "cold"),
    "place": tuple("station airport bank school hospital library market hotel beach bakery".split()),
    "animal": ("dog", "cat", "horse", "bird"),
    "part of the day": ("morning", "afternoon", "evening"),
    "fixed sentence": FIXED_SENTENCES,
    "when": (
        "on {day}",
        "on {day} at {hour}",
        "on {day} {part of the day}",
        "tomorrow",
        "tomorrow {part of the day}",
        "tomorrow at {hour}",
        "today",
        "today at {hour}",
        "tonight",
        "next week",
        "next {day}",
        "this {part of the day}",
        "at {hour}",
        "in {number} minutes",
        "in {two to nine} days",
        "in {month}",
        "before (lunch|dinner|breakfast)",
        "after (lunch|dinner|breakfast|work|school)",
    ),
    "task": (
        "call {person}",
        "call the (doctor|bank|office|school|hotel|hospital)",
        "buy {items}",
        "send the {document} to {person}",
        "write (a letter|an email|a message|a report) to {person}",
        "water the garden",
        "clean the {room}",
        "feed the {animal}",
        "read the {to read}",
        "meet {person} at the {place}",
        "pay the (invoice|hotel|doctor)",
        "go to the {place}",
        "visit {person}",
        "cook (dinner|lunch|rice|fish|chicken)",
        "close the (door|window|garage|box)",
        "open the (door|window|garage|box)",
        "check the {document+thing}",
        "bring the {thing}",
        "finish the {document}",
        "walk the dog",
        "print the {document}",
        "help {person}",
    ),
}

RULES = (
    Rule(6, "Remind me to {task} {when}."),
    Rule(3, "Please {task}(.| {when}.)"),
    Rule(3, "(I|We|They|You) (need to|want to|have to|forgot to|will) {task} {when}."),
    Rule(3, "{person} (wants to|has to|will|forgot to|needs to) {task}(.| {when}.)"),
    Rule(4, "The {event} (moved to|is in) room {number}."),
    Rule(3, "The {event} (starts|ends|is) {when}."),
    Rule(2, "The {event} with {person} is {when}."),
    Rule(4, "Buy {items}."),
    Rule(2, "Add {items} to the shopping list."),
    Rule(2, "We need {number} {item+other countable}."),
    Rule(3, "Set a timer for {number} (minutes|seconds|hours)."),
    Rule(3, "Turn (on|off) the {device} in the {room}."),
    Rule(2, "(Open|Close|Check) the {thing} in the {room}."),
    Rule(2, "Send the {document} to {person} and {person}."),
    Rule(
        3,
        "The weather (will be|is|was) {weather} (today|tomorrow|this morning|tonight|next week|in {month}).",
    ),
    Rule(4, "(The number is|My number is|The code is|Call) {digits}."),
    Rule(3, "The {adjective} {thing} is (in|behind|near|under|on) the {thing+room}."),
    Rule(3, "The {thing} in the {room} is {adjective}."),
    Rule(3, "Where is the {adjective} {thing}?"),
    Rule(2, "What time is the {event}(?| (today|tomorrow|on {day})?)"),
    Rule(2, "When does the {event} start?"),
    Rule(2, "How many (apples|bananas|eggs|potatoes|boxes|books|people) do we have?"),
    Rule(2, "Can you {task}?"),
    Rule(2, "Did {person} {task}?"),
    Rule(3, "{person} and {person} are (working|waiting|playing|reading|eating) in the {room}."),
    Rule(
        2,
        "(My|Your|His|Her|Our|Their) (mother|father|brother|sister|friend|teacher|doctor) "
        "(is at the {place}|has a {adjective} {animal+thing}|lives near the {place}).",
    ),
    Rule(2, "The train to the {place} leaves at {hour}."),
    Rule(2, "It is {hour}."),
    Rule(2, "{person} was born in {month}."),
    Rule(2, "My birthday is on the (first|second|third|tenth) of {month}."),
    Rule(2, "(He|She) (said|thinks|knows) that the {thing+event} is (late|early|good|bad|ready|broken)."),
    Rule(
        2,
        "I am (going to the {place}|at the {place}|very tired|very happy|ready)(.| (now|today|again).)",
    ),
    Rule(2, "It costs {number} (dollars|euros|pounds)."),
    Rule(2, "Play some (music|old music|new music) in the {room}."),
    Rule(2, "{counting}."),
    Rule(1, "Do not forget to {task}."),
    Rule(1, "If it is {weather}, we (will|can) go to the {place}."),
    Rule(6, "{fixed sentence}"),
)
