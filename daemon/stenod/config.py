"""The typed configuration: what it may say, and reading it from YAML with every problem at once."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from stenod import bundled, wire, yamlmarks
from stenod.errors import UserError, os_error_text, printable
from stenod.hub import names
from stenod.units import Duration

FORMATS = ("txt", "srt", "vtt", "json")
Format = Literal["txt", "srt", "vtt", "json"]

# What recorders, phones, messengers, call recorders and cameras write and FFmpeg decodes.
EXTENSIONS = tuple(
    "3g2 3ga 3gp aac ac3 aif aifc aiff alac amr ape asf au avi awb caf dss f4v flac flv gsm m2ts m4a m4b m4v mka mkv "
    "mov mp2 mp3 mp4 mpeg mpg mts oga ogg ogv opus qta ra rf64 snd spx ts tta voc vob w64 wav wave weba webm wma wmv "
    "wv".split()
)

# The languages of Whisper (openai/whisper, whisper/tokenizer.py, LANGUAGES), by their codes.
LANGUAGES = frozenset(
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id "
    "is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si "
    "sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo zh yue".split()
)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all parts of the configuration."""


class Model(Section, frozen=True, kw_only=True):
    """Which Whisper model, and how it runs."""

    name: Annotated[
        str, Meta(description="A model's folder in the hub, or a path to one. `demo` ships with stenod.")
    ] = "demo"
    device: Annotated[Literal["cpu", "cuda", "auto"], Meta(description="Where the model runs.")] = "cpu"
    compute_type: Annotated[
        Literal["int8", "int8_float32", "int8_float16", "int16", "float16", "bfloat16", "float32", "default", "auto"],
        Meta(description="CTranslate2's number format. int8 is the fastest and smallest on a CPU."),
    ] = "int8"
    cpu_threads: Annotated[int, Meta(ge=0, le=1024, description="0: one for each core that it may use.")] = 0


class Worker(Section, frozen=True, kw_only=True):
    """The process that holds the model."""

    unload_after: Annotated[Duration, Meta(description="End the worker after so long without work.")] = Duration(300)
    stall_timeout: Annotated[
        Duration, Meta(description="End the worker when a recording makes no progress for so long.")
    ] = Duration(1800)


class Inbox(Section, frozen=True, kw_only=True):
    """A watched folder. Every key of `transcription` may stand here too and holds for this inbox alone."""

    path: Annotated[str, Meta(min_length=1, description="The folder that is watched.")]
    name: Annotated[str, Meta(description="What logs call it. Default: the folder's name.")] = ""
    recursive: Annotated[bool, Meta(description="Watch the folders below it too.")] = True
    outbox: Annotated[
        str,
        Meta(min_length=1, description="`beside` the recording, or a folder that mirrors the inbox's tree."),
    ] = "beside"
    formats: Annotated[tuple[Format, ...], Meta(min_length=1, description="Which transcripts to write.")] = ("txt",)
    extensions: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Endings of the files that are recordings.")
    ] = EXTENSIONS
    settle: Annotated[Duration, Meta(description="A file is complete when it has not changed for so long.")] = Duration(
        10
    )
    options: wire.Options = wire.Options()


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration, with absolute paths. `file` is where it was read from."""

    inboxes: Annotated[tuple[Inbox, ...], Meta(min_length=1, description="The watched folders.")]
    state: Annotated[str, Meta(min_length=1, description="The folder of the ledger, stenod's memory.")] = ""
    hub: Annotated[str, Meta(min_length=1, description="The folder of the models.")] = ""
    model: Model = Model()
    transcription: wire.Options = wire.Options()
    worker: Worker = Worker()
    rescan: Annotated[Duration, Meta(description="Look through every inbox so often, whatever events said.")] = (
        Duration(300)
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    file: str = ""


_NOT_IN_FILE = {(Config, "file"), (Inbox, "options")}
_Section = TypeVar("_Section", bound=msgspec.Struct)


def default_state(environment: Mapping[str, str]) -> str:
    """Return the ledger's folder where none is configured: systemd's state directory, else the XDG one."""
    if directory := environment.get("STATE_DIRECTORY"):
        return directory.split(":")[0]
    home = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "stenod")


def find(environment: Mapping[str, str]) -> str:
    """Return the configuration's path: $STENOD_CONFIG, ./stenod.yaml, the user's, the system's. Raise UserError."""
    if explicit := environment.get("STENOD_CONFIG"):
        return explicit
    user = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    places = ["stenod.yaml", os.path.join(user, "stenod", "stenod.yaml"), "/etc/stenod/stenod.yaml"]
    for place in places:
        if os.path.exists(place):
            return place
    raise UserError(
        "no configuration: " + ", ".join(places) + " do not exist",
        next_step="Run `stenod init FOLDER` to make one, or name yours with --config FILE.",
    )


def without_file(environment: Mapping[str, str]) -> Config:
    """Return the defaults, for commands that need no inbox."""
    state = default_state(environment)
    return Config(inboxes=(Inbox(path=state),), state=state, hub=os.path.join(state, "hub"))


def load(path: str, environment: Mapping[str, str]) -> Config:
    """Return the configuration in the YAML file at `path`. Raise UserError that names every problem, with its line."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text", next_step=f"Compare it with {bundled.EXAMPLE_CONFIG}.") from error
    except OSError as error:
        raise UserError(
            f"the configuration {path} cannot be read: {os_error_text(error)}",
            next_step="Run `stenod init FOLDER` to make one, or name yours with --config FILE.",
        ) from error
    return parse(text, path, environment)


def parse(text: str, path: str, environment: Mapping[str, str]) -> Config:
    """Return the configuration in `text`; relative paths start at the folder of `path`. Raise UserError as `load`."""
    reader = _Reader(path)
    try:
        document = yamlmarks.load(text)
    except yamlmarks.YamlError as problem:
        raise reader.error([f"line {problem.line}: {problem}"]) from problem
    reader.document = document
    for place, what in document.problems:
        reader.problem(place, what)
    base = os.path.dirname(os.path.abspath(path))
    config = reader.config(document.value, base, environment)
    if reader.problems or config is None:
        raise reader.error([text for _, text in sorted(reader.problems)])
    return config


class _Reader:
    """Turns plain values into the configuration and collects what is wrong on the way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.document = yamlmarks.Document(None)
        self.problems: list[tuple[int, str]] = []

    def error(self, problems: list[str]) -> UserError:
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        return UserError(
            f"{self.path}: {count} in the configuration",
            problems=problems,
            next_step=f"Every key is explained in {bundled.EXAMPLE_CONFIG}.",
        )

    def problem(self, place: yamlmarks.Path, what: str) -> None:
        """Note a problem at `place`, with the line of the nearest thing that stands in the file."""
        known = place
        while known and known not in self.document.lines:
            known = known[:-1]
        line = self.document.lines.get(known, 1)
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        self.problems.append((line, f"line {line}: {where}: {what}" if where else f"line {line}: {what}"))

    def config(self, value: Any, base: str, environment: Mapping[str, str]) -> Config | None:
        if not isinstance(value, dict):
            self.problem((), "the file must hold keys with values, and `inboxes` at the least")
            return None
        values = self.fields(Config, value, ())
        transcription = values.get("transcription", wire.Options())
        self.check_language(transcription, ("transcription", "language"))
        if "inboxes" in value:
            values["inboxes"] = self.inboxes(value["inboxes"], transcription, base)
        else:
            self.problem((), "inboxes: missing; name at least one folder to watch")
            values["inboxes"] = ()
        state = self.place(values.get("state") or default_state(environment), base)
        values |= {"state": state, "file": self.path}
        values["hub"] = self.place(values["hub"], base) if values.get("hub") else os.path.join(state, "hub")
        if names.is_path((model := values.get("model", Model())).name):
            values["model"] = msgspec.structs.replace(model, name=self.place(model.name, base))
        if "rescan" in values and values["rescan"] < 1:
            self.problem(("rescan",), "must be at least 1s")
        self.check_places(values["inboxes"])
        return None if self.problems else Config(**values)

    def inboxes(self, value: Any, transcription: wire.Options, base: str) -> tuple[Inbox, ...]:
        if not isinstance(value, list):
            self.problem(("inboxes",), "must be a list: each inbox starts with `- path: FOLDER`")
            return ()
        if not value:
            self.problem(("inboxes",), "is empty; name at least one folder to watch")
        found: list[Inbox] = []
        for index, item in enumerate(value):
            place = ("inboxes", index)
            if not isinstance(item, dict):
                self.problem(place, "must be keys with values, `path: FOLDER` at the least")
                continue
            own_keys = set(Inbox.__struct_fields__) - {"options"}
            overrides = {key: part for key, part in item.items() if key in wire.Options.__struct_fields__}
            options = msgspec.structs.replace(transcription, **self.fields(wire.Options, overrides, place))
            self.check_language(options, (*place, "language"))
            rest = {key: part for key, part in item.items() if key not in overrides}
            values = self.fields(Inbox, rest, place, also=tuple(wire.Options.__struct_fields__))
            if "path" not in item:
                self.problem(place, "path: missing; which folder is to be watched?")
            if not own_keys >= set(values) or "path" not in values:
                continue
            values["path"] = self.place(values["path"], base)
            values["name"] = values.get("name") or printable(os.path.basename(values["path"])) or "inbox"
            if values.get("outbox", "beside") != "beside":
                values["outbox"] = self.place(values["outbox"], base)
            if "extensions" in values:
                values["extensions"] = tuple(text.lower().lstrip("*").lstrip(".") for text in values["extensions"])
            found.append(Inbox(**values, options=options))
        return tuple(found)

    def fields(
        self, section: type[_Section], value: Mapping[str, Any], place: yamlmarks.Path, also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return the fields of `section` that `value` gives rightly; note each wrong one. `also`: keys to suggest."""
        hints = get_type_hints(section, include_extras=True)
        known = [name for name in section.__struct_fields__ if (section, name) not in _NOT_IN_FILE]
        values: dict[str, Any] = {}
        for key, part in value.items():
            inner = (*place, key)
            if key not in known:
                near = difflib.get_close_matches(key, [*known, *also], n=1)
                hint = f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join([*known, *also])}"
                self.problem(inner, "unknown key" + hint)
                continue
            if (section, key) == (Config, "inboxes"):
                continue
            kind = hints[key]
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                if isinstance(part, dict):
                    values[key] = kind(**self.fields(kind, part, inner))
                elif part is not None:
                    self.problem(inner, "must be keys with values, indented below it")
                continue
            if part is None and not _optional(kind):
                self.problem(inner, "has no value; give it one or take the line out")
                continue
            try:
                values[key] = msgspec.convert(part, kind, dec_hook=_decode_unit)
            except msgspec.ValidationError as error:
                self.problem(inner, _explain(part, kind, str(error)))
        return values

    def place(self, text: str, base: str) -> str:
        return os.path.normpath(os.path.join(base, os.path.expanduser(text)))

    def check_language(self, options: wire.Options, place: yamlmarks.Path) -> None:
        if options.language != "auto" and options.language not in LANGUAGES and place in self.document.lines:
            self.problem(place, f"{options.language!r} is not a language code of Whisper: write auto, en, de, fr, ...")

    def check_places(self, inboxes: tuple[Inbox, ...]) -> None:
        """Note inboxes that clash, and outboxes whose transcripts would come back as recordings."""
        roots = [os.path.realpath(inbox.path) for inbox in inboxes]
        for index, (inbox, root) in enumerate(zip(inboxes, roots, strict=True)):
            place = ("inboxes", index)
            for other, (earlier, earlier_root) in enumerate(zip(inboxes[:index], roots[:index], strict=True)):
                if inbox.name == earlier.name:
                    self.problem((*place, "name"), f"{inbox.name!r} is the name of inboxes[{other}] too; give it one")
                if root == earlier_root:
                    self.problem((*place, "path"), f"{inbox.path} is inboxes[{other}] already")
                elif (inbox.recursive and _inside(earlier_root, root)) or (
                    earlier.recursive and _inside(root, earlier_root)
                ):
                    self.problem(
                        (*place, "path"),
                        f"{inbox.path} and inboxes[{other}] ({earlier.path}) lie in one another; "
                        "a recording must have one inbox: move one, or set `recursive: false` on the outer one",
                    )
            if wrong := sorted(set(inbox.extensions) & set(FORMATS)):
                self.problem((*place, "extensions"), f"{', '.join(wrong)}: stenod's own transcripts end so")
            if inbox.outbox == "beside":
                continue
            outbox = os.path.realpath(inbox.outbox)
            for other, (watched, watched_root) in enumerate(zip(inboxes, roots, strict=True)):
                if outbox == watched_root or (watched.recursive and _inside(outbox, watched_root)):
                    self.problem(
                        (*place, "outbox"),
                        f"{inbox.outbox} lies in the watched folder of inboxes[{other}] ({watched.path}), which would "
                        "feed itself; choose a folder outside, or `beside`",
                    )


def _inside(path: str, folder: str) -> bool:
    return path != folder and os.path.commonpath([path, folder]) == folder


def _optional(kind: Any) -> bool:
    return type(None) in get_args(get_args(kind)[0] if hasattr(kind, "__metadata__") else kind)


def _decode_unit(kind: type, value: object) -> object:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(kind)


def _explain(value: object, kind: Any, problem: str) -> str:
    """Return what is wrong with `value`, in words for a person; `problem` is msgspec's."""
    inner = get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if inner is Duration:
        return f"{shown} {problem}"
    choices = get_args(inner) if getattr(inner, "__origin__", None) is Literal else ()
    element = get_args(inner)
    if element and getattr(element[0], "__origin__", None) is Literal and isinstance(value, list):
        allowed = get_args(element[0])
        wrong = [repr(item) for item in value if item not in allowed]
        if not value:
            return f"is empty; choose from {', '.join(allowed)}"
        return f"{', '.join(wrong)} is not one of {', '.join(allowed)}"
    if choices:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{shown} is not one of {', '.join(map(str, choices))}{hint}"
    if inner is bool:
        return f"{shown} must be true or false"
    if inner is int:
        limits = next((meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, Meta)), Meta())
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{shown} must be from {limits.ge} to {limits.le}"
        return f"{shown} must be a whole number"
    if inner is str or _optional(kind):
        quote = ' (if it is text, put it in quotes: "...")' if isinstance(value, int | float) else ""
        return f"{shown} must be text{quote}" if value != "" else "is empty"
    if isinstance(value, str):
        return f"{shown} must be a list: [{value}]"
    return f"{shown} must be a list of words" if value else "is empty"
