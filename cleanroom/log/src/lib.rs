//! A room's transparency log: entries, the RFC 6962 tree over them, its files (C2SP tlog-tiles), signed checkpoints
//! (C2SP tlog-checkpoint), proofs, and what partners sign.
//!
//! Writing goes from an [`Entry`] to its bytes, from bytes to files ([`LogDirectory`]), and from the files' [`Tree`] to a
//! signed [`Checkpoint`]. Whoever reads trusts none of this: the crate `cleanroom-verify` recomputes all of it with code of its own.

use cleanroom_format as format;

mod blob;
mod checkpoint;
mod directory;
mod entry;
mod event;
mod files;
mod hash;
mod history;
mod key;
mod note;
mod proof_file;
mod prove;
mod receipt;
mod statement;
mod tile;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use directory::{LogDirectory, StoreError, Tiles};
pub use entry::{Actor, Door, Entry, EntryError, EntryTime};
pub use event::{
    Charge, Event, Member, OutcomeStatus, PolicyActive, PolicyReference, PricedOutcome, QueryIntent, QueryOutcome,
    QueryPriced, QueryRefused, ResultDelivered, Role, RoomPut, TableReference, TableVersion, TemplatePut,
    TemplateReference, TokenIssued, TokenRevoked,
};
pub use hash::{Algorithm, Digest, DigestError, EntryHash};
pub use key::{LogKey, LogKeyError};
pub use note::{KeyTextError, NoteError, Origin, OriginError, VerifierKey};
pub use proof_file::{InclusionProof, ProofFileError};
pub use prove::{ProofError, verify_consistency, verify_inclusion};
pub use receipt::{ReceiptError, ReceiptExtra, result_commitment};
pub use statement::{
    MembershipStatement, PolicyStatement, StatementError, check_signature, signature_text, signed_note, unverified_note,
};
pub use tile::{entries_path, tile_path};
pub use tree::{HashSource, RangeError, Tree, consistency_proof, inclusion_proof};
