"""How much memory there is, how much a model needs, and what is said when it does not fit."""

from pathlib import Path

import pytest

from stenod.hub import memory, store

GB = 10**9


def machine(root: Path, available_kb: int, groups: dict[str, tuple[str, int]], group: str = "/") -> str:
    """Make a file system root with this MemAvailable, and control groups: path -> (memory.max, memory.current)."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available_kb} kB\n")
    (root / "proc" / "self" / "cgroup").write_text(f"0::{group}\n")
    for path, (limit, used) in groups.items():
        folder = root / "sys" / "fs" / "cgroup" / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
    return str(root)


@pytest.mark.parametrize(
    ("groups", "group", "expected"),
    [
        ({}, "/", 4_096_000),
        ({"/a": ("max", 5)}, "/a", 4_096_000),
        ({"/a": ("3000000", 1_000_000)}, "/a", 2_000_000),
        ({"/a": ("3000000", 1_000_000), "/a/b": ("max", 9)}, "/a/b", 2_000_000),  # the limit of a group above it
        ({"/a": ("3000000", 1_000_000), "/a/b": ("100", 90)}, "/a/b", 10),
        ({"/a": ("100", 900)}, "/a", 0),
        ({"/other": ("100", 90)}, "/a", 4_096_000),
    ],
)
def test_the_tightest_limit_counts(
    tmp_path: Path, groups: dict[str, tuple[str, int]], group: str, expected: int
) -> None:
    assert memory.available_bytes(machine(tmp_path, 4000, groups, group)) == expected


def test_on_a_machine_that_tells_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert memory.available_bytes(str(tmp_path)) is None


def test_this_machine_tells() -> None:
    available = memory.available_bytes()
    assert available is not None
    assert available > 50_000_000


def model(name: str, size: int) -> store.Entry:
    return store.Entry(name, f"/hub/{name}", "int8", size, 0, 0.0, "managed", ())


def test_a_model_that_fits_is_not_talked_about() -> None:
    assert memory.shortage(model("small", 250_000_000), 4 * GB, []) == ""
    assert memory.shortage(model("large-v3", 1_560_000_000), None, []) == ""


def test_a_model_that_does_not_fit_names_one_that_would() -> None:
    large = model("large-v3", 1_560_000_000)
    there = [large, model("small", 250_000_000), model("base", 80_000_000)]
    assert memory.shortage(large, GB, there) == (
        "model large-v3 needs about 2200 MB of memory and 1000 MB are available; small would fit"
    )
    assert memory.shortage(large, GB, [large]).endswith("; small would fit")
    assert memory.shortage(large, 100_000, [large]).endswith("0 MB are available")


@pytest.mark.parametrize(
    ("int8_bytes", "peak_bytes"),
    [(39 * 10**6, 96 * 10**6), (247 * 10**6, 310 * 10**6), (819 * 10**6, 894 * 10**6), (1557 * 10**6, 1635 * 10**6)],
)
def test_the_estimate_is_above_what_was_measured_while_loading_and_not_far(int8_bytes: int, peak_bytes: int) -> None:
    """tiny, small, large-v3-turbo and large-v3 as int8 files: peaks of tests.bench.quantize. Work comes on top."""
    needed = memory.needed_bytes(model("x", int8_bytes))
    assert peak_bytes < needed < 2 * peak_bytes + 250_000_000
