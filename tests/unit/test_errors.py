"""What is told to a person: always a line that a terminal can show."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod.errors import UserError, os_error_text, printable
from tests.unit import build


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.mp3", "plain name.mp3"),
        ("Käthe 会議 😀.mp3", "Käthe 会議 😀.mp3"),
        ("", ""),
        ("two\nlines", "two\\nlines"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        ("line\u2028separator", "line\\u2028separator"),
        ("\u202egpj.exe", "\\u202egpj.exe"),  # right-to-left: the name is shown as it is
        ("\U000e0041", "\\U000e0041"),
        ("\udcff\udc80.mp3", "\\xff\\x80.mp3"),
        (b"\xff\x80.mp3", "\\xff\\x80.mp3"),
        ("K\u00e4the".encode(), "Käthe"),
        ("\ud800", "\\ud800"),  # no file name can give this, a configuration can
    ],
)
def test_printable(name: str | bytes, shown: str) -> None:
    assert printable(name) == shown


anything = st.text(st.characters(codec=None, categories=None))


@given(st.one_of(anything, st.binary(), st.sampled_from(build.DIFFICULT_NAMES)))
def test_printable_gives_one_line_that_can_be_encoded_and_is_stable(name: str | bytes) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert printable(shown) == shown


def test_a_user_error_is_its_message_a_bullet_per_problem_and_what_to_do() -> None:
    error = UserError("it is wrong", problems=["one", "two"], next_step="Put it right.")
    assert str(error) == error.message == "it is wrong"
    assert error.lines() == ["it is wrong", "  - one", "  - two", "  Put it right."]
    assert UserError("it is wrong").lines() == ["it is wrong"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "Permission denied"),
        (OSError("told in its own way"), "OSError"),
        (FileNotFoundError(), "FileNotFoundError"),
    ],
)
def test_what_the_system_says_without_number_and_path(error: OSError, text: str) -> None:
    assert os_error_text(error) == text
