"""A model's forms side by side, on the user's own machine and recordings: what int8 saves, and what it costs.

Each form runs in a process of its own (`stenod.worker.measure`), one after the other.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from stenod import wire, words
from stenod.errors import UserError, printable
from stenod.hub import store

LONGEST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Form:
    """A model's files, and the compute type that they are loaded with."""

    label: str
    folder: str
    size_bytes: int
    compute_type: str


@dataclass(frozen=True, slots=True)
class Row:
    """One form, measured. `drift`: its words against those of the first row; `errors`: against the references."""

    form: Form
    measured: wire.Measured
    drift: words.Errors | None
    errors: words.Errors | None

    @property
    def speed(self) -> float:
        """Seconds of audio in one second."""
        return self.measured.audio_seconds / max(self.measured.transcribe_seconds, 1e-6)


def forms(name: str, hub: str, against: str, original: str | None) -> list[Form]:
    """Return the forms of the model called `name`, the one to compare with first.

    `against` is a compute type without int8. The float model is `original` (a name or a path), or the one that was
    kept beside the int8 one. Raise UserError if either is not there.
    """
    entries = [entry for entry in store.entries(hub) if not entry.problems]
    int8 = next((entry for entry in entries if entry.name == name and entry.is_int8), None)
    if original is not None:
        if os.path.isdir(original):
            original = os.path.abspath(original)
        wide: store.Entry | None = store.require(original, hub, against)
    else:
        matching = [entry for entry in entries if entry.name in {name, store.original_of(name)} and not entry.is_int8]
        wide = matching[0] if matching else None
    if int8 is None:
        raise UserError(f"there is no int8 model {name!r} in the hub", next_step=f"Get it with: stenod hub pull {name}")
    if wide is None or wide.is_int8:
        raise UserError(
            f"the float original of {name!r} is not there to compare with",
            next_step=f"Name it with --original, or fetch it again: stenod hub pull {name} --keep-original",
        )
    return [
        Form(f"{wide.form}, {against}" if wide.form != against else wide.form, wide.folder, wide.size_bytes, against),
        Form(f"{wide.form}, int8 at load", wide.folder, wide.size_bytes, "int8"),
        Form("int8", int8.folder, int8.size_bytes, "int8"),
    ]


def run(
    rows: Sequence[Form], files: Sequence[str], references: Sequence[str | None], options: wire.Options, threads: int
) -> Iterator[Row]:
    """Measure each form on the files and yield its row. Raise UserError if one cannot be measured."""
    first: wire.Measured | None = None
    for form in rows:
        measured = _measure(form, files, options, threads)
        drift = None if first is None else _compare(first.texts, measured.texts)
        first = first or measured
        known = [(said, text) for said, text in zip(references, measured.texts, strict=True) if said is not None]
        errors = _compare([said for said, _ in known], [text for _, text in known]) if known else None
        yield Row(form, measured, drift, errors)


def reference_for(path: str, folder: str) -> str | None:
    """Return the text of `NAME.EXT.reference.txt`, `NAME.EXT.txt` or `NAME.txt` in `folder`, if there is one."""
    name = os.path.basename(path)
    for candidate in (f"{name}.reference.txt", f"{name}.txt", f"{os.path.splitext(name)[0]}.txt"):
        try:
            with open(os.path.join(folder, candidate), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the reference text {printable(candidate)} cannot be read") from error
    return None


def _compare(references: Sequence[str], texts: Sequence[str]) -> words.Errors:
    pairs = zip(references, texts, strict=True)
    return sum((words.compare(said, text) for said, text in pairs), words.Errors(0, 0))


def _measure(form: Form, files: Sequence[str], options: wire.Options, threads: int) -> wire.Measured:
    engine = wire.Engine(
        model=os.fsencode(form.folder), device="cpu", compute_type=form.compute_type, cpu_threads=threads
    )
    task = wire.Task(engine, options, tuple(os.fsencode(os.path.abspath(path)) for path in files))
    result = subprocess.run(
        [sys.executable, "-P", "-m", "stenod.worker.measure"],
        input=msgspec.json.encode(task), capture_output=True, check=False, timeout=LONGEST_SECONDS, cwd="/",
    )  # fmt: skip
    if result.returncode != 0:
        raise UserError(
            f"{form.label}: it could not be measured (exit code {result.returncode})",
            problems=result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:],
            next_step="If the code is -9, there was not enough memory for this form.",
        )
    return msgspec.json.decode(result.stdout, type=wire.Measured)
