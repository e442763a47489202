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
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, NoReturn, TypeAlias

import msgspec

from stenod import ctmodel
from stenod.ctmodel import ComputeType, Dtype, ModelFile, Variable
from stenod.errors import UserError, os_error_text, printable

if TYPE_CHECKING:  # the functions that compute import it
    import numpy as np
    import numpy.typing as npt

PREFIX = ".stenod-quantize-"  # of the folder where a model is made, beside the one that it will be
MODEL = "model.bin"
# The other files of a model: those that faster-whisper downloads, and what people put beside them.
KEPT = (
    "config.json preprocessor_config.json tokenizer*.json vocabulary.json vocabulary.txt vocab.json merges.txt "
    "special_tokens_map.json added_tokens.json normalizer.json generation_config.json README.md LICENSE* NOTICE*"
).split()
BLOCK_ELEMENTS = 256 * 1024  # numbers computed with at once: 1 MB as float32, which stays in the processor's cache
LONGEST_ROW = 4 * 1024 * 1024  # numbers; a Whisper's longest has 5120
PIECE_BYTES = 1024 * 1024  # of what is copied as it is
REPORT_SECONDS = 0.2
_LARGEST = 127  # the largest int8 value that is used, either way
_HALF_STEP = 0.5 + 1e-4  # how far a weight may be from its int8 value, in steps, with what float32 rounds

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
        work = _Work(descriptor, path, model, compute_type, report or (lambda _done, _total: None))
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


class _Work:
    """What is read from the source, computed, and checked again. Raise UserError if the source cannot be quantised."""

    def __init__(self, descriptor: int, path: str, model: ModelFile, compute_type: ComputeType, report: Report) -> None:
        self._descriptor = descriptor
        self._path = path
        self._model = model
        self._steps = ctmodel.plan(model, compute_type)
        self._report = report
        self._done_bytes = 0
        weights = [step.source for step in self._steps if step.scales is not None]
        written_bytes = sum(step.source.size_bytes for step in self._steps)
        self._total_bytes = written_bytes + sum(weight.size_bytes for weight in weights)  # the weights: verified, too
        self._contents = [made for step in self._steps for made in (step.made, step.scales) if made is not None]
        self.size_bytes = ctmodel.size_on_disk_bytes(model.specification, self._contents, model.aliases)
        self._check(weights)

    def _check(self, weights: list[Variable]) -> None:
        if self._model.specification != "WhisperSpec":
            self._fail(f"is no Whisper but a {printable(self._model.specification)}")
        others = {variable.dtype for variable in self._model.variables if ctmodel.is_weight(variable)} - {Dtype.INT8}
        if not weights or not all(dtype.is_float for dtype in others):
            formats = ", ".join(sorted(dtype.label for dtype in others)) or "missing"
            self._fail(f"cannot be quantised: its weights are {formats}")
        names = Counter(variable.name for variable in self._contents)
        for weight in weights:
            if names[f"{weight.name}_scale"] > 1:
                self._fail(f"cannot be quantised: {printable(weight.name)} is float and has a scale already")
            if weight.shape[1] > LONGEST_ROW:
                self._fail(f"cannot be quantised: {printable(weight.name)} has {weight.shape[1]} numbers in a row")

    def write(self, sink: ctmodel.Sink) -> None:
        """Write the int8 model.bin to `sink`."""
        writer = ctmodel.Writer(sink, self._model.specification, self._model.revision, len(self._contents))
        for step in self._steps:
            writer.begin(step.made.name, step.made.dtype, step.made.shape)
            if step.scales is None:
                for piece in self._converted(step.source, step.made.dtype):
                    writer.data(piece)
                continue
            scales = bytearray()
            for block in self._rows(step.source):
                scale, values = self._quantized(block, step.source)
                writer.data(values.data)
                scales += scale.tobytes()
            writer.begin(step.scales.name, step.scales.dtype, step.scales.shape)
            writer.data(scales)
        writer.finish(self._model.aliases)

    def _quantized(
        self, block: "npt.NDArray[np.float32]", source: Variable
    ) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]":
        """Return the scale of each row of `block`, and the rows as int8. The block is used up."""
        import numpy as np  # noqa: PLC0415

        largest = np.abs(block).max(axis=1)
        if not np.isfinite(largest).all():
            self._fail(f"is damaged: {printable(source.name)} has values that are infinite or not a number")
        scale = _scales(largest)
        block *= scale[:, np.newaxis]
        return scale, np.rint(block, out=block).astype(np.int8)

    def _converted(self, source: Variable, dtype: Dtype) -> Iterator[ctmodel.Data]:
        """Yield the data of `source`, piece by piece, in the format `dtype`."""
        if dtype == source.dtype:
            for start in range(0, source.size_bytes, PIECE_BYTES):
                yield self._source(source.offset + start, min(PIECE_BYTES, source.size_bytes - start))
            return
        import numpy as np  # noqa: PLC0415

        for block in self._rows(Variable(source.name, source.dtype, (math.prod(source.shape), 1), source.offset)):
            with np.errstate(over="ignore"):
                piece = block.astype(np.float16 if dtype == Dtype.FLOAT16 else np.float32)
            if not np.isfinite(piece).all():
                self._fail(f"has values in {printable(source.name)} that {dtype.label} cannot hold")
            yield piece.data

    def _rows(self, source: Variable) -> "Iterator[npt.NDArray[np.float32]]":
        """Yield the matrix `source` as float32, a block of rows at a time. A block may be written into."""
        import numpy as np  # noqa: PLC0415

        rows, width = source.shape
        row_bytes = width * source.dtype.item_bytes
        step = max(1, BLOCK_ELEMENTS // width)
        for row in range(0, rows, step):
            raw = self._source(source.offset + row * row_bytes, min(step, rows - row) * row_bytes)
            if source.dtype == Dtype.FLOAT32:
                block = np.frombuffer(raw, np.float32)
            elif source.dtype == Dtype.BFLOAT16:  # the upper half of a float32
                block = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                block = _widened(np.frombuffer(raw, np.int16))
            yield block.reshape(-1, width)

    def _source(self, offset: int, count: int) -> bytearray:
        try:
            data = _read(self._descriptor, offset, count)
        except OSError as error:
            raise UserError(f"{printable(self._path)} cannot be read: {os_error_text(error)}") from error
        self._done_bytes += count
        self._report(self._done_bytes, self._total_bytes)
        return data

    def verify(self, path: str) -> None:
        """Compare the finished file at `path` with the source, each weight. Raise UserError if it is not right."""
        made = ctmodel.inspect(path)
        contents = [Variable(variable.name, variable.dtype, variable.shape) for variable in made.variables]
        if (made.specification, made.revision, made.aliases, contents) != (
            self._model.specification,
            self._model.revision,
            self._model.aliases,
            self._contents,
        ):
            self._fail("was not quantised as it should be: the table of contents differs")
        offsets = {variable.name: variable.offset for variable in made.variables}
        with open(path, "rb", buffering=0) as file:
            for step in self._steps:
                if step.scales is not None:
                    self._verify(step.source, file.fileno(), offsets[step.made.name], offsets[step.scales.name])

    def _verify(self, source: Variable, made: int, values_offset: int, scales_offset: int) -> None:
        """Compare a weight: the scales the right ones, and every value within half a step."""
        import numpy as np  # noqa: PLC0415

        for block in self._rows(source):
            scale = np.frombuffer(_read(made, scales_offset, 4 * len(block)), np.float32)
            values = np.frombuffer(_read(made, values_offset, block.size), np.int8)
            is_right = scale == _scales(np.abs(block).max(axis=1))
            np.multiply(block, scale[:, np.newaxis], out=block)
            np.subtract(block, values.astype(np.float32).reshape(block.shape), out=block)
            if not is_right.all() or not np.abs(block, out=block).max() <= _HALF_STEP:
                self._fail(f"was not quantised as it should be: {printable(source.name)} differs")
            scales_offset += scale.nbytes
            values_offset += values.nbytes

    def _fail(self, problem: str) -> NoReturn:
        raise UserError(f"{printable(self._path)} {problem}")


def _scales(largest: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
    """Return what rows are multiplied with whose largest numbers, in size, are these."""
    import numpy as np  # noqa: PLC0415

    smallest = np.float32(_LARGEST) / np.finfo(np.float32).max  # below it, the scale would be infinite
    return np.where(largest == 0, np.float32(1), np.float32(_LARGEST) / np.maximum(largest, smallest))


def _widened(halves: "npt.NDArray[np.int16]") -> "npt.NDArray[np.float32]":
    """Return float16 numbers, given as the integers that they look like, as float32: exact, and 6 times `astype`."""
    import numpy as np  # noqa: PLC0415

    if np.bitwise_and(halves, 0x7C00).max() == 0x7C00:  # infinite or not a number: the exponent has all bits set
        return halves.view(np.float16).astype(np.float32)
    bits = halves.astype(np.int32)  # the sign is now in all upper bits
    bits <<= 13  # the other bits to their places in a float32
    bits &= ~0x70000000  # of the sign only the uppermost
    values = bits.view(np.float32)
    values *= np.float32(2.0**112)  # the difference between the exponents' biases, 127 and 15
    return values


def _read(descriptor: int, offset: int, count: int) -> bytearray:
    """Return `count` bytes from `offset` on. Raise OSError if they cannot be read."""
    data = bytearray(count)
    done = 0
    while done < count:
        got = os.preadv(descriptor, [memoryview(data)[done:]], offset + done)
        if got == 0:
            raise OSError(errno.EIO, "the model became shorter while it was read")
        done += got
    return data


def _make(work: _Work, source: str, target: str) -> tuple[File, ...]:
    """Make the folder `target` and return its files."""
    others = sorted(
        name
        for name in os.listdir(source)
        if name.isascii() and any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT)
    )
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
        _sync_folder(folder)
        os.rename(folder, target)  # fails if something came there meanwhile
        _sync_folder(os.path.dirname(target))
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


def _sync_folder(folder: str) -> None:
    """Make the names in `folder` durable. File systems that cannot do that for a folder (EINVAL) are let off."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


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
