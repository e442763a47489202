"""What a model costs and says, measured in a process of its own: `python -m stenod.worker.measure`.

One `Task` as JSON on standard input, one `Measured` as JSON on standard output.
"""

import os
import sys
import time

import msgspec

from stenod import wire


class Task(msgspec.Struct, frozen=True):
    """Load this model and transcribe these files (paths as bytes) with it."""

    engine: wire.Engine
    options: wire.Options
    files: tuple[bytes, ...]


class Measured(msgspec.Struct, frozen=True):
    """Memory in bytes, as proc(5) has it: `loading_peak` VmHWM until loaded, `resident` VmRSS then, `peak` at the end.

    `base` is the process with its libraries, before the model. `texts` are in the order of the files.
    """

    compute_type: str
    load_seconds: float
    base_bytes: int
    loading_peak_bytes: int
    resident_bytes: int
    peak_bytes: int
    audio_seconds: float
    transcribe_seconds: float
    texts: tuple[str, ...]


def main() -> None:
    """Do the task on standard input."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not mix with the answer
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    from stenod.worker import audio, engine  # noqa: PLC0415 - the answer's descriptor first

    base = _status_bytes("VmRSS")
    model = engine.Engine(task.engine)
    loading_peak, resident = _status_bytes("VmHWM"), _status_bytes("VmRSS")
    texts: list[str] = []
    seconds = audio_seconds = 0.0
    for path in task.files:
        sound = audio.decode(path, lambda: None)
        audio_seconds += sound.seconds
        started = time.monotonic()
        segments, _, _ = model.transcribe(sound.samples, task.options)
        texts.append(" ".join(segment.text.strip() for segment in segments))
        seconds += time.monotonic() - started
    measured = Measured(
        model.compute_type, model.load_seconds, base, loading_peak, resident, _status_bytes("VmHWM"),
        audio_seconds, seconds, tuple(texts),
    )  # fmt: skip
    output.write(msgspec.json.encode(measured))


def _status_bytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
