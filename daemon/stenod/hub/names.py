"""What models are called, and where they are published. Pure."""

from collections.abc import Mapping

DEMO = "demo"  # the model that ships with stenod

# The repositories that faster-whisper names (faster_whisper/utils.py, _MODELS), all float16.
STANDARD = {
    "tiny": "Systran/faster-whisper-tiny",
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "base": "Systran/faster-whisper-base",
    "base.en": "Systran/faster-whisper-base.en",
    "small": "Systran/faster-whisper-small",
    "small.en": "Systran/faster-whisper-small.en",
    "medium": "Systran/faster-whisper-medium",
    "medium.en": "Systran/faster-whisper-medium.en",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}

# Repositories whose weights are int8 already: half the download, nothing to quantise.
PUBLISHED_INT8 = {
    "large-v3-turbo": "Zoont/faster-whisper-large-v3-turbo-int8-ct2",
    "turbo": "Zoont/faster-whisper-large-v3-turbo-int8-ct2",
}

_CACHE_PREFIX = "models--"  # a repository's folder in Hugging Face's cache layout


def is_path(name: str) -> bool:
    """Tell whether a configured model is a path, not a name."""
    return name.startswith(("/", "./", "../", "~"))


def wants_int8(compute_type: str) -> bool:
    """Tell whether a model for this compute type is best kept as int8."""
    return compute_type.startswith("int8")


def repositories(name: str, compute_type: str, published: Mapping[str, str]) -> list[str]:
    """Return the repositories (`owner/name`) to try for the model called `name`, the best first. May be empty.

    `published` adds to PUBLISHED_INT8 and goes before it.
    """
    found: list[str] = []
    if wants_int8(compute_type):
        found += [table[name] for table in (published, PUBLISHED_INT8) if name in table]
    if name in STANDARD:
        found.append(STANDARD[name])
    elif name.count("/") == 1 and all(name.split("/")):
        found.append(name)
    return list(dict.fromkeys(found))


def folder_name(name: str) -> str:
    """Return what the folder of the model called `name` is called in the hub."""
    return name.replace("/", "--")


def cache_folders(name: str) -> list[str]:
    """Return what the folder of this model is called in Hugging Face's cache layout, whoever fetched it there."""
    repository = STANDARD.get(name, name)
    return [_CACHE_PREFIX + repository.replace("/", "--")] if "/" in repository else []


def of_cache_folder(folder: str) -> str | None:
    """Return the name of the model in this folder of a Hugging Face cache; None if it is none."""
    if not folder.startswith(_CACHE_PREFIX):
        return None
    repository = folder[len(_CACHE_PREFIX) :].replace("--", "/", 1)
    return next((name for name, standard in STANDARD.items() if standard == repository), repository)
