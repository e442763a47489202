"""How much of a text came out wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod import words
from stenod.words import Errors


@pytest.mark.parametrize(
    ("reference", "text", "wrong", "total"),
    [
        ("", "", 0, 0),
        ("one", "one", 0, 1),
        ("One, two!", "one two", 0, 2),
        ("one two three", "one three", 1, 3),  # left out
        ("one two three", "one two or three", 1, 3),  # put in
        ("one two three", "one too three", 1, 3),  # another word
        ("one two three", "", 3, 3),
        ("", "one two", 2, 0),
        ("...", "one", 1, 0),
        ("one two", "three four five", 3, 2),
        ("o'clock", "oclock", 0, 1),
        ("Äpfel und Eier.", "äpfel UND eier", 0, 3),
        ("two\nlines", "two  lines", 0, 2),
        ("Käthe 会議", "Käthe 会議", 0, 2),
    ],
)
def test_compare(reference: str, text: str, wrong: int, total: int) -> None:
    assert words.compare(reference, text) == Errors(wrong, total)


@pytest.mark.parametrize(("errors", "rate"), [(Errors(0, 0), 0.0), (Errors(1, 4), 0.25), (Errors(3, 0), 3.0)])
def test_rate(errors: Errors, rate: float) -> None:
    assert errors.rate == rate


def test_errors_add_up() -> None:
    assert Errors(1, 4) + Errors(2, 6) == Errors(3, 10)


spoken = st.lists(st.text("abcä", min_size=1, max_size=3), max_size=8).map(" ".join)


@given(spoken, spoken)
def test_the_same_is_right_and_nothing_can_be_worse_than_all_wrong(reference: str, text: str) -> None:
    assert words.compare(reference, reference).wrong == 0
    errors = words.compare(reference, text)
    assert (errors.wrong == 0) == (reference == text)
    assert 0 <= errors.wrong <= max(len(reference.split()), len(text.split()))
    assert errors.total == len(reference.split())
