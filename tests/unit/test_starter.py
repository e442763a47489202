"""A first configuration that works at once."""

import os
from pathlib import Path

import pytest

from stenod import bundled, config, starter
from stenod.errors import UserError
from tests.unit import build


@pytest.mark.parametrize("name", ["new", "deep/er", *build.DIFFICULT_NAMES[:5]])
def test_what_is_made_can_be_loaded_and_names_its_own_folders(tmp_path: Path, name: str) -> None:
    base = str(tmp_path / name)
    path = starter.make(base)
    assert path == os.path.join(base, "stenod.yaml")
    assert sorted(os.listdir(base)) == ["hub", "inbox", "outbox", "state", "stenod.yaml"]
    loaded = config.load(path, {"STATE_DIRECTORY": "/elsewhere"})
    (inbox,) = loaded.inboxes
    assert (inbox.path, inbox.outbox, loaded.state, loaded.hub) == tuple(
        os.path.join(base, name) for name in ("inbox", "outbox", "state", "hub")
    )
    assert (inbox.name, inbox.settle) == ("inbox", 5.0)


def test_it_stays_the_commented_example(tmp_path: Path) -> None:
    with open(starter.make(str(tmp_path)), encoding="utf-8") as made:
        text = made.read()
    with open(bundled.EXAMPLE_CONFIG, encoding="utf-8") as file:
        example = file.read()
    lines, before = text.splitlines(), example.splitlines()
    assert len(lines) == len(before)
    changed = [new for new, old in zip(lines, before, strict=True) if new != old]
    assert [line.split("#")[0].strip() for line in changed] == [
        "", "- path: inbox", "name: inbox", "outbox: outbox", "settle: 5s", "state: state", "hub: hub",
    ]  # fmt: skip
    assert all(
        new.index("#") == old.index("#")
        for new, old in zip(lines, before, strict=True)
        if new != old and not old.startswith("#")
    ), "the comments stand in one column"


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "stenod.yaml").write_text("mine")
    with pytest.raises(UserError) as raised:
        starter.make(str(tmp_path))
    assert raised.value.lines() == [
        f"{tmp_path}/stenod.yaml is there already, and is left as it is",
        f"  Start the service with it: stenod run --config {tmp_path}/stenod.yaml",
    ]
    assert (tmp_path / "stenod.yaml").read_text() == "mine"
    assert os.listdir(tmp_path) == ["stenod.yaml"]


def test_folders_that_are_there_already_are_used(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.mp3").write_bytes(b"sound")
    starter.make(str(tmp_path))
    assert (tmp_path / "inbox" / "a.mp3").read_bytes() == b"sound"


def test_where_nothing_can_be_made_that_is_said() -> None:
    with pytest.raises(UserError) as raised:
        starter.make("/proc/stenod")  # not even root may
    assert raised.value.lines() == ["/proc/stenod cannot be made: No such file or directory"]


@pytest.mark.parametrize(("folder", "place"), [("taken", "taken"), ("folder", "folder/inbox")])
def test_a_file_where_a_folder_should_be_is_said_as_such_and_nothing_is_left(
    tmp_path: Path, folder: str, place: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_bytes(b"")
    with pytest.raises(UserError) as raised:
        starter.make(str(tmp_path / folder))
    assert "stenod run" not in raised.value.next_step
    assert not list(tmp_path.rglob("stenod.yaml"))
