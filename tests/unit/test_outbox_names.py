"""Where a recording's transcripts go, and what they are called."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenod import outbox
from stenod.config import Inbox
from tests.unit import build

CONTENT = b"what was said\n"
OTHER = b"something else\n"


def nothing(_path: str) -> set[str]:
    """Nothing was written by stenod."""
    return set()


def drafted(folder: Path, recording: str, *endings: str, ours: outbox.Ours = nothing) -> list[str]:
    """Return the names that are drafted for this recording."""
    drafts = outbox.draft(str(folder), recording, [(ending, CONTENT) for ending in endings or ("txt",)], ours)
    assert all(item.content == CONTENT for item in drafts)
    assert {os.path.dirname(item.path) for item in drafts} == {str(folder)}
    return [os.path.basename(item.path) for item in drafts]


@pytest.mark.parametrize(
    ("recording", "first"),
    [
        ("/in/memo.m4a", ["memo", "memo.m4a", "memo.m4a.2", "memo.m4a.3"]),
        ("/in/a.b/c.d.mp3", ["c.d", "c.d.mp3", "c.d.mp3.2", "c.d.mp3.3"]),
        ("/in/no ending", ["no ending", "no ending", "no ending.2", "no ending.3"]),
    ],
)
def test_names_the_best_first(recording: str, first: list[str]) -> None:
    names = list(outbox.names(recording))
    assert names[:4] == first
    assert names[-1].endswith(".999")


@pytest.mark.parametrize(
    ("place", "recording", "folder", "root"),
    [
        ("beside", "/in/a.mp3", "/in", "/in"),
        ("beside", "/in/x/y/a.mp3", "/in/x/y", "/in/x/y"),
        ("/out", "/in/a.mp3", "/out", "/out"),
        ("/out", "/in/x/y/a.mp3", "/out/x/y", "/out"),
        ("/out", "/in/two\nlines \udcff/a.mp3", "/out/two\nlines \udcff", "/out"),
    ],
)
def test_the_outbox_mirrors_the_inbox(place: str, recording: str, folder: str, root: str) -> None:
    inbox = Inbox(path="/in", outbox=place)
    assert outbox.folder_for(inbox, recording) == folder
    assert outbox.root_for(inbox, recording) == root


def test_the_first_free_name_is_taken(tmp_path: Path) -> None:
    for taken, expected in (
        ("memo.txt", "memo.txt"),
        ("memo.m4a.txt", "memo.m4a.txt"),
        ("memo.m4a.2.txt", "memo.m4a.2.txt"),
        ("memo.m4a.3.txt", "memo.m4a.3.txt"),
    ):
        assert drafted(tmp_path, "/in/memo.m4a") == [expected]
        (tmp_path / taken).write_bytes(OTHER)


def test_all_transcripts_of_a_recording_get_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "memo.srt").write_bytes(OTHER)
    assert drafted(tmp_path, "/in/memo.m4a", "txt", "srt", "json") == ["memo.m4a.txt", "memo.m4a.srt", "memo.m4a.json"]


def test_a_name_is_free_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert drafted(tmp_path / "missing", "/in/memo.m4a") == ["memo.txt"]


@pytest.mark.parametrize(
    "kind",
    [
        "regular",
        "unreadable",
        "link",
        "dangling link",
        "link to the same",
        pytest.param("folder"),
        "pipe",
    ],
)
def test_what_is_not_ours_is_never_in_the_way_of_its_owner(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "memo.txt"
    match kind:
        case "regular" | "unreadable":
            place.write_bytes(OTHER)
            place.chmod(0o600 if kind == "regular" else 0)
        case "link":
            (tmp_path / "there").write_bytes(OTHER)
            place.symlink_to(tmp_path / "there")
        case "dangling link":
            place.symlink_to(tmp_path / "nowhere")
        case "link to the same":
            (tmp_path / "there").write_bytes(CONTENT)
            place.symlink_to(tmp_path / "there")
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
    open_files = len(os.listdir("/proc/self/fd"))
    assert drafted(tmp_path, "/in/memo.m4a") == ["memo.m4a.txt"]
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_what_says_the_same_already_and_what_is_ours_is_free(tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_bytes(CONTENT)
    (tmp_path / "ours.txt").write_bytes(OTHER)
    written = {str(tmp_path / "ours.txt"): {outbox.Draft("", OTHER).sha256, "an older one"}}

    def ours(path: str) -> set[str]:
        return written.get(path, set())

    assert drafted(tmp_path, "/in/same.m4a", ours=ours) == ["same.txt"]
    assert drafted(tmp_path, "/in/ours.m4a", ours=ours) == ["ours.txt"]
    (tmp_path / "ours.txt").write_bytes(OTHER + b"and a note of the user's\n")
    assert drafted(tmp_path, "/in/ours.m4a", ours=ours) == ["ours.m4a.txt"]


def test_when_every_name_is_taken_that_is_said(tmp_path: Path) -> None:
    for name in outbox.names("/in/m.mp3"):
        (tmp_path / f"{name}.txt").write_bytes(OTHER)
    with pytest.raises(FileExistsError, match="every name for the transcript is taken") as raised:
        drafted(tmp_path, "/in/m.mp3")
    assert raised.value.filename == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("memo", "memo.txt"),
        ("x" * 251, "x" * 251 + ".txt"),
        ("x" * 252, "x" * 242 + "~d4e4680f.txt"),  # the digest of the name as it was
        ("ü" * 127, "ü" * 120 + "~764b795a.txt"),
    ],
)
def test_a_name_that_is_too_long_is_cut_and_gets_a_digest(name: str, result: str) -> None:
    assert outbox.fit(name, ".txt") == result


@pytest.mark.parametrize("ending", [".txt", ".json"])
@pytest.mark.parametrize("letter", ["x", "ü", "世", "😀", "\udcff", "e\u0301"])
def test_any_long_name_can_be_made_and_stays_what_it_is(tmp_path: Path, letter: str, ending: str) -> None:
    for length in range(230, 256):
        name = (
            ("-" * (length % 4) + letter * 255)
            .encode("utf-8", "surrogateescape")[:length]
            .decode("utf-8", "surrogateescape" if letter == "\udcff" else "ignore")
        )
        fitted = outbox.fit(name, ending)
        assert len(os.fsencode(fitted)) <= 255
        assert fitted.endswith(ending)
        if letter != "\udcff":
            fitted.encode("utf-8")  # raises if a character was cut in two
        (tmp_path / fitted).write_bytes(b"")


@given(st.text(st.sampled_from("aü世😀"), min_size=60, max_size=130), st.text(st.sampled_from("aü世😀"), min_size=1))
def test_two_long_names_stay_two(name: str, more: str) -> None:
    first, second = outbox.fit(name, ".txt"), outbox.fit(name + more, ".txt")
    assert first != second
    for fitted in (first, second):
        assert len(fitted.encode("utf-8")) <= outbox.LONGEST_NAME_BYTES


@pytest.mark.parametrize("name", build.DIFFICULT_NAMES)
def test_every_name_of_a_recording_fits(tmp_path: Path, name: str) -> None:
    for candidate, ending in itertools.product(itertools.islice(outbox.names(f"/in/{name}"), 3), (".txt", ".json")):
        fitted = outbox.fit(candidate, ending)
        (tmp_path / fitted).write_bytes(b"")
        assert os.fsencode(fitted) in os.listdir(os.fsencode(tmp_path))
