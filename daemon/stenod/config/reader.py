"""Reading the configuration from YAML: every problem at once, each with its line."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from stenod import bundled, wire, yamlmarks
from stenod.config.schema import FORMATS, LANGUAGES, Config, Inbox, Model, Worker, default_state, without_file
from stenod.errors import UserError, os_error_text, printable
from stenod.hub import names
from stenod.units import Duration, Size

_NOT_IN_FILE = {(Config, "file"), (Inbox, "options")}
_Section = TypeVar("_Section", bound=msgspec.Struct)


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


def load(path: str, environment: Mapping[str, str]) -> Config:
    """Return the configuration in the YAML file at `path`. Raise UserError that names every problem, with its line."""
    return load_with_origins(path, environment).config


def load_with_origins(path: str, environment: Mapping[str, str]) -> "Loaded":
    """Return the same with where each value comes from."""
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
    return _parse(text, path, environment)


def load_or_default(path: str | None, environment: Mapping[str, str]) -> Config:
    """Return the configuration at `path`, else the one that `find` finds, else the defaults. Raise UserError."""
    if path is not None:
        return load(path, environment)
    try:
        found = find(environment)
    except UserError:
        reader = _Reader("")
        config = without_file(environment)
        config = msgspec.structs.replace(config, model=reader.override(config.model, environment))
        if reader.problems:
            raise reader.error([text for _, text in reader.problems]) from None
        return config
    return load(found, environment)


def parse(text: str, path: str, environment: Mapping[str, str]) -> Config:
    """Return the configuration in `text`; relative paths start at the folder of `path`. Raise UserError as `load`."""
    return _parse(text, path, environment).config


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where each value comes from: its line in the file, or the variable. Else it is a default."""

    config: Config
    origins: dict[yamlmarks.Path, str]


def _parse(text: str, path: str, environment: Mapping[str, str]) -> Loaded:
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
    origins = {place: f"{path}:{line}" for place, line in document.lines.items() if place}
    return Loaded(config, origins | reader.overridden)


# The first system's names, which still hold: variable -> key of `model`.
ENVIRONMENT = {
    "WHISPER_MODEL_SIZE": "name",
    "WL_COMPUTE_TYPE": "compute_type",
    "WL_CPU_THREADS": "cpu_threads",
    "DEVICE_TYPE": "device",
}


class _Reader:
    """Turns plain values into the configuration and collects what is wrong on the way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.document = yamlmarks.Document(None)
        self.problems: list[tuple[int, str]] = []
        self.overridden: dict[yamlmarks.Path, str] = {}

    def error(self, problems: list[str]) -> UserError:
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        return UserError(
            f"{self.path or 'environment'}: {count} in the configuration",
            problems=problems,
            next_step=f"Every key is explained in {bundled.EXAMPLE_CONFIG}.",
        )

    def problem(self, place: yamlmarks.Path, what: str) -> None:
        """Note a problem at `place`, with the line of the nearest thing that stands in the file."""
        known = place
        while known and known not in self.document.lines:
            known = known[:-1]
        line = self.document.lines.get(known, 1)
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in place).lstrip(".")
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
        values["hub"] = self.place(values["hub"], base, ("hub",)) if values.get("hub") else os.path.join(state, "hub")
        worker = values.get("worker", Worker())
        model = self.override(values.get("model", Model()), environment)
        if names.is_path(model.name):
            model = msgspec.structs.replace(model, name=self.place(model.name, base))
        self.check_model(model, values["hub"], base)
        values["model"] = model
        for place, length in (
            (("rescan",), values.get("rescan", 1)),
            (("worker", "stall_timeout"), worker.stall_timeout),
        ):
            if length < 1:
                self.problem(place, "must be at least 1s")
        self.check_places(values["inboxes"])
        return None if self.problems else Config(**values)

    def override(self, model: Model, environment: Mapping[str, str]) -> Model:
        """Return `model` with what the environment says put over it; note what is wrong there."""
        hints = get_type_hints(Model, include_extras=True)
        for variable, key in ENVIRONMENT.items():
            if not (text := environment.get(variable, "")):
                continue
            value: Any = int(text) if key == "cpu_threads" and text.isdecimal() else text
            try:
                model = msgspec.structs.replace(model, **{key: msgspec.convert(value, hints[key])})
            except msgspec.ValidationError as error:
                self.problems.append((0, f"environment: {variable}: {_explain(value, hints[key], str(error))}"))
            self.overridden["model", key] = f"environment {variable}"
        return model

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
            values["path"] = self.place(values["path"], base, (*place, "path"))
            values["name"] = values.get("name") or printable(os.path.basename(values["path"])) or "inbox"
            if values.get("outbox", "beside") != "beside":
                values["outbox"] = self.place(values["outbox"], base, (*place, "outbox"))
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
            if isinstance(part, str) and any(
                character == "\0" or "\ud800" <= character <= "\udfff" for character in part
            ):
                self.problem(inner, "holds a character that cannot be: a NUL, or half of a pair")
                continue
            try:
                values[key] = msgspec.convert(part, kind, dec_hook=_decode_unit)
            except msgspec.ValidationError as error:
                self.problem(inner, _explain(part, kind, str(error)))
        return values

    def place(self, text: str, base: str, where: yamlmarks.Path = ()) -> str:
        """Return the absolute path that `text` means; note one that starts as no path does, if `where` is given."""
        path = os.path.expanduser(text)
        if where and path.startswith("$"):
            self.problem(where, f"{text}: variables are not replaced here; write the path, or ~ for your home")
        elif where and path.startswith("~"):
            self.problem(where, f"{text}: there is no such user")
        return os.path.normpath(os.path.join(base, path))

    def check_language(self, options: wire.Options, place: yamlmarks.Path) -> None:
        if options.language != "auto" and options.language not in LANGUAGES and place in self.document.lines:
            self.problem(place, f"{options.language!r} is not a language code of Whisper: write auto, en, de, fr, ...")

    def check_model(self, model: Model, hub: str, base: str) -> None:
        """Note a model that is nowhere, and that nobody could fetch."""
        place = ("model", "name")
        if names.is_path(model.name):
            if not os.path.isdir(model.name):
                self.problem(place, f"there is no folder {model.name}")
        elif "/" in model.name and os.path.isdir(os.path.join(base, model.name)):
            self.problem(place, f"the path of a folder starts with a dot: write ./{model.name}")
        elif (
            model.name != names.DEMO
            and not names.repositories(model.name, model.compute_type, model.published)
            and not os.path.isdir(os.path.join(hub, names.folder_name(model.name)))
        ):
            near = difflib.get_close_matches(model.name, [names.DEMO, *names.STANDARD], n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join([names.DEMO, *names.STANDARD])}"
            self.problem(place, f"{model.name!r} is no model that is in the hub or can be fetched; {hint}")

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
    if kind in {Duration, Size}:
        return kind.parse(value)
    raise NotImplementedError(kind)


def _explain(value: object, kind: Any, problem: str) -> str:
    """Return what is wrong with `value`, in words for a person; `problem` is msgspec's."""
    inner = get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if {Duration, Size} & {inner, *get_args(inner)}:
        return f"{shown} {problem}"
    if getattr(inner, "__origin__", None) is dict:
        return f"{shown} must be names with repositories, indented below it: `NAME: OWNER/NAME`"
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
