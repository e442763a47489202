"""What the server and a test say to each other: the script on its standard input, what happened on its output."""

import msgspec


class Fault(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What goes wrong with each request whose `METHOD /path` contains `match`, `times` times (0: always).

    Of several faults the first that fits and is not used up counts.
    """

    match: str
    times: int = 0
    status: int = 0  # answer with this and nothing else
    error_code: str = ""  # X-Error-Code
    error_message: str = ""  # X-Error-Message
    cut_after_bytes: int = -1  # of the body: then the connection is closed
    reset: bool = False  # ... with RST, not FIN
    wrong_at_byte: int = -1  # of the file: that one is another
    bytes_per_second: int = 0
    stall_after_bytes: int = -1  # then silence
    ignore_range: bool = False


class Script(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How to behave. Each one replaces the one before."""

    faults: list[Fault] = msgspec.field(default_factory=list)
    tokens: list[str] = msgspec.field(default_factory=list)  # those that are accepted
    private: list[str] = msgspec.field(default_factory=list)  # repositories that need one of them
    gated: list[str] = msgspec.field(default_factory=list)  # repositories that nobody gets


class Ready(msgspec.Struct, tag="ready"):
    """The script is in force. The first one comes at the start."""

    url: str
    files_url: str  # where large files really come from: another origin


class Logged(msgspec.Struct, tag="request"):
    """One request, answered."""

    method: str
    path: str
    at_files: bool  # at the other origin
    range: str
    authorized: bool
    user_agent: str
    status: int
    body_bytes: int  # that were sent
