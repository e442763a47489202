"""The models that the hub has, and which one of them is meant by a name. Touches no network."""

import contextlib
import difflib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from stenod import bundled, ctmodel
from stenod.errors import UserError, os_error_text, printable
from stenod.hub import manifest, names

DOT_PREFIX = ".stenod-"  # of everything unfinished or set aside in the hub
SET_ASIDE = ".stenod-damaged-"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model on disk. `form`: int8, or the float format of its weights; '' if its model.bin cannot be understood."""

    name: str
    folder: str
    form: str
    size_bytes: int
    original_size_bytes: int  # of all its files, had it not been quantised; 0 if that is not known
    last_used: float
    kind: str  # managed (has a manifest), plain, cache (Hugging Face's layout), bundled
    problems: tuple[str, ...]

    @property
    def is_int8(self) -> bool:
        """Whether CTranslate2 has nothing left to quantise."""
        return self.form == "int8"


def entries(hub: str) -> list[Entry]:
    """Return every model in the folder `hub`, by name, and the bundled one. A missing hub is an empty one."""
    found = sorted(_scan(hub), key=lambda entry: (entry.name, entry.folder))
    if not any(entry.kind == "bundled" for entry in found):
        found.append(describe(bundled.DEMO_MODEL, names.DEMO, "bundled"))
    return found


def resolve(name: str, hub: str, compute_type: str) -> Entry | None:
    """Return the model that is meant by `name`, best for `compute_type`; None if it must be fetched first.

    In this order: a path; a model of the hub in the wanted form; one in Hugging Face's cache layout in the hub; the
    same in the other form, if that can serve; the bundled one. Raise UserError if `name` is a path without a model.
    Looks twice before it says no: a look takes several steps, and a swap (`placing`) may fall in between.
    """
    with contextlib.suppress(UserError):
        if (entry := _resolve(name, hub, compute_type)) is not None:
            return entry
    return _resolve(name, hub, compute_type)


def _resolve(name: str, hub: str, compute_type: str) -> Entry | None:
    if names.is_path(name):
        folder = os.path.abspath(os.path.expanduser(name))
        if not os.path.isdir(folder):
            raise UserError(f"model {printable(folder)}: there is no such folder")
        return _whole(describe(folder, os.path.basename(folder), "plain"))
    matching = [entry for entry in _scan(hub) if entry.name in {name, original_of(name)}]
    damaged = [entry for entry in matching if entry.problems]
    matching = [entry for entry in matching if not entry.problems]
    matching.sort(
        key=lambda entry: (entry.is_int8 != names.wants_int8(compute_type), entry.kind == "cache", -entry.last_used)
    )
    if matching and (names.wants_int8(compute_type) or not matching[0].is_int8):
        return matching[0]
    if name == names.DEMO:
        return describe(bundled.DEMO_MODEL, names.DEMO, "bundled")
    if damaged and not names.repositories(name, compute_type, {}):
        return _whole(damaged[0])
    return None


def original_of(name: str) -> str:
    """Return what the float form of a model is called that was kept beside its int8 form."""
    return f"{name}-original"


def require(name: str, hub: str, compute_type: str) -> Entry:
    """Return what `resolve` does; where it is not in the hub, raise UserError with what to do."""
    entry = resolve(name, hub, compute_type)
    if entry is None:
        near = difflib.get_close_matches(name, [*names.STANDARD, *(each.name for each in entries(hub))], n=1)
        if names.repositories(name, compute_type, {}):
            advice = f"Fetch it: stenod hub pull {name}"
        elif near:
            advice = f"Did you mean {near[0]}?"
        else:
            advice = "`stenod hub list` shows what is there; the path of a folder starts with / or ./"
        raise UserError(f"model {name!r} is not in the hub {printable(hub)}", next_step=advice)
    return entry


def describe(folder: str, name: str, kind: str) -> Entry:
    """Return what is in the model folder `folder`, without reading the weights."""
    check = manifest.check(folder)
    problems = list(check.problems)
    form, original = "", 0
    size = _size_bytes(folder)
    try:
        noted = manifest.read(folder)
    except UserError:
        noted = None
    if os.path.realpath(folder) == os.path.realpath(bundled.DEMO_MODEL):
        kind = "bundled"
    if noted is not None:
        kind = "managed" if kind == "plain" else kind
        if noted.original_size_bytes and "model.bin" in noted.files:
            original = size - noted.files["model.bin"].size_bytes + noted.original_size_bytes
    try:
        form = form_of(ctmodel.inspect(os.path.join(folder, "model.bin")))
    except UserError as error:
        problems.append(error.message)
    except OSError as error:
        if not any("model.bin" in problem for problem in problems):
            problems.append(f"model.bin cannot be read: {os_error_text(error)}")
    return Entry(name, folder, form, size, original, manifest.last_used(folder), kind, tuple(dict.fromkeys(problems)))


def form_of(model: ctmodel.ModelFile) -> str:
    """Return int8, or the float format that most of the weights have."""
    if ctmodel.is_int8(model):
        return "int8"
    weights = [variable for variable in model.variables if ctmodel.is_weight(variable)]
    largest = max(weights or model.variables, key=lambda variable: variable.size_bytes, default=None)
    return largest.dtype.label if largest else ""


def set_aside(entry: Entry) -> str:
    """Move a damaged model out of the way, within the hub, and return where it is now. Raise OSError."""
    parent, name = os.path.split(entry.folder)
    for number in range(1, 100):
        place = os.path.join(parent, f"{SET_ASIDE}{name}-{number}")
        if not os.path.lexists(place):
            os.rename(entry.folder, place)
            return place
    raise FileExistsError(17, "too many damaged models set aside", parent)


def whole_of(folder: str) -> str:
    """Return what is to be deleted with the model in `folder`: of one in a cache, its repository with the blobs.

    In Hugging Face's layout that is models--OWNER--NAME of models--OWNER--NAME/snapshots/REVISION. Both names must be
    right: a hub may be called `snapshots`, too.
    """
    snapshots = os.path.dirname(folder)
    repository = os.path.dirname(snapshots)
    is_cached = os.path.basename(snapshots) == "snapshots" and names.of_cache_folder(os.path.basename(repository))
    return repository if is_cached else folder


def remove(entry: Entry) -> None:
    """Delete a model. The bundled one is part of the program and stays. Raise UserError."""
    if entry.kind == "bundled":
        raise UserError("the demo model is part of stenod and stays")
    doomed = whole_of(entry.folder)
    try:
        shutil.rmtree(doomed)
    except OSError as error:
        raise UserError(f"{printable(doomed)} cannot be removed: {os_error_text(error)}") from error


def _whole(entry: Entry) -> Entry:
    if entry.problems:
        raise UserError(
            f"model {printable(entry.folder)} is not whole",
            problems=entry.problems,
            next_step="It must be a model in CTranslate2's format, as faster-whisper uses it, with all its files.",
        )
    return entry


def _scan(hub: str) -> Iterator[Entry]:
    try:
        folders = sorted(entry.name for entry in os.scandir(hub) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"the hub {printable(hub)} cannot be read: {os_error_text(error)}") from error
    for folder in folders:
        path = os.path.join(hub, folder)
        if folder.startswith("."):
            continue
        if (cached := names.of_cache_folder(folder)) is not None:
            snapshots = os.path.join(path, "snapshots")
            for revision in sorted(os.listdir(snapshots)) if os.path.isdir(snapshots) else []:
                if os.path.exists(os.path.join(snapshots, revision, "model.bin")):
                    yield describe(os.path.join(snapshots, revision), cached, "cache")
        elif os.path.exists(os.path.join(path, "model.bin")):
            yield describe(path, folder.replace("--", "/", 1) if "--" in folder else folder, "plain")


def _size_bytes(folder: str) -> int:
    """Return what the files of a folder take on disk; links (of a Hugging Face cache) count as what they lead to."""
    total = 0
    for name in os.listdir(folder):
        try:
            total += os.stat(os.path.join(folder, name)).st_size
        except OSError:
            continue
    return total
