-- Which entries name a text: asked by auditors, a text at a time.
CREATE INDEX entry_blobs_by_digest ON entry_blobs (room, digest);
