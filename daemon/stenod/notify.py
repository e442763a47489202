"""Telling systemd how the service is (sd_notify(3)). Silent where there is no NOTIFY_SOCKET."""

import logging
import os
import unicodedata

import sdnotify

log = logging.getLogger(__name__)


class Notifier:
    """Sends the states of a service to its manager. Never waits for it: a manager that is stuck holds nothing up."""

    def __init__(self) -> None:
        self._notifier: sdnotify.SystemdNotifier | None = None
        self._status = ""
        if "NOTIFY_SOCKET" not in os.environ:
            return
        try:
            self._notifier = sdnotify.SystemdNotifier(debug=True)  # "debug": raise what goes wrong
            self._notifier.socket.settimeout(0)  # a full queue (net.unix.max_dgram_qlen) would block for ever
        except OSError as error:
            log.warning("systemd cannot be told anything: NOTIFY_SOCKET: %s", error.strerror)

    def ready(self) -> None:
        """The inboxes are watched."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line what the service is doing. Sent only when it differs from the last one that went out."""
        if text != self._status and self._send(f"STATUS={ascii_line(text)}"):
            self._status = text

    def _send(self, state: str) -> bool:
        if self._notifier is None:
            return False
        try:
            self._notifier.notify(state)
        except OSError:
            return False
        return True


def ascii_line(text: str) -> str:
    """Return `text` as one line of ASCII: sdnotify encodes Latin-1 and cannot send what does not fit."""
    letters = (character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character))
    plain = "".join(letters).encode("ascii", "replace").decode("ascii")
    return " ".join(plain.split())
