"""The arithmetic of quantising: float weights to int8 with a float32 scale per row, streamed, and checked again.

Needs numpy: only a process of its own (`quantize`) imports this module.
"""

import errno
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from stenod import ctmodel
from stenod.ctmodel import ComputeType, Dtype, ModelFile, Variable
from stenod.errors import UserError, os_error_text, printable

BLOCK_ELEMENTS = 256 * 1024  # numbers computed with at once: 1 MB as float32, which stays in the processor's cache
LONGEST_ROW = 4 * 1024 * 1024  # numbers; a Whisper's longest has 5120
PIECE_BYTES = 1024 * 1024  # of what is copied as it is
_LARGEST = 127  # the largest int8 value that is used, either way
_HALF_STEP = 0.5 + 1e-4  # how far a weight may be from its int8 value, in steps, with what float32 rounds

Report: TypeAlias = Callable[[int, int], None]  # bytes done, bytes to do


class Work:
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
        self, block: npt.NDArray[np.float32], source: Variable
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """Return the scale of each row of `block`, and the rows as int8. The block is used up."""
        largest = np.abs(block).max(axis=1)
        if not np.isfinite(largest).all():
            self._fail(f"is damaged: {printable(source.name)} has values that are infinite or not a number")
        scale = scales_of(largest)
        block *= scale[:, np.newaxis]
        return scale, np.rint(block, out=block).astype(np.int8)

    def _converted(self, source: Variable, dtype: Dtype) -> Iterator[ctmodel.Data]:
        """Yield the data of `source`, piece by piece, in the format `dtype`."""
        if dtype == source.dtype:
            for start in range(0, source.size_bytes, PIECE_BYTES):
                yield self._source(source.offset + start, min(PIECE_BYTES, source.size_bytes - start))
            return
        for block in self._rows(Variable(source.name, source.dtype, (math.prod(source.shape), 1), source.offset)):
            with np.errstate(over="ignore"):
                piece = block.astype(np.float16 if dtype == Dtype.FLOAT16 else np.float32)
            if not np.isfinite(piece).all():
                self._fail(f"has values in {printable(source.name)} that {dtype.label} cannot hold")
            yield piece.data

    def _rows(self, source: Variable) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the matrix `source` as float32, a block of rows at a time. A block may be written into."""
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
                block = widened(np.frombuffer(raw, np.int16))
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
        for block in self._rows(source):
            scale = np.frombuffer(_read(made, scales_offset, 4 * len(block)), np.float32)
            values = np.frombuffer(_read(made, values_offset, block.size), np.int8)
            is_right = scale == scales_of(np.abs(block).max(axis=1))
            np.multiply(block, scale[:, np.newaxis], out=block)
            np.subtract(block, values.astype(np.float32).reshape(block.shape), out=block)
            if not is_right.all() or not np.abs(block, out=block).max() <= _HALF_STEP:
                self._fail(f"was not quantised as it should be: {printable(source.name)} differs")
            scales_offset += scale.nbytes
            values_offset += values.nbytes

    def _fail(self, problem: str) -> NoReturn:
        raise UserError(f"{printable(self._path)} {problem}")


def scales_of(largest: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what rows are multiplied with whose largest numbers, in size, are these."""
    smallest = np.float32(_LARGEST) / np.finfo(np.float32).max  # below it, the scale would be infinite
    return np.where(largest == 0, np.float32(1), np.float32(_LARGEST) / np.maximum(largest, smallest))


def widened(halves: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Return float16 numbers, given as the integers that they look like, as float32: exact, and 6 times `astype`."""
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
