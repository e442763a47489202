"""Makes a model whole in the hub, in a process of its own: looked up, downloaded, quantised, put in its place.

`start` (for the daemon) and `run` (for the command line) start `python -m stenod.hub.fetch`: the libraries that it
takes, huggingface_hub and numpy, are never loaded into the daemon. The process may be killed at any moment, and ends by
itself when its input closes. What it does is in `making`, what it leaves at a kill is finished or undone by `placing`.
"""

import collections
import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, Literal, NoReturn, TypeAlias

import msgspec

from stenod.errors import UserError, printable
from stenod.hub import placing

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.2
STOP_SECONDS = 2.0
STDERR_LINES = 20
# Read when huggingface_hub is imported.
_SETTINGS = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

Step: TypeAlias = Literal["looking", "downloading", "quantising", "verifying"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Which model to make whole. Either `repositories` to try, the best first, or a local float model, `source`.

    A source that is the hub's own model of that name is replaced by its int8 form, and one in Hugging Face's cache
    layout in the hub is removed; both stay if `keep_original`. A source anywhere else always stays.
    """

    name: str
    hub: str
    compute_type: str
    repositories: tuple[str, ...] = ()
    source: str = ""
    copy: bool = False  # of `source`, also if it is int8 already
    keep_original: bool = False
    revision: str = ""  # a branch, tag or commit of the repository; '': its newest
    offline: bool = False


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far it is. `text` says what is being done, for a person."""

    step: Step
    done_bytes: int
    total_bytes: int
    text: str


class Fetched(msgspec.Struct, frozen=True, tag="fetched"):
    """The model is whole in `folder`. `text` says what was done, for a person."""

    folder: str
    repository: str
    revision: str
    form: str
    text: str = ""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It did not work out. `retryable`: the same may well work later, without anybody changing anything."""

    message: str
    problems: tuple[str, ...] = ()
    next_step: str = ""
    retryable: bool = False


class FetchError(UserError):
    """A model cannot be fetched."""

    def __init__(
        self, message: str, *, problems: tuple[str, ...] = (), next_step: str = "", retryable: bool = False
    ) -> None:
        super().__init__(message, problems=problems, next_step=next_step)
        self.retryable = retryable


Report: TypeAlias = Callable[[Progress], None]
Post: TypeAlias = Callable[[Progress | Fetched | Failed], None]


def fetch(request: Request, report: Report) -> Fetched:
    """Make the model whole, in this process (which gets huggingface_hub and numpy). Raise UserError."""
    os.environ.update(_SETTINGS)
    if request.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from stenod.hub import making  # noqa: PLC0415

    return making.make(request, report)


def run(request: Request, report: Report) -> Fetched:
    """Do what `fetch` does, in a process of its own, and wait for it. It ends when this process does."""
    child = Fetch(request)
    try:
        end = child.listen(report)
    except BaseException:
        child.stop()
        raise
    if isinstance(end, Failed):
        raise FetchError(end.message, problems=end.problems, next_step=end.next_step, retryable=end.retryable)
    return end


def start(request: Request, post: Post) -> "Fetch":
    """Do what `fetch` does, in a process of its own, and come back at once. Raise OSError if it cannot be started.

    A thread posts each `Progress` and, at the end, exactly one `Fetched` or `Failed`, whatever becomes of the process.
    """
    child = Fetch(request)
    threading.Thread(target=lambda: post(child.listen(post)), name="fetch-pipe", daemon=True).start()
    return child


class Fetch:
    """The process that fetches."""

    def __init__(self, request: Request) -> None:
        self._name = request.name
        self._stopped = False
        self._errors: collections.deque[str] = collections.deque(maxlen=STDERR_LINES)
        paths = {key: os.path.abspath(path) for key, path in (("hub", request.hub), ("source", request.source)) if path}
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "stenod.hub.fetch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._popen.stdin is not None  # noqa: S101 - a pipe, as asked for
        assert self._popen.stderr is not None  # noqa: S101 - likewise
        threading.Thread(target=self._read_errors, args=(self._popen.stderr,), name="fetch-pipe", daemon=True).start()
        with contextlib.suppress(BrokenPipeError):  # it died at once: `listen` tells
            self._popen.stdin.write(_encode(msgspec.structs.replace(request, **paths)))
            self._popen.stdin.flush()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._popen.pid

    def stop(self) -> None:
        """End it, within seconds. What has been downloaded stays for the next attempt."""
        self._stopped = True
        assert self._popen.stdin is not None  # noqa: S101 - a pipe, as asked for
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def listen(self, report: Report) -> Fetched | Failed:
        """Pass on each `Progress` until the process ends, and return how it ended."""
        end: Fetched | Failed | None = None
        assert self._popen.stdout is not None  # noqa: S101 - a pipe, as asked for
        with self._popen.stdout as pipe:
            for line in pipe:
                if not line.endswith(b"\n"):  # killed while it wrote
                    break
                message = _decode(line)
                if isinstance(message, Progress):
                    report(message)
                else:
                    end = message
        code = self._popen.wait()
        assert self._popen.stdin is not None  # noqa: S101 - a pipe, as asked for
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()
        if end is not None:
            return end
        if self._stopped:
            return Failed(f"fetching model {self._name!r} was stopped", retryable=True)
        problem = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return Failed(
            f"fetching model {self._name!r} was broken off ({problem})",
            problems=tuple(self._errors)[-1:],
            next_step="The next attempt goes on where it stopped.",
            retryable=True,
        )

    def _read_errors(self, pipe: BinaryIO) -> None:
        with pipe:
            for line in pipe:
                text = printable(line.rstrip())
                self._errors.append(text)
                log.debug("fetch: %s", text)


def tidy(hub: str) -> list[str]:
    """Finish or undo what killed processes left in the hub: see `placing.tidy`. To be called at every start."""
    return placing.tidy(hub)


def main() -> None:
    """Serve `Fetch`: a request on standard input, messages on standard output, a JSON line each."""
    # What libraries print must not break the protocol: it gets a descriptor of its own, and 1 becomes 2.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    with open(0, "rb", buffering=0, closefd=False) as pipe:
        request = msgspec.convert(json.loads(pipe.readline()), type=Request)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    said: tuple[float, str, str] = (0.0, "", "")

    def report(progress: Progress) -> None:
        nonlocal said
        now, is_done = time.monotonic(), progress.done_bytes == progress.total_bytes
        if is_done or said[1:] != (progress.step, progress.text) or now - said[0] >= REPORT_SECONDS:
            said = (now, progress.step, progress.text)
            output.write(_encode(progress))

    end: Fetched | Failed
    try:
        end = fetch(request, report)
    except UserError as error:
        end = Failed(error.message, error.problems, error.next_step, getattr(error, "retryable", False))
    output.write(_encode(end))


def _end_with_parent() -> NoReturn:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _encode(message: msgspec.Struct) -> bytes:
    return json.dumps(msgspec.to_builtins(message)).encode("ascii") + b"\n"  # a path may hold what UTF-8 cannot


def _decode(line: bytes) -> Progress | Fetched | Failed:
    return msgspec.convert(json.loads(line), type=Progress | Fetched | Failed)


if __name__ == "__main__":
    # By its real name, so that the classes here are the ones that `making` imports.
    importlib.import_module("stenod.hub.fetch").main()
