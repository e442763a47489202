"""What ships with stenod is there, and is what the code takes it for."""

import json
import os

import pytest

from stenod import bundled, demo


@pytest.mark.parametrize("file", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_the_demo_model_is_whole(file: str) -> None:
    assert os.path.getsize(os.path.join(bundled.DEMO_MODEL, file)) > 0


def test_every_sample_is_there() -> None:
    with open(os.path.join(bundled.SAMPLES, "manifest.json"), encoding="utf-8") as file:
        names = {entry["file"] for entry in json.load(file)}
    assert names == {sample.file for sample in demo.samples()}
    assert names == {name for name in os.listdir(bundled.SAMPLES) if not name.endswith((".json", ".txt"))}


def test_the_example_configuration_is_there() -> None:
    assert os.path.getsize(bundled.EXAMPLE_CONFIG) > 0
