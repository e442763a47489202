"""Publishing transcripts: whole or not at all, and never over a file that stenod did not write.

A file is written under a hidden name in the folder where it will lie, fsynced, and then linked to its name (which
fails if the name is taken) or, over an older one of stenod's own, renamed (rename(2) is atomic). Then the folder is
fsynced, so that the name survives a power cut too.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stenod import durable
from stenod.config import Inbox

LONGEST_NAME_BYTES = 255  # NAME_MAX of every common Linux file system
VERSIONS = 999
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}

Ours = Callable[[str], set[str]]  # path -> sha256 of everything that stenod wrote there for this recording


@dataclass(frozen=True, slots=True)
class Draft:
    """One transcript before it is published: where it is to lie and what it says."""

    path: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


def folder_for(inbox: Inbox, recording: str) -> str:
    """Return the folder where transcripts of the file `recording` go. It need not exist yet."""
    folder = os.path.dirname(recording)
    if inbox.outbox == "beside":
        return folder
    return os.path.normpath(os.path.join(inbox.outbox, os.path.relpath(folder, inbox.path)))


def root_for(inbox: Inbox, recording: str) -> str:
    """Return the folder that must be there before anything is written: never made, because it may be a mount."""
    return os.path.dirname(recording) if inbox.outbox == "beside" else inbox.outbox


def names(recording: str) -> Iterator[str]:
    """Yield the names (without ending) that a recording's transcripts may have, the best first.

    `memo.m4a` gives `memo`; where that is taken (by `memo.wav`, or by a text of the user's) `memo.m4a`, `memo.m4a.2`...
    """
    name = os.path.basename(recording)
    yield os.path.splitext(name)[0]
    yield name
    for version in range(2, VERSIONS + 1):
        yield f"{name}.{version}"


def draft(folder: str, recording: str, contents: Sequence[tuple[str, bytes]], ours: Ours) -> list[Draft]:
    """Return where in `folder` the `contents` (pairs of ending and text) can go: the first name free for all of them.

    Free is what does not exist, what stenod wrote itself for this recording and nobody changed since, and what says
    the same already. Raise OSError if the folder cannot be looked at, FileExistsError if no name is free.
    """
    for name in names(recording):
        drafts = [Draft(os.path.join(folder, fit(name, f".{ending}")), content) for ending, content in contents]
        if all(_is_free(item, ours) for item in drafts):
            return drafts
    raise FileExistsError(errno.EEXIST, "every name for the transcript is taken", folder)


def fit(name: str, ending: str) -> str:
    """Return `name` + `ending` as a file name that the system takes: what is too long is cut and gets a digest."""
    whole = os.fsencode(name) + os.fsencode(ending)
    if len(whole) <= LONGEST_NAME_BYTES:
        return name + ending
    tail = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{ending}"
    kept = os.fsencode(name)[: LONGEST_NAME_BYTES - len(os.fsencode(tail))]
    while kept and kept[-1] & 0xC0 == 0x80:  # never end within a character of several bytes (UTF-8)
        kept = kept[:-1]
    if kept and kept[-1] >= 0xC0:
        kept = kept[:-1]
    return os.fsdecode(kept) + tail


def publish(drafts: Sequence[Draft], root: str, token: str, ours: Ours) -> list[str]:
    """Put every draft on disk under its name and return those that were not there already.

    `root` must exist; folders missing below it are made. `token` makes the hidden names: the same one after a crash
    finds and replaces what was left. Raise OSError if it does not work out; FileExistsError if somebody took a name.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root)
    hidden = {item: _hidden(item, token) for item in drafts}
    missing = [item for item in drafts if _digest(item.path) != item.sha256]
    try:
        for item in missing:
            os.makedirs(os.path.dirname(item.path), exist_ok=True)
            _write(hidden[item], item.content)
        for item in missing:
            _put(item, hidden[item], ours)
    finally:
        for path in hidden.values():
            with contextlib.suppress(OSError):
                os.unlink(path)
    for folder in {os.path.dirname(item.path) for item in drafts}:
        durable.sync_folder(folder)
    return [item.path for item in missing]


def _hidden(item: Draft, token: str) -> str:
    folder, name = os.path.split(item.path)
    return os.path.join(folder, f".stenod-{token}{os.path.splitext(name)[1]}.tmp")


def _write(path: str, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put(item: Draft, hidden: str, ours: Ours) -> None:
    """Give the file `hidden` the draft's name."""
    if not os.path.lexists(item.path):
        try:
            os.link(hidden, item.path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
        if not os.path.lexists(item.path):  # FAT and some network mounts know no hard links
            os.rename(hidden, item.path)
            return
    if _digest(item.path) not in ours(item.path):
        raise FileExistsError(errno.EEXIST, "somebody else wrote a file of this name meanwhile", item.path)
    os.rename(hidden, item.path)


def _is_free(item: Draft, ours: Ours) -> bool:
    if not os.path.lexists(item.path):
        return True
    digest = _digest(item.path)
    return digest is not None and (digest == item.sha256 or digest in ours(item.path))


def _digest(path: str) -> str | None:
    """Return the sha256 of the regular file at `path`; None where there is none, or it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
