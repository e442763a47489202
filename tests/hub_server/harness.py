"""The server as a test sees it: a process that is scripted, and whose log is read."""

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.hub_server.messages import Fault, Logged, Ready, Script

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 15.0


class HubServer:
    """A context manager: the server runs inside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._requests: list[Logged] = []
        self._answers: queue.SimpleQueue[Ready] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hub_server", "--root", str(self.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            ready = self._answers.get(timeout=PATIENCE_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.url, self.files_url = ready.url, ready.files_url
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            message = msgspec.json.decode(line, type=Ready | Logged)
            if isinstance(message, Ready):
                self._answers.put(message)
            else:
                self._requests.append(message)

    def obey(self, *faults: Fault, **more: list[str]) -> None:
        """Behave like that from now on, and forget what was asked so far."""
        assert self._process.stdin
        script = Script(faults=list(faults), **more)
        self._process.stdin.write(msgspec.json.encode(script) + b"\n")
        self._process.stdin.flush()
        self._answers.get(timeout=PATIENCE_SECONDS)
        self._requests.clear()

    def asked(self, path: str = "") -> list[Logged]:
        """Return the requests, answered by now, whose path contains `path`."""
        time.sleep(0.1)  # the client may have its answer before it stands in the log
        return [request for request in self._requests if path in request.path]

    def sent_bytes(self, path: str) -> int:
        """Return how much of the files whose path contains `path` has been sent."""
        return sum(request.body_bytes for request in self.asked(path))
