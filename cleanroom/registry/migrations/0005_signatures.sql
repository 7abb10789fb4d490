-- Keys of partners, in the order in which they came: the newest signs for its partner. They are never taken away, so that a
-- partner that left a room comes back under the key it had.
CREATE TABLE member_keys (
    room     TEXT    NOT NULL REFERENCES rooms (room),
    partner  TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    PRIMARY KEY (room, partner, sequence)
) STRICT;

-- The owner's signature over a version of its policy; NULL of an owner without a key.
ALTER TABLE policies ADD COLUMN signature TEXT;

-- Room keys that partners sealed for each other, as signed notes: passed on unread.
CREATE TABLE sealed_keys (
    room      TEXT    NOT NULL REFERENCES rooms (room),
    sender    TEXT    NOT NULL,
    recipient TEXT    NOT NULL,
    note      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (room, sender, recipient)
) STRICT;
