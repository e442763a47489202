"""`python -m tests.hub_server --root FOLDER` serves until its standard input closes. `messages` is what it speaks."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.hub_server.messages import Logged, Ready, Script
from tests.hub_server.server import Hub


def say(message: Logged | Ready) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hub_server", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="holds the repositories: OWNER/NAME/files")
    options = parser.parse_args(arguments)
    hub = Hub(options.root, say)
    hub.start()
    say(hub.obey(Script()))
    for line in sys.stdin.buffer:
        say(hub.obey(msgspec.json.decode(line, type=Script)))
    hub.stop()


if __name__ == "__main__":
    main()
