"""Fetching when all goes well."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faster_whisper import WhisperModel

from stenod import words
from stenod.hub import fetch, manifest, store
from tests.hub.common import NAME, check_whole, everything, refused, refused_here, request, silent, visible
from tests.hub.conftest import FLOAT, INT8, copy_model
from tests.hub_server.harness import ROOT, HubServer

SAMPLES = ROOT / "tests" / "samples" / "recordings"


def test_a_float_model_is_downloaded_and_made_int8(server: HubServer, hub: Path, tmp_path: Path) -> None:
    reports: list[fetch.Progress] = []
    fetched = fetch.run(request(hub, FLOAT), reports.append)
    assert fetched.folder == str(hub / NAME)
    assert (fetched.repository, fetched.form) == (FLOAT, "int8")
    noted = check_whole(hub / NAME)
    assert everything(hub) == [NAME]
    assert (noted.name, noted.source, noted.quantized_from) == (NAME, FLOAT, "float32")
    assert noted.revision == fetched.revision
    assert len(noted.revision) == 40
    original = server.root / FLOAT / "model.bin"
    assert noted.original_size_bytes == original.stat().st_size
    assert (hub / NAME / "model.bin").stat().st_size < 0.45 * noted.original_size_bytes
    assert sorted(noted.files) == sorted(
        "config.json model.bin preprocessor_config.json tokenizer.json vocabulary.json".split()
    )

    # Only what is needed, each once, and all at the one commit.
    assert server.sent_bytes("/large/") == noted.original_size_bytes
    assert not server.asked("README")
    assert not server.asked("more")
    files = [asked for asked in server.asked() if "/resolve" in asked.path]
    assert all(noted.revision in asked.path for asked in files)
    assert all("torch" not in asked.user_agent and "stenod/" in asked.user_agent for asked in files)
    assert {asked.path.partition("?")[0] for asked in server.asked("/api/models")} == {f"/api/models/{FLOAT}"}
    assert not (tmp_path / "home").exists()

    # How far it is.
    steps = list(dict.fromkeys(report.step for report in reports if report.step != "verifying"))
    assert steps == ["looking", "downloading", "quantising"]
    for step in ("downloading", "quantising"):
        of_step = [report for report in reports if report.step == step]
        assert [report.done_bytes for report in of_step] == sorted(report.done_bytes for report in of_step)
        assert of_step[-1].done_bytes == of_step[-1].total_bytes

    # It is of use, and the next time no network is touched.
    model = WhisperModel(fetched.folder, device="cpu", compute_type="int8", cpu_threads=2)
    segments, _ = model.transcribe(str(SAMPLES / "dictation_0042.mp3"), beam_size=5, vad_filter=True)
    reference = (SAMPLES / "dictation_0042.mp3.reference.txt").read_text(encoding="utf-8")
    assert words.compare(reference, " ".join(segment.text for segment in segments)).wrong == 0
    found = store.resolve(NAME, str(hub), "int8")
    assert found is not None
    assert found.kind == "managed"
    assert found.is_int8


def test_an_int8_model_is_taken_as_it_is(server: HubServer, hub: Path) -> None:
    fetched = fetch.run(request(hub, INT8, FLOAT), silent)
    assert (fetched.repository, fetched.form) == (INT8, "int8")
    assert "already" in fetched.text
    noted = check_whole(hub / NAME)
    assert noted.quantized_from == ""
    assert (hub / NAME / "model.bin").read_bytes() == (server.root / INT8 / "model.bin").read_bytes()
    assert everything(hub) == [NAME]
    assert not server.asked(FLOAT)


@pytest.mark.parametrize("is_known", [False, True])
def test_the_next_repository_is_tried_if_the_first_is_not_there(
    server: HubServer, hub: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """Who is logged in gets 404, others 401."""
    if is_known:
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        server.obey(tokens=["hf_right"])
    fetched = fetch.run(request(hub, "someone/gone-int8", FLOAT), silent)
    assert fetched.repository == FLOAT
    assert [asked.status for asked in server.asked("gone-int8")] == [404 if is_known else 401]
    check_whole(hub / NAME)


def test_a_float_model_is_kept_as_it_is_for_a_float_compute_type(server: HubServer, hub: Path) -> None:
    assert fetch.run(request(hub, FLOAT, compute_type="float32"), silent).form == "float32"
    check_whole(hub / NAME, "float32")
    assert everything(hub) == [NAME]
    assert server.sent_bytes("/large/") == (server.root / FLOAT / "model.bin").stat().st_size
    assert "has int8 weights only" in refused(request(hub, INT8, compute_type="float32", name="other")).message


def test_the_original_can_be_kept(server: HubServer, hub: Path) -> None:
    for _ in range(2):  # the second one replaces both
        fetch.run(request(hub, FLOAT, keep_original=True), silent)
        assert everything(hub) == [NAME, f"{NAME}-original"]
        noted = check_whole(hub / f"{NAME}-original", "float32")
        assert (noted.name, noted.source) == (NAME, FLOAT)
        check_whole(hub / NAME)
    wide = store.resolve(NAME, str(hub), "float32")
    assert wide is not None
    assert wide.folder == str(hub / f"{NAME}-original")
    narrow = store.resolve(NAME, str(hub), "int8")
    assert narrow is not None
    assert narrow.folder == str(hub / NAME)
    assert server.asked()


def test_the_token_is_sent_to_the_hub_and_not_beyond(
    server: HubServer, hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.obey(tokens=["hf_right"], private=[INT8])
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text("hf_right\n")  # where `hf auth login` puts it
    fetch.run(request(hub, INT8), silent)
    assert all(asked.authorized is not asked.at_files for asked in server.asked())
    assert server.asked("/large/")

    # The environment goes before the file.
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    error = refused(request(hub, INT8, name="other"))
    assert "does not accept the token" in error.message
    assert "hf auth login" in error.next_step


def test_a_revision_is_asked_for_and_pinned(server: HubServer, hub: Path) -> None:
    commit = fetch.run(request(hub, INT8), silent).revision
    assert fetch.run(request(hub, INT8, revision=commit), silent).revision == commit
    assert server.asked(f"/api/models/{INT8}/revision/{commit}")
    error = refused(request(hub, INT8, revision="v9"))
    assert "no such revision" in error.message
    check_whole(hub / NAME)


def test_a_damaged_model_of_that_name_is_set_aside(server: HubServer, hub: Path) -> None:
    copy_model("demo", hub / NAME)
    (hub / NAME / "model.bin").write_bytes(b"half")
    fetch.run(request(hub, INT8), silent)
    check_whole(hub / NAME)
    assert everything(hub) == [f"{store.SET_ASIDE}{NAME}-1", NAME]
    assert server.asked()


def test_folder_names_that_are_not_text_are_no_problem(server: HubServer, tmp_path: Path) -> None:
    hub = tmp_path / os.fsdecode(b"h\xffub")
    fetched = fetch.run(request(hub, INT8), silent)
    assert fetched.folder == str(hub / NAME)
    check_whole(hub / NAME)
    assert server.asked()


@pytest.mark.parametrize("name", ["..", ".hidden", "", "models--a--b", "a\0b"])
def test_names_that_can_be_no_folder_are_refused(hub: Path, name: str) -> None:
    assert "cannot be the name of a model" in refused_here(request(hub, INT8, name=name)).message


# From a folder: no network, and for speed no process.


def wide(hub: Path, name: str = NAME) -> Path:
    """Have a float model in the hub, as a user puts one there."""
    copy_model("demo-float32", hub / name)
    return hub / name


@pytest.mark.parametrize("keep", [False, True])
def test_a_model_of_the_hub_is_made_int8_in_place(hub: Path, keep: bool) -> None:
    source = wide(hub)
    fetched = fetch.fetch(request(hub, source=str(source), keep_original=keep), silent)
    assert fetched.folder == str(source)
    assert check_whole(source).quantized_from == "float32"
    assert everything(hub) == ([NAME, f"{NAME}-original"] if keep else [NAME])
    if keep:
        check_whole(hub / f"{NAME}-original", "float32")
    again = fetch.fetch(request(hub, source=str(source)), silent)
    assert "already" in again.text
    assert again.folder == str(source)


def test_a_model_somewhere_else_stays(hub: Path, tmp_path: Path) -> None:
    source = wide(tmp_path, "elsewhere")
    before = {path.name: path.stat().st_mtime_ns for path in source.iterdir()}
    fetched = fetch.fetch(request(hub, source=str(source)), silent)
    noted = check_whole(hub / NAME)
    assert noted.source == str(source)
    assert fetched.repository == str(source)
    assert {path.name: path.stat().st_mtime_ns for path in source.iterdir()} == before


@pytest.mark.parametrize("keep", [False, True])
def test_a_model_in_a_cache_is_made_int8_and_goes(hub: Path, keep: bool) -> None:
    """As the first system left it: blobs, and links to them."""
    cache = hub / "models--Systran--faster-whisper-small"
    snapshot = cache / "snapshots" / ("0123" * 10)
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for path in (ROOT / "hub" / "demo-float32").iterdir():
        shutil.copy(path, cache / "blobs" / f"blob-{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/blob-{path.name}")
    found = store.resolve("small", str(hub), "int8")
    assert found is not None
    fetch.fetch(request(hub, name="small", source=found.folder, keep_original=keep), silent)
    noted = check_whole(hub / "small")
    assert (noted.source, noted.revision) == ("Systran/faster-whisper-small", "0123" * 10)
    assert everything(hub) == ([cache.name, "small"] if keep else ["small"])


def test_what_is_no_whole_model_is_not_quantised(hub: Path, tmp_path: Path) -> None:
    source = wide(tmp_path, "elsewhere")
    (source / "tokenizer.json").unlink()
    error = refused_here(request(hub, source=str(source)))
    assert error.problems == ("tokenizer.json is missing",)
    assert everything(hub) == []
    assert "is not a folder" in refused_here(request(hub, source=str(tmp_path / "none"))).message


def test_the_daemon_never_loads_what_the_process_needs() -> None:
    code = (
        "import sys, stenod.hub.fetch, stenod.hub.placing; print(sorted({'numpy', 'huggingface_hub'} & {*sys.modules}))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_what_is_fetched_again_replaces_what_is_there(server: HubServer, hub: Path) -> None:
    fetch.run(request(hub, INT8), silent)
    first = manifest.read(str(hub / NAME))
    fetch.run(request(hub, FLOAT), silent)
    assert check_whole(hub / NAME) != first
    assert visible(hub) == [NAME]
    assert server.asked()


def test_the_server_is_one_for_the_real_client(server: HubServer, tmp_path: Path) -> None:
    """`snapshot_download` asks all that it asks a hub: HEAD, the tree, ETag, redirects."""
    code = (
        "import huggingface_hub, json, sys;"
        "print(json.dumps(huggingface_hub.snapshot_download(sys.argv[1], cache_dir=sys.argv[2], token=False)))"
    )
    output = subprocess.check_output([sys.executable, "-c", code, INT8, str(tmp_path)], stderr=subprocess.PIPE)
    snapshot = Path(json.loads(output))
    for path in (server.root / INT8).rglob("*"):
        if path.is_file():
            assert (snapshot / path.relative_to(server.root / INT8)).read_bytes() == path.read_bytes()
    assert {asked.method for asked in server.asked()} == {"GET", "HEAD"}
    assert [asked.status for asked in server.asked("/large/") if asked.method == "GET"][:1] == [200]
