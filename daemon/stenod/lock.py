"""One daemon for one ledger: an exclusive flock(2) on a file in the state folder. The kernel lets go of it at death."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import TextIO

from stenod.errors import UserError, os_error_text, printable


@contextlib.contextmanager
def hold(state: str) -> Iterator[None]:
    """Hold the state folder against a second daemon. Raise UserError if there is one, or no such folder can be made."""
    path = os.path.join(state, "lock")
    try:
        os.makedirs(state, mode=0o700, exist_ok=True)
        file = open(path, "a+", encoding="ascii")  # noqa: SIM115 - held until the service ends
    except OSError as error:
        raise UserError(
            f"the state folder {printable(state)} cannot be used: {os_error_text(error)}",
            next_step="Set `state:` in the configuration to a folder that stenod may write.",
        ) from error
    with file:
        _take(file, state)
        yield


def _take(file: TextIO, state: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise UserError(
            f"another stenod (process {holder}) is at work on {printable(state)}",
            next_step="Stop it first, or give this one another `state:` folder.",
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
