"""A model's weights as int8, on disk, for good: what CTranslate2 would make of them at every load, made once.

A process of its own does it (`python -m stenod.quantize SOURCE TARGET`, started by `run`): it needs numpy, which the
daemon never imports. The source is read in blocks of rows, so the memory needed does not grow with the model.

What becomes int8 is what CTranslate2 quantises: the float variables of rank 2 whose name ends in `weight`, with one
float32 `_scale` per row. The rule is that of `LayerSpec._quantize` in python/ctranslate2/specs/model_spec.py and of
src/ops/quantize_cpu.cc, so that the engine computes with the very same numbers. The convolutions (rank 3) stay float:
on a CPU CTranslate2 turns them back to float anyhow, and what they lost by then changes the output.
"""

import argparse
import contextlib
import enum
import errno
import fcntl
import fnmatch
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import msgspec

from stenod import ctmodel, durable
from stenod.ctmodel import ComputeType
from stenod.errors import UserError, os_error_text, printable

if TYPE_CHECKING:
    from stenod.int8 import Work

PREFIX = ".stenod-quantize-"  # of the folder where a model is made, beside the one that it will be
MODEL = "model.bin"
# The other files of a model: those that faster-whisper downloads, and what people put beside them.
KEPT = (
    "config.json preprocessor_config.json tokenizer*.json vocabulary.json vocabulary.txt vocab.json merges.txt "
    "special_tokens_map.json added_tokens.json normalizer.json generation_config.json README.md LICENSE* NOTICE*"
).split()
PIECE_BYTES = 1024 * 1024  # of what is copied as it is
REPORT_SECONDS = 0.2

Report: TypeAlias = Callable[[int, int], None]  # bytes done, bytes to do


class Outcome(enum.StrEnum):
    """What was done."""

    QUANTIZED = "quantized"
    ALREADY_INT8 = "already int8"  # nothing: the source can be used as it is


class File(msgspec.Struct, frozen=True):
    """A file of the finished model."""

    name: str
    size_bytes: int
    sha256: str


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """How it went. `files` are those in the target: none if the source is int8 already."""

    outcome: Outcome
    source_size_bytes: int  # of its model.bin
    files: tuple[File, ...] = ()
    seconds: float = 0.0


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far it is."""

    done_bytes: int
    total_bytes: int


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """A UserError on its way from the process that does the work."""

    message: str
    problems: tuple[str, ...]
    next_step: str


def run(source: str, target: str, compute_type: ComputeType = "int8", report: Report | None = None) -> Result:
    """Do what `quantize` does, in a process of its own. It ends when this process does."""
    command = [sys.executable, "-P", "-m", "stenod.quantize", "--compute-type", compute_type, "--"]
    command += [os.path.abspath(source), os.path.abspath(target)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/") as process:
        try:
            end = _listen(process.stdout or (), report)
        except BaseException:
            process.terminate()
            raise
    if isinstance(end, Result):
        return end
    if isinstance(end, Failure):
        raise UserError(end.message, problems=end.problems, next_step=end.next_step)
    raise UserError(
        f"quantising {printable(source)} was broken off (exit code {process.returncode})",
        next_step="If the code is -9, there was not enough memory. What is left of it goes with the next attempt.",
    )


def _listen(lines: Iterable[bytes], report: Report | None) -> Result | Failure | None:
    for line in lines:
        message = msgspec.json.decode(line, type=Result | Progress | Failure)
        if not isinstance(message, Progress):
            return message
        if report is not None:
            report(message.done_bytes, message.total_bytes)
    return None


def quantize(source: str, target: str, compute_type: ComputeType = "int8", report: Report | None = None) -> Result:
    """Make the folder `target`: the model in the folder `source`, with int8 weights and its other files.

    It is made beside `target` under a hidden name, verified, made durable and then renamed: at any moment there is the
    whole model or none. What an earlier run, killed, left there goes. If `source` is int8 already, nothing is made.
    Raise UserError, with nothing left behind, if it does not work out.
    """
    started = time.monotonic()
    path = os.path.join(source, MODEL)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read: {os_error_text(error)}") from error
    try:
        model = ctmodel.inspect_open(descriptor, path)
        if ctmodel.is_int8(model):
            return Result(outcome=Outcome.ALREADY_INT8, source_size_bytes=model.size_bytes)
        from stenod.int8 import Work  # noqa: PLC0415 - with it comes numpy, which who imports this module need not have

        work = Work(descriptor, path, model, compute_type, report or (lambda _done, _total: None))
        files = _make(work, os.path.abspath(source), os.path.abspath(target))
    except OSError as error:
        raise UserError(f"{printable(target)} cannot be made: {os_error_text(error)}") from error
    finally:
        os.close(descriptor)
    return Result(
        outcome=Outcome.QUANTIZED,
        source_size_bytes=model.size_bytes,
        files=files,
        seconds=time.monotonic() - started,
    )


def others_of(source: str) -> list[str]:
    """Return the files in the model folder `source`, but for model.bin, that belong to the model. Raise OSError."""
    return sorted(
        name
        for name in os.listdir(source)
        if name.isascii() and any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT)
    )


def _make(work: "Work", source: str, target: str) -> tuple[File, ...]:
    """Make the folder `target` and return its files."""
    others = others_of(source)
    with _stage(target) as folder:
        _check_space(target, work.size_bytes + sum(os.path.getsize(os.path.join(source, name)) for name in others))
        files = [_write(folder, MODEL, work.write)]
        for name in others:
            with open(os.path.join(source, name), "rb") as original:  # in Hugging Face's cache they are links
                files.append(_write(folder, name, functools.partial(shutil.copyfileobj, original)))
        with ThreadPoolExecutor(1) as second:  # hashing and comparing take about as long
            digests = second.submit(lambda: [_digest(os.path.join(folder, made.name)) for made in files])
            try:
                work.verify(os.path.join(folder, MODEL))
            finally:
                for made, digest in zip(files, digests.result(), strict=True):
                    if digest != made.sha256:
                        raise OSError(errno.EIO, f"{made.name} reads back other than it was written")
        durable.sync_folder(folder)
        os.rename(folder, target)  # fails if something came there meanwhile
        durable.sync_folder(os.path.dirname(target))
    return tuple(files)


def _check_space(target: str, needed_bytes: int) -> None:
    status = os.statvfs(os.path.dirname(target))
    free_bytes = status.f_bavail * status.f_frsize
    if needed_bytes > free_bytes:
        raise UserError(
            f"there is not enough space for {printable(target)}: "
            f"it needs {needed_bytes / 1e6:.0f} MB, and {free_bytes / 1e6:.0f} MB are free",
            next_step="Make room on this file system and try again.",
        )


class _Sink:
    """A file that is hashed as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: ctmodel.Data) -> None:
        self._file.write(data)
        self.digest.update(data)


def _write(folder: str, name: str, fill: Callable[[_Sink], object]) -> File:
    """Make a file with what `fill` writes, durable, and out of the cache, so that what is read next is the disk's."""
    with open(os.path.join(folder, name), "xb", buffering=PIECE_BYTES) as file:
        sink = _Sink(file)
        fill(sink)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return File(name, file.tell(), sink.digest.hexdigest())


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _stage(target: str) -> Iterator[str]:
    """Give the folder where `target` is made: beside it, empty, locked. Remove it unless it was renamed."""
    if os.path.lexists(target):
        raise UserError(f"{printable(target)} is already there")
    parent, name = os.path.split(target)
    folder = os.path.join(parent, PREFIX + name)
    lock = None
    while lock is None:  # another run may take the folder for a leftover before it is locked
        remove_leftovers(parent)
        try:
            os.mkdir(folder)
        except FileExistsError:
            raise UserError(f"{printable(target)} is just being made by another process") from None
        lock = _lock(folder)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def remove_leftovers(folder: str) -> list[str]:
    """Remove from `folder` what killed runs left there, and return the names. A run that is at work keeps its own.

    Where the file system has no locks, a run that is at work is not known from a leftover.
    """
    removed = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith(PREFIX) and (lock := _lock(path)) is not None:
            try:
                shutil.rmtree(path)
            finally:
                os.close(lock)
            removed.append(name)
    return removed


def _lock(folder: str) -> int | None:
    """Return a descriptor that holds `folder` until it is closed; None if somebody else has it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, or none of ours: a file, a link
        return None
    with contextlib.suppress(OSError):  # NFS locks no folders
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
    if os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        return None
    return descriptor


def main() -> None:
    """Serve `run`: a JSON line on standard output for each report, and one for the end."""
    parser = argparse.ArgumentParser(prog="python -m stenod.quantize", description=quantize.__doc__)
    parser.add_argument("--compute-type", choices=tuple(ctmodel.COMPUTE_TYPES), default="int8")
    parser.add_argument("source")
    parser.add_argument("target")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))  # tidies up on its way
    said = 0.0

    def say(message: Result | Progress | Failure) -> None:
        os.write(1, msgspec.json.encode(message) + b"\n")

    def report(done_bytes: int, total_bytes: int) -> None:
        nonlocal said
        if done_bytes == total_bytes or time.monotonic() - said >= REPORT_SECONDS:
            said = time.monotonic()
            say(Progress(done_bytes, total_bytes))

    try:
        say(quantize(arguments.source, arguments.target, arguments.compute_type, report))
    except UserError as error:
        with contextlib.suppress(BrokenPipeError):  # whoever started this has ended: that was the error
            say(Failure(error.message, error.problems, error.next_step))
        sys.exit(1)


if __name__ == "__main__":
    main()
