"""Transcribing files without the service, with the real worker and the demo model."""

import os
import shutil
from pathlib import Path

import pytest

from stenod import bundled, config, direct
from stenod.config import Inbox
from stenod.direct import Done, Failed, Progress
from stenod.errors import UserError

SETTINGS = config.without_file({"STATE_DIRECTORY": "/nowhere"})
SAID = "Buy apples, soap and tomatoes.\n"


def transcribe(
    paths: list[Path], output: Path | None = None, model: str = bundled.DEMO_MODEL, formats: tuple[str, ...] = ("txt",)
) -> list[Progress | Done | Failed]:
    """Transcribe these files and return everything that happened but progress."""
    inbox = Inbox(path="/", formats=formats)  # type: ignore[arg-type]
    events = direct.transcribe(SETTINGS, inbox, model, list(map(str, paths)), str(output) if output else None)
    return [event for event in events if not isinstance(event, Progress)]


@pytest.fixture
def wav(samples: Path, tmp_path: Path) -> Path:
    """Return a recording in a folder of its own."""
    (tmp_path / "in").mkdir()
    return Path(shutil.copy(samples / "shopping list.wav", tmp_path / "in" / "memo.wav"))


def test_each_file_is_done_or_failed_in_turn(wav: Path, tmp_path: Path) -> None:
    noise, missing, output = tmp_path / "noise.mp3", tmp_path / "missing.mp3", tmp_path / "out"
    noise.write_bytes(b"garbage " * 1000)
    output.mkdir()
    (output / "memo.srt").write_bytes(b"mine")
    first, second, third, fourth = transcribe([noise, wav, missing, wav], output, formats=("txt", "srt"))
    assert first == Failed(str(noise), "it holds no audio that can be decoded")
    assert isinstance(second, Done)
    assert (second.path, second.text) == (str(wav), SAID)
    assert second.transcripts == (f"{output}/memo.wav.txt", f"{output}/memo.wav.srt")
    assert second.summary.startswith("2.5 s (en) in ")
    assert third == Failed(str(missing), "it is no longer there")
    assert isinstance(fourth, Done)
    assert fourth.transcripts == second.transcripts, "what says the same already is left as it is"
    assert sorted(os.listdir(output)) == ["memo.srt", "memo.wav.srt", "memo.wav.txt"]
    assert (output / "memo.wav.txt").read_text(encoding="utf-8") == SAID
    assert (output / "memo.srt").read_bytes() == b"mine"


def test_without_an_output_folder_it_goes_beside(wav: Path) -> None:
    (done,) = transcribe([wav])
    assert isinstance(done, Done)
    assert done.transcripts == (str(wav.with_suffix(".txt")),)
    assert sorted(os.listdir(wav.parent)) == ["memo.txt", "memo.wav"]


def test_an_output_folder_that_has_gone_is_said(wav: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert transcribe([wav], output) == [
        Failed(str(wav), f"its transcript cannot be written: {output}: No such file or directory")
    ]


def test_a_model_that_cannot_be_loaded_ends_it_all(wav: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(UserError, match="cannot be loaded") as raised:
        transcribe([wav, wav], model=str(tmp_path))
    assert raised.value.next_step == "Choose another one with --model or in the configuration."


def test_a_link_that_the_user_names_is_followed(wav: Path, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(wav)
    (done,) = transcribe([tmp_path / "link.wav"])
    assert isinstance(done, Done)
    assert done.text == SAID
