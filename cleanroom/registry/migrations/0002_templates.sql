-- The newest version of a template is the one in force. `text` is the document as it was written, `digest` is of its meaning.
-- `author` is the partner that put the first version; NULL for the operator.
CREATE TABLE templates (
    room     TEXT    NOT NULL REFERENCES rooms (room),
    name     TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    digest   TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    author   TEXT,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (room, name, version)
) STRICT;

-- The contents that a version of a policy approves, as they stood when it was put. A policy whose access names templates and
-- that has no row here approves none.
CREATE TABLE policy_templates (
    room       TEXT    NOT NULL,
    table_name TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    template   TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    PRIMARY KEY (room, table_name, version, template, digest),
    FOREIGN KEY (room, table_name, version) REFERENCES policies (room, table_name, version)
) STRICT;

-- How a question was asked, besides its text. `params` is a JSON object.
ALTER TABLE queries ADD COLUMN template TEXT;
ALTER TABLE queries ADD COLUMN template_digest TEXT;
ALTER TABLE queries ADD COLUMN params TEXT;
