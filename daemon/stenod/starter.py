"""A first configuration: the shipped example with folders of its own."""

import os

from stenod import bundled
from stenod.errors import UserError, os_error_text, printable

FILE = "stenod.yaml"
FOLDERS = ("inbox", "outbox", "hub", "state")

# Lines of the example, and what stands there in a configuration with its folders beside it.
_CHANGES = (
    (
        "Valid as it is; every key but `inboxes` may be left out, and shows its default here.\n",
        "Made by `stenod init`. Every key but `inboxes` may be left out.\n",
    ),
    ("  - path: ~/recordings  ", "  - path: inbox         "),
    ("    name: recordings  ", "    name: inbox       "),
    ("    outbox: beside  ", "    outbox: outbox  "),
    ("    settle: 10s ", "    settle: 5s  "),
    ("# state: ~/.local/state/stenod\n", "state: state\n"),
    ("# hub: ~/.local/state/stenod/hub\n", "hub: hub\n"),
)


def make(folder: str) -> str:
    """Write a working configuration into `folder`, make the folders that it names, and return its path.

    Raise UserError if there is one already, or the folder cannot be written.
    """
    base = os.path.abspath(folder)
    path = os.path.join(base, FILE)
    with open(bundled.EXAMPLE_CONFIG, encoding="utf-8") as file:
        text = file.read()
    for before, after in _CHANGES:
        text = text.replace(before, after, 1)
    if os.path.lexists(path):
        raise UserError(
            f"{printable(path)} is there already, and is left as it is",
            next_step=f"Start the service with it: stenod run --config {printable(path)}",
        )
    try:
        for name in FOLDERS:
            os.makedirs(os.path.join(base, name), exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{printable(str(error.filename))} cannot be made: {os_error_text(error)}") from error
    return path
