"""What lies in a model's folder, where it came from, and whether it is still whole: `stenod.json` beside model.bin."""

import datetime as dt
import hashlib
import os
import time
from dataclasses import dataclass

import msgspec

from stenod.errors import UserError, os_error_text, printable

FILE = "stenod.json"
LAST_USED = ".stenod-last-used"  # an empty file whose time of change is when the model was last loaded
NEEDED = ("model.bin", "config.json", "tokenizer.json")  # without its tokenizer the engine would ask the network
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
PIECE_BYTES = 1024 * 1024


class FileRecord(msgspec.Struct, frozen=True):
    """One file as it was when the model was made."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model. `form` is int8 or the float format of its weights."""

    schema: int = 1
    name: str
    form: str
    source: str  # owner/name on the hub, or the folder that it was made from
    revision: str = ""  # the commit of that repository
    original_size_bytes: int = 0  # of the model.bin that it was quantised from; 0: it was not
    quantized_from: str = ""  # the float format of the original
    stenod: str  # the version that wrote this
    made_at: str  # UTC, ISO 8601
    files: dict[str, FileRecord]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of looking a model's folder over. `problems` is empty if all is well."""

    problems: tuple[str, ...]
    has_manifest: bool


def read(folder: str) -> Manifest | None:
    """Return the manifest in `folder`; None if there is none. Raise UserError if it is damaged."""
    path = os.path.join(folder, FILE)
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Manifest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read: {os_error_text(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{printable(path)} is damaged: {error}") from error


def write(folder: str, manifest: Manifest) -> None:
    """Put the manifest into `folder`, whole and durable. Raise OSError."""
    path = os.path.join(folder, FILE)
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


def records(folder: str) -> dict[str, FileRecord]:
    """Return every file in `folder` that a model consists of, with size and sha256. Raise OSError."""
    found: dict[str, FileRecord] = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not name.startswith((".", FILE)) and os.path.isfile(path):
            found[name] = FileRecord(os.path.getsize(path), sha256(path))
    return found


def sha256(path: str) -> str:
    """Return the digest of the file at `path`. Raise OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(folder: str, *, thorough: bool = False) -> Check:
    """Look a model over: are its files there, each as long as it was, and (`thorough`) with the same content?"""
    problems = [f"{name} is missing" for name in NEEDED if not os.path.isfile(os.path.join(folder, name))]
    if not any(os.path.isfile(os.path.join(folder, name)) for name in VOCABULARIES):
        problems.append("vocabulary.json is missing")
    try:
        manifest = read(folder)
        for name, record in (manifest.files if manifest else {}).items():
            problems += _compare(os.path.join(folder, name), name, record, thorough=thorough)
    except UserError as error:
        return Check((*problems, error.message), has_manifest=True)
    return Check(tuple(dict.fromkeys(problems)), manifest is not None)


def _compare(path: str, name: str, record: FileRecord, *, thorough: bool) -> list[str]:
    try:
        size = os.path.getsize(path)
        if size != record.size_bytes:
            return [f"{name} has {size} bytes, not {record.size_bytes}"]
        if thorough and sha256(path) != record.sha256:
            return [f"{name} has changed: its sha256 is not the one noted when the model was made"]
    except FileNotFoundError:
        return [f"{name} is missing"]
    except OSError as error:
        return [f"{name} cannot be read: {os_error_text(error)}"]
    return []


def note_use(folder: str) -> None:
    """Note that the model is used now. A folder that cannot be written keeps no such note."""
    path = os.path.join(folder, LAST_USED)
    try:
        with open(path, "ab"):
            os.utime(path)
    except OSError:
        return


def last_used(folder: str) -> float:
    """Return when the model was last used (or, if never, made), in seconds since the epoch."""
    for name in (LAST_USED, FILE, "model.bin"):
        try:
            return os.path.getmtime(os.path.join(folder, name))
        except OSError:
            continue
    return time.time()


def now_text() -> str:
    """Return this moment as a manifest has it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
