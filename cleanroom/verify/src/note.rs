//! Keys and signed notes (C2SP signed-note), checkpoints (C2SP tlog-checkpoint).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_format::{
    ALGORITHM_COSIGNATURE, ALGORITHM_ED25519, HASH_BYTES, NOTE_LIMIT, NOTE_SIGNATURE_LIMIT, ROOM_SEPARATOR,
};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::hash::Hash;

/// Bytes of a signature line: the key's identifier and an Ed25519 signature.
pub(crate) const ID: usize = 4;

/// An Ed25519 public key under a name, written `<name>+<8 hexadecimal digits>+<base64>`: a log's, or a partner's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    name: String,
    public: Vec<u8>,
}

impl Key {
    /// Whose it is: the origin of a log, or the name of a partner.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> Vec<u8> {
        key_id(&self.name, ALGORITHM_ED25519, &self.public)
    }

    pub(crate) fn is_named_by(&self, name: &str, signature: &str) -> bool {
        name == self.name && STANDARD.decode(signature).is_ok_and(|bytes| bytes.starts_with(&self.id()))
    }

    /// Whether it is the same key, whatever its name.
    pub(crate) fn is_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// Whether `signature`, base64 as in a signature line, is by this key over `text`.
    pub(crate) fn signed(&self, text: &str, signature: &str) -> bool {
        let Ok(bytes) = STANDARD.decode(signature) else {
            return false;
        };
        let Some((id, signature)) = bytes.split_at_checked(ID) else {
            return false;
        };
        id == self.id() && UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM_ED25519], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, public) = read_key(text, ALGORITHM_ED25519)?;
        Ok(Self { name, public })
    }
}

/// Name and public key of a verifier key of one algorithm.
pub(crate) fn read_key(text: &str, wanted: u8) -> Result<(String, Vec<u8>), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Shape)?;
    let (id, key) = rest.split_once('+').ok_or(KeyError::Shape)?;
    if !is_name(name) {
        return Err(KeyError::Shape);
    }
    let key = STANDARD.decode(key).map_err(|_| KeyError::Shape)?;
    let public = match key.split_first() {
        Some((&algorithm, _)) if algorithm != wanted => {
            let witness = [algorithm, wanted].contains(&ALGORITHM_COSIGNATURE);
            return Err(if witness { KeyError::Use } else { KeyError::Algorithm });
        }
        Some((_, public)) if public.len() == HASH_BYTES => public.to_vec(),
        _ => return Err(KeyError::Shape),
    };
    if hex::encode(key_id(name, wanted, &public)) == id { Ok((name.to_owned(), public)) } else { Err(KeyError::Id) }
}

pub(crate) fn key_id(name: &str, algorithm: u8, public: &[u8]) -> Vec<u8> {
    let hash = Hash::of(&[name.as_bytes(), b"\n", &[algorithm], public]);
    hash.as_bytes().iter().take(ID).copied().collect()
}

/// A text that is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not three parts, or a part that is not what it should be.
    #[error("a public key is written `<name>+<8 hexadecimal digits>+<base64>`, as in the file `log.pub`")]
    Shape,
    /// Another algorithm than Ed25519.
    #[error("the key is not an Ed25519 key, and no other kind is supported")]
    Algorithm,
    /// A key that signs logs where one that cosigns is wanted, or the other way round.
    #[error(
        "the key is of another use: a witness's begins with `B` after the last `+`, a log's and a partner's with `A`"
    )]
    Use,
    /// The identifier belongs to another key or name.
    #[error("the key's identifier does not belong to its name and bytes: the text was changed or cut")]
    Id,
}

pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// A signed note, taken apart.
pub(crate) struct Note<'n> {
    pub(crate) text: &'n str,
    /// Name and base64.
    pub(crate) signatures: Vec<(&'n str, &'n str)>,
}

impl<'n> Note<'n> {
    pub(crate) fn read(note: &'n str) -> Result<Self, NoteError> {
        let fits = note.len() <= NOTE_LIMIT && !note.bytes().any(|byte| byte < b' ' && byte != b'\n');
        let (before, lines) =
            note.strip_suffix('\n').and_then(|note| note.rsplit_once("\n\n")).ok_or(NoteError::Shape)?;
        let text = note.get(..=before.len()).ok_or(NoteError::Shape)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            let (name, signature) =
                line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')).ok_or(NoteError::Shape)?;
            let long = STANDARD.decode(signature).is_ok_and(|bytes| bytes.len() > ID);
            if !is_name(name) || !long {
                return Err(NoteError::Shape);
            }
            signatures.push((name, signature));
        }
        if fits && signatures.len() <= NOTE_SIGNATURE_LIMIT {
            Ok(Self { text, signatures })
        } else {
            Err(NoteError::Shape)
        }
    }

    /// Whether `key` signed it. A signature that names the key and is not by it makes the whole note one not to be believed.
    fn signed_by(&self, key: &Key) -> Result<(), NoteError> {
        let mut by_key = self.signatures.iter().filter(|(name, signature)| key.is_named_by(name, signature)).peekable();
        if by_key.peek().is_none() {
            return Err(NoteError::Unsigned);
        }
        if by_key.all(|(_, signature)| key.signed(self.text, signature)) { Ok(()) } else { Err(NoteError::Signature) }
    }
}

/// Why a note is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed checkpoint at all.
    #[error("it is not a signed note over origin, size and root, one a line")]
    Shape,
    /// No signature by the key.
    #[error("it is not signed by the given key")]
    Unsigned,
    /// A signature that names a known key and is not by it.
    #[error("a signature in it is not by the key that it names")]
    Signature,
    /// A checkpoint of another log.
    #[error("it is of another log than the key")]
    Origin,
}

/// What a log says of itself (C2SP tlog-checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads a signed note that `key` must have signed, for the log of the key's name.
    ///
    /// # Errors
    /// Where it is not one, or not signed so.
    pub fn open(note: &str, key: &Key) -> Result<Self, NoteError> {
        let note = Note::read(note)?;
        note.signed_by(key)?;
        let checkpoint = Self::read(note.text)?;
        if checkpoint.origin == key.name { Ok(checkpoint) } else { Err(NoteError::Origin) }
    }

    /// Without a look at signatures: to find the key to open it with.
    pub fn claimed(note: &str) -> Option<Self> {
        Note::read(note).and_then(|note| Self::read(note.text)).ok()
    }

    /// The room whose log it is of.
    pub(crate) fn room(&self) -> Option<&str> {
        self.origin.rsplit_once(ROOM_SEPARATOR).map(|(_, room)| room)
    }

    fn read(text: &str) -> Result<Self, NoteError> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(NoteError::Shape)?.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(NoteError::Shape);
        };
        let read = number(size).zip(Hash::read(root));
        match read {
            Some((size, root)) if is_name(origin) && !extensions.contains(&"") => {
                Ok(Self { origin: (*origin).to_owned(), size, root })
            }
            _ => Err(NoteError::Shape),
        }
    }
}

/// A number in the one way in which it can be written.
pub(crate) fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    // From the Go module `golang.org/x/mod/sumdb/note`.
    const PETER_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_another_implementation_opens() {
        let key: Key = PETER_KEY.parse().unwrap();
        assert_eq!(key.to_string(), PETER_KEY);
        let note = Note::read(PETER_NOTE).unwrap();
        assert_eq!(note.signed_by(&key), Ok(()));
        assert!(note.text.ends_with("problem is.\n"));
        let changed = PETER_NOTE.replace("don't", "do");
        assert_eq!(Note::read(&changed).unwrap().signed_by(&key), Err(NoteError::Signature));
        let renamed = PETER_NOTE.replace("\u{2014} Peter", "\u{2014} Paul");
        assert_eq!(Note::read(&renamed).unwrap().signed_by(&key), Err(NoteError::Unsigned));
    }

    #[test]
    fn a_cosignature_is_not_a_signature_of_the_log() {
        // The same key bytes as a witness's (algorithm 4) have another identifier.
        let key: Key = PETER_KEY.parse().unwrap();
        let cosigner = Hash::of(&[b"PeterNeumann\n", &[4], &key.public]);
        assert!(!cosigner.as_bytes().starts_with(&key.id()));
        let text = format!(
            "PeterNeumann+{}+{}",
            hex::encode(key.id()),
            STANDARD.encode([&[4], key.public.as_slice()].concat())
        );
        assert_eq!(text.parse::<Key>(), Err(KeyError::Use));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for wrong in [
            "",
            "\n",
            "text",
            "text\n\n",
            "text\n\n- a AAAAAAAA\n",
            "text\n\n\u{2014} a !\n",
            "text\n\n\u{2014} a AAAA\n",
            "te\txt\n\n\u{2014} a AAAAAAAA\n",
        ] {
            assert!(Note::read(wrong).is_err(), "{wrong:?}");
        }
        let many = format!("text\n\n{}", "\u{2014} a AAAAAAAA\n".repeat(17));
        assert!(Note::read(&many).is_err());
        for wrong in ["", "a+b", "a b+c74f20a3+AA==", "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!((number("0"), number("10")), (Some(0), Some(10)));
        for wrong in ["", "00", "+1", "-1", " 1", "1.0", "18446744073709551616"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
