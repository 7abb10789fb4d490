//! What the bytes on disk and on the wire look like: the constants that the writer and the verifier share. There is no
//! behaviour here, so that a mistake in one of them cannot hide in the other.

/// Bytes of a SHA-256 hash, and of an Ed25519 public key.
pub const HASH_BYTES: usize = 32;
/// What the hash of an entry begins with (RFC 6962 2.1).
pub const LEAF_PREFIX: u8 = 0;
/// What the hash of two subtrees begins with (RFC 6962 2.1).
pub const NODE_PREFIX: u8 = 1;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Tree levels that one tile spans: 2^8 = 256.
pub const TILE_HEIGHT: u32 = 8;

/// The signed note over the newest tree.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// Every checkpoint that was signed, and what witnesses signed under it: signed notes, each followed by an empty line.
pub const CHECKPOINTS_FILE: &str = "checkpoints";
/// The log's public key.
pub const KEY_FILE: &str = "log.pub";
/// The folder of tiles (C2SP tlog-tiles).
pub const TILE_FOLDER: &str = "tile";
/// The folder of entry bundles in it.
pub const ENTRIES_FOLDER: &str = "entries";
/// The folder of content-addressed documents that entries name.
pub const BLOB_FOLDER: &str = "blobs";
/// In a copy of a log, the schemas of tables that its maker was not shown: a SHA-256 in hexadecimal each line.
pub const WITHHELD_FILE: &str = "withheld";
/// The folder of a data directory that holds one log per room.
pub const LOGS_FOLDER: &str = "log";

/// What a digest by SHA-256 begins with.
pub const DIGEST_SHA256: &str = "sha256:";
/// What a digest by BLAKE3 begins with.
pub const DIGEST_BLAKE3: &str = "blake3:";

/// The version of the entry format.
pub const ENTRY_VERSION: u64 = 1;
/// The longest entry, in bytes. (tlog-tiles itself would take 65 535.)
pub const ENTRY_LIMIT: usize = 16 * 1024;
/// The largest integer that every JSON reader keeps exactly: 2^53 - 1.
pub const INTEGER_LIMIT: u64 = (1 << 53) - 1;

/// Between host and room in a log's origin.
pub const ROOM_SEPARATOR: &str = "/room/";

/// Ed25519 in the key identifier and verifier key of a signed note.
pub const ALGORITHM_ED25519: u8 = 1;
/// Ed25519 cosignatures of witnesses in the key identifier and verifier key (C2SP tlog-cosignature).
pub const ALGORITHM_COSIGNATURE: u8 = 4;
/// The first line of what a witness signs (C2SP tlog-cosignature).
pub const COSIGNATURE_HEADER: &str = "cosignature/v1";
/// Bytes of the time in a cosignature, seconds since 1970, big-endian.
pub const COSIGNATURE_TIME_BYTES: usize = 8;
/// Where a checkpoint is sent to a witness, after its address (C2SP tlog-witness).
pub const ADD_CHECKPOINT: &str = "/add-checkpoint";
/// The media type of the size that a witness knows a log to have.
pub const TREE_SIZE_MEDIA: &str = "text/x.tlog.size";
/// The most hashes of a consistency proof that is sent to a witness.
pub const CONSISTENCY_LIMIT: usize = 63;
/// The most signatures that a signed note has.
pub const NOTE_SIGNATURE_LIMIT: usize = 16;
/// The longest signed note, in bytes; 16 post-quantum signatures of nearly 5 kB in base64 fit.
pub const NOTE_LIMIT: usize = 128 * 1024;

/// The first line of what an owner signs to put a policy in force.
pub const POLICY_STATEMENT: &str = "cleanroom/v1 policy";
/// The first line of what a partner signs to be in a room.
pub const MEMBERSHIP_STATEMENT: &str = "cleanroom/v1 membership";

/// The first line of a proof (C2SP tlog-proof).
pub const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The member of an object that stands for a number where an answer is committed to.
pub const ANSWER_NUMBER: &str = "number";
