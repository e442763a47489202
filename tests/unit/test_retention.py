"""What is pruned, and what never is."""

import os
import shutil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stenod import bundled, retention
from stenod.hub import manifest, store

DAY = 86_400.0
NOW = 1_800_000_000.0


def model(name: str, size: int = 100, used: float = NOW, kind: str = "managed") -> store.Entry:
    return store.Entry(name, f"/hub/{name}", "int8", size, 0, used, kind, ())


def rules(size: int | None = None, unused: float | None = None) -> retention.Rules:
    return retention.Rules(size, unused)


def gone(*models: store.Entry, by: retention.Rules, keep: tuple[str, ...] = ()) -> list[str]:
    return [removal.name for removal in retention.due(models, [], by, keep, NOW)]


def test_without_rules_nothing_goes() -> None:
    assert gone(model("a", used=0.0), model("b", size=10**12), by=rules()) == []


def test_what_was_not_used_for_long_goes() -> None:
    models = [model("old", used=NOW - 91 * DAY), model("edge", used=NOW - 90 * DAY), model("new", used=NOW - 89 * DAY)]
    assert gone(*models, by=rules(unused=90 * DAY)) == ["old", "edge"]
    (removal, *_) = retention.due(models, [], rules(unused=90 * DAY), (), NOW)
    assert removal.reason == "not used for 91 days"


def test_the_least_used_goes_until_the_hub_fits() -> None:
    models = [model("a", used=NOW - 3), model("b", used=NOW - 2), model("c", used=NOW - 1)]
    assert gone(*models, by=rules(size=300)) == []
    assert gone(*models, by=rules(size=299)) == ["a"]
    assert gone(*models, by=rules(size=100)) == ["a", "b"]
    assert gone(*models, by=rules(size=0)) == ["a", "b", "c"]


def test_what_goes_for_its_age_counts_for_the_size_too() -> None:
    models = [model("old", used=NOW - 100 * DAY), model("b", used=NOW - 2), model("c", used=NOW - 1)]
    assert gone(*models, by=rules(size=200, unused=90 * DAY)) == ["old"]


def test_what_is_configured_bundled_or_the_users_stays() -> None:
    kinds = {"configured": "managed", "bundled": "bundled", "mine": "plain", "cached": "cache"}
    models = [model(name, used=0.0, kind=kind) for name, kind in kinds.items()]
    assert gone(*models, by=rules(size=0, unused=DAY), keep=("/hub/configured",)) == ["cached"]


@given(
    st.lists(
        st.builds(
            model,
            st.text("abc", min_size=1, max_size=3),
            st.integers(0, 1000),
            st.floats(0, NOW),
            st.sampled_from(["managed", "plain", "cache", "bundled"]),
        ),
        unique_by=lambda entry: entry.name,
    ),
    st.none() | st.integers(0, 3000),
    st.none() | st.floats(0, NOW),
    st.sets(st.text("abc", min_size=1, max_size=3).map(lambda name: f"/hub/{name}")),
)
def test_a_plan_removes_no_more_than_it_must(
    models: list[store.Entry], size: int | None, unused: float | None, keep: set[str]
) -> None:
    plan = retention.due(models, [], rules(size, unused), keep, NOW)
    paths = [removal.path for removal in plan]
    assert len(set(paths)) == len(paths)
    by_path = {entry.folder: entry for entry in models}
    assert all(by_path[path].kind in {"managed", "cache"} and path not in keep for path in paths)
    left = sum(entry.size_bytes for entry in models if entry.kind != "bundled" and entry.folder not in paths)
    removable = [
        entry for entry in models if entry.kind in {"managed", "cache"} and entry.folder not in {*keep, *paths}
    ]
    if size is not None:
        assert left <= size or not removable
    for entry in removable:
        assert unused is None or NOW - entry.last_used < unused
    assert retention.due([e for e in models if e.folder not in paths], [], rules(size, unused), keep, NOW) == []


def test_leftovers_go_after_a_day_and_what_is_being_made_stays(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    for name in (".stenod-fetch-small", f"{store.SET_ASIDE}small-1", "models--Systran--faster-whisper-base/snapshots"):
        (hub / name).mkdir(parents=True)
    (hub / ".stenod-fetch-small" / "part").write_bytes(bytes(1000))
    shutil.copytree(bundled.DEMO_MODEL, hub / "mine")
    (hub / "notes").mkdir()
    found = retention.leftovers(str(hub))
    assert {os.path.basename(item.path): item.size_bytes for item in found} == {
        ".stenod-fetch-small": 1000, f"{store.SET_ASIDE}small-1": 0, "models--Systran--faster-whisper-base": 0,
    }  # fmt: skip
    assert retention.due([], found, rules(), (), min(item.changed_at for item in found) + DAY - 1) == []
    plan = retention.due([], found, rules(), (), max(item.changed_at for item in found) + DAY)
    assert [failed for _, failed in retention.apply(plan)] == ["", "", ""]
    assert sorted(path.name for path in hub.iterdir()) == ["mine", "notes"]


def test_of_a_cached_model_the_blobs_go_too(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--Systran--faster-whisper-base"
    shutil.copytree(bundled.DEMO_MODEL, repository / "blobs" / "b")
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / "0123").symlink_to("../blobs/b")
    (entry, _) = store.entries(str(tmp_path / "hub"))
    assert (entry.name, entry.kind) == ("base", "cache")
    retention.apply(retention.due([entry], [], rules(size=0), (), NOW))
    assert not repository.exists()


def test_a_hub_that_is_called_snapshots_loses_only_the_model(tmp_path: Path) -> None:
    hub = tmp_path / "snapshots"
    for name in ("pruned", "removed", "mine"):
        shutil.copytree(bundled.DEMO_MODEL, hub / name)
    (tmp_path / "photos").mkdir()
    entries = {entry.name: entry for entry in store.entries(str(hub))}
    retention.apply(retention.due([entries["pruned"]], [], rules(size=0), (), NOW))
    store.remove(entries["removed"])
    assert sorted(path.name for path in hub.iterdir()) == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "snapshots"]


def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    removal = retention.Removal(str(tmp_path / "missing"), "missing", 0, "")
    assert retention.apply([removal]) == [(removal, "No such file or directory")]


def test_a_use_is_noted_and_seen(tmp_path: Path) -> None:
    folder = str(shutil.copytree(bundled.DEMO_MODEL, tmp_path / "model"))
    before = manifest.last_used(folder)
    os.utime(os.path.join(folder, manifest.FILE), (1000, 1000))
    assert manifest.last_used(folder) == 1000 < before
    manifest.note_use(folder)
    assert manifest.last_used(folder) > 1_700_000_000
    manifest.note_use("/proc/nowhere")  # a hub that nobody may write is no reason to fail
