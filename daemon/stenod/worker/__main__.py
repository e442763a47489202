"""The worker's entry: JSON lines on its standard input and output, everything else on standard error.

It writes no files, so it may be killed at any moment, and it ends by itself when its input closes, so that it never
outlives a killed daemon.
"""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import BinaryIO, NoReturn

from stenod import wire

log = logging.getLogger("stenod.worker")


def main() -> None:
    """Serve the daemon until it closes the pipe."""
    # What libraries print must not break the protocol: it gets a descriptor of its own, and 1 becomes 2.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the daemon decides
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    mailbox: queue.SimpleQueue[wire.Transcribe] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(os.fdopen(os.dup(0), "rb"), mailbox), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        _Worker(output).run(mailbox)


def _read(pipe: BinaryIO, mailbox: "queue.SimpleQueue[wire.Transcribe]") -> None:
    """Pass on each message; end the process when there can be no more."""
    for line in pipe:
        try:
            mailbox.put(wire.decode_for_worker(line))
        except wire.ProtocolError:
            log.exception("the daemon speaks another protocol")
            break
    os._exit(0)


class _Worker:
    """Does one job after the other."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        # Imported here, because it takes a second or two and the reader must be there before.
        from stenod.worker import engine  # noqa: PLC0415

        self._module = engine
        self._engine: engine.Engine | None = None
        self._say(wire.Hello(protocol=wire.PROTOCOL, engine_versions=engine.versions()))

    def run(self, mailbox: "queue.SimpleQueue[wire.Transcribe]") -> NoReturn:
        """Do the jobs that come; `_read` ends the process."""
        while True:
            job = mailbox.get()
            if self._load(job.engine):
                self._transcribe(job)

    def _say(self, message: wire.Message) -> None:
        self._output.write(wire.encode(message))

    def _load(self, settings: wire.Engine) -> bool:
        if self._engine is not None and self._engine.settings == settings:
            return True
        self._engine = None  # two models at once would need the memory of both
        try:
            self._engine = self._module.Engine(settings)
        except Exception as error:  # CTranslate2 raises RuntimeError and ValueError, the tokenizer plain Exception
            log.exception("loading failed")
            self._say(
                wire.NotLoaded(reason=f"the model {os.fsdecode(settings.model)} cannot be loaded: {_line(error)}")
            )
            return False
        self._say(wire.Loaded(seconds=self._engine.load_seconds, compute_type=self._engine.compute_type))
        return True

    def _transcribe(self, job: wire.Transcribe) -> None:
        from stenod.worker import audio  # noqa: PLC0415 - see __init__

        started = time.monotonic()
        assert self._engine is not None  # noqa: S101 - `_load` said so
        self._progress(job.job, 0.0, 0.0)  # from here on it is this recording that a crash is put down to
        try:
            sound = audio.decode(job.path, lambda: self._progress(job.job, 0.0, 0.0))
            self._progress(job.job, 0.0, sound.seconds)
            segments, language, probability = self._engine.transcribe(sound.samples, job.options)
            for segment in segments:
                self._say(wire.Found(job=job.job, segment=segment))
                self._progress(job.job, min(segment.end, sound.seconds), sound.seconds)
        except BrokenPipeError:
            raise
        except audio.UndecodableError as error:
            self._say(wire.Failed(job=job.job, failure="undecodable", reason=str(error)))
        except FileNotFoundError:
            self._say(wire.Failed(job=job.job, failure="gone", reason="it is no longer there"))
        except OSError as error:
            text = error.strerror or type(error).__name__
            self._say(wire.Failed(job=job.job, failure="unreadable", reason=f"it cannot be read: {text}"))
        except MemoryError:
            self._say(wire.Failed(job=job.job, failure="error", reason="it needs more memory than there is"))
        except Exception as error:  # the engine's own: reported, and the worker goes on with the next job
            log.exception("job %d failed", job.job)
            self._say(wire.Failed(job=job.job, failure="error", reason=f"the engine failed: {_line(error)}"))
        else:
            self._say(
                wire.Finished(
                    job=job.job,
                    language=language,
                    language_probability=probability,
                    duration_seconds=sound.seconds,
                    elapsed_seconds=time.monotonic() - started,
                )
            )

    def _progress(self, job: int, done_seconds: float, total_seconds: float) -> None:
        self._say(wire.Progress(job=job, done_seconds=done_seconds, total_seconds=total_seconds))


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] if text else type(error).__name__


if __name__ == "__main__":
    main()
