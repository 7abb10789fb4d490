-- What was released under a guard against differencing, in the order of release. `file` names the exact sets behind the
-- numbers, which stand in no database; `number` counts from 1 in each room.
CREATE TABLE released_cells (
    room     TEXT    NOT NULL,
    number   INTEGER NOT NULL CHECK (number > 0),
    query_id TEXT    NOT NULL,
    file     TEXT    NOT NULL,
    PRIMARY KEY (room, number),
    FOREIGN KEY (room, query_id) REFERENCES queries (room, query_id)
) STRICT;

-- Released numbers of a version of a table's data, where its policy limits them.
CREATE TABLE cell_counts (
    room       TEXT    NOT NULL,
    table_name TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    cells      INTEGER NOT NULL CHECK (cells >= 0),
    PRIMARY KEY (room, table_name, version),
    FOREIGN KEY (room, table_name, version) REFERENCES table_versions (room, table_name, version)
) STRICT;
