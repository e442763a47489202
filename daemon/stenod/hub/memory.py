"""How much memory a model needs, and how much there is: asked before a load that would end in an OOM kill."""

import os
from collections.abc import Sequence

from stenod.hub import names
from stenod.hub.store import Entry

MEGABYTE = 1_000_000

# Measured with CTranslate2 4.8 on a CPU, true dimensions (large-v3-turbo, MB): int8 file 783 -> peak 866; float16 file
# 1544 computed in int8 -> peak 1650; float32 file 3086 -> 3207. On top come the engine's libraries and a window's work.
_LOADING = 1.1
_LIBRARIES_BYTES = 250 * MEGABYTE
_WORK_SHARE = 0.15  # of the model's int8 size: activations and caches while it works


def needed_bytes(entry: Entry) -> int:
    """Return an estimate of the memory that the worker needs with this model at its highest."""
    return round(entry.size_bytes * (_LOADING + _WORK_SHARE)) + _LIBRARIES_BYTES


def available_bytes(root: str = "/") -> int | None:
    """Return what can be used now: MemAvailable (proc(5)), or less if a control group says so. None: not known."""
    limits = [value for value in (_meminfo(root), *_cgroup(root)) if value is not None]
    return min(limits, default=None)


def shortage(entry: Entry, available: int | None, others: Sequence[Entry]) -> str:
    """Return '' if the model fits, or one line that says why not and what would."""
    needed = needed_bytes(entry)
    if available is None or needed <= available:
        return ""
    fitting = [other for other in others if needed_bytes(other) <= available and other.name != names.DEMO]
    advice = max(fitting, key=lambda other: other.size_bytes).name if fitting else _standard_that_fits(available)
    hint = f"; {advice} would fit" if advice else ""
    return (
        f"model {entry.name} needs about {needed // MEGABYTE} MB of memory and {available // MEGABYTE} MB are "
        f"available{hint}"
    )


# Sizes on disk of the standard models as int8 (MB), the largest first.
_INT8_MEGABYTES = {"large-v3": 1560, "large-v3-turbo": 820, "medium": 780, "small": 255, "base": 80, "tiny": 43}


def _standard_that_fits(available: int) -> str:
    for name, megabytes in _INT8_MEGABYTES.items():
        if megabytes * MEGABYTE * (_LOADING + _WORK_SHARE) + _LIBRARIES_BYTES <= available:
            return name
    return ""


def _meminfo(root: str) -> int | None:
    try:
        with open(os.path.join(root, "proc/meminfo"), encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _cgroup(root: str) -> list[int]:
    """Return what is left under the limit of this process's control group (version 2) and of each one above it."""
    found: list[int] = []
    try:
        with open(os.path.join(root, "proc/self/cgroup"), encoding="utf-8") as file:
            path = next((line.strip()[3:] for line in file if line.startswith("0::")), "")
    except OSError:
        return found
    base = os.path.join(root, "sys/fs/cgroup")
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts), -1, -1):
        group = os.path.join(base, *parts[:depth])
        try:
            with open(os.path.join(group, "memory.max"), encoding="ascii") as file:
                limit = file.read().strip()
            with open(os.path.join(group, "memory.current"), encoding="ascii") as file:
                used = int(file.read())
        except (OSError, ValueError):
            continue
        if limit != "max":
            found.append(max(0, int(limit) - used))
    return found
