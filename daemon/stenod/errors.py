"""What is told to a person: one line, what is wrong in detail, what to do next."""

import os
from collections.abc import Sequence


class UserError(Exception):
    """Something that the user can put right.

    `message` is one line that says what is wrong and where; `problems` are its details, a line each;
    `next_step` says what to do. It is shown without a traceback. Anything that is not a UserError is a bug.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = (), next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.next_step = next_step

    def lines(self) -> list[str]:
        """Return the error as lines of plain text: the message, a bullet per problem, the next step."""
        return [
            self.message,
            *(f"  - {problem}" for problem in self.problems),
            *([f"  {self.next_step}"] if self.next_step else []),
        ]


def os_error_text(error: OSError) -> str:
    """Return what the system says of `error`, without its number and path: 'No space left on device'."""
    return error.strerror or type(error).__name__


def printable(name: str | bytes) -> str:
    """Return a file name as one line that any terminal or log can show.

    Control characters and line breaks are escaped, and so are bytes that are not UTF-8 (surrogates, PEP 383).
    """
    text = os.fsdecode(name)
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
