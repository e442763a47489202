"""Publishing on a real file system: whole or not at all, and never over what is somebody else's."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stenod import outbox
from stenod.outbox import Draft
from tests.unit import build

CONTENT = b"what was said\n"
OTHER = b"something else\n"
TOKEN = "7"  # noqa: S105 - the id of a recording


def nothing(_path: str) -> set[str]:
    """Nothing was written by stenod."""
    return set()


def wrote(*contents: bytes) -> outbox.Ours:
    """Return an answer to `ours`: these contents were written by stenod."""
    digests = {Draft("", content).sha256 for content in contents}
    return lambda _path: digests


def names(folder: Path) -> list[str]:
    """Return everything that lies in the folder, the hidden too."""
    return sorted(os.listdir(folder))


def test_transcripts_are_published_and_nothing_else_is_left(tmp_path: Path) -> None:
    drafts = [Draft(str(tmp_path / f"memo.{ending}"), ending.encode()) for ending in ("txt", "srt")]
    assert outbox.publish(drafts, str(tmp_path), TOKEN, nothing) == [item.path for item in drafts]
    assert names(tmp_path) == ["memo.srt", "memo.txt"]
    assert (tmp_path / "memo.txt").read_bytes() == b"txt"
    assert (tmp_path / "memo.srt").read_bytes() == b"srt"
    assert (tmp_path / "memo.txt").stat().st_nlink == 1


def test_folders_below_the_root_are_made_and_the_root_is_not(tmp_path: Path) -> None:
    root = tmp_path / "out"
    item = Draft(str(root / "a" / "b" / "memo.txt"), CONTENT)
    with pytest.raises(FileNotFoundError) as raised:
        outbox.publish([item], str(root), TOKEN, nothing)
    assert raised.value.filename == str(root)
    assert names(tmp_path) == []
    root.mkdir()
    assert outbox.publish([item], str(root), TOKEN, nothing) == [item.path]
    assert (root / "a" / "b" / "memo.txt").read_bytes() == CONTENT


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        outbox.publish([Draft(str(tmp_path / "out" / "memo.txt"), CONTENT)], str(tmp_path / "out"), TOKEN, nothing)


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_any_name_is_published_byte_for_byte(tmp_path: Path, name: str) -> None:
    drafts = outbox.draft(str(tmp_path), f"/in/{name}", [("txt", CONTENT), ("json", OTHER)], nothing)
    assert len(outbox.publish(drafts, str(tmp_path), TOKEN, nothing)) == 2
    stem = os.path.splitext(name)[0]
    assert sorted(os.listdir(os.fsencode(tmp_path))) == sorted(
        os.fsencode(outbox.fit(stem, ending)) for ending in (".txt", ".json")
    )


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        outbox.publish([Draft(str(tmp_path / "memo.txt"), CONTENT)], str(tmp_path), TOKEN, nothing)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "memo.txt").stat().st_mode) == mode


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    place = tmp_path / "memo.txt"
    place.write_bytes(CONTENT)
    before = place.stat()
    fresh = Draft(str(tmp_path / "memo.srt"), OTHER)
    assert outbox.publish([Draft(str(place), CONTENT), fresh], str(tmp_path), TOKEN, nothing) == [fresh.path]
    after = place.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert names(tmp_path) == ["memo.srt", "memo.txt"]


def test_an_older_one_of_ours_is_replaced_at_once(tmp_path: Path) -> None:
    place = tmp_path / "memo.txt"
    place.write_bytes(OTHER)
    with open(place, "rb") as reader:
        outbox.publish([Draft(str(place), CONTENT)], str(tmp_path), TOKEN, wrote(OTHER))
        assert reader.read() == OTHER  # who has it open keeps the whole old one
    assert place.read_bytes() == CONTENT
    assert names(tmp_path) == ["memo.txt"]


def make_regular(place: Path) -> None:
    place.write_bytes(OTHER)


def make_edited(place: Path) -> None:
    place.write_bytes(CONTENT + b"and a note of the user's\n")


def make_link(place: Path) -> None:
    (place.parent / "there").write_bytes(OTHER)
    place.symlink_to("there")


def make_dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def make_folder(place: Path) -> None:
    place.mkdir()


def make_pipe(place: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize(
    "make",
    [
        make_regular,
        make_edited,
        make_link,
        make_dangling_link,
        pytest.param(make_folder),
        make_pipe,
    ],
)
def test_a_name_that_was_taken_between_draft_and_publishing_is_left_to_its_owner(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    place = tmp_path / "memo.txt"
    (item,) = outbox.draft(str(tmp_path), "/in/memo.mp3", [("txt", b"new")], wrote(CONTENT))
    assert item.path == str(place)
    make(place)
    before = (place.lstat(), names(tmp_path))
    with pytest.raises(FileExistsError):
        outbox.publish([item], str(tmp_path), TOKEN, wrote(CONTENT))
    assert (place.lstat(), names(tmp_path)) == before


def test_a_hidden_file_of_a_try_that_was_cut_off_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / f".stenod-{TOKEN}.txt.tmp"
    for make in (make_regular, make_dangling_link):
        make(left)
        item = Draft(str(tmp_path / "memo.txt"), CONTENT)
        outbox.publish([item], str(tmp_path), TOKEN, wrote(CONTENT))
        assert names(tmp_path) == ["memo.txt"]
        os.unlink(item.path)


def test_a_hidden_file_is_removed_even_if_nothing_had_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "memo.txt").write_bytes(CONTENT)
    (tmp_path / f".stenod-{TOKEN}.txt.tmp").write_bytes(CONTENT)
    assert outbox.publish([Draft(str(tmp_path / "memo.txt"), CONTENT)], str(tmp_path), TOKEN, nothing) == []
    assert names(tmp_path) == ["memo.txt"]


def test_a_folder_under_the_hidden_name_is_no_reason_to_touch_it(tmp_path: Path) -> None:
    (tmp_path / f".stenod-{TOKEN}.txt.tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        outbox.publish([Draft(str(tmp_path / "memo.txt"), CONTENT)], str(tmp_path), TOKEN, nothing)
    assert names(tmp_path) == [f".stenod-{TOKEN}.txt.tmp"]


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a file where a folder should be")
    drafts = [Draft(str(tmp_path / "memo.txt"), CONTENT), Draft(str(tmp_path / "a" / "memo.txt"), CONTENT)]
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        outbox.publish(drafts, str(tmp_path), TOKEN, nothing)
    assert names(tmp_path) == ["a"]


def test_where_nobody_may_write_nothing_is_left_and_the_cause_is_told() -> None:
    with pytest.raises(OSError, match=r"No such file|not permitted|denied") as raised:  # not even root may
        outbox.publish([Draft("/proc/self/memo.txt", CONTENT)], "/proc/self", TOKEN, nothing)
    assert raised.value.filename


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            outbox.publish([Draft(str(tmp_path / "memo.txt"), CONTENT)], str(tmp_path), TOKEN, nothing)
        assert names(tmp_path) == []
    finally:
        tmp_path.chmod(0o700)


def test_of_two_that_publish_under_one_name_only_one_wins(tmp_path: Path) -> None:
    lost: list[int] = []
    start = threading.Barrier(8)

    def publish(number: int) -> None:
        start.wait()
        item = Draft(str(tmp_path / "memo.txt"), b"%d\n" % number)
        try:
            outbox.publish([item], str(tmp_path), str(number), nothing)
        except FileExistsError:
            lost.append(number)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["memo.txt"]
    assert sorted([*lost, int((tmp_path / "memo.txt").read_bytes())]) == list(range(8))
