"""Every mistake in a configuration is told at once, each in a line that says where, what, and what would be right."""

import os
import re
from pathlib import Path

import pytest

from stenod import bundled, config, wire
from stenod.errors import UserError

NO_KEYS = "the file must hold keys with values, and `inboxes` at the least"
NO_LIST = "must be a list: each inbox starts with `- path: FOLDER`"
NO_SECTION = "must be keys with values, indented below it"
NO_VALUE = "has no value; give it one or take the line out"
NO_TEXT = 'must be text (if it is text, put it in quotes: "...")'
NO_LANGUAGE = "is not a language code of Whisper: write auto, en, de, fr, ..."
NO_TIME = "is not a length of time: write a number with a unit, for example 5s, 10min or 1h30m"
NO_UNIT = "has no unit: write a number with a unit, for example 5s, 10min or 1h30m"
EMPTY_TIME = "is empty: write a number with a unit, for example 5s, 10min or 1h30m"
NESTED = "lie in one another; a recording must have one inbox: move one, or set `recursive: false` on the outer one"
LOOP = "which would feed itself; choose a folder outside, or `beside`"
KEYS_AT_THE_TOP = ", ".join(key for key in config.Config.__struct_fields__ if key != "file")
KEYS_OF_AN_INBOX = ", ".join(
    [*(key for key in config.Inbox.__struct_fields__ if key != "options"), *wire.Options.__struct_fields__]
)
INBOX = "inboxes:\n  - path: in\n"


def problems(text: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return what is wrong with a configuration that stands in /etc."""
    with pytest.raises(UserError) as raised:
        config.parse(text, "/etc/stenod.yaml", environment or {})
    error = raised.value
    count = len(error.problems)
    said = "one problem" if count == 1 else f"{count} problems"
    assert error.message == f"/etc/stenod.yaml: {said} in the configuration"
    assert error.next_step == f"Every key is explained in {bundled.EXAMPLE_CONFIG}."
    assert all(re.fullmatch(r"line \d+: .+", problem) for problem in error.problems)
    return list(error.problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"line 1: {NO_KEYS}"),
        ("# nothing yet\n", f"line 1: {NO_KEYS}"),
        ("- path: in\n", f"line 1: {NO_KEYS}"),
        ("just text\n", f"line 1: {NO_KEYS}"),
        ("inboxes:\n\t- path: in\n", "line 2: a tab stands where YAML wants spaces: indent with spaces"),
        ("inboxes:\n  - path: 'in\n", "line 3: while scanning a quoted scalar found unexpected end of stream"),
        ("log_level: info\n", "line 1: inboxes: missing; name at least one folder to watch"),
        ("inboxes:\n", f"line 1: inboxes: {NO_LIST}"),
        ("\ninboxes: in\n", f"line 2: inboxes: {NO_LIST}"),
        ("inboxes:\n  path: in\n", f"line 1: inboxes: {NO_LIST}"),
        ("inboxes: []\n", "line 1: inboxes: is empty; name at least one folder to watch"),
        ("inboxes:\n  - in\n", "line 2: inboxes[0]: must be keys with values, `path: FOLDER` at the least"),
        ("inboxes:\n  - name: in\n", "line 2: inboxes[0]: path: missing; which folder is to be watched?"),
        ("inboxes:\n  - path:\n", f"line 2: inboxes[0].path: {NO_VALUE}"),
        ("inboxes:\n  - path: ''\n", "line 2: inboxes[0].path: is empty"),
        ("inboxes:\n  - path: [in]\n", "line 2: inboxes[0].path: ['in'] must be text"),
        ("inboxes:\n  - path: 2026\n", f"line 2: inboxes[0].path: 2026 {NO_TEXT}"),
        (f"{INBOX}    path: other\n", "line 2: inboxes[0].path: stands a second time in line 3 (first in line 2)"),
    ],
)
def test_a_mistake_in_the_whole(text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("outbx: out", "outbx: unknown key; did you mean `outbox`?"),
        ("beamsize: 1", "beamsize: unknown key; did you mean `beam_size`?"),
        ("model: small", f"model: unknown key; known here: {KEYS_OF_AN_INBOX}"),
        ("options: {}", f"options: unknown key; known here: {KEYS_OF_AN_INBOX}"),
        ("name: true", f"name: True {NO_TEXT}"),
        ("hotwords: 5", f"hotwords: 5 {NO_TEXT}"),
        ("outbox: ''", "outbox: is empty"),
        ("recursive: yes", "recursive: 'yes' must be true or false"),
        ("recursive: 1", "recursive: 1 must be true or false"),
        ("vad_filter: off", "vad_filter: 'off' must be true or false"),
        ("formats: txt", "formats: 'txt' must be a list: [txt]"),
        ("formats: []", "formats: is empty; choose from txt, srt, vtt, json"),
        ("formats: [txt, pdf, doc]", "formats: 'pdf', 'doc' is not one of txt, srt, vtt, json"),
        ("extensions: mp3", "extensions: 'mp3' must be a list: [mp3]"),
        ("extensions: []", "extensions: is empty"),
        ("extensions: [mp3, 3]", "extensions: ['mp3', 3] must be a list of words"),
        ("extensions: [mp3, TXT, .srt]", "extensions: srt, txt: stenod's own transcripts end so"),
        ("task: summarise", "task: 'summarise' is not one of transcribe, translate"),
        ("beam_size: 0", "beam_size: 0 must be from 1 to 20"),
        ("beam_size: 21", "beam_size: 21 must be from 1 to 20"),
        ("beam_size: 2.5", "beam_size: 2.5 must be a whole number"),
        ("beam_size: five", "beam_size: 'five' must be a whole number"),
        ("settle: 5", f"settle: 5 {NO_UNIT}"),
        ("settle: 22:30", f"settle: '22:30' {NO_TIME}"),
        ("settle: ''", f"settle: '' {EMPTY_TIME}"),
        ("settle:", f"settle: {NO_VALUE}"),
        ("language: german", f"language: 'german' {NO_LANGUAGE}"),
        ("language: EN", f"language: 'EN' {NO_LANGUAGE}"),
        ("language: false", f"language: False {NO_TEXT}"),
    ],
)
def test_a_mistake_in_an_inbox(line: str, problem: str) -> None:
    assert problems(f"{INBOX}    {line}\n") == [f"line 3: inboxes[0].{problem}"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("modle:\n  name: small", "line 3: modle: unknown key; did you mean `model`?"),
        ("Model: {}", "line 3: Model: unknown key; did you mean `model`?"),
        ("xyzzy: 1", f"line 3: xyzzy: unknown key; known here: {KEYS_AT_THE_TOP}"),
        ("file: /x", f"line 3: file: unknown key; known here: {KEYS_AT_THE_TOP}"),
        ("5: 5", f"line 3: 5: unknown key; known here: {KEYS_AT_THE_TOP}"),
        ("model: small", f"line 3: model: {NO_SECTION}"),
        ("worker: [5min]", f"line 3: worker: {NO_SECTION}"),
        ("worker:\n  language: de", "line 4: worker.language: unknown key; known here: unload_after, stall_timeout"),
        ("model:\n  device: gpu", "line 4: model.device: 'gpu' is not one of cpu, cuda, auto; did you mean cpu?"),
        ("model:\n  device: tpu9", "line 4: model.device: 'tpu9' is not one of cpu, cuda, auto"),
        ("model:\n  cpu_threads: -1", "line 4: model.cpu_threads: -1 must be from 0 to 1024"),
        ("model:\n  cpu_threads: true", "line 4: model.cpu_threads: True must be a whole number"),
        ("transcription:\n  languages: de", "line 4: transcription.languages: unknown key; did you mean `language`?"),
        ("transcription:\n  language: en-GB", f"line 4: transcription.language: 'en-GB' {NO_LANGUAGE}"),
        ("worker:\n  unload_after: soon", f"line 4: worker.unload_after: 'soon' {NO_TIME}"),
        ("prune:\n  hub_size: 20", "line 4: prune.hub_size: 20 has no unit: "
                                   "write a number with a unit, for example 500MB or 20GB"),
        ("prune:\n  unused_for: 90", f"line 4: prune.unused_for: 90 {NO_UNIT}"),
        ("model:\n  published: [a/b]", "line 4: model.published: ['a/b'] must be names with repositories, indented "
                                       "below it: `NAME: OWNER/NAME`"),
        ("rescan: 0640", f"line 3: rescan: 640 {NO_UNIT}"),
        ("rescan: 0", "line 3: rescan: must be at least 1s"),
        ("rescan: 999ms", "line 3: rescan: must be at least 1s"),
        ("log_level: 3", "line 3: log_level: 3 is not one of debug, info, warning, error"),
        ("log_level: warn", "line 3: log_level: 'warn' is not one of debug, info, warning, error; "
                            "did you mean warning?"),
        ("state: ''", "line 3: state: is empty"),
        ("hub:", f"line 3: hub: {NO_VALUE}"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rest(lines: str, problem: str) -> None:
    assert problems(f"{INBOX}{lines}\n") == [problem]


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        ("path: a", "path: b/a", "name: 'a' is the name of inboxes[0] too; give it one"),
        ("path: a", "path: ./a/, name: b", "path: /etc/a is inboxes[0] already"),
        ("path: a", "path: a/b/c", f"path: /etc/a/b/c and inboxes[0] (/etc/a) {NESTED}"),
        ("path: a/b, recursive: false", "path: a", f"path: /etc/a and inboxes[0] (/etc/a/b) {NESTED}"),
        ("path: a", "path: b, outbox: a", f"outbox: /etc/a lies in the watched folder of inboxes[0] (/etc/a), {LOOP}"),
        (
            "path: a",
            "path: b, outbox: a/texts",
            f"outbox: /etc/a/texts lies in the watched folder of inboxes[0] (/etc/a), {LOOP}",
        ),
        (
            "path: x",
            "path: a, recursive: false, outbox: ./a",
            f"outbox: /etc/a lies in the watched folder of inboxes[1] (/etc/a), {LOOP}",
        ),
    ],
)
def test_inboxes_that_clash(first: str, second: str, problem: str) -> None:
    assert problems(f"inboxes:\n  - {{{first}}}\n  - {{{second}}}\n") == [f"line 3: inboxes[1].{problem}"]


def test_links_are_seen_through(tmp_path: Path) -> None:
    (tmp_path / "inbox" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "inbox" / "below")
    (tmp_path / "same").symlink_to(tmp_path / "inbox")

    def found(text: str) -> list[str]:
        with pytest.raises(UserError) as raised:
            config.parse(text, str(tmp_path / "stenod.yaml"), {})
        return list(raised.value.problems)

    assert found("inboxes:\n  - path: inbox\n    outbox: link\n") == [
        f"line 3: inboxes[0].outbox: {tmp_path}/link lies in the watched folder of inboxes[0] "
        f"({tmp_path}/inbox), {LOOP}"
    ]
    assert found("inboxes:\n  - path: inbox\n  - path: same\n") == [
        f"line 3: inboxes[1].path: {tmp_path}/same is inboxes[0] already"
    ]
    assert found("inboxes:\n  - path: link\n  - path: same\n") == [
        f"line 3: inboxes[1].path: {tmp_path}/same and inboxes[0] ({tmp_path}/link) {NESTED}"
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
inboxes:
  - path: in
    outbox: in/texts
    settle: 5
    beam_size: 99
  - name: other
    language: xx
  - 7
modle: {}
model:
  device: gpu
  device: cpu
rescan: never
"""
    assert [problem.split(": ")[:2] for problem in problems(text)] == [
        ["line 3", "inboxes[0].outbox"],
        ["line 4", "inboxes[0].settle"],
        ["line 5", "inboxes[0].beam_size"],
        ["line 6", "inboxes[1]"],
        ["line 7", "inboxes[1].language"],
        ["line 8", "inboxes[2]"],
        ["line 9", "modle"],
        ["line 11", "model.device"],
        ["line 11", "model.device"],
        ["line 13", "rescan"],
    ]


def test_a_wrong_language_everywhere_is_told_once() -> None:
    text = "inboxes:\n  - path: a\n  - path: b\n    language: yy\ntranscription:\n  language: xx\n"
    assert [problem.split(": ")[:2] for problem in problems(text)] == [
        ["line 4", "inboxes[1].language"],
        ["line 6", "transcription.language"],
    ]


def test_long_values_are_cut_in_the_message() -> None:
    (problem,) = problems(f"{INBOX}log_level: {'x' * 500}\n")
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("missing", "the configuration {path} cannot be read: No such file or directory"),
        ("folder", "the configuration {path} cannot be read: Is a directory"),
        ("latin-1", "{path} is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, make: str, message: str) -> None:
    path = tmp_path / "stenod.yaml"
    if make == "folder":
        path.mkdir()
    elif make == "latin-1":
        path.write_bytes("inboxes: [{path: Käthe}]".encode("latin-1"))
    with pytest.raises(UserError) as raised:
        config.load(str(path), {})
    assert raised.value.message == message.format(path=path)
    assert raised.value.next_step
    assert raised.value.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{INBOX}    name: \x01\n", id="control character"),
        pytest.param('inboxes:\n  - path: "a\\0b"\n', id="NUL in a path"),
        pytest.param(
            f'{INBOX}transcription:\n  initial_prompt: "\\ud800"\n',
            id="surrogate",
        ),
        pytest.param("[" * 700 + "]" * 700, id="very deep nesting"),
        pytest.param(
            f"{INBOX}worker:\n  stall_timeout: 0s\n",
            id="no time at all to transcribe",
        ),
    ],
)
def test_what_cannot_work_is_told_too(text: str) -> None:
    assert len(problems(text)) == 1


@pytest.mark.parametrize("text", [f'{INBOX}"two\\nlines": 1\n', f"{INBOX}? [a, b]\n: 1\n", f'{INBOX}"\\e[31m": 1\n'])
def test_a_problem_is_one_printable_line_whatever_the_key(text: str) -> None:
    with pytest.raises(UserError) as raised:
        config.parse(text, "/etc/stenod.yaml", {})
    assert all(problem.isprintable() and "Node(" not in problem for problem in raised.value.problems)


def test_the_example_that_the_message_names_is_there() -> None:
    assert os.path.isfile(bundled.EXAMPLE_CONFIG)
