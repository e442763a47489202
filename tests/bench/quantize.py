"""What int8 on disk is worth: `python -m tests.bench.quantize [--sizes tiny base ...]`, from the repository's root.

Models of true dimensions with random weights, each in three forms: float32; float16, as published, quantised by
CTranslate2 at every load; the int8 file that stenod makes of it. One run of each; every load is in a process of its
own. `cold`: the file is not in the page cache. `same`: what the encoder puts out, bit for bit, and the tokens that
follow, are those of CTranslate2 quantising at load. Needs 2.7 times the float32 file on disk at once.
"""

import argparse
import contextlib
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stenod import quantize
from stenod.ctmodel import inspect

if TYPE_CHECKING:
    from rich.table import Table

    from tests.bench.daemon import Outcome

FEATURES_SEED = 1
FRAMES = 3000  # of a 30 s window
THREADS = len(os.sched_getaffinity(0))

# The limits. Ratios of the int8 file, for large-v3-turbo; those for quantising are for every size.
LIMITED = "large-v3-turbo"
AGAINST_FLOAT16 = {"disk": 0.52, "load, cold": 0.4, "load, warm": 0.4, "peak": 0.6}
AGAINST_FLOAT32 = {"disk": 0.26, "resident": 0.28, "encoder": 0.55}
PEAK_TENSORS = 2.5  # of the largest tensor as float32, and on top of that:
PEAK_MB = 100.0
COPIES = 3.0  # as long as a plain copy, at most, and on top of that:
START_SECONDS = 0.3  # until numpy is there; it counts only for the smallest models

ALL = ("tiny", "base", "small", "medium", "large-v3", "large-v3-turbo", "distil-large-v3")
QUICK = ("tiny",)
QUICK_TO_ENCODE = {"tiny", "tiny.en", "base"}  # the best of three


@dataclass(frozen=True, slots=True)
class Form:
    """One way of using a model: how large its file is (MB), what loading it takes (s, MB), and a 30 s window (s)."""

    label: str
    figures: dict[str, float]
    output: str  # a digest of what the engine made of the window


@dataclass(frozen=True, slots=True)
class Making:
    """What it takes to make the int8 file, and what a copy of the source takes."""

    seconds: float
    copy_seconds: float
    peak_mb: float
    largest_mb: float  # the largest tensor as float32

    @property
    def limit_mb(self) -> float:
        """The memory that it may need."""
        return PEAK_TENSORS * self.largest_mb + PEAK_MB


@dataclass(frozen=True, slots=True)
class Size:
    """All figures of a size of model: float32, float16 and int8 in this order; `makings` from which source."""

    name: str
    forms: tuple[Form, ...]
    makings: dict[str, Making]


def run(quick: bool, sizes: Sequence[str] = (), work: str | None = None) -> "Outcome":
    """Measure, and return the table and the limits that are broken."""
    from tests.bench.daemon import Outcome  # noqa: PLC0415 - the processes that are measured import this module, too

    found = []
    for name in sizes or (QUICK if quick else ALL):
        with _folder(work) as folder:
            found.append(_measure(name, folder))
    return Outcome([_table(found)], [problem for size in found for problem in problems(size)])


@contextlib.contextmanager
def _folder(work: str | None) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="stenod-bench-", dir=work)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(name: str, folder: str) -> Size:
    folders = {label: os.path.join(folder, label) for label in ("float32", "float16", "int8")}
    forms, makings = [], {}
    for label in ("float32", "float16"):
        command = [sys.executable, "-m", "tests.bench.models", name, folders[label], "--format", label]
        subprocess.run(command, check=True)
        target = folders["int8"] if label == "float16" else os.path.join(folder, "unused")
        makings[label] = _making(folders[label], target)
        if label == "float32":
            shutil.rmtree(target)
    for label, compute_type in (("float32", "float32"), ("float16", "int8"), ("int8", "int8")):
        model = os.path.join(folders[label], quantize.MODEL)
        _forget(model)
        cold, _ = _child("load", folders[label], compute_type, "0")
        warm, output = _child("load", folders[label], compute_type, "3" if name in QUICK_TO_ENCODE else "1")
        figures = {"disk": os.path.getsize(model) / 1e6, "load, cold": cold["load"], "load, warm": warm["load"]}
        forms.append(Form(label, figures | {key: warm[key] for key in ("peak", "resident", "encoder")}, output))
        shutil.rmtree(folders[label])
    return Size(name, tuple(forms), makings)


def _making(source: str, target: str) -> Making:
    """Quantise, and copy, each with a file that is not in the page cache."""
    model = os.path.join(source, quantize.MODEL)
    _forget(model)
    made, _ = _child("quantize", source, target)
    _forget(model)
    started = time.monotonic()
    shutil.copyfile(model, f"{target}.copy")
    _sync(f"{target}.copy")
    copy_seconds = time.monotonic() - started
    os.remove(f"{target}.copy")
    largest = max(4 * math.prod(variable.shape) for variable in inspect(model).variables)
    return Making(made["seconds"], copy_seconds, made["peak"], largest / 1e6)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _forget(path: str) -> None:
    """Take the file out of the page cache."""
    _sync(path)
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _child(*arguments: str) -> tuple[dict[str, float], str]:
    command = [sys.executable, "-m", "tests.bench.quantize", "--child", *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    figures, output = json.loads(answer)
    return figures, output


def _be_child(what: str, *arguments: str) -> tuple[dict[str, float], str]:
    """Be the process that is measured, and return the figures, and a digest of what the engine put out."""
    started = time.monotonic()
    if what == "quantize":
        quantize.quantize(arguments[0], arguments[1])
        return {"seconds": time.monotonic() - started, "peak": _memory_mb("VmHWM")}, ""
    import ctranslate2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    folder, compute_type, rounds = arguments
    started = time.monotonic()
    model = ctranslate2.models.Whisper(folder, device="cpu", compute_type=compute_type, intra_threads=THREADS)
    figures = {"load": time.monotonic() - started, "peak": _memory_mb("VmHWM"), "resident": _memory_mb("VmRSS")}
    noise = np.random.default_rng(FEATURES_SEED).standard_normal((1, model.n_mels, FRAMES)).astype(np.float32)
    digest = hashlib.sha256()
    seconds = []
    for _ in range(int(rounds)):
        started = time.monotonic()
        memory = model.encode(ctranslate2.StorageView.from_array(noise))
        seconds.append(time.monotonic() - started)
    if seconds:
        prompt = ["<|startoftranscript|>", *(["<|en|>", "<|transcribe|>"] if model.is_multilingual else [])]
        tokens = model.generate(memory, [prompt], beam_size=2, max_length=40)[0].sequences_ids
        digest.update(np.array(memory).tobytes() + repr(tokens).encode())
    return figures | {"encoder": min(seconds, default=math.nan)}, digest.hexdigest()


def _memory_mb(field: str) -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines[field].split()[0]) * 1024 / 1e6


def problems(size: Size) -> list[str]:
    """Return the limits that `size` does not keep, a line each."""
    found = []
    float32, float16, int8 = (form.figures for form in size.forms)
    if size.forms[1].output != size.forms[2].output:
        found.append(f"{size.name}: the int8 file gives other output than quantising at load")
    if size.name == LIMITED:
        for label, base, limits in (("float16", float16, AGAINST_FLOAT16), ("float32", float32, AGAINST_FLOAT32)):
            for key, limit in limits.items():
                ratio = int8[key] / base[key]
                if not ratio <= limit:
                    found.append(f"{size.name}: {key}, int8 against {label}: {ratio:.2f}, limit {limit}")
    for label, making in size.makings.items():
        if making.peak_mb > making.limit_mb:
            found.append(f"{size.name}: quantising {label}: {making.peak_mb:.0f} MB, limit {making.limit_mb:.0f} MB")
        if making.seconds > COPIES * making.copy_seconds + START_SECONDS:
            ratio = making.seconds / making.copy_seconds
            found.append(f"{size.name}: quantising {label}: {ratio:.1f} times a copy, limit {COPIES}")
    return found


def _table(sizes: Sequence[Size]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    keys = tuple(sizes[0].forms[0].figures)
    units = {"disk": "MB", "peak": "MB", "resident": "MB"}
    table = Table(title=f"int8 on disk, {THREADS} threads, one run")
    for heading in ("model", "form", "same"):
        table.add_column(heading)
    for heading in (*(f"{key} {units.get(key, 's')}" for key in keys), "made in s", "copied in s", "making, peak MB"):
        table.add_column(heading, justify="right")
    for size in sizes:
        int8 = size.forms[-1].figures
        for form in size.forms:
            making = size.makings.get(form.label)
            table.add_row(
                size.name if form is size.forms[0] else "",
                {"float16": "float16, int8 at load", "int8": "int8 file"}.get(form.label, form.label),
                "",
                *(f"{form.figures[key]:.0f}" if key in units else f"{form.figures[key]:.2f}" for key in keys),
                *((f"{making.seconds:.2f}", f"{making.copy_seconds:.2f}") if making else ("", "")),
                f"{making.peak_mb:.0f} (limit {making.limit_mb:.0f})" if making else "",
            )
        for form in size.forms[:-1]:
            ratios = (f"{int8[key] / form.figures[key]:.3f}" for key in keys)
            making = size.makings[form.label]
            quotient = f"{making.seconds / making.copy_seconds:.2f}"
            same = "" if form is size.forms[0] else ("yes" if form.output == size.forms[-1].output else "NO")
            table.add_row("", f"int8 : {form.label}", same, *ratios, quotient, "", "", style="bold")
        table.add_section()
    return table


def main() -> int:
    """Print the table. Return 0 if every limit is kept, 1 if not."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_be_child(*sys.argv[2:])))
        return 0
    from rich.console import Console  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m tests.bench.quantize", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=(*ALL, "tiny.en"), default=())
    parser.add_argument("--quick", action="store_true", help="tiny only")
    parser.add_argument("--work", help="where the models are made, and removed. Default: the system's temporary folder")
    options = parser.parse_args()
    outcome = run(options.quick, options.sizes, options.work)
    console = Console(width=None if sys.stdout.isatty() else 200)
    for table in outcome.tables:
        console.print(table)
    for problem in outcome.problems:
        console.print(problem, style="bold red", markup=False, highlight=False, soft_wrap=True)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
