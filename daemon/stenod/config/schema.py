"""What the configuration may say: every section, key and default, with its description."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stenod import wire
from stenod.units import Duration, Size

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
    revision: Annotated[str, Meta(description="A commit of its repository. Default: the newest.")] = ""
    keep_original: Annotated[
        bool, Meta(description="Keep a fetched model as it was published beside its int8 form.")
    ] = False
    published: Annotated[
        dict[str, str], Meta(description="More repositories (OWNER/NAME) of models that are int8 already, by name.")
    ] = msgspec.field(default_factory=dict)


class Worker(Section, frozen=True, kw_only=True):
    """The process that holds the model."""

    unload_after: Annotated[Duration, Meta(description="End the worker after so long without work.")] = Duration(300)
    stall_timeout: Annotated[
        Duration, Meta(description="End the worker when a recording makes no progress for so long.")
    ] = Duration(1800)


class Prune(Section, frozen=True, kw_only=True):
    """When models that stenod fetched go again. Never the configured one, the bundled one, or what you put there."""

    hub_size: Annotated[Size | None, Meta(description="Remove the least used when the hub is larger.")] = None
    unused_for: Annotated[Duration | None, Meta(description="Remove what was not used for so long.")] = None


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
    prune: Prune = Prune()
    rescan: Annotated[Duration, Meta(description="Look through every inbox so often, whatever events said.")] = (
        Duration(300)
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    file: str = ""


def default_state(environment: Mapping[str, str]) -> str:
    """Return the ledger's folder where none is configured: systemd's state directory, else the XDG one."""
    if directory := environment.get("STATE_DIRECTORY"):
        return directory.split(":")[0]
    home = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "stenod")


def without_file(environment: Mapping[str, str]) -> Config:
    """Return the defaults, for commands that need no inbox."""
    state = default_state(environment)
    return Config(inboxes=(Inbox(path=state),), state=state, hub=os.path.join(state, "hub"))
