-- Times are milliseconds since 1970-01-01 UTC. Digests of public documents are lower-case hex.

-- One row a room; `document` is the canonical JSON of the room.
CREATE TABLE rooms (
    room     TEXT    NOT NULL PRIMARY KEY,
    origin   TEXT    NOT NULL,
    document TEXT    NOT NULL,
    digest   TEXT    NOT NULL,
    secret   BLOB    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

-- The log itself: tiles, bundles and checkpoints are derived from these rows.
CREATE TABLE log_entries (
    room     TEXT    NOT NULL REFERENCES rooms (room),
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    at       INTEGER NOT NULL,
    entry    TEXT    NOT NULL,
    PRIMARY KEY (room, sequence)
) STRICT;

CREATE TRIGGER log_entries_are_never_changed BEFORE UPDATE ON log_entries
BEGIN
    SELECT RAISE(ABORT, 'log entries are never changed');
END;

CREATE TRIGGER log_entries_are_never_deleted BEFORE DELETE ON log_entries
BEGIN
    SELECT RAISE(ABORT, 'log entries are never deleted');
END;

-- Large parts of entries, by the SHA-256 of their content.
CREATE TABLE blobs (
    digest  TEXT NOT NULL PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

CREATE TABLE entry_blobs (
    room     TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    digest   TEXT    NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (room, sequence, digest),
    FOREIGN KEY (room, sequence) REFERENCES log_entries (room, sequence)
) STRICT;

-- `text` is the document as the owner wrote it; `digest` is of its meaning. The newest version is the active one.
CREATE TABLE policies (
    room       TEXT    NOT NULL REFERENCES rooms (room),
    table_name TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    digest     TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    PRIMARY KEY (room, table_name, version)
) STRICT;

-- `snapshot` names the file that holds the rows; no row and no count of rows stands here.
CREATE TABLE table_versions (
    room          TEXT    NOT NULL REFERENCES rooms (room),
    table_name    TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    snapshot      TEXT    NOT NULL,
    schema_json   TEXT    NOT NULL,
    fingerprint   TEXT    NOT NULL,
    meta          TEXT    NOT NULL,
    salted_digest TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    sequence      INTEGER NOT NULL,
    PRIMARY KEY (room, table_name, version)
) STRICT;

-- Bearer tokens by the SHA-256 of their secret; the secret itself is nowhere.
CREATE TABLE tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,
    partner    TEXT,
    role       TEXT    NOT NULL CHECK (role IN ('member', 'admin')),
    label      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- `status` is `open` from the intent to the outcome. `run` is the process that holds an open query.
CREATE TABLE queries (
    room             TEXT    NOT NULL REFERENCES rooms (room),
    query_id         TEXT    NOT NULL,
    analyst          TEXT    NOT NULL,
    sql              TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('open', 'released', 'refused', 'failed', 'cancelled', 'priced')),
    run              TEXT    NOT NULL,
    intent_sequence  INTEGER,
    outcome_sequence INTEGER,
    document         TEXT,
    result           BLOB,
    nonce            BLOB,
    created_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    PRIMARY KEY (room, query_id),
    CHECK ((status = 'open') = (outcome_sequence IS NULL)),
    CHECK (status <> 'released' OR (intent_sequence IS NOT NULL AND result IS NOT NULL AND nonce IS NOT NULL))
) STRICT;

CREATE INDEX queries_by_analyst ON queries (room, analyst, created_at);
CREATE INDEX queries_open ON queries (status) WHERE status = 'open';

CREATE TABLE query_tables (
    room       TEXT    NOT NULL,
    query_id   TEXT    NOT NULL,
    table_name TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (room, query_id, table_name),
    FOREIGN KEY (room, query_id) REFERENCES queries (room, query_id),
    FOREIGN KEY (room, table_name, version) REFERENCES table_versions (room, table_name, version)
) STRICT;

-- `query_id` may name a query that was never asked: whoever took the key may have stopped before it.
CREATE TABLE idempotency_keys (
    room           TEXT    NOT NULL REFERENCES rooms (room),
    partner        TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    request_digest TEXT    NOT NULL,
    query_id       TEXT    NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (room, partner, key)
) STRICT;
