"""How a finished model gets its name in the hub, so that there is a whole one or none at every moment.

It is made in a hidden folder of the hub, one for each model, held with flock(2) by the process that makes it:

    .stenod-fetch-NAME/parts/      files that are not there in full, named by their content: the next attempt goes on
    .stenod-fetch-NAME/download/   files that are there
    .stenod-fetch-NAME/quantized/  their int8 form
    .stenod-fetch-NAME/ready.json  from here on the model is whole; `place` does the rest, as often as it takes
"""

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from typing import Literal, TextIO

import msgspec

from stenod import durable
from stenod.errors import UserError, os_error_text, printable
from stenod.hub import manifest, store

log = logging.getLogger(__name__)

PREFIX = f"{store.DOT_PREFIX}fetch-"  # of the work folder
PARTS = "parts"
DOWNLOAD = "download"
QUANTIZED = "quantized"
ORIGINAL = "-original"  # the end of the name of a float model that was kept
_READY, _LOCK, _OLD, _OLD_ORIGINAL = "ready.json", "lock", "old", "old-original"


class BusyError(UserError):
    """Another process is at work on this model."""

    retryable = True


class Ready(msgspec.Struct, frozen=True):
    """A whole model in the work folder, to be put in its place."""

    folder: str  # its name in the hub
    made: str  # which folder of the work folder it is: DOWNLOAD or QUANTIZED
    manifest: manifest.Manifest  # what it is known by
    keep: Literal["", "download", "replaced"] = ""  # what becomes FOLDER-original


def work_folder(hub: str, folder: str) -> str:
    """Return where the model that is to be `folder` in the hub is worked on."""
    return os.path.join(hub, PREFIX + folder)


@contextlib.contextmanager
def claim(work: str) -> Iterator[None]:
    """Hold the work folder, made if need be. Raise BusyError if another process holds it, OSError if it cannot be."""
    while True:
        os.makedirs(work, exist_ok=True)
        try:
            file = open(os.path.join(work, _LOCK), "a+", encoding="ascii")  # noqa: SIM115 - held until it is given back
        except FileNotFoundError:  # its holder has just finished, and removed it
            continue
        with file:
            _lock(file, work)
            if os.fstat(file.fileno()).st_nlink:  # else: likewise
                yield
                return


def _lock(file: TextIO, work: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder, model = file.read().strip() or "unknown", printable(os.path.basename(work).removeprefix(PREFIX))
        raise BusyError(
            f"model {model} is being made by another process ({holder})",
            next_step="Wait until it is done, or end that process.",
        ) from None
    except OSError:  # a file system without locks
        return
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()


def is_held(work: str) -> bool:
    """Tell whether a process is at work in this work folder. Raise OSError if that cannot be found out."""
    try:
        with open(os.path.join(work, _LOCK), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def place(hub: str, work: str) -> bool:
    """Give the model that lies ready in `work`, held by the caller, its name in the hub, and remove `work`.

    Return whether there was one. Every step can be the last (a crash, a power cut): called again, it goes on. A whole
    model of the same name is replaced at once where the file system can (RENAME_EXCHANGE); a damaged one is set aside.
    """
    try:
        with open(os.path.join(work, _READY), "rb") as file:
            ready = msgspec.json.decode(file.read(), type=Ready)
    except FileNotFoundError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):  # it comes into being whole: a damaged disk
        os.unlink(os.path.join(work, _READY))
        return False
    target, made, old = os.path.join(hub, ready.folder), os.path.join(work, ready.made), os.path.join(work, _OLD)
    if not _is(target, ready.manifest):
        if not _is(made, ready.manifest):  # somebody has been at it
            if os.path.lexists(old) and not os.path.lexists(target):
                os.rename(old, target)
            os.unlink(os.path.join(work, _READY))
            return False
        _make_way(target)
        _put(made, target, old)
        durable.sync_folder(hub)
        durable.sync_folder(work)
    if ready.keep:
        candidates = [os.path.join(work, DOWNLOAD)] if ready.keep == "download" else [made, old]
        for original in filter(os.path.lexists, candidates):
            kept = os.path.join(hub, ready.folder + ORIGINAL)
            if os.path.lexists(kept):
                delete(os.path.join(work, _OLD_ORIGINAL))
                os.rename(kept, os.path.join(work, _OLD_ORIGINAL))
            os.rename(original, kept)
            durable.sync_folder(hub)
    clear(work)
    return True


def _is(folder: str, wanted: manifest.Manifest) -> bool:
    try:
        return manifest.read(folder) == wanted
    except UserError:
        return False


def _make_way(target: str) -> None:
    """Set aside what is at `target`, unless it is a whole model. Raise UserError if it is no folder."""
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        raise UserError(f"{printable(target)} is in the way: it is not a folder", next_step="Move it elsewhere.")
    entry = store.describe(target, os.path.basename(target), "plain")
    if entry.problems:
        try:
            os.rmdir(target)  # nothing in it
        except OSError:
            log.warning("%s is damaged and set aside as %s", printable(target), printable(store.set_aside(entry)))


def _put(made: str, target: str, old: str) -> None:
    """Rename `made` to `target`. A folder that is there goes to `made` at the same moment, or to `old` just before."""
    if not os.path.lexists(target):
        os.rename(made, target)
    elif not _exchange(made, target):
        os.rename(target, old)
        os.rename(made, target)


def _exchange(one: str, other: str) -> bool:
    """Exchange two names at once, as renameat2(2) does. Return False if this system or file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
        return False
    raise OSError(code, os.strerror(code), other)


def commit(work: str, ready: Ready) -> None:
    """Say that the model is whole. From here on `place` can finish."""
    durable.sync_folder(os.path.join(work, ready.made))
    path = os.path.join(work, _READY)
    with open(f"{path}.tmp", "wb") as file:
        file.write(msgspec.json.encode(ready))
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.tmp", path)
    durable.sync_folder(work)


def delete(path: str) -> None:
    """Remove a folder with all that is in it; of a link only the link. Nothing there is fine."""
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def clear(work: str) -> None:
    """Remove the work folder, held by the caller: what says what to do goes last."""
    for name in sorted(os.listdir(work), key=lambda name: (name == _LOCK, name == _READY)):
        delete(os.path.join(work, name))
    with contextlib.suppress(OSError):  # another process has just claimed it
        os.rmdir(work)


def tidy(hub: str) -> list[str]:
    """Finish or undo in `hub` what killed processes left, and return what was done, a line each.

    To be called at every start. What is being fetched now is let alone, and so is what the next attempt goes on with.
    """
    lines: list[str] = []
    for name in sorted(os.listdir(hub)) if os.path.isdir(hub) else []:
        work = os.path.join(hub, name)
        if not name.startswith(PREFIX) or os.path.islink(work) or not os.path.isdir(work):
            continue
        model = printable(name.removeprefix(PREFIX))
        try:
            with claim(work):
                if place(hub, work):
                    lines.append(f"model {model}: an interrupted fetch is finished")
                else:
                    undo(work)
        except BusyError as error:
            log.debug("%s", error.message)
        except (OSError, UserError) as error:
            text = os_error_text(error) if isinstance(error, OSError) else error.message
            lines.append(f"model {model}: what an interrupted fetch left in {printable(work)} cannot be tidied: {text}")
    return lines


def undo(work: str) -> None:
    """Remove from `work`, held by the caller, what no attempt goes on with, unless `place` does."""
    if not os.path.isdir(work) or os.path.exists(os.path.join(work, _READY)):
        return
    for name in os.listdir(work):
        if name not in {_LOCK, "parts", DOWNLOAD}:
            delete(os.path.join(work, name))
    if not any(
        os.path.isdir(folder) and os.listdir(folder)
        for folder in (os.path.join(work, "parts"), os.path.join(work, DOWNLOAD))
    ):
        clear(work)
