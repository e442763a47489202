"""Which model is meant by a name: a path, a folder in the hub, one in Hugging Face's layout, or the demo."""

import os
import shutil
from pathlib import Path

import pytest

from stenod import bundled
from stenod.errors import UserError
from stenod.hub import names, store

DEMO = Path(bundled.DEMO_MODEL)


def put(folder: Path) -> Path:
    """Make `folder` a whole model: the demo model's files, linked."""
    folder.mkdir(parents=True)
    for file in DEMO.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def cached(hub: Path, repository: str, revision: str) -> Path:
    """Put a model into `hub` as Hugging Face's tools do: links into `blobs`."""
    base = hub / f"models--{repository.replace('/', '--')}"
    (base / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot = base / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for number, file in enumerate(DEMO.iterdir()):
        blob = base / "blobs" / f"{revision}{number}"
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def found(name: str, hub: Path, compute_type: str = "int8") -> str | None:
    """Return the folder that is meant, below the hub."""
    entry = store.resolve(name, str(hub), compute_type)
    return os.path.relpath(entry.folder, hub) if entry else None


@pytest.mark.parametrize("name", ["small", "my own", "two\nlines", "[a]*?"])
def test_a_folder_in_the_hub_goes_by_its_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    put(tmp_path / "another")
    assert found(name, tmp_path) == name


def test_a_repository_is_a_folder_with_two_dashes(tmp_path: Path) -> None:
    put(tmp_path / "owner--model")
    assert found("owner/model", tmp_path) == "owner--model"


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = put(tmp_path / "elsewhere" / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    for name in (str(model), "./elsewhere/mine", "~/mine", f"../{tmp_path.name}/elsewhere/mine/"):
        entry = store.require(name, "/nowhere", "int8")
        assert entry.folder == str(model)
        assert entry.problems == ()


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("small", "Systran/faster-whisper-small"),
        ("large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
        ("distil-large-v3", "Systran/faster-distil-whisper-large-v3"),
        ("owner/any-model", "owner/any-model"),
    ],
)
def test_what_hugging_faces_tools_have_fetched_is_found(tmp_path: Path, name: str, repository: str) -> None:
    snapshot = cached(tmp_path, repository, "0123abc")
    assert found(name, tmp_path) == os.path.relpath(snapshot, tmp_path)
    assert found("base", tmp_path) is None


def test_of_two_snapshots_one_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    for whole, cut_off in (("aaa", "bbb"), ("bbb", "aaa")):
        hub = tmp_path / whole
        cached(hub, "Systran/faster-whisper-small", whole)
        broken = cached(hub, "Systran/faster-whisper-small", cut_off)
        (broken / "tokenizer.json").resolve().unlink()
        assert (found("small", hub) or "").endswith(f"/snapshots/{whole}")


def test_a_folder_goes_before_the_cache_and_the_wanted_form_before_both(tmp_path: Path) -> None:
    cached(tmp_path, "Systran/faster-whisper-small", "0123abc")
    put(tmp_path / "small")
    assert found("small", tmp_path, "int8") == "small"
    float_model = DEMO.parent / "demo-float32"
    if not float_model.is_dir():
        pytest.skip("the float32 demo model is only in a checkout")
    shutil.rmtree(tmp_path / "small")
    (tmp_path / "small").symlink_to(float_model)
    assert (found("small", tmp_path, "int8") or "").startswith("models--")
    assert found("small", tmp_path, "float32") == "small"


def test_the_demo_model_is_always_there(tmp_path: Path) -> None:
    for hub in (tmp_path, tmp_path / "missing"):
        entry = store.require("demo", str(hub), "int8")
        assert (entry.folder, entry.kind, entry.problems) == (bundled.DEMO_MODEL, "bundled", ())
        assert entry.is_int8
    put(tmp_path / "demo")
    assert found("demo", tmp_path) == "demo"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("small", "Fetch it: stenod hub pull small"),
        ("owner/model", "Fetch it: stenod hub pull owner/model"),
        ("smal", "Did you mean small?"),
        ("nobody-knows-it", "`stenod hub list` shows what is there; the path of a folder starts with / or ./"),
    ],
)
def test_what_is_not_there_can_be_put_there(tmp_path: Path, name: str, hint: str) -> None:
    for hub in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError) as raised:
            store.require(name, str(hub), "int8")
        assert raised.value.lines() == [
            f"model {name!r} is not in the hub {hub}",
            f"  {hint}",
        ]


@pytest.mark.parametrize("file", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
@pytest.mark.parametrize("how", ["missing", "dangling"])
def test_a_model_that_is_not_whole_is_told_by_what_it_lacks(tmp_path: Path, file: str, how: str) -> None:
    model = put(tmp_path / "mine")
    (model / file).unlink()
    if how == "dangling":
        (model / file).symlink_to("nowhere")
    with pytest.raises(UserError) as raised:
        store.require(str(model), str(tmp_path), "int8")
    assert raised.value.message == f"model {model} is not whole"
    assert raised.value.problems == (f"{file} is missing",)
    assert raised.value.next_step


def test_a_path_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(UserError, match="there is no such folder"):
            store.require(str(path), str(tmp_path), "int8")


def test_a_hub_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "hub").symlink_to("hub")  # a link to itself: not even root can
    with pytest.raises(UserError) as raised:
        store.require("small", str(tmp_path / "hub"), "int8")
    assert raised.value.message == f"the hub {tmp_path}/hub cannot be read: Too many levels of symbolic links"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("/a", True),
        ("./a", True),
        ("../a", True),
        ("~/a", True),
        ("a", False),
        ("a/b", False),
        (".a", False),
        ("", False),
    ],
)
def test_what_is_a_path(name: str, *, is_one: bool) -> None:
    assert names.is_path(name) is is_one
