"""Lengths of time and sizes as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod.units import Duration, Size

EXAMPLE = "write a number with a unit, for example 5s, 10min or 1h30m"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("500ms", 0.5),
        ("0s", 0.0),
        ("2m", 120.0),
        ("2min", 120.0),
        ("30sec", 30.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1h 30min 5s", 5405.0),
        ("  1 h  30 m ", 5400.0),
        ("1.5h", 5400.0),
        ("0.25 s", 0.25),
        ("10S", 10.0),
        ("2 MIN", 120.0),
        ("30m1h", 5400.0),
        ("007s", 7.0),
        (0, 0.0),
        (0.0, 0.0),
    ],
)
def test_what_is_a_length_of_time(text: object, seconds: float) -> None:
    duration = Duration.parse(text)
    assert isinstance(duration, Duration)
    assert duration == seconds


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (5, "has no unit"),
        (-5, "has no unit"),
        (0.5, "has no unit"),
        ("5", "is not a length of time"),
        ("s", "is not a length of time"),
        ("-5s", "is not a length of time"),
        ("5 parsecs", "is not a length of time"),
        ("5s and more", "is not a length of time"),
        ("5s,", "is not a length of time"),
        ("1:30", "is not a length of time"),
        ("1,5h", "is not a length of time"),
        (".5h", "is not a length of time"),
        ("5µs", "is not a length of time"),
        ("infinite", "is not a length of time"),
        ("1e3s", "is not a length of time"),
        ("5 5s", "is not a length of time"),
        ("", "is empty"),
        ("   ", "is empty"),
        (True, "is not a length of time"),
        (None, "is not a length of time"),
        (["5s"], "is not a length of time"),
        ({"s": 5}, "is not a length of time"),
    ],
)
def test_what_is_none(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        Duration.parse(value)
    assert str(raised.value) == f"{problem}: {EXAMPLE}"


def test_what_no_clock_can_count_is_none() -> None:
    with pytest.raises(ValueError, match="length of time"):
        Duration.parse("9" * 400 + "s")


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.sampled_from(["", " "]))
def test_parts_add_up(hours: int, minutes: int, seconds: int, space: str) -> None:
    text = f"{hours}h{space}{minutes}min{space}{seconds}s"
    assert Duration.parse(text) == float(hours * 3600 + minutes * 60 + seconds)


@given(st.text(st.sampled_from("0123456789.hmsdin -"), max_size=12))
def test_any_text_gives_a_length_or_a_reason(text: str) -> None:
    duration, reason = Duration(0), EXAMPLE
    try:
        duration = Duration.parse(text)
    except ValueError as error:
        reason = str(error)
    assert reason.endswith(EXAMPLE)
    assert 0.0 <= duration < math.inf


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("0B", 0),
        (0, 0),
        ("1B", 1),
        ("500MB", 500_000_000),
        ("20GB", 20_000_000_000),
        ("1.5 GB", 1_500_000_000),
        ("20GiB", 20 * 2**30),
        ("1kib", 1024),
        ("1kB", 1000),
        ("2TB", 2 * 10**12),
        ("1TiB", 2**40),
        (" 5 mb ", 5_000_000),
        ("0.5B", 0),
    ],
)
def test_what_is_a_size(written: object, size: int) -> None:
    parsed = Size.parse(written)
    assert isinstance(parsed, Size)
    assert parsed == size


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (5, "has no unit"),
        (-5, "has no unit"),
        (2.5, "has no unit"),
        ("5", "is not a size"),
        ("GB", "is not a size"),
        ("-5GB", "is not a size"),
        ("5 GB or so", "is not a size"),
        ("5GB 5MB", "is not a size"),
        ("5s", "is not a size"),
        ("5PB", "is not a size"),
        ("", "is not a size"),
        (True, "is not a size"),
        (None, "is not a size"),
        (["5GB"], "is not a size"),
    ],
)
def test_what_is_no_size(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        Size.parse(value)
    assert str(raised.value) == f"{problem}: write a number with a unit, for example 500MB or 20GB"
