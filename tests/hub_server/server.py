"""The two web servers: the hub, and the one that large files really come from (at huggingface.co: a CDN)."""

import contextlib
import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub_server import repository
from tests.hub_server.messages import Fault, Logged, Ready, Script
from tests.hub_server.repository import File, Repository

PIECE_BYTES = 16 * 1024
LONGEST_STALL_SECONDS = 30.0
_NAME = r"(?P<name>[^/]+/[^/]+)"
_INFO = re.compile(rf"/api/models/{_NAME}(/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(rf"/api/models/{_NAME}/tree/(?P<revision>[^/]+)")
_CACHE = re.compile(rf"/api/resolve-cache/models/{_NAME}/(?P<revision>[^/]+)/(?P<path>.+)")
_RESOLVE = re.compile(rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_LARGE = re.compile(rf"/large/{_NAME}/(?P<sha256>[0-9a-f]+)/(?P<path>.+)")


class Hub:
    """What is served and how, for both servers. `log` is called from their threads, one at a time."""

    def __init__(self, root: Path, log: Callable[[Logged], None]) -> None:
        self.root = root
        self._log = log
        self._lock = threading.Lock()
        self._script = Script()
        self._left: list[int] = []
        self.stopping = threading.Event()
        self.main, self.files = (
            ThreadingHTTPServer(("127.0.0.1", 0), self._handler(at_files)) for at_files in (False, True)
        )
        self.url, self.files_url = (f"http://127.0.0.1:{server.server_port}" for server in (self.main, self.files))

    def start(self) -> None:
        for server in (self.main, self.files):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.stopping.set()
        for server in (self.main, self.files):
            server.shutdown()
            server.server_close()

    def obey(self, script: Script) -> Ready:
        with self._lock:
            self._script, self._left = script, [fault.times for fault in script.faults]
        return Ready(self.url, self.files_url)

    @property
    def script(self) -> Script:
        return self._script

    def fault(self, request: str) -> Fault:
        """Return what is to go wrong with this request; a Fault without any effect if nothing is."""
        with self._lock:
            for index, fault in enumerate(self._script.faults):
                if fault.match in request and (fault.times == 0 or self._left[index] > 0):
                    self._left[index] -= 1
                    return fault
        return Fault(match="")

    def log(self, logged: Logged) -> None:
        with self._lock:
            self._log(logged)

    def _handler(self, at_files: bool) -> type["_Handler"]:
        return type("Handler", (_Handler,), {"hub": self, "at_files": at_files})


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    at_files: bool

    def do_GET(self) -> None:
        self._sent_bytes, self._status = 0, 0
        self._fault = self.hub.fault(f"{self.command} {self.path}")
        try:
            self._answer()
        except OSError:  # the client has gone
            self.close_connection = True
        finally:
            self.hub.log(
                Logged(
                    method=self.command,
                    path=self.path,
                    at_files=self.at_files,
                    range=self.headers.get("Range", ""),
                    authorized="Authorization" in self.headers,
                    user_agent=self.headers.get("User-Agent", ""),
                    status=self._status,
                    body_bytes=self._sent_bytes,
                )
            )

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: there is a log of our own."""

    def _answer(self) -> None:
        if self._fault.status:
            self._refuse(self._fault.status, self._fault.error_code, self._fault.error_message)
            return
        url = urlsplit(self.path)
        path = unquote(url.path)
        if self.at_files:
            match = _LARGE.fullmatch(path)
            found = repository.read(self.hub.root, match["name"]) if match else None
            file = found.file(match["path"]) if match and found else None
            if file is None or found is None:
                self._refuse(404)
            else:  # the commit is for clients (1.x) that take another port for the same hub
                self._send_file(file, {"ETag": f'"{file.sha256}"', "X-Repo-Commit": found.commit})
            return
        for pattern, answer in (
            (_TREE, self._tree), (_INFO, self._info), (_CACHE, self._resolve), (_RESOLVE, self._resolve)
        ):  # fmt: skip
            if match := pattern.fullmatch(path):
                if (found := self._allowed(match["name"], match["revision"])) is not None:
                    answer(found, match, parse_qs(url.query))
                return
        self._refuse(404)

    def _allowed(self, name: str, revision: str | None) -> Repository | None:
        """Return the repository; None, once the refusal is sent, if this client may not have it."""
        script, token = self.hub.script, self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in script.tokens:
            self._refuse(401, "", "Invalid credentials in Authorization header")
            return None
        found = repository.read(self.hub.root, name)
        if found is None or (name in script.private and not token):
            # Who is not logged in is not told whether it exists.
            self._refuse(
                *(
                    (404, "RepoNotFound", "Repository not found")
                    if token
                    else (401, "", "Invalid username or password.")
                )
            )
            return None
        if name in script.gated and "/resolve/" in self.path:
            self._refuse(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
            return None
        if revision not in {None, "main", found.commit}:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return found

    def _info(self, found: Repository, _match: "re.Match[str]", query: Mapping[str, list[str]]) -> None:
        self._send_json(repository.info(found, blobs=query.get("blobs", [""])[0].lower() == "true"))

    def _tree(self, found: Repository, _match: "re.Match[str]", _query: Mapping[str, list[str]]) -> None:
        self._send_json(repository.tree(found))

    def _resolve(self, found: Repository, match: "re.Match[str]", _query: Mapping[str, list[str]]) -> None:
        file = found.file(match["path"])
        common = {"X-Repo-Commit": found.commit, "Accept-Ranges": "bytes"}
        if file is None:
            self._refuse(404, "EntryNotFound", "Entry not found", common)
            return
        if file.is_lfs:
            self._redirect(
                302,
                f"{self.hub.files_url}/large/{found.name}/{file.sha256}/{quote(file.path)}?signature=secret",
                common | {"X-Linked-Size": str(file.size_bytes), "X-Linked-ETag": f'"{file.etag}"'},
            )
        elif self.path.startswith("/api/"):
            self._send_file(file, common | {"ETag": f'"{file.etag}"'})
        else:
            place = f"/api/resolve-cache/models/{found.name}/{found.commit}/{quote(file.path)}"
            self._redirect(
                307, place, common | {"X-Linked-Size": str(file.size_bytes), "X-Linked-ETag": f'"{file.etag}"'}
            )

    def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int, code: str = "", message: str = "", more: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"error": message or "not found"}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(more or {})}
        headers |= {"X-Error-Code": code} if code else {}
        headers |= {"X-Error-Message": message} if message else {}
        self._start(status, headers)
        self._send(body)

    def _redirect(self, status: int, place: str, headers: Mapping[str, str]) -> None:
        self._start(status, {**headers, "Location": place, "Content-Length": "0"})

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._start(200, {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))})
        self._send(body)

    def _send_file(self, file: File, headers: Mapping[str, str]) -> None:
        content = bytearray(file.place.read_bytes())
        if self._fault.wrong_at_byte >= 0:
            content[self._fault.wrong_at_byte] ^= 0xFF
        start, status = 0, 200
        headers = {**headers, "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and not self._fault.ignore_range:
            start, status = int(wanted[1]), 206
            if start >= len(content):
                self._start(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._start(status, {**headers, "Content-Length": str(len(content) - start)})
        self._send(bytes(content[start:]))

    def _send(self, body: bytes) -> None:
        """Send the body, with what is to go wrong on the way."""
        if self.command == "HEAD":
            return
        fault, started = self._fault, time.monotonic()
        ends = [end for end in (fault.cut_after_bytes, fault.stall_after_bytes) if end >= 0]
        body_end = min([len(body), *ends])
        while self._sent_bytes < body_end:
            piece = body[self._sent_bytes : min(self._sent_bytes + PIECE_BYTES, body_end)]
            self.wfile.write(piece)
            self._sent_bytes += len(piece)
            if fault.bytes_per_second:
                self.hub.stopping.wait(max(0.0, started + self._sent_bytes / fault.bytes_per_second - time.monotonic()))
        if ends:
            self.close_connection = True
        if fault.stall_after_bytes >= 0:
            self._stall()
        if fault.cut_after_bytes >= 0 and fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # `close` would wait for the files that http.server made of it

    def _stall(self) -> None:
        """Say nothing more until the client goes."""
        deadline = time.monotonic() + LONGEST_STALL_SECONDS
        self.connection.settimeout(0.05)
        while time.monotonic() < deadline and not self.hub.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(1):
                    return
