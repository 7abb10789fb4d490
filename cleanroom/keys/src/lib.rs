//! Signing keys, room keys and the tokenisation of identifiers.
//!
//! A token is what stands for an identifier wherever the product stores or compares one: keyed BLAKE3 of the identifier's
//! normal form under the room's key. Equal identifiers have equal tokens within a room; without the key nobody can tell
//! which identifier a token stands for, and tokens of two rooms have nothing in common.

mod normalise;
mod room_key;
mod secret_file;
mod signing;
mod token;

pub use normalise::{NormaliseError, Normaliser, normaliser};
pub use room_key::RoomKey;
pub use secret_file::KeyError;
pub use signing::SigningKey;
pub use token::{Token, parse_token_text};
mod tokenize_stub; pub use tokenize_stub::*;
