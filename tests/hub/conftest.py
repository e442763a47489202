"""One server for all tests, with a few repositories; a hub and a home for each test."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stenod.hub import manifest
from tests.hub_server.harness import ROOT, HubServer

FLOAT = "someone/demo-float32"
INT8 = "someone/demo-int8"
TRANSFORMERS = "someone/whisper-small"
TRANSLATION = "someone/translation"
BROKEN = "someone/broken"


def copy_model(name: str, folder: Path) -> None:
    """Have a model as it is published: without what stenod has noted of it."""
    shutil.copytree(ROOT / "hub" / name, folder, ignore=shutil.ignore_patterns(manifest.FILE))


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    root = tmp_path_factory.mktemp("repositories")
    copy_model("demo-float32", root / FLOAT)
    copy_model("demo", root / INT8)
    for name in (FLOAT, INT8):
        (root / name / "README.md").write_text("not needed")
        (root / name / "more").mkdir()
        (root / name / "more" / "model.bin").write_text("not needed")
    (root / TRANSFORMERS).mkdir()
    for file in ("config.json", "tokenizer.json", "vocab.json", "model.safetensors"):
        (root / TRANSFORMERS / file).write_text(json.dumps({}))
    copy_model("demo", root / TRANSLATION)
    weights = root / TRANSLATION / "model.bin"
    weights.write_bytes(weights.read_bytes().replace(b"WhisperSpec", b"AnotherSpec", 1))
    copy_model("demo", root / BROKEN)
    weights = root / BROKEN / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with HubServer(root) as server:
        yield server


@pytest.fixture
def server(server_process: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """Return the server, well behaved, and have fetching processes ask it."""
    server_process.obey()
    monkeypatch.setenv("HF_ENDPOINT", server_process.url)
    return server_process


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's tokens and settings out, and everything on this machine."""
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub"
