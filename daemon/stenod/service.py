"""The service: joins inboxes, ledger, transcriber and outbox. One mailbox, one owner.

Watcher, scanner, scheduler, pipe readers and signal handlers only post messages; the thread that calls `Service.run`
alone touches the ledger and the worker. A recording's way: `Arrivals.settle` -> `ledger.claim` -> worker ->
`ledger.checkpoint` -> `outbox.publish` -> `ledger.finish`.
"""

import contextlib
import logging
import os
import queue
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stenod import formats, inbox, jobs, ledger, lock, notify, outbox, schedule, transcriber, wire
from stenod.arrivals import Arrivals
from stenod.config import Config, Inbox
from stenod.errors import os_error_text, printable
from stenod.hub import fetch, provision
from stenod.recording import Failure, GiveUp, Recording, Retry, State

log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 60.0  # the loop turns at least so often, whatever the clocks say
MESSAGES_A_TURN = 1000  # then the other work gets its turn
CLAIMS_A_TURN = 20  # of recordings that end at once: they are gone, or only need to be published


@dataclass(frozen=True, slots=True)
class StopRequested:
    """A signal asked the service to end."""

    signal_number: int


@dataclass(slots=True)
class _Running:
    """The recording that the worker has."""

    recording: Recording
    job: jobs.Job
    begun: bool = False  # the worker has the model and has opened the recording
    segments: list[wire.Segment] = field(default_factory=list)
    done_seconds: float = 0.0
    total_seconds: float = 0.0


class Service:
    """The daemon. `run` blocks until it is told to stop. Raise UserError if it cannot start."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._notifier = notify.Notifier()
        self._running: _Running | None = None
        self._stopping = False
        self._worker_pause_until = 0.0  # monotonic
        self._publish_trouble = ""  # what was last said about an outbox

    def run(self) -> None:
        """Start, loop, stop."""
        with lock.hold(self._config.state), self._signals():
            self._start()
            try:
                while not self._stopping:
                    self._turn()
            finally:
                self._stop()

    # ---- start and stop

    def _start(self) -> None:
        self._model = provision.Provision(self._config.model, self._config.hub, self._mailbox.put)
        self._model.begin()
        self._ledger = ledger.Ledger(os.path.join(self._config.state, "ledger.sqlite"))
        for orphan, verdict in self._ledger.recover(time.time()):
            what = "given up: it was interrupted too often" if isinstance(verdict, GiveUp) else "queued again"
            log.info("%s was being transcribed when stenod ended: %s", printable(orphan.path), what)
        for item in self._config.inboxes:
            _make_outbox(item)
        self._transcriber = transcriber.Transcriber(self._mailbox.put)
        self._arrivals = Arrivals(self._config.inboxes, self._ledger, self._mailbox.put)
        self._schedule = schedule.Schedule(self._mailbox.put, rescan_seconds=self._config.rescan)
        self._arrivals.look_through()
        self._notifier.ready()
        counts = self._ledger.counts()
        log.info(
            "ready: %d of %d inboxes watched, model %s; %d queued, %d done, %d failed",
            len(self._arrivals.online()), len(self._config.inboxes), self._config.model.name,
            counts[State.QUEUED], counts[State.DONE], counts[State.FAILED],
        )  # fmt: skip

    def _stop(self) -> None:
        self._notifier.stopping()
        self._notifier.status("stopping")
        self._schedule.stop()
        self._model.stop()
        if self._transcriber.running:
            self._transcriber.stop()
        if self._running is not None:
            recording = self._running.recording
            self._ledger.fail(recording, Failure.STOPPED, "stenod was stopped", time.time())
            log.info("%s goes back to the queue", printable(recording.path))
        self._arrivals.stop()
        self._ledger.close()
        log.info("stopped")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Post StopRequested on SIGTERM and SIGINT. A second one ends the process at once."""

        def handle(number: int, _frame: object) -> None:
            signal.signal(number, signal.SIG_DFL)
            self._mailbox.put(StopRequested(number))  # SimpleQueue.put may be called in a signal handler

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # ---- the loop

    def _turn(self) -> None:
        """Sleep until something happens or is due, and do what there is to do."""
        with contextlib.suppress(queue.Empty):
            self._handle(self._mailbox.get(timeout=self._wait_seconds()))
            for _ in range(MESSAGES_A_TURN):
                self._handle(self._mailbox.get_nowait())
        if self._stopping:
            return
        self._arrivals.settle()
        self._model.tick(time.monotonic())
        self._watch_worker()
        self._claim()
        self._notifier.status(self._status())

    def _wait_seconds(self) -> float:
        """Return how long nothing can be due."""
        now = time.monotonic()
        moments = [now + LONGEST_WAIT_SECONDS]
        if (due := self._arrivals.next_due()) is not None:
            moments.append(due)
        if (due := self._model.next_due()) is not None:
            moments.append(due)
        quiet = self._transcriber.quiet_seconds(now)
        if self._running is not None:
            moments.append(now + self._config.worker.stall_timeout - quiet)
        else:
            if self._transcriber.running:
                moments.append(now + self._config.worker.unload_after - quiet)
            claim = self._ledger.next_claim(self._arrivals.online())
            if claim is not None and not self._model.problem:
                moments.append(max(now + claim - time.time(), self._worker_pause_until))
        return max(0.0, min(moments) - now)

    def _handle(self, message: object) -> None:
        match message:
            case StopRequested(number):
                log.info("%s: stopping", signal.Signals(number).name)
                self._stopping = True
            case inbox.Touched() | inbox.FolderTouched() | inbox.Seen() | inbox.Scanned():
                self._arrivals.handle(message)
            case fetch.Progress() | fetch.Fetched() | fetch.Failed():
                self._model.handle(message)
            case schedule.RescanDue():
                self._arrivals.look_through()
            case transcriber.Said() as said if self._transcriber.is_current(said):
                self._on_worker_said(said.message)
            case transcriber.Exited() as exited if self._transcriber.is_current(exited):
                self._on_worker_gone()

    # ---- the worker

    def _claim(self) -> None:
        """Give the worker its next recording. What is transcribed already is only published."""
        for _ in range(CLAIMS_A_TURN):
            if self._running is not None or time.monotonic() < self._worker_pause_until or self._model.problem:
                return
            recording = self._ledger.claim(self._arrivals.online(), time.time())
            if recording is None:
                return
            item = self._arrivals.inboxes[recording.inbox]
            job = jobs.make(self._config, item, self._model.folder, recording)
            if (result := self._ledger.result(recording.id, job.digest)) is not None:
                self._publish(recording, job, result.finished, result.segments)
            elif self._is_as_it_arrived(recording):
                self._submit(recording, job)

    def _is_as_it_arrived(self, recording: Recording) -> bool:
        """Tell whether the file is still the one that settled; if not, end this try."""
        try:
            mark = inbox.fingerprint(recording.path)
        except OSError as error:
            self._end(recording, Failure.UNREADABLE, f"it cannot be looked at: {os_error_text(error)}")
            return False
        if mark is None:
            if self._arrivals.is_there(recording.inbox):
                self._end(recording, Failure.GONE, "it is no longer there")
            else:
                self._ledger.fail(recording, Failure.STOPPED, "its inbox is offline", time.time())
            return False
        if not mark.same_content(recording.fingerprint):
            self._end(recording, Failure.CHANGED, "it has changed since it arrived")
            self._arrivals.unsettle(recording.inbox, recording.path)
            return False
        return True

    def _submit(self, recording: Recording, job: jobs.Job) -> None:
        if not self._transcriber.running and not self._model.is_fit_to_load():
            self._ledger.fail(recording, Failure.STOPPED, self._model.problem, time.time())
            return
        self._ledger.start_over(recording.id)
        try:
            self._transcriber.submit(job.message, time.monotonic())
        except OSError as error:
            self._hold_queue(f"the worker cannot be started: {os_error_text(error)}")
            self._ledger.fail(recording, Failure.STOPPED, "the worker cannot be started", time.time())
            return
        self._running = _Running(recording, job)
        log.info("%s: transcribing", printable(recording.path))

    def _watch_worker(self) -> None:
        """End a worker that makes no progress, or has had nothing to do for long."""
        if not self._transcriber.running:
            return
        quiet = self._transcriber.quiet_seconds(time.monotonic())
        if self._running is not None and quiet >= self._config.worker.stall_timeout:
            self._transcriber.stop(at_once=True)
            running, self._running = self._running, None
            self._end(running.recording, Failure.CRASH, f"the worker made no progress for {quiet:.0f} s")
        elif self._running is None and quiet >= self._config.worker.unload_after:
            log.info("nothing to do for %.0f s: the worker ends and gives its memory back", quiet)
            self._transcriber.stop()

    def _on_worker_said(self, message: wire.FromWorker) -> None:
        now = time.monotonic()
        self._transcriber.heard(now)
        running = self._running
        match message:
            case wire.Hello(protocol=protocol, engine_versions=versions):
                log.debug("the worker speaks protocol %d: %s", protocol, versions)
                if protocol != wire.PROTOCOL:
                    self._on_not_loaded(f"the worker speaks protocol {protocol}, not {wire.PROTOCOL}: reinstall stenod")
            case wire.Loaded(seconds=seconds, compute_type=compute_type):
                log.info("model loaded in %.1f s (%s)", seconds, compute_type)
                self._model.note_use()
            case wire.NotLoaded(reason=reason):
                self._on_not_loaded(reason)
            case wire.Progress() if running is not None and message.job == running.recording.id:
                running.begun = True
                running.done_seconds, running.total_seconds = message.done_seconds, message.total_seconds
            case wire.Found() if running is not None and message.job == running.recording.id:
                running.segments.append(message.segment)
                self._ledger.checkpoint(running.recording.id, len(running.segments) - 1, [message.segment])
            case wire.Finished() if running is not None and message.job == running.recording.id:
                self._running = None
                self._ledger.complete(running.recording.id, running.job.digest, message)
                self._publish(running.recording, running.job, message, running.segments)
            case wire.Failed() if running is not None and message.job == running.recording.id:
                self._running = None
                self._end(running.recording, Failure(message.failure), message.reason)

    def _on_not_loaded(self, reason: str) -> None:
        """The worker cannot work at all. That is not the recording's fault: it goes back, and the queue waits."""
        running, self._running = self._running, None
        self._transcriber.stop(at_once=True)
        self._hold_queue(reason)
        if running is not None:
            self._ledger.fail(running.recording, Failure.STOPPED, reason, time.time())

    def _hold_queue(self, reason: str) -> None:
        self._worker_pause_until = time.monotonic() + self._config.rescan
        log.error("%s; nothing is lost: the queue waits and stenod tries again in %.0f s", reason, self._config.rescan)

    def _on_worker_gone(self) -> None:
        how = self._transcriber.stop(at_once=True)
        for line in self._transcriber.last_words()[-5:]:
            log.warning("the worker's last words: %s", line)
        running = self._running
        if running is None:
            log.warning("the worker ended while it had nothing to do: %s", how)
        elif running.begun:
            self._running = None
            self._end(running.recording, Failure.CRASH, f"the worker failed at it: {how}")
        else:
            self._on_not_loaded(f"the worker failed before it could begin: {how}")

    # ---- results

    def _publish(
        self, recording: Recording, job: jobs.Job, finished: wire.Finished, segments: Sequence[wire.Segment]
    ) -> None:
        """Write the transcripts and finish the recording; where they cannot be written, try again later."""
        item = self._arrivals.inboxes[recording.inbox]
        transcript = jobs.transcript(job, recording, finished, segments)
        contents = [(name, formats.render(name, transcript)) for name in item.formats]

        def ours(path: str) -> set[str]:
            return self._ledger.written(recording.id, path)

        try:
            drafts = outbox.draft(outbox.folder_for(item, recording.path), recording.path, contents, ours)
            self._ledger.intend(recording.id, [(each.path, each.sha256) for each in drafts], time.time())
            outbox.publish(drafts, outbox.root_for(item, recording.path), str(recording.id), ours)
        except OSError as error:
            where = printable(error.filename or outbox.folder_for(item, recording.path))
            self._end(recording, Failure.PUBLISH, f"its transcript cannot be written: {where}: {os_error_text(error)}")
            return
        detail = jobs.summary(finished, segments, [os.path.basename(each.path) for each in drafts])
        self._ledger.finish(recording.id, time.time(), detail)
        self._publish_trouble = ""
        log.info("%s: done, %s", printable(recording.path), detail)

    def _end(self, recording: Recording, failure: Failure, reason: str) -> None:
        """End a try that came to nothing, and say what follows."""
        match self._ledger.fail(recording, failure, reason, time.time()):
            case GiveUp():
                log.error("%s: failed: %s", printable(recording.path), reason)
            case Retry(not_before):
                pause = max(0.0, not_before - time.time())
                again = failure is Failure.PUBLISH and reason == self._publish_trouble  # the same for many: said once
                level = logging.DEBUG if again else logging.WARNING
                log.log(level, "%s: %s; trying again in %.0f s", printable(recording.path), reason, pause)
                if failure is Failure.PUBLISH:
                    self._publish_trouble = reason

    def _status(self) -> str:
        counts = self._ledger.counts()
        parts = [f"{counts[State.QUEUED]} queued"]
        if settling := self._arrivals.settling:
            parts.append(f"{settling} settling")
        if (running := self._running) is not None:
            share = f" {100 * running.done_seconds / running.total_seconds:.0f} %" if running.total_seconds else ""
            parts.append(f"transcribing {printable(os.path.basename(running.recording.path))}{share}")
        if counts[State.FAILED]:
            parts.append(f"{counts[State.FAILED]} failed")
        if self._model.problem:
            parts.append(self._model.problem)
        if offline := self._arrivals.offline():
            parts.append(f"offline: {', '.join(offline)}")
        return ", ".join(parts)


def _make_outbox(item: Inbox) -> None:
    """Make the outbox where only its last folder is missing: a whole missing path is more likely a missing mount."""
    if item.outbox == "beside" or os.path.isdir(item.outbox):
        return
    try:
        os.mkdir(item.outbox)
    except OSError as error:
        log.error(  # noqa: TRY400 - a traceback helps nobody here
            "outbox %s of inbox %s cannot be made: %s; transcripts wait until it is there",
            printable(item.outbox), item.name, os_error_text(error),
        )  # fmt: skip
