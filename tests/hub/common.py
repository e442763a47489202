"""What the tests of fetching share."""

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stenod.hub import fetch, manifest, store

NAME = "model"
PATIENCE_SECONDS = 30.0
Message = fetch.Progress | fetch.Fetched | fetch.Failed


def request(hub: Path, *repositories: str, **more: Any) -> fetch.Request:
    values: dict[str, Any] = {"name": NAME, "hub": str(hub), "compute_type": "int8", "repositories": repositories}
    return fetch.Request(**(values | more))


def silent(_progress: fetch.Progress) -> None:
    """Take a report."""


def refused(wanted: fetch.Request) -> fetch.FetchError:
    """Return the error that the request ends with: clear, and no library's."""
    return _error(fetch.run, wanted)


def refused_here(wanted: fetch.Request) -> fetch.FetchError:
    """Do what `refused` does without a process of its own."""
    return _error(fetch.fetch, wanted)


def _error(make: Callable[[fetch.Request, fetch.Report], fetch.Fetched], wanted: fetch.Request) -> fetch.FetchError:
    with pytest.raises(fetch.FetchError) as caught:
        make(wanted, silent)
    for line in caught.value.lines():
        assert not any(word in line for word in ("Traceback", "Error:", "httpx", "huggingface_hub", "\n"))
        assert len(line) < 400
    return caught.value


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check_whole(folder: Path, form: str = "int8") -> manifest.Manifest:
    """Check that a model is whole, every byte of it, with nothing in its folder that does not belong there."""
    assert manifest.check(str(folder), thorough=True).problems == ()
    noted = manifest.read(str(folder))
    assert noted is not None
    assert noted.form == form
    assert store.describe(str(folder), folder.name, "plain").problems == ()
    assert store.describe(str(folder), folder.name, "plain").form == form
    assert everything(folder) == sorted([*noted.files, manifest.FILE])
    return noted


class Mailbox:
    """What a fetch posts."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.seen: list[Message] = []

    def post(self, message: Message) -> None:
        self._messages.put(message)

    def wait_for(self, condition: Callable[[Message], bool]) -> Message:
        while True:
            message = self._messages.get(timeout=PATIENCE_SECONDS)
            self.seen.append(message)
            if condition(message):
                return message
            assert isinstance(message, fetch.Progress), message

    def step(self, step: fetch.Step, done_bytes: int = 0) -> Message:
        """Wait until it is at this step, so far into it."""
        return self.wait_for(
            lambda message: (
                isinstance(message, fetch.Progress) and message.step == step and message.done_bytes >= done_bytes
            )
        )

    def end(self) -> fetch.Fetched | fetch.Failed:
        """Wait for the end, and see that nothing comes after it."""
        message = self.wait_for(lambda message: not isinstance(message, fetch.Progress))
        time.sleep(0.1)
        assert self._messages.empty()
        assert not isinstance(message, fetch.Progress)
        return message
