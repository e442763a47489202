"""Quantising on disk: the engine computes the same as when it quantises itself, and nothing is ever half there."""

import fcntl
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np
import numpy.typing as npt
import pytest
from ctranslate2.specs import common_spec

from stenod import ctmodel, int8, quantize
from stenod.ctmodel import Alias, ComputeType, Dtype, ModelFile, Variable
from stenod.errors import UserError
from stenod.quantize import Outcome
from tests.bench import models

HUB = Path(__file__).parents[2] / "hub"
SOURCE = HUB / "demo-float32"
SMALLEST = models.Dimensions(64, 2, 2, 1, vocabulary=2000)
DISTIL = models.Dimensions(384, 6, 4, 2, 128, 51866)  # two decoder layers, as all distil models have
THREADS = 2
NUMPY = {Dtype.FLOAT32: np.float32, Dtype.FLOAT16: np.float16, Dtype.INT8: np.int8, Dtype.INT16: np.int16}

Tensors = Mapping[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def int8_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as int8."""
    target = tmp_path_factory.mktemp("hub") / "demo"
    assert quantize.quantize(str(SOURCE), str(target)).outcome == Outcome.QUANTIZED
    return target


@pytest.fixture
def smallest(tmp_path: Path) -> Path:
    """A model of 0.9 MB in float32."""
    models.write(str(tmp_path / "smallest"), SMALLEST)
    return tmp_path / "smallest"


def inspect(folder: Path) -> ModelFile:
    return ctmodel.inspect(str(folder / "model.bin"))


def data(folder: Path) -> dict[str, tuple[Dtype, tuple[int, ...], bytes]]:
    content = (folder / "model.bin").read_bytes()
    return {
        item.name: (item.dtype, item.shape, content[item.offset : item.offset + item.size_bytes])
        for item in inspect(folder).variables
    }


def array(folder: Path, name: str) -> npt.NDArray[Any]:
    dtype, shape, raw = data(folder)[name]
    return np.frombuffer(raw, NUMPY[dtype]).reshape(shape)


def write(folder: Path, tensors: Tensors, specification: str = "WhisperSpec", aliases: tuple[Alias, ...] = ()) -> None:
    """Make a model.bin with these tensors, which need not be a working model."""
    folder.mkdir(exist_ok=True)
    codes = {np.dtype(numpy_type): dtype for dtype, numpy_type in NUMPY.items()}
    with (folder / "model.bin").open("wb") as file:
        writer = ctmodel.Writer(file, specification, 3, len(tensors))
        for name, tensor in tensors.items():
            writer.begin(name, codes[tensor.dtype], tensor.shape)
            writer.data(tensor.tobytes())
        writer.finish(aliases)


def visible(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# What the engine makes of it.


def encoded(folder: Path, features: npt.NDArray[np.float32], compute_type: str = "int8") -> npt.NDArray[np.float32]:
    model = ctranslate2.models.Whisper(str(folder), compute_type=compute_type, intra_threads=THREADS)
    return np.array(model.encode(ctranslate2.StorageView.from_array(features)))


def test_the_demo_model_hears_exactly_what_it_hears_when_quantised_at_load(int8_demo: Path, samples: Path) -> None:
    recordings = sorted(path for path in samples.iterdir() if path.suffix in {".wav", ".flac", ".mp3", ".m4a", ".ogg"})
    at_load, on_disk = (
        faster_whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=THREADS)
        for folder in (SOURCE, int8_demo)
    )
    heard = 0
    for recording in recordings:
        sound = faster_whisper.decode_audio(str(recording))
        features = at_load.feature_extractor(sound)[None, :, :3000].astype(np.float32)
        features = np.pad(features, ((0, 0), (0, 0), (0, 3000 - features.shape[2])))
        first, second = (np.array(model.encode(features[0])) for model in (at_load, on_disk))
        assert np.abs(first - second).max() == 0.0
        language = "de" if "Notiz" in recording.name else "en"
        tokens = [
            [
                segment.tokens
                for segment in model.transcribe(sound, language=language, condition_on_previous_text=False)[0]
            ]
            for model in (at_load, on_disk)
        ]
        assert tokens[0] == tokens[1]
        heard += len(tokens[0])
    assert heard > 10


@pytest.mark.parametrize(
    ("dimensions", "dtype"),
    [
        (models.SIZES["tiny"], Dtype.FLOAT16),
        (models.SIZES["tiny.en"], Dtype.FLOAT32),
        (DISTIL, Dtype.BFLOAT16),
    ],
    ids=["tiny, float16", "tiny.en, float32", "distil, bfloat16"],
)
def test_models_of_true_size_compute_the_same(tmp_path: Path, dimensions: models.Dimensions, dtype: Dtype) -> None:
    models.write(str(tmp_path / "source"), dimensions, dtype)
    result = quantize.quantize(str(tmp_path / "source"), str(tmp_path / "int8"))
    assert result.files[0].size_bytes <= (0.28 if dtype == Dtype.FLOAT32 else 0.53) * result.source_size_bytes
    shape = (1, dimensions.mel_bands, 3000)
    noise = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    words = models.vocabulary(dimensions)
    prompt = [words.index("<|startoftranscript|>")]
    if dimensions.vocabulary != models.ENGLISH_VOCABULARY:
        prompt += [words.index("<|en|>"), words.index("<|transcribe|>")]
    found = []
    for folder in ("source", "int8"):
        model = ctranslate2.models.Whisper(str(tmp_path / folder), compute_type="int8", intra_threads=THREADS)
        memory = model.encode(ctranslate2.StorageView.from_array(noise))
        tokens = model.generate(memory, [prompt], beam_size=2, max_length=40)[0].sequences_ids
        found.append((np.array(memory), tokens))
    assert np.abs(found[0][0] - found[1][0]).max() == 0.0
    assert found[0][1] == found[1][1]
    assert len(found[0][1][0]) > 5


@pytest.mark.parametrize("compute_type", ["default", "auto", "int8_float32"])
def test_the_engine_takes_it_for_int8_whatever_it_is_told(smallest: Path, compute_type: str) -> None:
    target = smallest.parent / "int8"
    quantize.quantize(str(smallest), str(target))
    model = ctranslate2.models.Whisper(str(target), compute_type=compute_type)
    assert model.compute_type == "int8_float32"


def test_the_order_of_the_variables_does_not_matter_to_the_engine(smallest: Path) -> None:
    shuffled = smallest.parent / "shuffled"
    variables = list(data(smallest).items())
    random.Random(1).shuffle(variables)
    with_others(smallest, shuffled)
    with (shuffled / "model.bin").open("wb") as file:
        writer = ctmodel.Writer(file, "WhisperSpec", 3, len(variables))
        for name, (dtype, shape, raw) in variables:
            writer.begin(name, dtype, shape)
            writer.data(raw)
        writer.finish(inspect(smallest).aliases)
    quantize.quantize(str(shuffled), str(smallest.parent / "int8"))
    noise = np.random.default_rng(1).standard_normal((1, 80, 3000)).astype(np.float32)
    assert np.array_equal(encoded(smallest, noise), encoded(smallest.parent / "int8", noise))


def with_others(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name != "model.bin":
            (target / path.name).symlink_to(path)


# What is written.


def test_only_the_convolutions_differ_from_the_official_converter(int8_demo: Path) -> None:
    """`hub/demo` was written by CTranslate2's converter, which turns the convolutions to int8 as well."""
    official, ours, source = data(HUB / "demo"), data(int8_demo), data(SOURCE)
    different = {name for name in official.keys() | ours.keys() if official.get(name) != ours.get(name)}
    assert all("/conv" in name for name in different)
    for name, found in ours.items():
        if found[0] != Dtype.INT8 and not name.endswith("_scale"):
            assert found == source[name]
    assert {name for name in ours if "/conv" in name} <= source.keys()
    assert inspect(int8_demo).aliases == inspect(SOURCE).aliases


def test_numbers_are_those_of_the_converter_even_in_strange_rows(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    weight = generator.standard_normal((40, 96)).astype(np.float32)
    weight[3] = 0
    weight[4] = -0.0
    weight[5] = 1e-40  # so small that 127 / it is infinite
    weight[6, 1:] = 0
    weight[7] *= 1e37
    weight[8] = np.linspace(-1, 1, 96)
    specification = common_spec.LinearSpec()
    specification.weight = weight.copy()
    specification.validate()
    specification.optimize("int8")
    write(tmp_path / "source", {"decoder/weight": weight})
    quantize.quantize(str(tmp_path / "source"), str(tmp_path / "int8"))
    assert np.array_equal(array(tmp_path / "int8", "decoder/weight"), specification.weight.numpy())
    assert np.array_equal(array(tmp_path / "int8", "decoder/weight_scale"), specification.weight_scale.numpy())
    assert array(tmp_path / "int8", "decoder/weight_scale")[3] == 1.0


def test_every_float16_is_widened_exactly() -> None:
    for bits in (np.arange(0x7C00, dtype=np.uint16), np.arange(65536, dtype=np.uint32).astype(np.uint16)):
        widened = int8.widened(bits.view(np.int16))
        assert np.array_equal(widened.view(np.uint32), bits.view(np.float16).astype(np.float32).view(np.uint32))
    negative = (np.arange(0x7C00, dtype=np.uint16) | np.uint16(0x8000)).view(np.int16)
    assert np.array_equal(int8.widened(negative), negative.view(np.float16).astype(np.float32))


PLANNED = ModelFile(
    "WhisperSpec",
    3,
    (
        Variable("conv/weight", Dtype.FLOAT16, (4, 3, 3), 100),
        Variable("linear/weight", Dtype.FLOAT16, (4, 3), 200),
        Variable("linear/bias", Dtype.BFLOAT16, (4,), 300),
        Variable("done/weight", Dtype.INT8, (4, 3), 400),
        Variable("done/weight_scale", Dtype.FLOAT32, (4,), 500),
        Variable("scalar", Dtype.FLOAT32, (), 600),
        Variable("heads", Dtype.INT16, (2,), 700),
    ),
    (),
    1000,
)


@pytest.mark.parametrize(
    ("compute_type", "convolution", "bias"),
    [
        ("int8", Dtype.FLOAT16, Dtype.BFLOAT16),
        ("int8_float32", Dtype.FLOAT32, Dtype.FLOAT32),
        ("int8_float16", Dtype.FLOAT16, Dtype.FLOAT16),
    ],
)
def test_the_compute_type_says_what_becomes_of_the_other_floats(
    compute_type: ComputeType, convolution: Dtype, bias: Dtype
) -> None:
    made = [item for step in ctmodel.plan(PLANNED, compute_type) for item in (step.made, step.scales) if item]
    assert made == [
        Variable("conv/weight", convolution, (4, 3, 3)),
        Variable("linear/weight", Dtype.INT8, (4, 3)),
        Variable("linear/weight_scale", Dtype.FLOAT32, (4,)),
        Variable("linear/bias", bias, (4,)),
        Variable("done/weight", Dtype.INT8, (4, 3)),
        Variable("done/weight_scale", Dtype.FLOAT32, (4,)),
        Variable("scalar", Dtype.FLOAT32, ()),
        Variable("heads", Dtype.INT16, (2,)),
    ]


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16], ids=lambda dtype: dtype.label)
def test_other_compute_types_can_be_loaded(tmp_path: Path, dtype: Dtype) -> None:
    models.write(str(tmp_path / "source"), SMALLEST, dtype)
    noise = np.random.default_rng(1).standard_normal((1, 80, 3000)).astype(np.float32)
    expected = encoded(tmp_path / "source", noise)
    types: tuple[ComputeType, ...] = ("int8", "int8_float32", "int8_float16")
    for compute_type in types:
        quantize.quantize(str(tmp_path / "source"), str(tmp_path / compute_type), compute_type)
        difference = np.abs(encoded(tmp_path / compute_type, noise) - expected).max()
        is_exact = compute_type != "int8_float16" or dtype == Dtype.FLOAT16
        assert difference == 0.0 if is_exact else difference < 0.05
    gamma = array(tmp_path / "int8_float16", "encoder/layer_norm/gamma")
    assert gamma.dtype == np.float16
    assert np.allclose(gamma, array(tmp_path / "int8_float32", "encoder/layer_norm/gamma"), atol=1e-3)


@pytest.mark.usefixtures("usual_umask")
def test_the_result_tells_of_every_file_and_keeps_those_of_a_model(smallest: Path) -> None:
    for name in ("LICENSE", "README.md", "pytorch_model.bin", "stenod.json", ".hidden"):
        (smallest / name).write_text(name)
    cache = smallest.parent / "snapshot"  # in Hugging Face's cache every file is a link
    with_others(smallest, cache)
    (cache / "model.bin").symlink_to(smallest / "model.bin")
    target = smallest.parent / "int8"
    result = quantize.run(str(cache), str(target))
    kept = ["LICENSE", "README.md", "config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.json"]
    assert visible(target) == sorted(["model.bin", *kept])
    assert [file.name for file in result.files] == ["model.bin", *kept]
    for file in result.files:
        content = (target / file.name).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert not (target / file.name).is_symlink()
        assert (target / file.name).stat().st_mode & 0o777 == 0o644
    assert target.stat().st_mode & 0o777 == 0o755
    assert result.source_size_bytes == (smallest / "model.bin").stat().st_size
    assert visible(smallest.parent) == ["int8", "smallest", "snapshot"]


@pytest.mark.parametrize("source", ["official", "ours"])
def test_what_is_int8_already_is_taken_as_it_is(tmp_path: Path, int8_demo: Path, source: str) -> None:
    folder = HUB / "demo" if source == "official" else int8_demo
    result = quantize.quantize(str(folder), str(tmp_path / "target"))
    assert (result.outcome, result.files) == (Outcome.ALREADY_INT8, ())
    assert visible(tmp_path) == []


# What goes wrong.


def refused(source: Path, target: Path, compute_type: ComputeType = "int8") -> str:
    """Return the message, once it is sure that nothing is left behind."""
    before = visible(target.parent)
    with pytest.raises(UserError) as caught:
        quantize.quantize(str(source), str(target), compute_type)
    assert visible(target.parent) == before
    assert "\n" not in caught.value.message
    return caught.value.message


WEIGHT = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": WEIGHT.astype(np.int16)}, "cannot be quantised: its weights are int16"),
        ({"bias": WEIGHT}, "cannot be quantised: its weights are missing"),
        ({"weight": WEIGHT, "weight_scale": WEIGHT[0]}, "weight is float and has a scale already"),
        ({"weight": WEIGHT * np.float32(np.inf)}, "weight has values that are infinite or not a number"),
        ({"weight": WEIGHT.astype(np.float16) * np.float16(np.nan)}, "is damaged: weight has values"),
        ({"weight": np.ones((1, int8.LONGEST_ROW + 1), np.int8).astype(np.float16)}, "4194305 numbers in a row"),
    ],
    ids=["int16", "no weights", "a scale already", "infinite", "not a number", "an endless row"],
)
def test_what_cannot_be_quantised_is_said(tmp_path: Path, tensors: Tensors, said: str) -> None:
    write(tmp_path / "source", tensors)
    assert said in refused(tmp_path / "source", tmp_path / "target")


def test_floats_that_float16_cannot_hold_are_said(tmp_path: Path) -> None:
    write(tmp_path / "source", {"weight": WEIGHT, "bias": np.full(4, 1e5, np.float32)})
    assert "has values in bias that float16 cannot hold" in refused(
        tmp_path / "source", tmp_path / "target", "int8_float16"
    )
    quantize.quantize(str(tmp_path / "source"), str(tmp_path / "target"))


def test_what_is_no_whisper_or_no_model_or_in_the_way_is_said(tmp_path: Path, smallest: Path) -> None:
    target = tmp_path / "target"
    write(tmp_path / "other", {"weight": WEIGHT}, "TransformerSpec")
    assert "is no Whisper but a TransformerSpec" in refused(tmp_path / "other", target)
    assert "model.bin cannot be read: No such file or directory" in refused(tmp_path / "none", target)
    os.truncate(tmp_path / "other" / "model.bin", 50)
    assert "is not a sound model.bin" in refused(tmp_path / "other", target)
    (tmp_path / "file").touch()
    assert "file is already there" in refused(smallest, tmp_path / "file")
    assert "smallest is already there" in refused(smallest, smallest)
    with pytest.raises(UserError, match=r"cannot be made: No such file or directory"):
        quantize.quantize(str(smallest), str(tmp_path / "none" / "target"))


def test_a_source_that_shrinks_while_it_is_read_is_said(smallest: Path) -> None:
    model = smallest / "model.bin"

    def shrink(_done: int, _total: int) -> None:
        os.truncate(model, model.stat().st_size // 2)

    with pytest.raises(UserError, match=r"model\.bin cannot be read: the model became shorter"):
        quantize.quantize(str(smallest), str(smallest.parent / "target"), report=shrink)
    assert visible(smallest.parent) == ["smallest"]


def test_what_does_not_read_back_as_it_was_written_is_not_kept(tmp_path: Path) -> None:
    hidden = tmp_path / (quantize.PREFIX + "target") / "model.bin"
    flipped = False

    def flip_a_bit(_done: int, _total: int) -> None:
        nonlocal flipped
        if not flipped and hidden.stat().st_size:  # what is on the disk by now is not touched any more
            with hidden.open("r+b") as file:
                byte = file.read(1)[0]
                file.seek(0)
                file.write(bytes([byte ^ 1]))
            flipped = True

    with pytest.raises(UserError, match=r"model\.bin reads back other than it was written"):
        quantize.quantize(str(SOURCE), str(tmp_path / "target"), report=flip_a_bit)
    assert flipped
    assert visible(tmp_path) == []


@pytest.mark.parametrize("part", ["values", "scales", "contents"])
def test_wrong_numbers_are_found(monkeypatch: pytest.MonkeyPatch, smallest: Path, part: str) -> None:
    """As if the code that computes were wrong: the check is by another way."""
    if part == "scales":
        scales = int8.scales_of
        calls = itertools.count()
        matrices = sum(step.scales is not None for step in ctmodel.plan(inspect(smallest), "int8"))
        monkeypatch.setattr(
            int8, "scales_of", lambda largest: scales(largest) * np.float32(1 if next(calls) >= matrices else 0.99)
        )
    elif part == "values":
        monkeypatch.setattr(np, "rint", np.floor)
    else:
        monkeypatch.setattr(ctmodel.Writer, "finish", lambda writer, _aliases: writer._sink.write(bytes(4)))
    message = refused(smallest, smallest.parent / "target")
    assert "was not quantised as it should be" in message


# Space.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only root may mount a file system of its own")
    command = [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


def test_too_little_space_is_said_before_anything_is_written(small_disk: Path) -> None:
    message = refused(SOURCE, small_disk / "demo")
    assert message.endswith("it needs 3 MB, and 2 MB are free")


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(small_disk: Path, smallest: Path) -> None:
    def fill(_done: int, _total: int) -> None:
        with (small_disk / "other").open("ab") as other:
            other.truncate(2_000_000)
            os.posix_fallocate(other.fileno(), 0, 1_900_000)

    with pytest.raises(UserError, match=r"target cannot be made: No space left on device"):
        quantize.quantize(str(smallest), str(small_disk / "target"), report=fill)
    assert visible(small_disk) == ["other"]
    (small_disk / "other").unlink()
    assert quantize.quantize(str(smallest), str(small_disk / "target")).outcome == Outcome.QUANTIZED


# Killed, and next to others.


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


# Kills itself before its N-th step: whatever touches the file system (but for writing), and every report.
KILLED = """
import os, signal, sys
import numpy
from stenod import quantize
source, target, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
def step(event, _arguments):
    global left
    if event in {"open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.listdir", "fcntl.flock", "report"}:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
quantize.quantize(source, target, report=lambda done, total: step("report", ()))
print(int(sys.argv[3]) - left)
"""


def test_killed_at_any_step_there_is_the_whole_model_or_none(smallest: Path) -> None:
    def killed_before(step: int) -> str:
        command = [sys.executable, "-c", KILLED, str(smallest), str(target), str(step)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        assert run.returncode == (0 if run.stdout else -signal.SIGKILL)
        return run.stdout

    target = smallest.parent / "target"
    steps = int(killed_before(1_000_000))
    whole = digests(target)
    shutil.rmtree(target)
    outcomes = set()
    # The last steps are those around the renaming.
    for step in [*sorted(random.Random(5).sample(range(1, steps - 5), 8)), *range(steps - 4, steps + 1)]:
        killed_before(step)
        there = [name for name in visible(smallest.parent) if not name.startswith(quantize.PREFIX)]
        assert there in (["smallest"], ["smallest", "target"])
        outcomes.add("target" in there)
        if "target" in there:
            assert digests(target) == whole
            shutil.rmtree(target)
        if step < steps - 4:  # what is left over must go with the next run; it takes steps, so not near the end
            continue
        quantize.remove_leftovers(str(smallest.parent))
    assert outcomes == {True, False}
    assert quantize.run(str(smallest), str(target)).outcome == Outcome.QUANTIZED
    assert visible(smallest.parent) == ["smallest", "target"]
    assert digests(target) == whole


def test_killed_at_random_moments_there_is_the_whole_model_or_none(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    models.write(str(source), models.SIZES["tiny"])
    command = [sys.executable, "-m", "stenod.quantize", str(source), str(target)]
    moments = random.Random(6)
    started = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    longest_seconds = time.monotonic() - started
    whole = digests(target)
    for _ in range(5):
        shutil.rmtree(target, ignore_errors=True)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(moments.uniform(0.3, 1) * longest_seconds)
            process.kill()
        left = [name for name in visible(tmp_path) if not name.startswith(quantize.PREFIX)]
        assert left in (["source"], ["source", "target"])
        if "target" in left:
            assert digests(target) == whole
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert visible(tmp_path) == ["source", "target"]
    assert digests(target) == whole


def test_leftovers_go_but_what_another_run_is_making_stays(smallest: Path) -> None:
    hub = smallest.parent
    for name in ("old", "mine", "target"):
        (hub / (quantize.PREFIX + name)).mkdir()
        (hub / (quantize.PREFIX + name) / "model.bin").write_text("half of it")
    (hub / (quantize.PREFIX + "file")).write_text("somebody's")
    held = os.open(hub / (quantize.PREFIX + "mine"), os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    quantize.quantize(str(smallest), str(hub / "target"))
    assert visible(hub) == [quantize.PREFIX + "file", quantize.PREFIX + "mine", "smallest", "target"]
    with pytest.raises(UserError, match="mine is just being made by another process"):
        quantize.quantize(str(smallest), str(hub / "mine"))
    os.close(held)
    assert quantize.remove_leftovers(str(hub)) == [quantize.PREFIX + "mine"]


def test_a_target_that_comes_meanwhile_is_not_overwritten(smallest: Path) -> None:
    target = smallest.parent / "target"

    def come(_done: int, _total: int) -> None:
        target.mkdir(exist_ok=True)
        (target / "note").write_text("mine")

    with pytest.raises(UserError, match="cannot be made: Directory not empty"):
        quantize.quantize(str(smallest), str(target), report=come)
    assert visible(smallest.parent) == ["smallest", "target"]
    assert visible(target) == ["note"]


# In a process of its own.


def test_run_reports_how_far_it_is(tmp_path: Path) -> None:
    models.write(str(tmp_path / "source"), models.SIZES["tiny"], Dtype.FLOAT16)
    reports: list[tuple[int, int]] = []
    result = quantize.run(str(tmp_path / "source"), str(tmp_path / "target"), report=lambda *now: reports.append(now))
    assert result.outcome == Outcome.QUANTIZED
    assert reports == sorted(reports)
    assert len(reports) > 1
    assert len({total for _, total in reports}) == 1
    assert reports[-1][0] == reports[-1][1]


def test_run_passes_errors_on(smallest: Path) -> None:
    with pytest.raises(UserError, match="smallest is already there"):
        quantize.run(str(smallest), str(smallest))
    with pytest.raises(UserError, match="cannot be read"):
        quantize.run(str(smallest / "nothing"), str(smallest.parent / "target"))


def test_run_leaves_nothing_when_it_is_broken_off(tmp_path: Path) -> None:
    models.write(str(tmp_path / "source"), models.SIZES["tiny"])
    with pytest.raises(KeyboardInterrupt):
        quantize.run(str(tmp_path / "source"), str(tmp_path / "target"), report=interrupt)
    assert visible(tmp_path) == ["source"]


def interrupt(_done: int, _total: int) -> None:
    raise KeyboardInterrupt


def test_it_ends_when_whoever_started_it_has_ended(tmp_path: Path) -> None:
    models.write(str(tmp_path / "source"), models.SIZES["tiny"])
    command = [sys.executable, "-m", "stenod.quantize", str(tmp_path / "source"), str(tmp_path / "target")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
    assert visible(tmp_path) == ["source"]


def test_run_says_when_its_process_dies(monkeypatch: pytest.MonkeyPatch, smallest: Path) -> None:
    popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def killed(_command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **options)

    monkeypatch.setattr(subprocess, "Popen", killed)
    with pytest.raises(UserError, match=r"was broken off \(exit code -9\)") as caught:
        quantize.run(str(smallest), str(smallest.parent / "target"))
    assert "not enough memory" in caught.value.next_step


MEASURED = """
import json, sys
from stenod import quantize
quantize.quantize(sys.argv[1], sys.argv[2])
print(json.dumps(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))))
"""


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """Of tiny (151 MB as float32, its largest tensor 80 MB) it needs not even one tensor."""
    models.write(str(tmp_path / "source"), models.SIZES["tiny"])
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "source"), str(tmp_path / "target")]
    assert json.loads(subprocess.check_output(command)) * 1024 < 80_000_000
