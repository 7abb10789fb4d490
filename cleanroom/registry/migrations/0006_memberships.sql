-- When a membership was signed, and its statement: of two memberships the later one counts. A key that came without them is
-- older than any.
ALTER TABLE member_keys ADD COLUMN since TEXT NOT NULL DEFAULT '0000-01-01T00:00:00.000Z';
ALTER TABLE member_keys ADD COLUMN statement TEXT NOT NULL DEFAULT '';
