"""Transcribing files without a daemon: the same worker, formats and outbox, but no inbox and no ledger."""

import os
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stenod import formats, jobs, outbox, transcriber, wire
from stenod.config import Config, Inbox
from stenod.errors import UserError, os_error_text, printable
from stenod.recording import Fingerprint, Recording, State


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the file is. `total_seconds` is 0 until its length is known."""

    path: str
    done_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """The file's transcripts are written. `summary` is one line for a person."""

    path: str
    text: str
    transcripts: tuple[str, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no transcript of this file, and why."""

    path: str
    reason: str


def transcribe(
    config: Config, inbox: Inbox, model: str, paths: Sequence[str], output: str | None
) -> Iterator[Progress | Done | Failed]:
    """Transcribe each file in turn, with the settings of `inbox`, and yield what happens.

    `model` is the model's folder. Transcripts go into the folder `output`, or beside each file. Raise UserError if the
    model cannot be loaded or the worker cannot be started.
    """
    mailbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    worker = transcriber.Transcriber(mailbox.put)
    try:
        for number, path in enumerate(paths, start=1):
            recording = _recording(number, path)
            job = jobs.make(config, inbox, model, recording)
            try:
                worker.submit(job.message, time.monotonic())
            except OSError as error:
                raise UserError(f"the worker cannot be started: {os_error_text(error)}") from error
            yield from _one(worker, mailbox, inbox, recording, job, output)
    finally:
        worker.stop()


def _recording(number: int, path: str) -> Recording:
    return Recording(
        id=number, inbox="", path=os.path.realpath(path), fingerprint=Fingerprint(0, 0, 0), state=State.RUNNING,
        attempts=1, crashes=0, interruptions=0, not_before=0.0, failure=None, reason="",
    )  # fmt: skip


def _one(
    worker: transcriber.Transcriber,
    mailbox: "queue.SimpleQueue[object]",
    inbox: Inbox,
    recording: Recording,
    job: jobs.Job,
    output: str | None,
) -> Iterator[Progress | Done | Failed]:
    """Follow one job to its end."""
    segments: list[wire.Segment] = []
    begun = False
    while True:
        posted = mailbox.get()
        if not isinstance(posted, transcriber.Said | transcriber.Exited) or not worker.is_current(posted):
            continue
        if isinstance(posted, transcriber.Exited):
            how = worker.stop(at_once=True)
            if not begun:
                raise UserError(f"the worker failed before it could begin: {how}", problems=worker.last_words()[-5:])
            yield Failed(recording.path, f"the worker failed at it: {how}")
            return
        match posted.message:
            case wire.NotLoaded(reason=reason):
                raise UserError(reason, next_step="Choose another one with --model or in the configuration.")
            case wire.Progress() as progress:
                begun = True
                yield Progress(recording.path, progress.done_seconds, progress.total_seconds)
            case wire.Found(segment=segment):
                segments.append(segment)
            case wire.Failed(reason=reason):
                yield Failed(recording.path, reason)
                return
            case wire.Finished() as finished:
                yield _write(inbox, recording, job, finished, segments, output)
                return


def _write(
    inbox: Inbox,
    recording: Recording,
    job: jobs.Job,
    finished: wire.Finished,
    segments: Sequence[wire.Segment],
    output: str | None,
) -> Done | Failed:
    transcript = jobs.transcript(job, recording, finished, segments)
    contents = [(name, formats.render(name, transcript)) for name in inbox.formats]
    folder = output or os.path.dirname(recording.path)
    try:
        drafts = outbox.draft(folder, recording.path, contents, _nothing_is_ours)
        outbox.publish(drafts, folder, f"{os.getpid()}-{recording.id}", _nothing_is_ours)
    except OSError as error:
        where = printable(error.filename or folder)
        return Failed(recording.path, f"its transcript cannot be written: {where}: {os_error_text(error)}")
    names = [each.path for each in drafts]
    summary = jobs.summary(finished, segments, [os.path.basename(name) for name in names])
    return Done(recording.path, formats.txt(transcript), tuple(names), summary)


def _nothing_is_ours(_path: str) -> set[str]:
    """Without a ledger nothing is known to be stenod's own: only what says the same already is left as it is."""
    return set()
