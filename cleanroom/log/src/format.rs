//! What the bytes on disk and on the wire look like: the constants that the writer and the verifier share. There is no
//! behaviour here, so that a mistake in one of them cannot hide in the other.

pub(crate) const HASH_BYTES: usize = 32;
pub(crate) const LEAF_PREFIX: u8 = 0;
pub(crate) const NODE_PREFIX: u8 = 1;

/// Hashes in a full tile, entries in a full bundle.
pub(crate) const TILE_WIDTH: u64 = 256;
/// Tree levels that one tile spans: 2^8 = 256.
pub(crate) const TILE_HEIGHT: u32 = 8;

pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";
pub(crate) const KEY_FILE: &str = "log.pub";
pub(crate) const TILE_FOLDER: &str = "tile";
pub(crate) const ENTRIES_FOLDER: &str = "entries";
pub(crate) const BLOB_FOLDER: &str = "blobs";
/// The folder of a data directory that holds one log per room.
pub(crate) const LOGS_FOLDER: &str = "log";

pub(crate) const DIGEST_SHA256: &str = "sha256:";
pub(crate) const DIGEST_BLAKE3: &str = "blake3:";

pub(crate) const ENTRY_VERSION: u64 = 1;
/// The longest entry, in bytes. (tlog-tiles itself would take 65 535.)
pub(crate) const ENTRY_LIMIT: usize = 16 * 1024;
/// The largest integer that every JSON reader keeps exactly: 2^53 - 1.
pub(crate) const INTEGER_LIMIT: u64 = (1 << 53) - 1;

pub(crate) const ROOM_SEPARATOR: &str = "/room/";

/// Ed25519 in the key identifier and verifier key of a signed note.
pub(crate) const ALGORITHM_ED25519: u8 = 1;
pub(crate) const NOTE_SIGNATURE_LIMIT: usize = 16;
/// The longest signed note, in bytes; 16 post-quantum signatures of nearly 5 kB in base64 fit.
pub(crate) const NOTE_LIMIT: usize = 128 * 1024;

/// First lines of what partners sign.
pub(crate) const POLICY_STATEMENT: &str = "cleanroom/v1 policy";
pub(crate) const MEMBERSHIP_STATEMENT: &str = "cleanroom/v1 membership";

pub(crate) const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
