//! Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1`): that a witness saw a log grow from what it saw before.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_format::{ALGORITHM_COSIGNATURE, COSIGNATURE_HEADER, COSIGNATURE_TIME_BYTES, HASH_BYTES};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::note::{ID, KeyError, Note, NoteError, is_name, key_id, read_key};

/// The public key of a witness, written `<name>+<8 hexadecimal digits>+<base64>`; of another type than a log's, so that neither
/// passes for the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cosigner {
    name: String,
    public: Vec<u8>,
}

impl Cosigner {
    /// The Ed25519 public key of the witness `name`.
    ///
    /// # Errors
    /// Where the name is empty or holds a space, a control character or `+`.
    pub fn new(name: &str, public: [u8; HASH_BYTES]) -> Result<Self, KeyError> {
        if is_name(name) { Ok(Self { name: name.to_owned(), public: public.to_vec() }) } else { Err(KeyError::Shape) }
    }

    /// The witness's name, by its own account: a URL without scheme.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the same key, whatever its name.
    pub(crate) fn is_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// What a witness signs: the time, in seconds since 1970, and the text of a checkpoint with its last newline.
    pub fn message(time: u64, text: &str) -> String {
        format!("{COSIGNATURE_HEADER}\ntime {time}\n{text}")
    }

    /// The signature line that carries an Ed25519 signature of [`Cosigner::message`], with its newline.
    pub fn line(&self, time: u64, signature: &[u8]) -> String {
        let bytes = [self.id().as_slice(), &time.to_be_bytes(), signature].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }

    /// Whether this witness cosigned a note, and every signature that names it is its own.
    pub fn has_cosigned(&self, note: &str) -> bool {
        Note::read(note).is_ok_and(|note| matches!(self.cosigned(&note), Ok(Some(_))))
    }

    fn id(&self) -> Vec<u8> {
        key_id(&self.name, ALGORITHM_COSIGNATURE, &self.public)
    }

    pub(crate) fn is_named_by(&self, name: &str, signature: &str) -> bool {
        name == self.name && STANDARD.decode(signature).is_ok_and(|bytes| bytes.starts_with(&self.id()))
    }

    /// When this witness cosigned, in seconds since 1970, the latest of several; `None` where it did not.
    pub(crate) fn cosigned(&self, note: &Note<'_>) -> Result<Option<u64>, NoteError> {
        let mut latest = None;
        for (name, signature) in &note.signatures {
            if self.is_named_by(name, signature) {
                latest = latest.max(Some(self.time_of(note.text, signature).ok_or(NoteError::Signature)?));
            }
        }
        Ok(latest)
    }

    /// The time of a signature of this key over a checkpoint's text.
    fn time_of(&self, text: &str, signature: &str) -> Option<u64> {
        let bytes = STANDARD.decode(signature).ok()?;
        let (time, signature) = bytes.get(ID..)?.split_at_checked(COSIGNATURE_TIME_BYTES)?;
        let time = u64::from_be_bytes(time.try_into().ok()?);
        let message = Self::message(time, text);
        let valid = UnparsedPublicKey::new(&ED25519, &self.public).verify(message.as_bytes(), signature).is_ok();
        (valid && i64::try_from(time).is_ok()).then_some(time)
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM_COSIGNATURE], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for Cosigner {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, public) = read_key(text, ALGORITHM_COSIGNATURE)?;
        Ok(Self { name, public })
    }
}
