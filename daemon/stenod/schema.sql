-- The ledger: every recording, its state, its segments, its transcripts and its history.
-- Paths are BLOBs: a file name is bytes. Times are seconds since the epoch (wall clock), REAL.
-- PRAGMA user_version holds the schema's version; see ledger.py.

CREATE TABLE recording (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    inbox         TEXT    NOT NULL,
    path          BLOB    NOT NULL UNIQUE,
    size_bytes    INTEGER NOT NULL,
    mtime_ns      INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempts      INTEGER NOT NULL DEFAULT 0,  -- claims since it was last queued afresh
    crashes       INTEGER NOT NULL DEFAULT 0,  -- of these, how many ended the worker
    interruptions INTEGER NOT NULL DEFAULT 0,  -- and how many the daemon itself
    not_before    REAL    NOT NULL DEFAULT 0,  -- wall time before which it is not claimed again
    failure       TEXT,                        -- recording.Failure of the last try that failed
    reason        TEXT    NOT NULL DEFAULT '', -- the same for a person
    added_at      REAL    NOT NULL,
    changed_at    REAL    NOT NULL
) STRICT;

CREATE INDEX recording_by_state ON recording (state, not_before, id);

-- What the engine has made of a recording so far. Kept over a crash; thrown away when the file or the options change.
CREATE TABLE segment (
    recording_id  INTEGER NOT NULL REFERENCES recording (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL,
    body          BLOB    NOT NULL,            -- wire.Segment as JSON
    PRIMARY KEY (recording_id, ordinal)
) STRICT, WITHOUT ROWID;

-- The engine is through with this recording: only publishing is left. `job` tells what it was made from.
CREATE TABLE result (
    recording_id  INTEGER PRIMARY KEY REFERENCES recording (id) ON DELETE CASCADE,
    job           TEXT    NOT NULL,            -- digest of file, model and options
    body          BLOB    NOT NULL             -- wire.Finished as JSON
) STRICT;

-- What stenod has written, or was about to write when it was cut off: a file with this content is its own.
CREATE TABLE transcript (
    recording_id  INTEGER NOT NULL REFERENCES recording (id) ON DELETE CASCADE,
    path          BLOB    NOT NULL,
    sha256        TEXT    NOT NULL,
    at            REAL    NOT NULL,
    PRIMARY KEY (path, sha256)
) STRICT, WITHOUT ROWID;

CREATE INDEX transcript_by_recording ON transcript (recording_id);

CREATE TABLE event (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    recording_id  INTEGER NOT NULL REFERENCES recording (id) ON DELETE CASCADE,
    at            REAL    NOT NULL,
    from_state    TEXT,
    to_state      TEXT    NOT NULL,
    detail        TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX event_by_recording ON event (recording_id, id);
