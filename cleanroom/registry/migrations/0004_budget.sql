-- What questions under noise have cost: the truth that budgets are held against. Amounts are whole units: `rho` and
-- `epsilon` of 1e-12, `delta` of 1e-18; `epsilon` is NULL where noise has no pure bound. `table_name` is '' for the account
-- of an owner, which a question is charged to once; `policy` is then '' too. `number` counts up, and `at` never goes back.
CREATE TABLE charges (
    number     INTEGER NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    space      TEXT    NOT NULL,
    table_name TEXT    NOT NULL,
    room       TEXT    NOT NULL,
    query_id   TEXT    NOT NULL,
    analyst    TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    rho        INTEGER NOT NULL CHECK (rho >= 0),
    delta      INTEGER NOT NULL CHECK (delta >= 0),
    epsilon    INTEGER CHECK (epsilon >= 0),
    policy     TEXT    NOT NULL,
    UNIQUE (room, query_id, owner, space, table_name),
    FOREIGN KEY (room, query_id) REFERENCES queries (room, query_id)
) STRICT;

CREATE TRIGGER charges_are_never_changed BEFORE UPDATE ON charges
BEGIN
    SELECT RAISE(ABORT, 'charges are never changed');
END;

CREATE TRIGGER charges_are_never_deleted BEFORE DELETE ON charges
BEGIN
    SELECT RAISE(ABORT, 'charges are never deleted');
END;

-- Sums of charges, a day (UTC, counted from 1970-01-01) and analyst each: whatever period a policy names is a sum of days.
-- Derived from the charges, and compared with them at every start.
CREATE TABLE spent_days (
    owner      TEXT    NOT NULL,
    table_name TEXT    NOT NULL,
    space      TEXT    NOT NULL,
    analyst    TEXT    NOT NULL,
    day        INTEGER NOT NULL,
    rho        INTEGER NOT NULL,
    delta      INTEGER NOT NULL,
    epsilon    INTEGER,
    charges    INTEGER NOT NULL,
    PRIMARY KEY (owner, table_name, space, analyst, day)
) STRICT;

-- Releases under noise, by the question over its data and policies: the first one stands.
CREATE TABLE releases (
    room     TEXT NOT NULL,
    key      TEXT NOT NULL,
    digest   TEXT NOT NULL,
    content  BLOB NOT NULL,
    query_id TEXT NOT NULL,
    PRIMARY KEY (room, key),
    FOREIGN KEY (room, query_id) REFERENCES queries (room, query_id)
) STRICT;

-- Who was charged for a release, by which of its questions.
CREATE TABLE paid_releases (
    room     TEXT NOT NULL,
    key      TEXT NOT NULL,
    analyst  TEXT NOT NULL,
    query_id TEXT NOT NULL,
    PRIMARY KEY (room, key, analyst),
    FOREIGN KEY (room, key) REFERENCES releases (room, key),
    FOREIGN KEY (room, query_id) REFERENCES queries (room, query_id)
) STRICT;
