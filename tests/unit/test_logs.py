"""The log as a terminal and as the journal get it."""

import logging
import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from stenod import logs

logs.set_up(sys.argv[1])
log = logging.getLogger("stenod.anything")
log.debug("a debug line")
log.info("an %s line", "info")
log.warning("two\\nlines, not utf-8: \\udcff, Käthe")
log.error("an error line")
for name in ("watchdog.observers", "apscheduler.scheduler", "tzlocal"):
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).debug("chatter")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("a bug")
"""


def lines(level: str, *, journal: bool) -> list[str]:
    """Return what the program logs from this level upwards."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level],
        env={key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"}
        | {"PYTHONUTF8": "1"}
        | ({"JOURNAL_STREAM": "8:12345"} if journal else {}),
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""
    return done.stderr.decode("utf-8").splitlines()


def test_the_journal_gets_every_line_with_its_priority() -> None:
    logged = lines("debug", journal=True)
    assert logged[:7] == [
        "<7>a debug line",
        "<6>an info line",
        "<4>two",
        "<4>lines, not utf-8: \\udcff, Käthe",
        "<3>an error line",
        "<3>a bug",
        "<3>Traceback (most recent call last):",
    ]
    assert all(line.startswith("<3>") for line in logged[5:])
    assert logged[-1] == "<3>ZeroDivisionError: division by zero"


def test_a_terminal_gets_time_and_level() -> None:
    logged = lines("debug", journal=False)
    assert [line[20:] for line in logged[:3]] == ["DEBUG   a debug line", "INFO    an info line", "WARNING two"]
    assert all(len(line.split(" ")[0]) == len("2026-03-14") for line in logged[:3])


@pytest.mark.parametrize(
    ("level", "first"),
    [("info", "<6>an info line"), ("warning", "<4>two"), ("error", "<3>an error line")],
)
def test_what_lies_below_the_level_is_left_out(level: str, first: str) -> None:
    assert lines(level, journal=True)[0] == first


def test_it_may_be_set_up_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from stenod import logs  # noqa: PLC0415 - the only test here that works on this process

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    try:
        logs.set_up("info")
        logs.set_up("error")
        assert len(root.handlers) == 1
        assert root.level == logging.ERROR
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
