"""Gets a model's files from a hub, resumed and checked, and says in one line what is wrong if it cannot.

huggingface_hub asks the hub and transfers the data, so tokens, proxies, certificates and HF_ENDPOINT are its business.
Its `hf_hub_download` (since 1.0 or so) forgets a partial file once its process has ended, and Xet keeps none. So the
partial files are kept here, and its `http_get` goes on with them.
"""

import contextlib
import difflib
import errno
import fnmatch
import hashlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, but not in __all__

import stenod
from stenod.errors import os_error_text, printable
from stenod.hub import manifest, names
from stenod.hub.fetch import FetchError, Step

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What faster-whisper downloads (`download_model` in its utils.py).
FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
OTHER_WEIGHTS = (".safetensors", ".onnx", ".gguf", ".h5", ".msgpack", ".pt", ".pth", "pytorch_model.bin")
LOOK_TIMEOUT_SECONDS = 20.0
ATTEMPTS = 3  # without anything new in between
PAUSE_SECONDS = 1.0  # after the first; then twice that
PIECE_BYTES = 256 * 1024
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}

# What it transfers and keeps at once: this much is lost each time that a connection is cut. Its own is 10 MB.
constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES


Report: TypeAlias = Callable[[Step, int, int], None]  # what is done, bytes done, bytes to do


class RefusedError(FetchError):
    """This repository cannot be had, or is of no use; another may."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository. `sha256` is known of a large one, `blob` (git's own digest, SHA-1) of a small one."""

    name: str
    size_bytes: int | None
    sha256: str
    blob: str

    @property
    def identity(self) -> str:
        """What names this content."""
        return self.sha256 or self.blob


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit, with the files of it that are needed."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]


def look(name: str, revision: str) -> Repository:
    """Return what there is in the repository `name`. Raise RefusedError if it is of no use, FetchError if unknown."""
    failures = 0
    while True:
        try:
            info = huggingface_hub.HfApi(library_name="stenod", library_version=stenod.__version__).model_info(
                name, revision=revision or None, files_metadata=True, timeout=LOOK_TIMEOUT_SECONDS
            )
            break
        except Exception as error:  # of huggingface_hub, or of whichever HTTP library it uses
            failures += 1
            if failures == ATTEMPTS or not _is_passing(error):
                raise explain(error, name) from error
        time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))
    siblings = info.siblings or []
    files = [
        RemoteFile(
            each.rfilename, each.size, each.lfs.sha256 if each.lfs else "", "" if each.lfs else each.blob_id or ""
        )
        for each in siblings
        if "/" not in each.rfilename and any(fnmatch.fnmatchcase(each.rfilename, pattern) for pattern in FILES)
    ]
    _check_names(name, {each.rfilename for each in siblings})
    return Repository(name, info.sha or revision or constants.DEFAULT_REVISION, tuple(files))


def _check_names(name: str, there: set[str]) -> None:
    missing = [needed for needed in manifest.NEEDED if needed not in there]
    if not there & set(manifest.VOCABULARIES):
        missing.append(manifest.VOCABULARIES[0])
    if not missing:
        return
    others = sorted(file for file in there if file.endswith(OTHER_WEIGHTS))
    has = f" It has {others[0]}, which is another program's." if others and "model.bin" in missing else ""
    raise RefusedError(
        f"{name} is not a Whisper model in CTranslate2's format: {', '.join(missing)} is missing.{has}",
        next_step=suggestion(name)
        or "Name a repository that was made for faster-whisper, or convert this one with "
        "ct2-transformers-converter and `stenod hub add` the result.",
    )


def get(file: RemoteFile, repository: Repository, part: str, path: str, report: Report) -> None:
    """Have the file at `path`, checked; on the way it is in `part`, which may hold the beginning of it already.

    `report` is given "downloading" or "verifying", the bytes that are done, and all. Raise FetchError, OSError.
    """
    if os.path.isfile(path) and not _problem(path, file, report):
        return
    problem = ""
    for _ in range(2):
        _transfer(file, repository, part, report)
        problem = _problem(part, file, report)
        if not problem:
            os.rename(part, path)
            return
        os.unlink(part)
    raise FetchError(
        f"{file.name} of {repository.name} arrives damaged, twice: {problem}",
        next_step=f"Something is wrong at {constants.ENDPOINT}, or on the way from there.",
    )


def _transfer(file: RemoteFile, repository: Repository, part: str, report: Report) -> None:
    """Have all of the file in `part`, durable, going on with what is there."""
    url = huggingface_hub.hf_hub_url(repository.name, file.name, revision=repository.commit)
    headers = build_hf_headers(library_name="stenod", library_version=stenod.__version__)
    headers["Accept-Encoding"] = "identity"  # of what is compressed on the way, no rest can be asked for
    failures = 0
    while True:
        with contextlib.suppress(FileNotFoundError):
            if file.size_bytes is None or os.path.getsize(part) > file.size_bytes:
                os.unlink(part)
        with _Part(part, lambda done: report("downloading", done, file.size_bytes or done)) as sink:
            before = sink.tell()
            try:
                http_get(url, sink, resume_size=before, headers=headers, expected_size=file.size_bytes)
                os.fsync(sink.fileno())
            except Exception as error:
                failures = 1 if sink.tell() > before else failures + 1
                if failures == ATTEMPTS or not _is_passing(error):
                    raise explain(error, repository.name, part) from error
            else:
                return
        time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))


class _Part(io.FileIO):
    """A file that is added to, and tells how long it is."""

    def __init__(self, path: str, report: Callable[[int], None]) -> None:
        super().__init__(path, "ab")
        self._report = report
        report(self.tell())

    def write(self, data: "Buffer", /) -> int:
        """Write all of `data`: a file without a buffer may take only the beginning of it."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += super().write(view[done:])
        self._report(self.tell())
        return done


def _problem(path: str, file: RemoteFile, report: Report) -> str:
    """Return what is wrong with a file that has been downloaded; '' if nothing is."""
    size = os.path.getsize(path)
    if file.size_bytes is not None and size != file.size_bytes:
        return f"it has {size} bytes, not {file.size_bytes}"
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as content:
        while piece := content.read(PIECE_BYTES):
            digest.update(piece)
            report("verifying", content.tell(), size)
    if file.identity and digest.hexdigest() != file.identity:
        return f"its {digest.name} is {digest.hexdigest()}, not {file.identity}"
    return ""


# What goes wrong, in a line.


def explain(error: Exception, repository: str, path: str = "") -> FetchError:
    """Return what `error` means that came up while asking for `repository` (and writing `path`)."""
    hub = constants.ENDPOINT
    login = "Log in with `hf auth login`, or put a token into HF_TOKEN."
    if isinstance(error, errors.OfflineModeIsEnabled):
        return FetchError(
            f"{repository} is not here, and offline mode is on",
            next_step="Unset HF_HUB_OFFLINE to have it fetched, or put the model into the hub yourself.",
        )
    if isinstance(error, errors.GatedRepoError):
        return RefusedError(
            f"{repository} is gated: {hub} gives it only to those who have accepted its terms",
            next_step=f"Accept them at {hub}/{repository}. {login}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return RefusedError(f"{repository} has no such revision", next_step="Correct or remove `revision`.")
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_status(error, repository, login)
    if isinstance(error, errors.HFValidationError):
        return RefusedError(f"{repository!r} cannot be the name of a repository", next_step=suggestion(repository))
    if not _is_of_network(error) and isinstance(error, OSError) and error.errno is not None:
        return explain_file_error(error, path)
    if _is_of_network(error) or isinstance(error, OSError):
        return _explain_network(error, repository)
    return FetchError(f"{repository} cannot be fetched: {type(error).__name__}: {_line(error)}")


def _explain_status(error: errors.HfHubHTTPError, repository: str, login: str) -> FetchError:
    hub, status = constants.ENDPOINT, error.response.status_code
    if status == 401 and "Invalid credentials" in error.response.headers.get("X-Error-Message", ""):
        return RefusedError(f"{hub} does not accept the token that it is given", next_step=login)
    if status == 401:  # the public hub says so, too, of what does not exist
        return RefusedError(
            f"{repository} is not at {hub}, or needs a token",
            next_step=" ".join(part for part in (suggestion(repository), "If it is private:", login) if part),
        )
    if status == 403:
        return RefusedError(f"{hub} refuses {repository} to this account", next_step=login)
    if isinstance(error, errors.EntryNotFoundError):
        return FetchError(f"a file of {repository} is gone since it was looked up", retryable=True)
    if status == 404:
        return RefusedError(f"there is no repository {repository} at {hub}", next_step=suggestion(repository))
    if status == 429:
        return FetchError(
            f"{hub} has had too many requests from here", next_step=f"Wait a while. {login}", retryable=True
        )
    if status >= 500:
        return FetchError(f"{hub} has a problem of its own (HTTP status {status})", retryable=True)
    return FetchError(f"{hub} does not give {repository} (HTTP status {status}): {_line(error)}")


def _explain_network(error: Exception, repository: str) -> FetchError:
    hub = constants.ENDPOINT
    next_step = "Look after the network; the next attempt goes on where this one stopped."
    kind = type(error).__name__
    if "Timeout" in kind:
        return FetchError(f"{hub} does not answer in time ({repository})", next_step=next_step, retryable=True)
    if "Connect" in kind or "Proxy" in kind:
        return FetchError(f"{hub} cannot be reached: {_cause(error)}", next_step=next_step, retryable=True)
    if kind in {"UnsupportedProtocol", "InvalidURL", "MissingSchema", "InvalidSchema"}:
        return FetchError(f"{hub} cannot be asked: {_line(error)}", next_step="Correct HF_ENDPOINT.")
    return FetchError(
        f"the connection to {hub} breaks off again and again ({repository})", next_step=next_step, retryable=True
    )


def explain_file_error(error: OSError, path: str) -> FetchError:
    """Return what is wrong with a file or folder of ours."""
    place = printable(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else printable(path)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FetchError(
            f"the disk is full: {place} cannot be written: {os_error_text(error)}",
            next_step="Make room on this file system; what is there already is used.",
            retryable=True,
        )
    next_step = "Give stenod's user the right to write there." if error.errno in {errno.EACCES, errno.EPERM} else ""
    return FetchError(f"{place} cannot be used: {os_error_text(error)}", next_step=next_step)


def _is_passing(error: Exception) -> bool:
    """Tell whether the same may work in a moment."""
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in _PASSING_STATUS
    return _explain_network(error, "").retryable if _is_of_network(error) else _is_short(error)


def _is_short(error: Exception) -> bool:
    return type(error) is OSError and error.errno is None  # `http_get`: the file has another size than it should


def _is_of_network(error: BaseException) -> bool:
    # requests, httpx, httpx2: huggingface_hub has changed twice
    return any(kind.__module__.partition(".")[0] in {"requests", "httpx", "httpx2"} for kind in type(error).__mro__)


def suggestion(name: str) -> str:
    """Return a question about what was meant by the name of a model or a repository, or ''."""
    tail = name.rpartition("whisper-")[2]
    if tail in names.STANDARD:
        return f"Did you mean {tail}?" if tail != name else ""
    close = difflib.get_close_matches(name, [*names.STANDARD, *names.STANDARD.values()], 1)
    return f"Did you mean {close[0]}?" if close else ""


def _cause(error: BaseException) -> str:
    """Return what the system says of a connection that does not come about."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror and not _is_of_network(seen):
            return printable(seen.strerror)
        seen = seen.__cause__ or seen.__context__
    return _line(error)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return printable(text[:200]) if text else type(error).__name__
