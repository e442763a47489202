"""How long a transcript takes from the moment its recording has settled, beyond what the engine itself needs.

Each sample recording goes through plain faster-whisper in a process of its own and through the real daemon, one right
after the other, in turns: the same model, options and threads, both with the model loaded. A recording has settled
`settle` seconds after its writer closed it, which is seen from outside; the ledger's own times are the cross-check.
"""

import inspect
import json
import os
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from rich import box
from rich.table import Table

from stenod import bundled, config, demo, wire, words
from tests.bench.daemon import Daemon, Outcome, Settings, environment, temporary_folder

OVERHEAD_LIMIT_SECONDS = 0.5  # median and 95th percentile over all recordings and rounds, model loaded
SETTLE_SECONDS = 1.0
ROUNDS = 5
QUICK_ROUNDS = 3
QUICK_SOUND_SECONDS = 60.0  # with --quick, only recordings shorter than this
COLD_UNLOAD_SECONDS = 0.5
REST_SECONDS = 0.3  # between two measurements, so that threads that spin after their work are asleep again


def plain(model: str, compute_type: str, options: str) -> None:
    """Transcribe each file named on standard input: the reference. Answer with its time and text, in JSON lines.

    Sent as source to a fresh interpreter, hence the imports: it loads what transcribing needs and nothing else.
    """
    import json  # noqa: PLC0415
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415
    import time  # noqa: PLC0415

    import ctranslate2  # noqa: PLC0415
    import faster_whisper  # noqa: PLC0415

    threads = len(os.sched_getaffinity(0))
    engine = faster_whisper.WhisperModel(model, device="cpu", compute_type=compute_type, cpu_threads=threads)
    for line in sys.stdin:
        started = time.monotonic()
        ctranslate2.set_random_seed(0)
        segments, _ = engine.transcribe(line.rstrip("\n"), **json.loads(options))
        text = " ".join(segment.text.strip() for segment in segments)
        print(json.dumps({"seconds": time.monotonic() - started, "text": text}), flush=True)


class Answer(msgspec.Struct, frozen=True):
    """What `plain` made of one file."""

    seconds: float
    text: str


@dataclass(slots=True)
class Plain:
    """A running `plain`: started when entered, ended when left."""

    _process: "subprocess.Popen[str]" = field(init=False)

    def __enter__(self) -> "Plain":
        options = msgspec.to_builtins(wire.Options())
        options["language"] = None if options["language"] == "auto" else options["language"]
        call = (bundled.DEMO_MODEL, config.Model().compute_type, json.dumps(options))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"{textwrap.dedent(inspect.getsource(plain))}\nplain(*{call!r})"],
            env=environment() | {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # it holds nothing that could be lost
        self._process.communicate()

    def transcribe(self, path: str) -> Answer:
        """Return what it makes of a file, and how long that took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(path + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("plain faster-whisper ended by itself")
        return msgspec.json.decode(line, type=Answer)


@dataclass(frozen=True, slots=True)
class Passage:
    """One recording's way through the daemon, in seconds: from its settling to its transcript, and its stages."""

    seconds: float
    arrived: float  # from settled to queued in the ledger
    claimed: float  # from queued to claimed
    worked: float  # from claimed to done
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One recording in one round, done by both."""

    sample: demo.Sample
    plain: Answer
    daemon: Passage

    @property
    def overhead_seconds(self) -> float:
        """What the daemon took beyond the plain engine."""
        return self.daemon.seconds - self.plain.seconds

    @property
    def same_text(self) -> bool:
        """Whether both heard the same words. If not, they did not do the same work."""
        return words.plain(self.plain.text) == words.plain(self.daemon.text)


def run(quick: bool) -> Outcome:
    """Measure, and compare with the limit."""
    samples = [sample for sample in demo.samples() if sample.language is not None]
    if quick:
        samples = [sample for sample in samples if sample.seconds < QUICK_SOUND_SECONDS]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    warm = list(_warm(samples, rounds))
    cold = list(_cold(min(samples, key=lambda sample: sample.seconds), rounds))
    overheads = [pair.overhead_seconds for pair in warm]
    figures = {"median": statistics.median(overheads), "95th percentile": _p95(overheads)}
    problems = [
        f"the {name} of the overhead is {seconds:.3f} s, more than {OVERHEAD_LIMIT_SECONDS} s"
        for name, seconds in figures.items()
        if seconds > OVERHEAD_LIMIT_SECONDS
    ]
    different = sorted({pair.sample.file for pair in (*warm, *cold) if not pair.same_text})
    problems += [f"{file}: the two heard different words, so their times do not compare" for file in different]
    return Outcome([_files_table(samples, warm), _stages_table(warm), _cold_table(cold)], problems)


def _warm(samples: Sequence[demo.Sample], rounds: int) -> Iterator[Pair]:
    """Yield each sample in each round, with the model loaded on both sides; who goes first alternates."""
    with temporary_folder() as folder, Plain() as engine, Daemon(folder, Settings(SETTLE_SECONDS)) as daemon:
        _pair(samples[0], "warm-up", engine, daemon, daemon_first=False)
        for number in range(rounds):
            print(f"latency: round {number + 1} of {rounds}", file=sys.stderr)
            for sample in samples:
                yield _pair(sample, f"round {number}", engine, daemon, daemon_first=number % 2 == 1)


def _pair(sample: demo.Sample, prefix: str, engine: Plain, daemon: Daemon, *, daemon_first: bool) -> Pair:
    time.sleep(REST_SECONDS)
    passage = _pass(daemon, sample, prefix) if daemon_first else None
    time.sleep(REST_SECONDS)
    answer = engine.transcribe(_path(sample))
    return Pair(sample, answer, passage or _pass(daemon, sample, prefix))


def _cold(sample: demo.Sample, rounds: int) -> Iterator[Pair]:
    """Yield a sample in each round, with the model loaded on neither side: both start a process for it."""
    settings = Settings(SETTLE_SECONDS, unload_after_seconds=COLD_UNLOAD_SECONDS)
    with temporary_folder() as folder, Daemon(folder, settings) as daemon:
        for number in range(rounds):
            print(f"latency, model not loaded: round {number + 1} of {rounds}", file=sys.stderr)
            started = time.monotonic()
            with Plain() as engine:
                text = engine.transcribe(_path(sample)).text
                seconds = time.monotonic() - started
            passage = _pass(daemon, sample, f"round {number}")
            daemon.wait_for_unload()
            yield Pair(sample, Answer(seconds, text), passage)


def _pass(daemon: Daemon, sample: demo.Sample, prefix: str) -> Passage:
    """Put a sample through the daemon. The prefix makes it a recording that the daemon does not know yet."""
    drop = daemon.drop(_path(sample), f"{prefix} {sample.file}")
    text, seen = daemon.transcript(drop)
    history = daemon.history(drop)
    return Passage(
        seconds=seen - drop.monotonic - SETTLE_SECONDS,
        arrived=history.arrived - drop.wall - SETTLE_SECONDS,
        claimed=history.claimed - history.arrived,
        worked=history.done - history.claimed,
        text=text,
    )


def _path(sample: demo.Sample) -> str:
    return os.path.join(bundled.SAMPLES, sample.file)


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _medians(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Return what plain and daemon took, in the median."""
    plain_seconds = statistics.median(pair.plain.seconds for pair in pairs)
    return plain_seconds, statistics.median(pair.daemon.seconds for pair in pairs)


def _spread(pairs: Sequence[Pair]) -> list[float]:
    """Return how far plain's times lie from their median for the same recording: what the machine itself adds."""
    own = [[other.plain.seconds for other in pairs if other.sample == pair.sample] for pair in pairs]
    return [pair.plain.seconds - statistics.median(seconds) for pair, seconds in zip(pairs, own, strict=True)]


def _files_table(samples: Sequence[demo.Sample], pairs: Sequence[Pair]) -> Table:
    table = Table(
        title=f"Latency with the model loaded: seconds, medians of {len(pairs) // len(samples)} rounds",
        box=box.SIMPLE_HEAD,
        caption="overhead: daemon (from settled to published) - plain, of the same round",
    )
    table.add_column("recording", no_wrap=True)
    for column in ("sound", "plain", "daemon", "ratio", "overhead", "worst"):
        table.add_column(column, justify="right")
    for sample in samples:
        own = [pair for pair in pairs if pair.sample == sample]
        plain_seconds, daemon_seconds = _medians(own)
        overheads = [pair.overhead_seconds for pair in own]
        figures = (plain_seconds, daemon_seconds, daemon_seconds / plain_seconds)
        cells = (*figures, statistics.median(overheads), max(overheads))
        table.add_row(sample.file, f"{sample.seconds:.1f}", *(f"{value:.3f}" for value in cells))
    return table


def _stages_table(pairs: Sequence[Pair]) -> Table:
    """Where the overhead arises. Of the work, what the plain engine took in the same round is taken off."""
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    table = Table(
        title=f"Where the overhead arises: seconds, {len(pairs)} passages",
        box=box.SIMPLE_HEAD,
        caption=f"stages: by the ledger; load average {loads} on {len(os.sched_getaffinity(0))} processors",
    )
    table.add_column("")
    for column in ("median", "p95", "worst", "limit"):
        table.add_column(column, justify="right")
    limit = f"{OVERHEAD_LIMIT_SECONDS}"
    rows: list[tuple[str, list[float], str]] = [
        ("overhead, seen from outside", [pair.overhead_seconds for pair in pairs], limit),
        ("settled to arrived", [pair.daemon.arrived for pair in pairs], ""),
        ("arrived to claimed", [pair.daemon.claimed for pair in pairs], ""),
        ("claimed to done, less plain", [pair.daemon.worked - pair.plain.seconds for pair in pairs], ""),
        ("for scale: plain, less its median", _spread(pairs), ""),
    ]
    for name, values, limit in rows:
        figures = (statistics.median(values), _p95(values), max(values))
        table.add_row(name, *(f"{value:.3f}" for value in figures), limit)
    return table


def _cold_table(pairs: Sequence[Pair]) -> Table:
    """The start of a process, its imports and the loading of the model included, on both sides."""
    table = Table(
        title=f"Latency with no worker running: seconds, {len(pairs)} rounds",
        box=box.SIMPLE_HEAD,
        caption=f"{pairs[0].sample.file}, {pairs[0].sample.seconds:.1f} s of sound",
    )
    table.add_column("")
    for column in ("median", "best", "worst"):
        table.add_column(column, justify="right")
    rows = [
        ("plain: start, import, load, transcribe", [pair.plain.seconds for pair in pairs]),
        ("daemon: from settled to its transcript", [pair.daemon.seconds for pair in pairs]),
        ("overhead", [pair.overhead_seconds for pair in pairs]),
    ]
    for name, values in rows:
        figures = (statistics.median(values), min(values), max(values))
        table.add_row(name, *(f"{value:.3f}" for value in figures))
    return table
