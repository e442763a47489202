"""Reading the configuration: what comes out of a right one."""

import os
import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from stenod import bundled, config, wire, yamlmarks
from stenod.config import Config, Inbox, Model, Worker
from stenod.errors import UserError

SECTIONS: dict[str, type[msgspec.Struct]] = {
    name: kind
    for name, kind in get_type_hints(Config).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}


def parse(text: str, path: str = "/etc/stenod.yaml", environment: dict[str, str] | None = None) -> Config:
    """Return the configuration in `text`, as if it stood in /etc."""
    return config.parse(text, path, environment or {"STATE_DIRECTORY": "/state"})


def one_inbox(lines: str = "") -> Inbox:
    """Return the inbox of a configuration with just one, which has these lines too."""
    return parse(f"inboxes:\n  - path: in\n{lines}").inboxes[0]


def defaults(section: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the keys of a section that have a default, with it."""
    return {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(section)
        if not field.required
    }


# ---- the shipped example


@pytest.fixture(scope="module")
def example() -> str:
    return Path(bundled.EXAMPLE_CONFIG).read_text(encoding="utf-8")


def test_the_example_is_valid_as_it_is(example: str) -> None:
    loaded = config.load(bundled.EXAMPLE_CONFIG, {})
    assert loaded == parse(example, bundled.EXAMPLE_CONFIG, {"UNUSED": ""})
    assert loaded.file == bundled.EXAMPLE_CONFIG
    assert loaded.inboxes == (Inbox(path=os.path.expanduser("~/recordings"), name="recordings"),)
    assert loaded.state == os.path.expanduser("~/.local/state/stenod")
    assert loaded.hub == os.path.expanduser("~/.local/state/stenod/hub")


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_of_the_example_shows_all_keys_with_their_defaults(example: str, name: str) -> None:
    shown = yamlmarks.load(example).value[name]
    assert set(shown) == set(SECTIONS[name].__struct_fields__)
    read = msgspec.structs.asdict(getattr(parse(example), name))
    assert read == defaults(SECTIONS[name])


def test_the_inbox_of_the_example_shows_the_defaults(example: str) -> None:
    (shown,) = yamlmarks.load(example).value["inboxes"]
    assert set(shown) == set(Inbox.__struct_fields__) - {"extensions", "options"}
    (read,) = parse(example).inboxes
    expected = defaults(Inbox) | {"path": os.path.expanduser("~/recordings"), "name": "recordings"}
    assert msgspec.structs.asdict(read) == expected


def test_the_rest_of_the_example_shows_the_defaults(example: str) -> None:
    shown = yamlmarks.load(example).value
    assert set(shown) == set(Config.__struct_fields__) - {"file", "state", "hub"}
    read, rest = parse(example), set(shown) - {*SECTIONS, "inboxes"}
    assert rest >= {"rescan", "log_level"}
    assert {key: getattr(read, key) for key in rest} == {key: defaults(Config)[key] for key in rest}


def test_what_is_commented_out_in_the_example_is_valid_and_its_defaults_are_true(example: str) -> None:
    whole = re.sub(r"^( *)# (extensions|language|state|hub):", r"\1\2:", example, flags=re.MULTILINE)
    (shown,) = (document := yamlmarks.load(whole).value)["inboxes"]
    assert set(shown) >= {"extensions", "language"}
    read = parse(whole)
    assert read.inboxes[0].options.language == shown["language"]
    assert read.inboxes[0].extensions == tuple(shown["extensions"])
    assert read.state == os.path.expanduser(document["state"]) == config.default_state({})
    assert read.hub == os.path.expanduser(document["hub"]) == parse(example, environment={"X": ""}).hub


def test_every_key_is_named_in_the_example(example: str) -> None:
    keys = {*Config.__struct_fields__, *Inbox.__struct_fields__} - {"file", "options"}
    for section in SECTIONS.values():
        keys |= set(section.__struct_fields__)
    assert {key for key in keys if not re.search(rf"^ *(?:- |# )?{key}:", example, re.MULTILINE)} == set()


# ---- values


def test_a_minimal_configuration() -> None:
    assert parse("inboxes:\n  - path: in\n") == Config(
        inboxes=(Inbox(path="/etc/in", name="in"),), state="/state", hub="/state/hub", file="/etc/stenod.yaml"
    )


def test_json_is_yaml_too() -> None:
    assert parse('{"inboxes": [{"path": "in"}]}').inboxes[0].path == "/etc/in"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("in", "/etc/in"),
        ("./in/", "/etc/in"),
        ("../in", "/in"),
        ("/a//b/./c", "/a/b/c"),
        ("'~'", "/home/me"),
        ("~/in", "/home/me/in"),
        ('"two words"', "/etc/two words"),
        ("Käthe", "/etc/Käthe"),
    ],
)
def test_paths_start_at_the_file_and_know_home(monkeypatch: pytest.MonkeyPatch, written: str, path: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse(f"inboxes:\n  - path: {written}\n").inboxes[0].path == path
    read = parse(f"inboxes:\n  - path: /elsewhere\n    outbox: {written}\nstate: {written}\nhub: {written}\n")
    assert [read.inboxes[0].outbox, read.state, read.hub] == [path, path, path]


def test_the_path_of_a_model_starts_at_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    text = "inboxes:\n  - path: in\nmodel:\n  name: {}\n"
    file = str(tmp_path / "stenod.yaml")
    assert config.parse(text.format("./models/mine"), file, {}).model.name == str(tmp_path / "models" / "mine")
    for name, problem in (
        ("models/mine", "line 4: model.name: the path of a folder starts with a dot: write ./models/mine"),
        ("./models/yours", f"line 4: model.name: there is no folder {tmp_path}/models/yours"),
        ("smal", "line 4: model.name: 'smal' is no model that is in the hub or can be fetched; did you mean small?"),
    ):
        with pytest.raises(UserError) as raised:
            config.parse(text.format(name), file, {})
        assert raised.value.problems == (problem,)
    for name in ("small", "demo", "owner/model"):
        assert config.parse(text.format(name), file, {}).model.name == name


@pytest.mark.parametrize("path", ["$HOME/in", "~nobody-of-that-name/in"])
def test_a_path_that_starts_as_none_does_is_told(path: str) -> None:
    with pytest.raises(UserError, match="one problem"):
        parse(f"inboxes:\n  - path: {path}\n")


@pytest.mark.parametrize(
    ("lines", "name"),
    [("", "in"), ("    name: memos\n", "memos"), ('    name: ""\n', "in"), ("    name: 'two words'\n", "two words")],
)
def test_an_inbox_is_called_as_its_folder_unless_it_has_a_name(lines: str, name: str) -> None:
    assert one_inbox(lines).name == name


def test_the_root_as_inbox_has_a_name() -> None:
    assert parse("inboxes:\n  - path: /\n    recursive: false\n").inboxes[0].name == "inbox"


@pytest.mark.parametrize("written", ["[MP3, .wav, '*.ogg', 'm4a']", "[mp3, wav, ogg, m4a]"])
def test_endings_may_be_written_in_any_way(written: str) -> None:
    assert one_inbox(f"    extensions: {written}\n").extensions == ("mp3", "wav", "ogg", "m4a")


@pytest.mark.parametrize("language", ["no", "auto", "en", "yue", "'no'"])
def test_norwegian_is_a_language(language: str) -> None:
    assert one_inbox(f"    language: {language}\n").options.language == language.strip("'")
    transcription = parse(f"inboxes: [path: in]\ntranscription:\n  language: {language}\n").transcription
    assert transcription.language == language.strip("'")


def test_an_inbox_may_have_its_own_transcription() -> None:
    read = parse(
        "inboxes:\n"
        "  - path: a\n"
        "  - path: b\n    language: de\n    beam_size: 1\n"
        "  - path: c\n    hotwords: null\n    word_timestamps: true\n"
        "transcription:\n  language: fr\n  hotwords: Käthe\n"
    )
    everywhere = wire.Options(language="fr", hotwords="Käthe")
    assert read.transcription == everywhere
    assert [inbox.options for inbox in read.inboxes] == [
        everywhere,
        msgspec.structs.replace(everywhere, language="de", beam_size=1),
        msgspec.structs.replace(everywhere, hotwords=None, word_timestamps=True),
    ]


def test_a_section_may_stand_empty() -> None:
    read = parse("inboxes: [path: in]\nmodel:\ntranscription:\nworker: ~\n")
    assert (read.model, read.transcription, read.worker) == (Model(), wire.Options(), Worker())


def test_inboxes_may_lie_in_one_another_where_the_outer_one_stays_above() -> None:
    read = parse("inboxes:\n  - path: a\n    recursive: false\n  - path: a/b\n")
    assert [inbox.path for inbox in read.inboxes] == ["/etc/a", "/etc/a/b"]


def test_an_outbox_may_lie_in_a_flat_inbox_and_beside_others() -> None:
    read = parse("inboxes:\n  - path: a\n    recursive: false\n    outbox: a/texts\n  - path: ab\n    outbox: abc\n")
    assert [inbox.outbox for inbox in read.inboxes] == ["/etc/a/texts", "/etc/abc"]


# ---- the environment


def test_the_first_systems_variables_go_before_the_file() -> None:
    environment = {
        "WHISPER_MODEL_SIZE": "small.en", "WL_COMPUTE_TYPE": "int16", "WL_CPU_THREADS": "4", "DEVICE_TYPE": "cuda",
        "STATE_DIRECTORY": "/state",
    }  # fmt: skip
    overridden = Model(name="small.en", compute_type="int16", cpu_threads=4, device="cuda")
    text = "inboxes: [path: in]\nmodel:\n  name: base\n  device: cpu\n"
    assert parse(text, environment=environment).model == overridden
    assert parse(text, environment=dict.fromkeys(environment, "") | {"A": "b"}).model == Model(name="base")
    assert config.load_or_default(None, environment | {"XDG_CONFIG_HOME": "/nowhere"}).model == overridden


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("WL_COMPUTE_TYPE", "int9", "'int9' is not one of int8, int8_float32, int8_float16, int16, float16, bfloat16, "
                                    "float32, default, auto; did you mean int8?"),
        ("WL_CPU_THREADS", "many", "'many' must be a whole number"),
        ("WL_CPU_THREADS", "-1", "'-1' must be a whole number"),
        ("WL_CPU_THREADS", "5000", "5000 must be from 0 to 1024"),
        ("DEVICE_TYPE", "gpu", "'gpu' is not one of cpu, cuda, auto; did you mean cpu?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_is_told_with_the_others(variable: str, text: str, problem: str) -> None:
    for environment in ({variable: text}, {variable: text, "WHISPER_MODEL_SIZE": "small"}):
        with pytest.raises(UserError) as raised:
            config.parse("inboxes: [path: in]\nrescan: 5\n", "/etc/stenod.yaml", environment)
        first, second = raised.value.problems
        assert first == f"environment: {variable}: {problem}"
        assert second.startswith("line 2: rescan: ")


def test_it_is_known_where_each_value_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "stenod.yaml"
    path.write_text("inboxes:\n  - path: in\n    settle: 5s\nmodel:\n  name: base\n  device: cpu\n")
    origins = config.load_with_origins(str(path), {"DEVICE_TYPE": "cuda", "WL_CPU_THREADS": "1"}).origins
    assert origins["inboxes", 0, "settle"] == f"{path}:3"
    assert origins["model", "name"] == f"{path}:5"
    assert origins["model", "device"] == "environment DEVICE_TYPE"
    assert origins["model", "cpu_threads"] == "environment WL_CPU_THREADS"
    assert ("rescan",) not in origins


# ---- where it lies


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({"STATE_DIRECTORY": "/var/lib/stenod", "XDG_STATE_HOME": "/x"}, "/var/lib/stenod"),
        ({"STATE_DIRECTORY": "/var/lib/stenod:/var/lib/other"}, "/var/lib/stenod"),
        ({"XDG_STATE_HOME": "/x"}, "/x/stenod"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": ""}, "/home/me/.local/state/stenod"),
        ({}, "/home/me/.local/state/stenod"),
    ],
)
def test_the_state_folder(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], state: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert config.default_state(environment) == state
    read = config.parse("inboxes: [path: in]", "/etc/stenod.yaml", environment)
    assert (read.state, read.hub) == (state, f"{state}/hub")
    assert config.without_file(environment).hub == f"{state}/hub"


def test_the_first_configuration_that_is_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    environment = {"STENOD_CONFIG": "/anywhere/mine.yaml", "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    places = [Path("stenod.yaml"), tmp_path / "xdg" / "stenod" / "stenod.yaml"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("inboxes: []")
    assert config.find(environment) == "/anywhere/mine.yaml"
    del environment["STENOD_CONFIG"]
    for place in places:
        assert config.find(environment) == str(place)
        place.unlink()
    if not os.path.exists("/etc/stenod/stenod.yaml"):
        with pytest.raises(UserError) as raised:
            config.find({})
        assert raised.value.message == (
            f"no configuration: stenod.yaml, {tmp_path}/home/.config/stenod/stenod.yaml, /etc/stenod/stenod.yaml "
            "do not exist"
        )
        assert raised.value.next_step == "Run `stenod init FOLDER` to make one, or name yours with --config FILE."


def test_a_file_is_read_whatever_its_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    for content in (b"inboxes:\r\n  - path: in\r\n", b"\xef\xbb\xbfinboxes:\n  - path: in\n"):
        (tmp_path / "stenod.yaml").write_bytes(content)
        assert config.load(str(tmp_path / "stenod.yaml"), {}).inboxes[0].path == str(tmp_path / "in")
