"""Having the configured model at hand: found in the hub, or fetched and quantised once, and whole before each load.

Decides and remembers; the fetching itself goes on in a process of its own (`fetch`), which sends messages.
"""

import logging
import time
from collections.abc import Callable, Mapping

from stenod import recording
from stenod.config import Model
from stenod.errors import UserError, os_error_text, printable
from stenod.hub import fetch, manifest, memory, names, store

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
CHECK_AGAIN_SECONDS = 60.0  # after a shortage of memory


class Provision:
    """The configured model. While it is not at hand, `problem` says why, for a person.

    Used by the service thread alone; `post` is called from another. Raise UserError from `begin` if the model is a
    path without a model, or a name that nobody knows.
    """

    def __init__(self, model: Model, hub: str, post: Callable[[object], None]) -> None:
        self._model = model
        self._hub = hub
        self._post = post
        self._entry: store.Entry | None = None
        self._fetch: fetch.Fetch | None = None
        self._failures = 0
        self._logged = ("", 0)  # how far the last line of the log was
        self._again_at: float | None = None  # monotonic
        self.problem = ""

    # ---- what is so

    @property
    def folder(self) -> str:
        """The model's folder; '' while there is none, and then `problem` says why."""
        return self._entry.folder if self._entry else ""

    def next_due(self) -> float | None:
        """Return when `tick` should be called next (monotonic seconds)."""
        return self._again_at

    # ---- what happens

    def begin(self) -> None:
        """Find the model, or start to fetch it."""
        for line in fetch.tidy(self._hub):
            log.info("%s", line)
        self._entry = store.resolve(self._model.name, self._hub, self._model.compute_type)
        if self._entry is None:
            self._start_fetch()
            return
        self.problem = ""
        if self._entry.kind == "bundled":
            log.warning("the demo model knows only some hundred words of synthetic speech: set model.name for real use")
        elif names.wants_int8(self._model.compute_type) and not self._entry.is_int8:
            name = self._model.name
            command = f"add {printable(name)}" if names.is_path(name) else f"quantize {name}"
            text = "model %s is %s and is made int8 anew at each load; `stenod hub %s` does it once, for good"
            log.info(text, self._entry.name, self._entry.form, command)

    def is_fit_to_load(self) -> bool:
        """Look the model over before it is given to a worker. If it is not whole, or does not fit, say so and wait."""
        if self._entry is None:
            return False
        found = store.describe(self._entry.folder, self._entry.name, self._entry.kind)
        if found.problems:
            self._on_damaged(found)
            return False
        others = store.entries(self._hub)
        if shortage := memory.shortage(found, memory.available_bytes(), others):
            self._wait(CHECK_AGAIN_SECONDS, shortage)
            return False
        return True

    def note_use(self) -> None:
        """Note that the model has been loaded: what is used is not pruned."""
        if self._entry is not None and self._entry.kind != "bundled":
            manifest.note_use(self._entry.folder)

    def tick(self, now: float) -> None:
        """Try again what was put off, once its time has come."""
        if self._again_at is None or now < self._again_at:
            return
        self._again_at = None
        self.problem = ""
        if self._entry is None and self._fetch is None:
            self._begin_again()

    def handle(self, message: "fetch.Progress | fetch.Fetched | fetch.Failed") -> None:
        """Take in what the fetching process says."""
        match message:
            case fetch.Progress():
                self.problem = _progress_text(self._model.name, message)
                if (mark := (message.step, _tenths(message))) != self._logged:
                    self._logged = mark
                    log.info("%s", self.problem)
            case fetch.Fetched():
                self._fetch = None
                self._failures = 0
                log.info("model %s is in the hub: %s", self._model.name, message.text)
                self._begin_again()
            case fetch.Failed():
                self._fetch = None
                self._failures += 1
                pause = (
                    recording.pause_seconds(self._failures + 3)
                    if message.retryable
                    else (recording.LONGEST_PAUSE_SECONDS)
                )
                for detail in (*message.problems, message.next_step):
                    if detail:
                        log.warning("model %s: %s", self._model.name, detail)
                self._wait(pause, f"model {self._model.name} cannot be fetched: {message.message}")

    def stop(self) -> None:
        """End a fetch that is going on; it resumes where it was at the next start."""
        if self._fetch is not None:
            self._fetch.stop()
            self._fetch = None

    def _begin_again(self) -> None:
        """Do what `begin` does, when the service is running already: what is wrong is said, and tried again."""
        try:
            self.begin()
        except UserError as error:
            self._wait(recording.LONGEST_PAUSE_SECONDS, error.message)

    def _start_fetch(self) -> None:
        published: Mapping[str, str] = self._model.published
        repositories = names.repositories(self._model.name, self._model.compute_type, published)
        if not repositories:
            store.require(self._model.name, self._hub, self._model.compute_type)  # raises what there is to say
        self.problem = f"looking for model {self._model.name}"
        log.info("model %s is not in the hub %s: fetching it", self._model.name, printable(self._hub))
        request = fetch.Request(
            name=self._model.name,
            hub=self._hub,
            compute_type=self._model.compute_type,
            repositories=tuple(repositories),
            keep_original=self._model.keep_original,
            revision=self._model.revision,
        )
        self._fetch = fetch.start(request, self._post)

    def _on_damaged(self, found: store.Entry) -> None:
        what = f"model {found.name} is damaged: {'; '.join(found.problems)}"
        can_fetch = bool(names.repositories(self._model.name, self._model.compute_type, self._model.published))
        if found.kind != "managed" or not can_fetch:
            self._wait(CHECK_AGAIN_SECONDS, what)
            return
        try:
            place = store.set_aside(found)
        except OSError as error:
            self._wait(CHECK_AGAIN_SECONDS, f"{what}; it cannot be set aside: {os_error_text(error)}")
            return
        log.error("%s; it is set aside (%s) and fetched again", what, printable(place))
        self._entry = None
        self._start_fetch()

    def _wait(self, seconds: float, problem: str) -> None:
        if problem != self.problem:
            log.error("%s; recordings wait, stenod tries again in %.0f s", problem, seconds)
        self.problem = problem
        self._again_at = time.monotonic() + seconds


def _tenths(progress: "fetch.Progress") -> int:
    return 10 * progress.done_bytes // progress.total_bytes if progress.total_bytes else 0


def _progress_text(name: str, progress: "fetch.Progress") -> str:
    share = f" {100 * progress.done_bytes / progress.total_bytes:.0f} %" if progress.total_bytes else ""
    size = f" of {progress.total_bytes / MEGABYTE:.0f} MB" if progress.total_bytes else ""
    return f"{progress.step} model {name}{share}{size}"
