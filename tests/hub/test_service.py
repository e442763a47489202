"""The daemon and its model: fetched and made int8 by itself, kept for good, and fetched again when it is damaged."""

import re
import shutil
import time
from pathlib import Path

import pytest

from stenod.hub import store
from tests.end_to_end.harness import Daemon, daemon, sample, wait_until
from tests.hub.conftest import FLOAT, INT8
from tests.hub_server.harness import HubServer
from tests.hub_server.messages import Fault

ONE = "shopping list.wav"
NO_NETWORK = "http://127.0.0.1:9"


def _use(it: Daemon, model: str) -> Path:
    """Configure this model, and a hub of its own, and return the hub."""
    it.config.write_text(it.config.read_text().replace("{name: demo}", model) + "hub: hub\n")
    return it.folder / "hub"


def test_a_model_is_fetched_made_int8_and_used_offline_ever_after(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with daemon(tmp_path) as it:
        hub = _use(it, f"{{name: {FLOAT}}}")
        server.obey(Fault(match="model.bin", bytes_per_second=4_000_000))
        it.start()
        shutil.copy(sample(ONE), it.inbox / "a.wav")
        wait_until(lambda: it.said(f"downloading model {FLOAT}"), "STATUS says how far it is", log=it.log)
        assert it.worker() is None
        it.wait_for("a.wav")
        assert it.log().count(f"INFO    downloading model {FLOAT}") >= 3, "and so does the log, now and then"
        assert f"INFO    quantising model {FLOAT}" in it.log()
        entry = store.resolve(FLOAT, str(hub), "int8")
        assert entry is not None
        assert (entry.form, entry.kind) == ("int8", "managed")
        assert entry.size_bytes < 0.45 * entry.original_size_bytes
        assert it.stop() == 0
        monkeypatch.setenv("HF_ENDPOINT", NO_NETWORK)
        server.obey()
        it.start()
        shutil.copy(sample(ONE), it.inbox / "b.wav")
        it.wait_for("b.wav")
        it.assert_transcribed({"a.wav": ONE, "b.wav": ONE})
        assert server.asked() == []
        assert [path.name for path in hub.iterdir()] == [Path(entry.folder).name]


@pytest.mark.usefixtures("server")
def test_a_published_int8_model_is_preferred(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        hub = _use(it, f"{{name: small, published: {{small: {INT8}}}}}")
        it.start()
        shutil.copy(sample(ONE), it.inbox / "a.wav")
        it.wait_for("a.wav")
        assert store.resolve("small", str(hub), "int8") is not None
        assert "quantising" not in it.log()


@pytest.mark.usefixtures("server")
def test_a_model_that_is_not_to_be_had_holds_the_queue_and_is_said(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        _use(it, "{name: someone/nowhere}")
        it.start()
        shutil.copy(sample(ONE), it.inbox / "a.wav")
        wait_until(lambda: "recordings wait, stenod tries again" in it.log(), "said", log=it.log)
        wait_until(lambda: it.states() == {"a.wav": "queued"}, "queued", log=it.log)
        wait_until(lambda: it.said("someone/nowhere"), "in STATUS too")
        assert "Traceback" not in it.log()
        assert it.stop() == 0


def test_a_name_that_nobody_knows_is_refused_at_once(tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        _use(it, "{name: smal}")
        with pytest.raises(AssertionError, match="did you mean small"):
            it.start()


@pytest.mark.usefixtures("server")
def test_a_damaged_model_is_set_aside_and_fetched_again(tmp_path: Path) -> None:
    with daemon(tmp_path, unload_after="1s") as it:
        hub = _use(it, f"{{name: {FLOAT}}}")
        it.start()
        shutil.copy(sample(ONE), it.inbox / "a.wav")
        it.wait_for("a.wav")
        wait_until(lambda: it.worker() is None, "unloaded", log=it.log)
        entry = store.resolve(FLOAT, str(hub), "int8")
        assert entry is not None
        weights = Path(entry.folder) / "model.bin"
        weights.write_bytes(weights.read_bytes()[:-5000])
        shutil.copy(sample(ONE), it.inbox / "b.wav")
        it.wait_for("b.wav")
        assert "is damaged: model.bin has" in it.log()
        assert [path.name.startswith(store.SET_ASIDE) for path in hub.iterdir()].count(True) == 1
        it.assert_transcribed({"a.wav": ONE, "b.wav": ONE})


def test_the_plug_is_pulled_during_the_download(server: HubServer, tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        hub = _use(it, f"{{name: {FLOAT}}}")
        server.obey(Fault(match="model.bin", bytes_per_second=3_000_000))
        it.start()
        half_way = re.compile(r"downloading model .* [2-8]\d %")
        wait_until(lambda: any(half_way.search(text) for text in it.notifications), "half-way", log=it.log)
        it.kill()
        time.sleep(0.5)
        assert store.resolve(FLOAT, str(hub), "int8") is None
        server.obey()
        it.start()
        shutil.copy(sample(ONE), it.inbox / "a.wav")
        it.wait_for("a.wav")
        assert any(request.status == 206 for request in server.asked("/large/")), "it goes on where it was"


def test_stopping_during_the_download_takes_no_time(server: HubServer, tmp_path: Path) -> None:
    with daemon(tmp_path) as it:
        _use(it, f"{{name: {FLOAT}}}")
        server.obey(Fault(match="model.bin", bytes_per_second=500_000))
        it.start()
        wait_until(lambda: it.said("downloading"), "downloading", log=it.log)
        started = time.monotonic()
        assert it.stop() == 0
        assert time.monotonic() - started < 3.0
