"""The folder with the models: finding the one that is configured. Never loads a model."""

import glob
import os

from stenod import bundled
from stenod.errors import UserError

DEMO = "demo"  # the model that ships with stenod
NEEDED = ("model.bin", "config.json", "tokenizer.json")  # without its tokenizer the engine would ask the network


def resolve(name: str, hub: str) -> str:
    """Return the folder of the model called `name`: a path, a folder in `hub`, or one in the Hugging Face cache layout.

    Raise UserError, with what to do, if there is none or it is not whole.
    """
    candidates = _candidates(name, hub)
    for folder in candidates:
        if os.path.isdir(folder):
            missing = [file for file in NEEDED if not os.path.isfile(os.path.join(folder, file))]
            if not any(glob.glob(os.path.join(glob.escape(folder), "vocabulary.*"))):
                missing.append("vocabulary.json")
            if not missing:
                return folder
            raise UserError(
                f"model {name!r}: the folder {folder} is not a whole model: {', '.join(missing)} missing",
                next_step="It must be a model in CTranslate2's format, as faster-whisper uses it, with all its files.",
            )
    raise UserError(
        f"model {name!r} is not in the hub {hub}",
        next_step=f"Put it there, for example: hf download Systran/faster-whisper-{name} --local-dir "
        f"{os.path.join(hub, name)}"
        if "/" not in name
        else "`model.name` must be a folder in the hub or the path of one.",
    )


def _candidates(name: str, hub: str) -> list[str]:
    if os.path.isabs(name) or name.startswith(("./", "../", "~")):
        return [os.path.abspath(os.path.expanduser(name))]
    places = [os.path.join(hub, name)]
    cached = "models--" + name.replace("/", "--") if "/" in name else f"models--*--faster-whisper-{glob.escape(name)}"
    for repository in sorted(glob.glob(os.path.join(glob.escape(hub), cached))):
        snapshots = glob.glob(os.path.join(glob.escape(repository), "snapshots", "*"))
        places += sorted(snapshots, key=os.path.getmtime, reverse=True)
    return [*places, bundled.DEMO_MODEL] if name == DEMO else places
