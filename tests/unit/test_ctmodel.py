"""Reading and writing model.bin: what is sound comes back as it was, and nothing else gets through."""

import io
import math
import os
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stenod import ctmodel
from stenod.ctmodel import Alias, Dtype, ModelFile, ModelFileError, Variable

HUB = Path(__file__).parents[2] / "hub"
DEMOS = [HUB / "demo" / "model.bin", HUB / "demo-float32" / "model.bin"]
VARIABLES = (
    Variable("encoder/layer/weight", Dtype.INT8, (3, 5)),
    Variable("encoder/layer/weight_scale", Dtype.FLOAT32, (3,)),
    Variable("encoder/num_heads", Dtype.INT16, ()),
    Variable("encoder/größe", Dtype.BFLOAT16, (2, 1, 4)),
)
ALIASES = (Alias("decoder/weight", "encoder/layer/weight"), Alias("again", "decoder/weight"))
ONCE_PER_FUNCTION = [HealthCheck.function_scoped_fixture]  # a path that every example writes anew


def made(variables: tuple[Variable, ...] = VARIABLES, aliases: tuple[Alias, ...] = ALIASES) -> bytes:
    """A model.bin with bytes that count up as data."""
    sink = io.BytesIO()
    writer = ctmodel.Writer(sink, "WhisperSpec", 3, len(variables))
    for variable in variables:
        writer.begin(variable.name, variable.dtype, variable.shape)
        writer.data(bytes(number % 256 for number in range(variable.size_bytes)))
    writer.finish(aliases)
    return sink.getvalue()


@pytest.fixture
def inspect_bytes(tmp_path: Path) -> Callable[[bytes], ModelFile]:
    path = tmp_path / "model.bin"

    def inspect(content: bytes) -> ModelFile:
        path.write_bytes(content)
        return ctmodel.inspect(str(path))

    return inspect


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.parent.name)
def test_the_demo_models_are_read_as_they_are(path: Path) -> None:
    model = ctmodel.inspect(str(path))
    assert (model.specification, model.revision, model.size_bytes) == ("WhisperSpec", 3, path.stat().st_size)
    assert model.aliases == (Alias("decoder/projection/weight", "decoder/embeddings/weight"),)
    variables = {variable.name: variable for variable in model.variables}
    assert variables["decoder/embeddings/weight"].shape == (2768, 128)
    heads = variables["encoder/num_heads"]
    assert (heads.dtype, heads.shape, heads.size_bytes) == (Dtype.INT16, (), 2)
    assert path.read_bytes()[heads.offset : heads.offset + 2] == b"\4\0"
    assert ctmodel.size_on_disk_bytes(model.specification, model.variables, model.aliases) == model.size_bytes


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.parent.name)
def test_written_again_a_model_is_the_same_byte_for_byte(path: Path) -> None:
    model = ctmodel.inspect(str(path))
    content = path.read_bytes()
    sink = io.BytesIO()
    writer = ctmodel.Writer(sink, model.specification, model.revision, len(model.variables))
    for variable in model.variables:
        writer.begin(variable.name, variable.dtype, variable.shape)
        half = variable.offset + variable.size_bytes // 2
        writer.data(content[variable.offset : half])
        writer.data(memoryview(content)[half : variable.offset + variable.size_bytes])
    writer.finish(model.aliases)
    assert sink.getvalue() == content


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
variables = st.builds(Variable, names, st.sampled_from(Dtype), st.lists(st.integers(1, 5), max_size=3).map(tuple))


@settings(suppress_health_check=ONCE_PER_FUNCTION)
@given(contents=st.lists(variables, max_size=8, unique_by=lambda variable: variable.name))
def test_what_is_written_is_read(inspect_bytes: Callable[[bytes], ModelFile], contents: list[Variable]) -> None:
    aliases = tuple(
        Alias(f"{number}\N{LATIN SMALL LETTER SHARP S}" * 41, item.name) for number, item in enumerate(contents)
    )
    content = made(tuple(contents), aliases)
    model = inspect_bytes(content)
    assert [(found.name, found.dtype, found.shape) for found in model.variables] == [
        (item.name, item.dtype, item.shape) for item in contents
    ]
    assert model.aliases == aliases
    assert len(content) == ctmodel.size_on_disk_bytes("WhisperSpec", contents, aliases)
    for found in model.variables:
        data = content[found.offset : found.offset + found.size_bytes]
        assert data == bytes(number % 256 for number in range(found.size_bytes))


def test_every_beginning_of_a_model_is_refused(inspect_bytes: Callable[[bytes], ModelFile]) -> None:
    content = made()
    assert len(inspect_bytes(content).variables) == len(VARIABLES)
    for length in range(len(content)):
        with pytest.raises(ModelFileError, match=r"is not a sound model\.bin: .*, byte \d+: "):
            inspect_bytes(content[:length])


def head(count: int = 1, version: int = 6) -> bytes:
    return struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<II", 3, count)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<H", len(raw) + 1) + raw + b"\0"


def variable(name: bytes = b"\2\0x\0", shape: tuple[int, ...] = (4,), dtype: int = 1, size: int = 4) -> bytes:
    return name + struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, dtype, size)


NO_ALIASES = struct.pack("<I", 0)
HOSTILE = {
    "nothing": (b"", "4 bytes should follow, but the file has only 0 more"),
    "another version": (head(version=5), "format version 5"),
    "random bytes": (b"\xff" * 100, "format version 4294967295"),
    "a count of 4 billion": (head(2**32 - 1), "4294967295 variables follow, which is more than any model has"),
    "a count that is too high": (head(2) + variable() + b"data" + NO_ALIASES, "variable 2 of 2"),
    "a count that is too low": (head(0) + variable() + b"data" + NO_ALIASES, "the table of aliases"),
    "an empty name": (head() + variable(b"\0\0"), "a name of 0 bytes"),
    "a name of 65535 bytes": (head() + variable(b"\xff\xff" + b"x" * 70_000), "a name of 65535 bytes"),
    "a name without NUL": (head() + variable(b"\2\0xx"), "does not end with its one NUL"),
    "a name with two NULs": (head() + variable(b"\3\0x\0\0"), "does not end with its one NUL"),
    "a name that is not UTF-8": (head() + variable(b"\3\0\xff\xfe\0"), "a name that is not UTF-8"),
    "a specification that is not UTF-8": (
        struct.pack("<I", 6) + string(b"\xc3"),
        "its head, byte 6: a name that is not",
    ),
    "rank 9": (head() + variable(shape=(1,) * 9), "variable 'x', byte 30: its rank 9"),
    "number format 6": (head() + variable(dtype=6) + b"data", "its number format 6"),
    "more bytes than the shape has": (
        head() + variable(size=8) + b"12345678",
        r"8 bytes, but its shape \[4\] of int8 has 4",
    ),
    "fewer bytes than the shape has": (head() + variable(size=3) + b"123", "3 bytes, but its shape"),
    "a shape that overflows 64 bits": (head() + variable(shape=(2**32 - 1,) * 8, size=0), "it says it has 0 bytes"),
    "a dimension of 0": (head() + variable(shape=(4, 0), size=0), r"its shape \[4, 0\]"),
    "data past the end": (head() + variable(shape=(2**31,), size=2**31) + b"data", "2147483648 bytes should follow"),
    "a name twice": (
        head(2) + 2 * (variable() + b"data") + NO_ALIASES,
        "variable 'x', byte 46: the name is there twice",
    ),
    "an alias of nothing": (
        head() + variable() + b"data" + struct.pack("<I", 1) + string("y") + string("z"),
        "alias 'y', byte 54: there is no variable 'z'",
    ),
    "an alias in the place of a variable": (
        head() + variable() + b"data" + struct.pack("<I", 1) + string("x") + string("x"),
        "the name is there twice",
    ),
    "aliases without end": (head() + variable() + b"data" + b"\xff" * 4, "4294967295 aliases follow"),
    "something after the end": (head() + variable() + b"data" + NO_ALIASES + b"!", "1 bytes too many follow"),
    "a name with a line break": (head() + variable(string("a\nb")) + b"da", r"variable 'a\\nb'"),
}


@pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_in_one_clear_line(
    inspect_bytes: Callable[[bytes], ModelFile], content: bytes, said: str
) -> None:
    with pytest.raises(ModelFileError, match=said) as caught:
        inspect_bytes(content)
    assert "\n" not in caught.value.message


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ModelFileError, match="is not a regular file"):
            ctmodel.inspect(str(path))
    with pytest.raises(FileNotFoundError):
        ctmodel.inspect(str(tmp_path / "nothing"))


def check(model: ModelFile) -> None:
    """What holds for whatever the reader lets through."""
    for found in model.variables:
        assert found.size_bytes == math.prod(found.shape) * found.dtype.item_bytes > 0
        assert found.offset > 0
        assert found.offset + found.size_bytes <= model.size_bytes
    ends = [found.offset + found.size_bytes for found in model.variables]
    assert all(end < found.offset for end, found in zip(ends, model.variables[1:], strict=False))  # none overlap
    names = {found.name for found in model.variables}
    assert all(alias.name not in names for alias in model.aliases)


EXTREMES = [b"\0" * 4, b"\xff" * 4, b"\xff" * 2, b"\0", b"\xff", b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\1\0\0\0"]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound model.bin with some damage: bits flipped, numbers replaced, pieces cut out, doubled or cut off."""
    content = bytearray(made())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["flip", "extreme", "cut", "double", "truncate", "noise"]))
        if kind == "flip" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "extreme":
            value = draw(st.sampled_from(EXTREMES))
            content[place : place + len(value)] = value
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "double":
            content[place:place] = content[place : place + draw(st.integers(1, 80))]
        elif kind == "truncate":
            del content[place:]
        else:
            noise = draw(st.binary(min_size=1, max_size=20))
            content[place : place + len(noise)] = noise
    return bytes(content)


@settings(max_examples=8 * settings().max_examples, suppress_health_check=ONCE_PER_FUNCTION)
@given(content=st.one_of(damaged(), st.binary(max_size=200), st.binary(max_size=200).map(lambda tail: head(3) + tail)))
def test_damage_is_refused_or_harmless(inspect_bytes: Callable[[bytes], ModelFile], content: bytes) -> None:
    tracemalloc.start()
    try:
        check(inspect_bytes(content))
    except ModelFileError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 500_000


def test_no_file_makes_the_reader_need_much_memory_or_time(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    count = ctmodel.MOST_VARIABLES
    with path.open("wb") as file:  # the most that is let through: every table full, every name and rank at its limit
        file.write(head(count))
        for number in range(count):
            name = string(f"{number:x>{ctmodel.LONGEST_NAME_BYTES - 1}}")
            file.write(variable(name, (1,) * ctmodel.HIGHEST_RANK, size=1) + b"!")
        file.write(NO_ALIASES)
    tracemalloc.start()
    started = time.process_time()
    try:
        assert len(ctmodel.inspect(str(path)).variables) == count
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 10


def test_a_file_of_a_terabyte_of_nothing_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(head(20_000))
    os.truncate(path, 2**40)
    with pytest.raises(ModelFileError, match="variable 1 of 20000, byte 26: a name of 0 bytes"):
        ctmodel.inspect(str(path))


def test_the_writer_holds_its_user_to_what_was_said() -> None:
    def writer(count: int = 1) -> ctmodel.Writer:
        return ctmodel.Writer(io.BytesIO(), "WhisperSpec", 3, count)

    with pytest.raises(ValueError, match="0 bytes and 1 variables are missing"):
        writer().finish(())
    with pytest.raises(ValueError, match="0 variables are to follow"):
        writer(0).begin("x", Dtype.INT8, (2,))
    half = writer(2)
    half.begin("x", Dtype.INT8, (2,))
    half.data(b"1")
    with pytest.raises(ValueError, match="2 bytes of data where 1 are to follow"):
        half.data(b"23")
    with pytest.raises(ValueError, match="1 bytes and 1 variables are to follow"):
        half.begin("y", Dtype.INT8, (2,))
    with pytest.raises(ValueError, match="too large for the format"):
        writer().begin("x", Dtype.FLOAT32, (2**30,))
    with pytest.raises(ValueError, match="too long for the format"):
        writer().begin("x" * 70_000, Dtype.INT8, (1,))


def test_the_daemon_can_import_it_without_numpy() -> None:
    code = "import sys, stenod.ctmodel, stenod.quantize; print(sorted({'numpy', 'ctranslate2'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
