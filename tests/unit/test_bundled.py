"""What ships with stenod is there, and is what the code takes it for."""

import json
import os
from pathlib import Path

import pytest

from stenod import bundled, demo, quantize
from stenod.hub import manifest


@pytest.mark.parametrize("file", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_the_demo_model_is_whole(file: str) -> None:
    assert os.path.getsize(os.path.join(bundled.DEMO_MODEL, file)) > 0


def test_the_demo_model_is_what_stenod_makes_of_its_float32_form(tmp_path: Path) -> None:
    assert manifest.check(bundled.DEMO_MODEL, thorough=True) == manifest.Check((), has_manifest=True)
    wide = Path(bundled.DEMO_MODEL).parent / "demo-float32"
    quantize.quantize(str(wide), str(tmp_path / "demo"))
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json", "preprocessor_config.json"):
        assert (tmp_path / "demo" / name).read_bytes() == (Path(bundled.DEMO_MODEL) / name).read_bytes()


def test_every_sample_is_there() -> None:
    with open(os.path.join(bundled.SAMPLES, "manifest.json"), encoding="utf-8") as file:
        names = {entry["file"] for entry in json.load(file)}
    assert names == {sample.file for sample in demo.samples()}
    assert names == {name for name in os.listdir(bundled.SAMPLES) if not name.endswith((".json", ".txt"))}


def test_the_example_configuration_is_there() -> None:
    assert os.path.getsize(bundled.EXAMPLE_CONFIG) > 0
