"""The repositories that are served: every folder ROOT/OWNER/NAME is one, and its content is its only commit."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LFS_ENDINGS = (".bin", ".safetensors")  # what .gitattributes has of a model repository


@dataclass(frozen=True, slots=True)
class File:
    """A file as git and LFS know it."""

    path: str
    place: Path
    size_bytes: int
    sha256: str
    blob: str  # git's name for the content; of an LFS file: for its pointer

    @property
    def is_lfs(self) -> bool:
        return self.path.endswith(LFS_ENDINGS)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.blob

    @property
    def lfs(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "size": self.size_bytes,
            "pointerSize": len(_pointer(self.sha256, self.size_bytes)),
        }


@dataclass(frozen=True, slots=True)
class Repository:
    name: str
    commit: str
    files: tuple[File, ...]

    def file(self, path: str) -> File | None:
        return next((file for file in self.files if file.path == path), None)


def read(root: Path, name: str) -> Repository | None:
    folder = root / name
    if not folder.is_dir() or name.count("/") != 1 or ".." in name:
        return None
    files = tuple(
        _file(str(path), str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    listing = "".join(f"{file.path} {file.blob}\n" for file in files)
    return Repository(name, hashlib.sha1(f"{name}\n{listing}".encode(), usedforsecurity=False).hexdigest(), files)


@functools.lru_cache(maxsize=1000)
def _file(place: str, path: str, size_bytes: int, _changed: int) -> File:
    content = Path(place).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    in_git = _pointer(sha256, size_bytes) if path.endswith(LFS_ENDINGS) else content
    blob = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git, usedforsecurity=False).hexdigest()
    return File(path, Path(place), size_bytes, sha256, blob)


def _pointer(sha256: str, size_bytes: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n".encode()


def info(repository: Repository, *, blobs: bool) -> dict[str, Any]:
    """Return what /api/models/NAME says."""
    return {
        "_id": repository.commit[:24],
        "id": repository.name,
        "modelId": repository.name,
        "author": os.path.dirname(repository.name),
        "sha": repository.commit,
        "lastModified": "2026-03-14T17:53:10.000Z",
        "createdAt": "2026-03-14T17:53:10.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": ["ctranslate2", "automatic-speech-recognition"],
        "siblings": [_sibling(file, blobs=blobs) for file in repository.files],
    }


def _sibling(file: File, *, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        sibling |= {"size": file.size_bytes, "blobId": file.blob}
        sibling |= {"lfs": file.lfs} if file.is_lfs else {}
    return sibling


def tree(repository: Repository) -> list[dict[str, Any]]:
    """Return what /api/models/NAME/tree/COMMIT says."""
    return [
        {"type": "file", "oid": file.blob, "size": file.size_bytes, "path": file.path}
        | (
            {"lfs": {"oid": file.sha256, "size": file.size_bytes, "pointerSize": file.lfs["pointerSize"]}}
            if file.is_lfs
            else {}
        )
        for file in repository.files
    ]
