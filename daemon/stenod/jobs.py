"""What the worker is asked for one recording, and what its answer becomes. Pure."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from stenod import __version__, formats, wire
from stenod.config import Config, Inbox
from stenod.errors import printable
from stenod.recording import Recording


@dataclass(frozen=True, slots=True)
class Job:
    """A message for the worker. `digest` tells whether a result was made from the same file, model and options."""

    message: wire.Transcribe
    model_name: str
    digest: str


def make(config: Config, inbox: Inbox, model: str, recording: Recording) -> Job:
    """Return the job for `recording`; `model` is the model's folder."""
    message = wire.Transcribe(
        job=recording.id,
        path=os.fsencode(recording.path),
        engine=wire.Engine(
            model=os.fsencode(model),
            device=config.model.device,
            compute_type=config.model.compute_type,
            cpu_threads=config.model.cpu_threads,
        ),
        options=inbox.options,
    )
    mark = recording.fingerprint
    what = msgspec.json.encode(
        [config.model.name, config.model.compute_type, inbox.options, mark.size_bytes, mark.mtime_ns]
    )
    return Job(message, config.model.name, hashlib.sha256(what).hexdigest())


def transcript(
    job: Job, recording: Recording, finished: wire.Finished, segments: Sequence[wire.Segment]
) -> formats.Transcript:
    """Return what is to be published."""
    return formats.Transcript(
        source=printable(os.path.basename(recording.path)),
        duration_seconds=finished.duration_seconds,
        language=finished.language,
        language_probability=finished.language_probability,
        model=job.model_name,
        compute_type=job.message.engine.compute_type,
        options=job.message.options,
        segments=segments,
        stenod_version=__version__,
    )


def summary(finished: wire.Finished, segments: Sequence[wire.Segment], names: Sequence[str]) -> str:
    """Return one line on what was done: length, language, speed, the names of the transcripts."""
    said = f"{finished.language}" if segments else "no speech"
    speed = finished.duration_seconds / max(finished.elapsed_seconds, 0.001)
    return (
        f"{finished.duration_seconds:.1f} s ({said}) in {finished.elapsed_seconds:.1f} s, {speed:.0f} times real time: "
        f"{', '.join(map(printable, names))}"
    )
