"""What goes when the hub is pruned. `due` decides and touches nothing; `apply` deletes what it decided.

Only models that stenod fetched or made (those with its manifest, or in Hugging Face's cache layout) are ever pruned:
what somebody put into the hub by hand is theirs.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from stenod.errors import os_error_text
from stenod.hub import names, placing, store

LEFTOVER_SECONDS = 86_400.0  # what an interrupted fetch left is resumed within a day, or goes


@dataclass(frozen=True, slots=True)
class Rules:
    """When a model goes. None: not for this reason."""

    hub_size_bytes: int | None
    unused_seconds: float | None


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in the hub that is no model: an unfinished or damaged one, or an empty skeleton of a cache."""

    path: str
    size_bytes: int
    changed_at: float
    what: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes, and why (one line for a person)."""

    path: str
    name: str
    size_bytes: int
    reason: str


def due(
    models: Sequence[store.Entry],
    leftovers: Sequence[Leftover],
    rules: Rules,
    keep: Collection[str],
    now: float,
) -> list[Removal]:
    """Return what is to be removed at wall time `now`, in this order. `keep`: folders that are configured or in use."""
    plan = [
        Removal(item.path, os.path.basename(item.path), item.size_bytes, item.what)
        for item in leftovers
        if now - item.changed_at >= LEFTOVER_SECONDS
    ]
    candidates = [entry for entry in models if entry.kind in {"managed", "cache"} and entry.folder not in keep]
    candidates.sort(key=lambda entry: entry.last_used)
    total = sum(entry.size_bytes for entry in models if entry.kind != "bundled")
    for entry in candidates:
        idle = now - entry.last_used
        reason = ""
        if rules.unused_seconds is not None and idle >= rules.unused_seconds:
            reason = f"not used for {idle / 86_400:.0f} days"
        elif rules.hub_size_bytes is not None and total > rules.hub_size_bytes:
            reason = (
                f"the hub is {(total - rules.hub_size_bytes) / 1e6:.0f} MB over its size, and this is the least used"
            )
        if reason:
            total -= entry.size_bytes
            plan.append(Removal(entry.folder, entry.name, entry.size_bytes, reason))
    return plan


def leftovers(hub: str) -> list[Leftover]:
    """Return what lies in the hub and is no model."""
    found: list[Leftover] = []
    try:
        with os.scandir(hub) as entries:
            folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return found
    for entry in sorted(folders, key=lambda entry: entry.name):
        if entry.name.startswith(store.SET_ASIDE):
            found.append(_leftover(entry.path, "a damaged model that was set aside"))
        elif entry.name.startswith(store.DOT_PREFIX) and not placing.is_held(entry.path):
            found.append(_leftover(entry.path, "left by an interrupted fetch"))
        elif names.of_cache_folder(entry.name) is not None and not _has_model(entry.path):
            found.append(_leftover(entry.path, "a cache without a model in it"))
    return found


def apply(plan: Sequence[Removal]) -> list[tuple[Removal, str]]:
    """Delete what the plan says. Return each removal with '' or what went wrong."""
    done: list[tuple[Removal, str]] = []
    for removal in plan:
        try:
            shutil.rmtree(store.whole_of(removal.path))
        except OSError as error:
            done.append((removal, os_error_text(error)))
        else:
            done.append((removal, ""))
    return done


def _leftover(path: str, what: str) -> Leftover:
    size, changed = 0, 0.0
    for folder, _, files in os.walk(path):
        changed = max(changed, os.lstat(folder).st_mtime)
        for name in files:
            try:
                status = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            size += status.st_size
            changed = max(changed, status.st_mtime)
    return Leftover(path, size, changed, what)


def _has_model(repository: str) -> bool:
    return any("model.bin" in files for _, _, files in os.walk(os.path.join(repository, "snapshots")))
