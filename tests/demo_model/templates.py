"""Sentence templates: a tiny notation for random sentences over a closed vocabulary.

A template is text with two kinds of gaps:

- `{slot}` draws one entry of the slot and expands it, if it is a template itself; `{one+other}` draws from the entries
  of both slots, one after the other.
- `(this|that|)` expands all its alternatives, from left to right, and then draws one.

Both matter for reproducibility, since the held-out sentences are found again only if the random numbers are drawn in
the same order: of a slot only the chosen entry is expanded, of the alternatives in parentheses all are.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

Slot = tuple[str, ...] | Callable[[Random], str]
"""What a gap is filled with: one of these templates, or what the function draws."""

_PIECE = re.compile(r"\{[^{}]*\}|[(|)]|[^{}(|)]+")


@dataclass(frozen=True)
class Rule:
    """A kind of sentence; `weight` says how often it is drawn, relative to the weights of the other rules."""

    weight: int
    template: str


@dataclass(frozen=True)
class _Gap:
    """`{one+other}`: the names of the slots to draw from."""

    slots: tuple[str, ...]


@dataclass(frozen=True)
class _Alternatives:
    """`(this|that)`: the parsed alternatives."""

    alternatives: tuple["_Parsed", ...]


_Parsed = tuple[str | _Gap | _Alternatives, ...]


def expand(template: str, slots: Mapping[str, Slot], random: Random) -> str:
    """A random sentence of this template."""
    return _expand(_parse(template), slots, random)


def _expand(parts: _Parsed, slots: Mapping[str, Slot], random: Random) -> str:
    return "".join(_expand_part(part, slots, random) for part in parts)


def _expand_part(part: str | _Gap | _Alternatives, slots: Mapping[str, Slot], random: Random) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, _Alternatives):
        return random.choice([_expand(alternative, slots, random) for alternative in part.alternatives])
    contents = [slots[name] for name in part.slots]
    if len(contents) == 1 and callable(contents[0]):
        return contents[0](random)
    entries: list[str] = []
    for content in contents:
        if callable(content):
            raise TypeError(f"a slot that draws by itself cannot be joined to others: {'+'.join(part.slots)}")
        entries.extend(content)
    return expand(random.choice(entries), slots, random)


@functools.cache
def _parse(template: str) -> _Parsed:
    pieces = _PIECE.findall(template)
    if "".join(pieces) != template:
        raise ValueError(f"a brace without its partner in the template {template!r}")
    pieces.reverse()
    parsed = _parse_sequence(pieces)
    if pieces:
        raise ValueError(f"a parenthesis without its partner in the template {template!r}")
    return parsed


def _parse_sequence(pieces: list[str]) -> _Parsed:
    """Take pieces off the end of the list, up to the end of the alternative they belong to."""
    parts: list[str | _Gap | _Alternatives] = []
    while pieces and pieces[-1] not in {"|", ")"}:
        piece = pieces.pop()
        if piece == "(":
            parts.append(_parse_alternatives(pieces))
        elif piece.startswith("{"):
            parts.append(_Gap(tuple(piece[1:-1].split("+"))))
        else:
            parts.append(piece)
    return tuple(parts)


def _parse_alternatives(pieces: list[str]) -> _Alternatives:
    """Take pieces off the end of the list, up to the parenthesis that closes these alternatives."""
    alternatives = [_parse_sequence(pieces)]
    while pieces:
        if pieces.pop() == ")":
            return _Alternatives(tuple(alternatives))
        alternatives.append(_parse_sequence(pieces))
    raise ValueError("a parenthesis without its partner in a template")
