"""Telling systemd how the service is (sd_notify(3)). Silent where there is no NOTIFY_SOCKET."""

import unicodedata

import sdnotify


class Notifier:
    """Sends the states of a service to its manager. Repeats nothing."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._status = ""

    def ready(self) -> None:
        """The inboxes are watched."""
        self._notifier.notify("READY=1")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._notifier.notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line what the service is doing. Sent only when it differs from the last."""
        if text != self._status:
            self._status = text
            self._notifier.notify(f"STATUS={ascii_line(text)}")


def ascii_line(text: str) -> str:
    """Return `text` as one line of ASCII: sdnotify encodes Latin-1 and drops silently what does not fit."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode("ascii")
    return " ".join(plain.split())
