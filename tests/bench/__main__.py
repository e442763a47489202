"""Run benchmarks: `python -m tests.bench latency|idle|all [--quick]`, from the root of the repository."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from rich.console import Console

from tests.bench import idle, latency, quantize
from tests.bench.daemon import Outcome

BENCHMARKS: dict[str, Callable[[bool], Outcome]] = {
    "latency": latency.run,
    "idle": idle.run,
    "quantize": quantize.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was measured. Return 0 if every limit is kept, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure stenod against its limits.")
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--quick", action="store_true", help="fewer recordings, starts and seconds")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)  # an exception, so that every child process is stopped on the way out
    console = Console()
    problems: list[str] = []
    for name in BENCHMARKS if options.benchmark == "all" else [options.benchmark]:
        outcome = BENCHMARKS[name](options.quick)
        for table in outcome.tables:
            console.print(table)
        problems += [f"{name}: {problem}" for problem in outcome.problems]
    for problem in problems:
        console.print(problem, style="bold red", markup=False, highlight=False, soft_wrap=True)
    if not problems:
        console.print("every limit is kept", style="bold green")
    return 1 if problems else 0


def _end(signal_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    sys.exit(main())
