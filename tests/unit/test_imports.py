"""Who may know whom: the rows of the design, and what the daemon's process never loads."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import stenod

PACKAGE = Path(stenod.__file__).parent

# From the bottom up. A module imports from the rows below its own; the modules of one row do not import each other,
# unless they are of one package. A package stands for all its modules but those that have a row of their own.
ROWS = (
    {"errors", "recording", "units", "wire", "yamlmarks", "bundled", "durable", "words", "hub.names"},
    {"ctmodel", "formats"},
    {"int8"},
    {"quantize"},
    {"hub"},
    {"config"},
    {
        "hub.provision", "inbox", "ledger", "lock", "logs", "notify", "outbox", "retention", "schedule", "starter",
        "transcriber",
    },
    {"arrivals", "compare", "jobs"},
    {"demo", "direct", "service"},
    {"screens", "screens_hub"},
    {"cli_config"},
    {"cli_hub"},
    {"cli"},
    {"__main__"},
)  # fmt: skip
PURE = ("errors", "formats", "recording", "units", "wire", "words", "yamlmarks", "jobs")
EFFECTS = {
    "asyncio", "fcntl", "http", "io", "logging", "multiprocessing", "pathlib", "queue", "select", "shutil", "signal",
    "socket", "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip

# None of this is ever loaded by the daemon: it is the worker's, or that of commands that only now and then run.
HEAVY = {
    "av", "ctranslate2", "faster_whisper", "huggingface_hub", "jiwer", "numpy", "onnxruntime", "rich", "tokenizers",
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Return every module of the package but the worker's, without the leading `stenod`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__" and not name.startswith("worker"):
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """Return the full names of everything that a file imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                assert level == 0, f"{path}: a relative import"
                found |= {f"{module}.{alias.name}" for alias in names}
    return found


def first_parts(names: Iterable[str]) -> set[str]:
    """Return the first part of each dotted name."""
    return {name.partition(".")[0] for name in names}


def ours(path: Path) -> set[str]:
    """Return the modules of stenod that a file imports, without the leading `stenod`."""
    found = {name.partition(".")[2] for name in imports(path) if name.startswith("stenod.")}
    return {longest(name, modules()) for name in found if name != "__version__"}


def longest(name: str, known: Iterable[str]) -> str:
    """Return the longest of the `known` names that is `name` or a package above it; '' if there is none."""
    parts = name.split(".")
    candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((candidate for candidate in candidates if candidate in known), "")


def row(name: str) -> int:
    """Return the number of the row that a module belongs to; -1 if it has none."""
    own = longest(name, set().union(*ROWS))
    return next((number for number, names in enumerate(ROWS) if own in names), -1)


def loaded_by(*names: str) -> set[str]:
    """Return the first parts of everything that a fresh interpreter has loaded after importing these modules."""
    program = f"import json, sys, {', '.join(names)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=True, text=True)
    return first_parts(json.loads(done.stdout))


def test_every_module_has_its_row() -> None:
    assert [name for name in modules() if row(name) < 0] == [], "a new module needs a row in this table"
    assert sum(map(len, ROWS)) == len(set().union(*ROWS)), "and only one"


@pytest.mark.parametrize("name", modules())
def test_imports_point_down_only(name: str) -> None:
    package = name.partition(".")[0]
    wrong = {
        other
        for other in ours(modules()[name])
        if row(other) > row(name) or (row(other) == row(name) and other.partition(".")[0] != package)
    }
    assert wrong == set()


@pytest.mark.parametrize("name", [name for name in PURE if name in modules()])
def test_pure_modules_have_no_way_to_an_effect(name: str) -> None:
    imported = first_parts(imports(modules()[name]))
    assert imported & EFFECTS == set()
    assert imported <= {"stenod", "msgspec", "yaml", "jiwer", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", sorted((PACKAGE / "worker").rglob("*.py")), ids=lambda path: path.stem)
def test_the_worker_knows_nothing_of_the_daemon(path: Path) -> None:
    known = first_parts(name.partition(".")[2] for name in imports(path) if name.startswith("stenod."))
    assert known <= {"wire", "worker"}


def test_only_the_workers_engine_knows_the_engine() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        engine = first_parts(imports(path)) & {"ctranslate2", "faster_whisper", "onnxruntime"}
        assert not engine or path == PACKAGE / "worker" / "engine.py", f"{path} imports {engine}"


@pytest.mark.parametrize(
    "names",
    [
        ("stenod.service",),
        ("stenod.cli",),
        ("stenod.__main__",),
        ("stenod.cli", "stenod.config", "stenod.logs", "stenod.service"),  # what `stenod run` imports
        ("stenod.worker.__main__",),  # before it says Hello, and reads its input already
    ],
    ids="+".join,
)
def test_nothing_heavy_is_loaded(names: tuple[str, ...]) -> None:
    loaded = loaded_by(*names)
    assert "stenod" in loaded
    assert loaded & HEAVY == set()


def test_help_comes_without_the_service() -> None:
    assert not loaded_by("stenod.cli") & {"sqlite3", "apscheduler", "watchdog"}


def test_the_worker_loads_nothing_of_the_daemon() -> None:
    program = "import sys, stenod.worker.__main__, stenod.worker.audio; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=True, text=True)
    mine = {name for name in done.stdout.split() if name.startswith("stenod")}
    assert mine == {"stenod", "stenod.wire", "stenod.worker", "stenod.worker.__main__", "stenod.worker.audio"}
