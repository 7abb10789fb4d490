//! Signing keys, room keys and the tokenisation of identifiers.
//!
//! A token is what stands for an identifier wherever the product stores or compares one: keyed BLAKE3 of the identifier's
//! normal form under the room's key. Equal identifiers have equal tokens within a room; without the key nobody can tell
//! which identifier a token stands for, and tokens of two rooms have nothing in common.

mod normalise;
mod phone;
mod progress;
mod room_key;
mod sealed;
mod secret_file;
mod signing;
mod token;
mod tokenize;

pub use normalise::{NormaliseError, Normaliser, normaliser};
pub use phone::{Region, UnknownRegion};
pub use progress::{NoProgress, Progress, TerminalProgress};
pub use room_key::RoomKey;
pub use sealed::SealError;
pub use secret_file::KeyError;
pub use signing::SigningKey;
pub use token::{Token, parse_token_text};
pub use tokenize::{Place, TEXT_OF_CSV, TokenizeError, TokenizeOptions, TokenizeReport, tokenize};
