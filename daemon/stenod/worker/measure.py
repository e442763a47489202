"""What a model costs and says, measured in a process of its own: `python -m stenod.worker.measure`.

One `wire.Task` as JSON on standard input, one `wire.Measured` as JSON on standard output.
"""

import os
import sys
import time

import msgspec

from stenod import wire


def main() -> None:
    """Do the task on standard input."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not mix with the answer
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=wire.Task)
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
    measured = wire.Measured(
        model.compute_type, model.load_seconds, base, loading_peak, resident, _status_bytes("VmHWM"),
        audio_seconds, seconds, tuple(texts),
    )  # fmt: skip
    output.write(msgspec.json.encode(measured))


def _status_bytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
