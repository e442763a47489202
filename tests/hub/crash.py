"""Kills what it does at one step after the other: `python -m tests.hub.crash KIND HUB SOURCE`, run by test_crash.

Each step is an operation on a file below the hub, as sys.addaudithook sees it: before it, the process kills itself. It
is forked for each step, so that the libraries are loaded only once. One JSON line for each kill and what was found.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stenod.errors import UserError
from stenod.hub import fetch, making, manifest, placing, store

NAME = "model"
WRITING = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "ctypes.dlsym"}


class Steps:
    """Counts the operations of this process on files below `hub`, and kills it before the one that is due."""

    def __init__(self, hub: str) -> None:
        self._hub = hub
        self.count = 0
        self.due = -1
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.due < 0:
            return
        path = arguments[0] if arguments else ""
        text = os.fsdecode(path) if isinstance(path, str | bytes) else ""
        is_ours = event == "ctypes.dlsym" or self._hub in text or event in {"os.remove", "os.rmdir"}  # rmtree: relative
        is_write = event in WRITING or (event == "open" and isinstance(arguments[1], str) and arguments[1] != "r")
        if is_ours and is_write:
            self.count += 1
            if self.count == self.due:
                os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], None]) -> int:
    """Do the work in a copy of this process; return 0, or the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - the copy must not go on as if it were the original
            print(f"failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main(kind: str, hub: str, source: str) -> None:
    steps = Steps(hub)
    keep, own, no_exchange = "keep" in kind, "own" in kind, "rename" in kind
    if no_exchange:
        placing._exchange = lambda _one, _other: False  # type: ignore[assignment]
    target = os.path.join(hub, NAME)
    wanted = fetch.Request(
        name=NAME, hub=hub, compute_type="int8", source=target if own else source, keep_original=keep
    )  # fmt: skip

    def prepare() -> None:
        shutil.rmtree(hub, ignore_errors=True)
        os.makedirs(hub)
        if own:
            shutil.copytree(source, target)

    def make(due: int) -> Callable[[], None]:
        def work() -> None:
            steps.due = due
            making.make(wanted, lambda _progress: None)
            if due == 10**9:
                (Path(hub).parent / "count").write_text(str(steps.count))

        return work

    prepare()
    assert forked(make(10**9)) == 0
    total = int((Path(hub).parent / "count").read_text())
    # Every one from the moment that the model is ready; of those before, some.
    for step in [*range(1, total - 24, 8), *range(max(1, total - 24), total + 1)]:
        prepare()
        assert forked(make(step)) == signal.SIGKILL, step
        found = store.resolve(NAME, hub, "int8")
        if own and not no_exchange:
            assert found is not None, step
        check(found, step)
        # The start after it is killed, too, before it comes to its end.
        forked(tidied(hub, steps, 1 + step % 4))
        lines = placing.tidy(hub)
        assert all("cannot" not in line for line in lines), lines
        found = store.resolve(NAME, hub, "int8")
        assert found is not None or not own, step
        check(found, step)
        if found is None or not found.is_int8:
            assert forked(make(10**8)) == 0, step
            found = store.resolve(NAME, hub, "int8")
        assert found is not None
        assert found.is_int8
        check(found, step)
        originals = [f"{NAME}-original"] if keep and own else []
        assert sorted(os.listdir(hub)) == [NAME, *originals], (step, os.listdir(hub))
        for original in originals:
            assert manifest.check(os.path.join(hub, original), thorough=True) == manifest.Check((), has_manifest=True)
    print(json.dumps({"steps": total}))


def tidied(hub: str, steps: Steps, due: int) -> Callable[[], None]:
    def work() -> None:
        steps.due = due
        placing.tidy(hub)

    return work


def check(found: store.Entry | None, step: int) -> None:
    """See that it is none or a whole one."""
    if found is not None:
        assert manifest.check(found.folder, thorough=True).problems == (), step


def run() -> NoReturn:
    with contextlib.suppress(UserError):
        main(*sys.argv[1:])
        sys.exit(0)
    sys.exit(1)


if __name__ == "__main__":
    run()
