"""`stenod hub ...` and `stenod config ...` as a user types them. Fetching has its own tests in tests/hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stenod import bundled

ROOT = Path(__file__).parents[2]
WIDE = ROOT / "hub" / "demo-float32"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "stenod.yaml").write_text("inboxes: [{path: in}]\nstate: state\nhub: hub\n")
    return tmp_path


def run(home: Path, *arguments: str, code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
    result = subprocess.run(
        [sys.executable, "-m", "stenod", *arguments],
        cwd=home,
        env={
            **os.environ,
            "HOME": str(home),
            "COLUMNS": "160",
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "HF_HUB_OFFLINE": "0",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def values(home: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(run(home, *arguments, "--json", code=code).stdout)


def test_from_a_folder_to_int8_and_away_again(home: Path) -> None:
    assert "wide: float32 made int8, 7 -> 3 MB" in run(home, "hub", "add", str(WIDE), "--name", "wide").stdout
    assert (WIDE / "model.bin").stat().st_size > 7_000_000, "the source stays as it is"
    listed = {entry["name"]: entry for entry in values(home, "hub", "list")}
    assert set(listed) == {"wide", "demo"}
    assert listed["wide"]["form"] == "int8"
    assert listed["wide"]["size_bytes"] < 0.45 * listed["wide"]["original_size_bytes"]
    assert listed["demo"]["configured"] is True
    table = run(home, "hub", "list").stdout
    assert "wide" in table
    assert "60 %" in table
    assert "is int8 already" in run(home, "hub", "quantize", "wide").stdout
    (tmp := home / "memo.wav").write_bytes((Path(bundled.SAMPLES) / "shopping list.wav").read_bytes())
    run(home, "transcribe", str(tmp), "--model", "wide")
    assert (home / "memo.txt").read_text() == "Buy apples, soap and tomatoes.\n"
    assert "wide removed" in run(home, "hub", "remove", "wide").stdout
    assert [entry["name"] for entry in values(home, "hub", "list")] == ["demo"]


def test_an_int8_model_is_copied_and_nothing_is_replaced(home: Path) -> None:
    brought = shutil.copytree(bundled.DEMO_MODEL, home / "brought")
    assert "copied from" in run(home, "hub", "add", str(brought), "--name", "small").stdout
    shutil.rmtree(brought)
    assert "small: sound: every file as it was made" in run(home, "hub", "verify", "small").stdout
    for name in ("small", "demo"):
        line = run(home, "hub", "add", str(WIDE), "--name", name, code=1).stderr.splitlines()[0]
        assert line == f"stenod: there is a model {name!r} in the hub already, and it is left as it is"
    (entry,) = [each for each in values(home, "hub", "list") if each["name"] == "small"]
    assert entry["size_bytes"] < entry["original_size_bytes"]


def test_without_a_configuration_the_defaults_are_said(tmp_path: Path) -> None:
    result = run(tmp_path, "hub", "list", STENOD_CONFIG="", XDG_STATE_HOME=str(tmp_path / "s"))
    assert result.stderr == f"stenod: no configuration found, so the defaults hold: hub {tmp_path}/s/stenod/hub\n"


def test_a_float_model_that_was_put_there_is_used_and_quantised_in_place(home: Path) -> None:
    shutil.copytree(WIDE, home / "hub" / "mine")
    assert "mine: float32 made int8" in run(home, "hub", "quantize", "mine").stdout
    (entry,) = [each for each in values(home, "hub", "list") if each["name"] == "mine"]
    assert (entry["form"], entry["kind"]) == ("int8", "managed")
    assert [path.name for path in (home / "hub").iterdir()] == ["mine"]


def test_verify_finds_what_has_changed(home: Path) -> None:
    run(home, "hub", "add", str(WIDE), "--name", "wide")
    assert "wide: sound: every file as it was made" in run(home, "hub", "verify").stdout
    weights = home / "hub" / "wide" / "model.bin"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    assert "model.bin has changed" in run(home, "hub", "verify", "wide", code=1).stdout
    assert values(home, "hub", "verify", "demo") == [
        {"name": "demo", "folder": bundled.DEMO_MODEL, "problems": [], "manifest": True}
    ]
    run(home, "hub", "verify", "nothing", code=1)


def test_a_dry_run_prints_exactly_what_a_run_then_does(home: Path) -> None:
    for name in ("one", "two"):
        run(home, "hub", "add", str(WIDE), "--name", name)
    os.utime(home / "hub" / "one" / "stenod.json", (1000, 1000))
    (home / "stenod.yaml").write_text(
        "inboxes: [{path: in}]\nstate: state\nhub: hub\nmodel: {name: two}\nprune: {hub_size: 1MB, unused_for: 90d}\n"
    )
    planned = values(home, "hub", "prune", "--dry-run")
    assert [entry["name"] for entry in planned] == ["one"]
    assert (home / "hub" / "one").exists()
    assert values(home, "hub", "prune") == planned
    assert sorted(path.name for path in (home / "hub").iterdir()) == ["two"]
    assert "Nothing to remove." in run(home, "hub", "prune").stdout


def test_compare_measures_each_form(home: Path) -> None:
    run(home, "hub", "add", str(WIDE), "--name", "mine")
    sample = str(Path(bundled.SAMPLES) / "shopping list.wav")
    rows = values(home, "hub", "compare", "mine", sample, "--original", str(WIDE), "--reference", bundled.SAMPLES)
    assert [row["form"] for row in rows] == ["float32", "float32, int8 at load", "int8"]
    for row in rows:
        assert row["word_error_rate"] == 0
        assert row["times_real_time"] > 0.1
        assert 10_000_000 < row["resident_bytes"] <= row["peak_bytes"] < 2_000_000_000
    assert rows[2]["size_bytes"] < 0.45 * rows[0]["size_bytes"]
    assert rows[0]["word_drift"] is None
    assert rows[2]["word_drift"] == 0
    table = run(home, "hub", "compare", "mine", sample, "--original", str(WIDE)).stdout
    assert "int8 at load" in table
    assert "float original of 'mine' is not there" in run(home, "hub", "compare", "mine", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["hub", "pull", "smal"], "stenod: 'smal' is not the name of a model that can be fetched"),
        (["hub", "remove", "demo"], "stenod: the demo model is part of stenod and stays"),
        (["transcribe", "stenod.yaml", "--model", "smal"], "stenod: model 'smal' is not in the hub"),
        (["hub", "remove", "nothing"], "stenod: there is no model 'nothing' in the hub"),
        (["hub", "quantize", "nothing"], "stenod: there is no model 'nothing' in the hub"),
        (["hub", "add", "."], "is not whole"),
        (["hub", "pull", "tiny"], "stenod: http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_mistakes(home: Path, arguments: list[str], line: str) -> None:
    assert line in run(home, *arguments, code=1).stderr.splitlines()[0]


def test_config_show_says_where_each_value_comes_from(home: Path) -> None:
    (home / "stenod.yaml").write_text(
        "inboxes:\n- path: in\n- path: other\n  language: de\ntranscription:\n  language: en\nmodel:\n  name: tiny\n"
    )
    text = run(home, "config", "show", WL_CPU_THREADS="3", WHISPER_MODEL_SIZE="base", WL_COMPUTE_TYPE="int8_float32",
               DEVICE_TYPE="auto").stdout  # fmt: skip
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        f'inboxes[0].path: "{home}/in" # stenod.yaml:2',
        'inboxes[0].language: "en" # stenod.yaml:6',
        'inboxes[1].language: "de" # stenod.yaml:4',
        'inboxes[1].settle: "10s" # default',
        'model.name: "base" # environment WHISPER_MODEL_SIZE',
        'model.compute_type: "int8_float32" # environment WL_COMPUTE_TYPE',
        "model.cpu_threads: 3 # environment WL_CPU_THREADS",
        'model.device: "auto" # environment DEVICE_TYPE',
        'rescan: "5min" # default',
    ):
        assert line in lines
    error = run(home, "config", "check", code=1, WL_CPU_THREADS="many", DEVICE_TYPE="gpu").stderr
    assert "environment: WL_CPU_THREADS: 'many' must be a whole number" in error
    assert "environment: DEVICE_TYPE: 'gpu' is not one of cpu, cuda, auto" in error
    assert run(home, "config", "check").stdout == "stenod.yaml is right: 2 inboxes, model tiny.\n"
