"""CTranslate2's model.bin: reading its table of contents without trusting it, and writing one piece by piece.

The format is what `ModelSpec._serialize` in CTranslate2's python/ctranslate2/specs/model_spec.py writes, and what
`Model::load` in its src/models/model.cc reads. Little endian:

    u32 version (6), string specification, u32 revision, u32 count of variables,
    per variable: string name, u8 rank, u32 dimension[rank], u8 type, u32 bytes, the data,
    u32 count of aliases, per alias: string alias, string target

where a string is u16 length (with the NUL at its end), the bytes, NUL, and the types are numbered as in
include/ctranslate2/types.h. The order of the variables means nothing to the loader.

CTranslate2 believes the file: a byte count that does not fit the shape makes it write past the end of a buffer. So a
file from elsewhere is inspected here before it is given to the engine. It is read with pread(2), not mapped: a mapped
file that shrinks, or a disk that fails, would end the process with SIGBUS instead of an error.
"""

import enum
import math
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol, TypeAlias

from stenod.errors import UserError, printable

VERSION = 6
# Far more than any Whisper has (large-v3 as int8: about 2000 variables, 60 bytes a name, rank 3), and few enough that
# no file, whatever it says, makes the reader need much memory or time.
MOST_VARIABLES = 20_000
LONGEST_NAME_BYTES = 512
HIGHEST_RANK = 8
_U16_MAX = 2**16 - 1
_U32_MAX = 2**32 - 1
Data: TypeAlias = bytes | bytearray | memoryview
_WINDOW_BYTES = 4096  # a variable's head is some 60 bytes, and the next one is often near


class ModelFileError(UserError):
    """The file is not a whole and sound model.bin. One line that names the variable and the byte where it fails."""


class Dtype(enum.IntEnum):
    """A number format, with CTranslate2's number for it."""

    FLOAT32 = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    FLOAT16 = 4
    BFLOAT16 = 5

    @property
    def item_bytes(self) -> int:
        """The size of one number."""
        return {Dtype.FLOAT32: 4, Dtype.INT32: 4, Dtype.INT8: 1}.get(self, 2)

    @property
    def is_float(self) -> bool:
        """Whether it is one of the three float formats."""
        return self in {Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16}

    @property
    def label(self) -> str:
        """The name that CTranslate2 has for it: float32, int8..."""
        return self.name.lower()


ComputeType: TypeAlias = Literal["int8", "int8_float32", "int8_float16"]
COMPUTE_TYPES: dict[str, Dtype | None] = {  # what becomes of the floats that are not quantised; None: they stay
    "int8": None,
    "int8_float32": Dtype.FLOAT32,
    "int8_float16": Dtype.FLOAT16,
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One tensor: its data are the `size_bytes` bytes at `offset`. A scalar's shape is empty."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    offset: int = 0

    @property
    def size_bytes(self) -> int:
        """The length of the data."""
        return math.prod(self.shape) * self.dtype.item_bytes


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for a variable. Its quantisation scale, if there is one, is aliased by the loader itself."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model.bin says of itself, all of it checked against the file's length."""

    specification: str
    revision: int
    variables: tuple[Variable, ...]
    aliases: tuple[Alias, ...]
    size_bytes: int


class Sink(Protocol):
    """Where a model.bin is written to."""

    def write(self, data: Data, /) -> object:
        """Take all of `data`."""


def inspect(path: str) -> ModelFile:
    """Return the table of contents of the model.bin at `path`. The data are not read.

    Raise OSError if it cannot be read, ModelFileError if anything in it cannot be right.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return inspect_open(descriptor, path)
    finally:
        os.close(descriptor)


def inspect_open(descriptor: int, path: str) -> ModelFile:
    """Do what `inspect` does with a file that is open already; `path` is for the messages."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{printable(path)} is not a regular file")
    return _Reader(descriptor, status.st_size, path).model()


class _Reader:
    """Reads a model.bin from its start; `where` says what is being read, for the messages."""

    def __init__(self, descriptor: int, size_bytes: int, path: str) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._path = path
        self._position = 0
        self._field = 0  # where what was taken last began
        self._window = b""
        self._window_start = 0
        self._where = "its head"

    def model(self) -> ModelFile:
        version = self._u32()
        if version != VERSION:
            self._fail(f"it has format version {version}, and only {VERSION} is known here")
        specification = self._string()
        revision = self._u32()
        variables = self._variables(self._count("variables"))
        self._where = "the table of aliases"
        aliases = self._aliases(self._count("aliases"), {variable.name for variable in variables})
        self._where = "its end"
        if self._position != self._size_bytes:
            self._fail(f"{self._size_bytes - self._position} bytes too many follow")
        return ModelFile(specification, revision, tuple(variables), tuple(aliases), self._size_bytes)

    def _variables(self, count: int) -> list[Variable]:
        names: set[str] = set()
        variables = []
        for number in range(1, count + 1):
            self._where = f"variable {number} of {count}"
            name = self._string()
            self._where = f"variable {name!r}"
            self._add(name, names)
            rank = self._u8()
            if rank > HIGHEST_RANK:
                self._fail(f"its rank {rank} is more than any model needs")
            shape = struct.unpack(f"<{rank}I", self._take(4 * rank))
            code, size_bytes = self._u8(), self._u32()
            if code not in set(Dtype):
                self._fail(f"its number format {code} is none that CTranslate2 has")
            variable = Variable(name, Dtype(code), shape, self._position)
            if variable.size_bytes != size_bytes or size_bytes == 0:
                self._fail(
                    f"it says it has {size_bytes} bytes, but its shape {list(shape)} of {variable.dtype.label} "
                    f"has {variable.size_bytes}"
                )
            self._need(size_bytes)
            self._position += size_bytes
            variables.append(variable)
        return variables

    def _aliases(self, count: int, names: set[str]) -> list[Alias]:
        aliases = []
        for number in range(1, count + 1):
            self._where = f"alias {number} of {count}"
            name = self._string()
            self._where = f"alias {name!r}"
            target = self._string()
            if target not in names:
                self._fail(f"there is no variable {target!r}")
            self._add(name, names)
            aliases.append(Alias(name, target))
        return aliases

    def _add(self, name: str, names: set[str]) -> None:
        if name in names:
            self._fail("the name is there twice")
        names.add(name)

    def _count(self, what: str) -> int:
        count = self._u32()
        if count > MOST_VARIABLES:
            self._fail(f"it says that {count} {what} follow, which is more than any model has")
        return count

    def _string(self) -> str:
        length = int.from_bytes(self._take(2), "little")
        if not 0 < length <= LONGEST_NAME_BYTES:
            self._fail(f"a name of {length} bytes")
        raw = self._take(length)
        if raw.find(0) != length - 1:
            self._fail("a name that does not end with its one NUL")
        try:
            return raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            self._fail("a name that is not UTF-8")

    def _u8(self) -> int:
        return self._take(1)[0]

    def _u32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _take(self, count: int) -> bytes:
        """Return the next `count` bytes (at most a window's worth)."""
        self._need(count)
        start = self._position - self._window_start
        if not 0 <= start <= len(self._window) - count:
            self._window = os.pread(self._descriptor, _WINDOW_BYTES, self._position)
            self._window_start, start = self._position, 0
            if len(self._window) < count:
                self._fail("the file became shorter while it was read")
        self._position += count
        return self._window[start : start + count]

    def _need(self, count: int) -> None:
        self._field = self._position
        left = self._size_bytes - self._position
        if count > left:
            self._fail(f"{count} bytes should follow, but the file has only {left} more")

    def _fail(self, problem: str) -> NoReturn:
        where = f"{printable(self._where)}, byte {self._field}"
        raise ModelFileError(f"{printable(self._path)} is not a sound model.bin: {where}: {problem}")


def is_int8(model: ModelFile) -> bool:
    """Return whether the weights of `model` are int8 already, all that CTranslate2 would quantise."""
    return {variable.dtype for variable in model.variables if is_weight(variable)} == {Dtype.INT8}


def is_weight(variable: Variable) -> bool:
    """Return whether CTranslate2 quantises `variable` of a Whisper: a matrix that is a `weight`, not a convolution."""
    return variable.name.endswith("weight") and len(variable.shape) == 2


@dataclass(frozen=True, slots=True)
class Step:
    """One variable of the source, and what it becomes: itself, or its int8 values and their scales."""

    source: Variable
    made: Variable
    scales: Variable | None = None


def plan(model: ModelFile, compute_type: ComputeType) -> tuple[Step, ...]:
    """Return what is to be written for each variable of `model`, in its order."""
    return tuple(_step(variable, COMPUTE_TYPES[compute_type]) for variable in model.variables)


def _step(source: Variable, float_dtype: Dtype | None) -> Step:
    name, shape = source.name, source.shape
    if source.dtype.is_float and is_weight(source):
        return Step(source, Variable(name, Dtype.INT8, shape), Variable(f"{name}_scale", Dtype.FLOAT32, shape[:1]))
    # Like `Model::is_convertible` in src/models/model.cc: scalars and scales are left alone.
    if source.dtype.is_float and float_dtype is not None and shape and "_scale" not in name:
        return Step(source, Variable(name, float_dtype, shape))
    return Step(source, Variable(name, source.dtype, shape))


class Writer:
    """Writes a model.bin to `sink`, piece by piece: `begin` and `data` for each variable, then `finish`.

    Raise ValueError if a caller writes something else than it said it would, or what the format cannot hold.
    """

    def __init__(self, sink: Sink, specification: str, revision: int, variable_count: int) -> None:
        self._sink = sink
        self._variables_left = variable_count
        self._bytes_left = 0
        self._sink.write(_head(specification, revision, variable_count))

    def begin(self, name: str, dtype: Dtype, shape: Sequence[int]) -> None:
        """Start the next variable."""
        variable = Variable(name, dtype, tuple(shape))
        if self._bytes_left or not self._variables_left:
            raise ValueError(f"{name}: {self._bytes_left} bytes and {self._variables_left} variables are to follow")
        self._sink.write(_variable_head(variable))
        self._variables_left -= 1
        self._bytes_left = variable.size_bytes

    def data(self, piece: Data) -> None:
        """Add to the data of the variable that was begun last."""
        length = memoryview(piece).nbytes
        if length > self._bytes_left:
            raise ValueError(f"{length} bytes of data where {self._bytes_left} are to follow")
        self._sink.write(piece)
        self._bytes_left -= length

    def finish(self, aliases: Sequence[Alias]) -> None:
        """Write what follows the last variable."""
        if self._bytes_left or self._variables_left:
            raise ValueError(f"{self._bytes_left} bytes and {self._variables_left} variables are missing")
        self._sink.write(_tail(aliases))


def size_on_disk_bytes(specification: str, variables: Sequence[Variable], aliases: Sequence[Alias]) -> int:
    """Return how long a model.bin with this content is."""
    heads = sum(len(_variable_head(variable)) + variable.size_bytes for variable in variables)
    return len(_head(specification, 0, len(variables))) + heads + len(_tail(aliases))


def _head(specification: str, revision: int, variable_count: int) -> bytes:
    return struct.pack("<I", VERSION) + _packed(specification) + struct.pack("<II", revision, variable_count)


def _variable_head(variable: Variable) -> bytes:
    rank = len(variable.shape)
    if variable.size_bytes > _U32_MAX:
        raise ValueError(f"{variable.name} is too large for the format: {variable.size_bytes} bytes")
    shape = struct.pack(f"<B{rank}I", rank, *variable.shape)
    return _packed(variable.name) + shape + struct.pack("<BI", variable.dtype, variable.size_bytes)


def _tail(aliases: Sequence[Alias]) -> bytes:
    pairs = b"".join(_packed(alias.name) + _packed(alias.target) for alias in aliases)
    return struct.pack("<I", len(aliases)) + pairs


def _packed(text: str) -> bytes:
    raw = text.encode("utf-8") + b"\0"
    if len(raw) > _U16_MAX:
        raise ValueError(f"the name {text[:40]!r}... is too long for the format")
    return struct.pack("<H", len(raw)) + raw
