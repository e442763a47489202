"""How the daemon writes its log: plain lines on standard error, with priorities where the journal reads them."""

import logging
import os
import warnings

# syslog priorities (sd-daemon(3), SD_ERR...): the journal turns a leading <N> into the line's PRIORITY.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """One line a record, led by its priority. The journal knows the time by itself."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        priority = f"<{_PRIORITIES.get(record.levelno, 5)}>"
        return "\n".join(priority + line for line in text.splitlines())


def set_up(level: str) -> None:
    """Send the log to standard error, from `level` (a name as the configuration has it) upwards."""
    handler = logging.StreamHandler()
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # watchdog 7 says so when nested folders appear quickly, and goes on rightly.
    warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
    for noisy in ("watchdog", "apscheduler", "tzlocal"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
