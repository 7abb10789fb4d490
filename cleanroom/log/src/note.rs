//! Signed notes (C2SP signed-note), from the reader's side, and the keys that verify them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::format::{ALGORITHM_ED25519, HASH_BYTES, NOTE_LIMIT, NOTE_SIGNATURE_LIMIT, ROOM_SEPARATOR};

/// Which log it is: the first line of its checkpoints and the name of its key, `<host>/room/<room>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// Takes an origin as it stands in a checkpoint.
    ///
    /// # Errors
    /// Where it is empty or holds a space, a control character or `+`, which a signed note cannot carry in a key's name.
    pub fn new(text: &str) -> Result<Self, OriginError> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if !text.is_empty() && text.chars().all(fits) { Ok(Self(text.to_owned())) } else { Err(OriginError) }
    }

    /// The origin of a room's log; `host` is the log's host and optional path, without scheme or trailing slash.
    ///
    /// # Errors
    /// As for [`Origin::new`].
    pub fn for_room(host: &str, room: &str) -> Result<Self, OriginError> {
        if host.is_empty() || room.is_empty() {
            return Err(OriginError);
        }
        Self::new(&format!("{host}{ROOM_SEPARATOR}{room}"))
    }

    /// The room's name; `None` where the origin is not that of a room.
    pub fn room(&self) -> Option<&str> {
        self.0.rsplit_once(ROOM_SEPARATOR).map(|(_, room)| room)
    }

    /// The origin as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log's origin is `<host>/room/<room>` without spaces, control characters and `+`")]
pub struct OriginError;

/// A log's public key under its name. Written `<origin>+<key id>+<base64>`, as the file `log.pub` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    origin: Origin,
    public: [u8; HASH_BYTES],
}

impl VerifierKey {
    /// The Ed25519 public key `public` under the name `origin`.
    pub const fn new(origin: Origin, public: [u8; HASH_BYTES]) -> Self {
        Self { origin, public }
    }

    /// The key's name.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The raw Ed25519 public key.
    pub const fn public(&self) -> &[u8; HASH_BYTES] {
        &self.public
    }

    /// `SHA-256(name || 0x0A || 0x01 || public key)[:4]`: tells keys of one name apart, and no more.
    pub fn id(&self) -> [u8; 4] {
        let mut context = Context::new(&SHA256);
        context.update(self.origin.as_str().as_bytes());
        context.update(b"\n");
        context.update(&[ALGORITHM_ED25519]);
        context.update(&self.public);
        let digest = context.finish();
        let mut id = [0; 4];
        id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        id
    }

    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ALGORITHM_ED25519];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.origin, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyTextError::Shape);
        };
        let origin = Origin::new(name).map_err(|_| KeyTextError::Shape)?;
        let key = STANDARD.decode(key).map_err(|_| KeyTextError::Shape)?;
        let Some((&ALGORITHM_ED25519, public)) = key.split_first() else {
            return Err(KeyTextError::Algorithm);
        };
        let key = Self::new(origin, public.try_into().map_err(|_| KeyTextError::Shape)?);
        if hex::encode(key.id()) == id { Ok(key) } else { Err(KeyTextError::Id) }
    }
}

/// A text that is not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Not three parts, or a part that is not what it should be.
    #[error("a log's public key is written `<origin>+<8 hexadecimal digits>+<base64>`, as in the file `log.pub`")]
    Shape,
    /// Another algorithm than Ed25519.
    #[error("the key is not an Ed25519 key, and no other kind is supported")]
    Algorithm,
    /// The key identifier belongs to another key or name.
    #[error("the key's identifier does not belong to its name and bytes: the text was changed or cut")]
    Id,
}

/// Why a signed note is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note at all.
    #[error("not a signed note: text, an empty line and signature lines `— <name> <base64>`")]
    Shape,
    /// Longer, or with more signatures, than any honest note.
    #[error("the signed note is longer, or has more signatures, than is read")]
    TooLong,
    /// No signature by a known key.
    #[error("the note is not signed by the given key")]
    Unsigned,
    /// A signature that names a known key and is not by it.
    #[error("the signature is not by the key that it names")]
    BadSignature,
}

/// The text of a note that at least one of `keys` signed and for which no signature that names one of them is bad.
/// Signatures by unknown keys count for nothing.
pub(crate) fn open<'n>(note: &'n str, keys: &[&VerifierKey]) -> Result<&'n str, NoteError> {
    let (text, signatures) = split(note)?;
    let mut known = 0;
    for line in signatures.split_terminator('\n') {
        let (name, signature) = signature_line(line).ok_or(NoteError::Shape)?;
        let (id, signature) = signature.split_at_checked(4).ok_or(NoteError::Shape)?;
        let mut named = keys.iter().filter(|key| key.origin.as_str() == name && key.id() == id).peekable();
        if named.peek().is_none() {
            continue;
        }
        if !named.any(|key| key.verifies(text, signature)) {
            return Err(NoteError::BadSignature);
        }
        known += 1;
    }
    if known == 0 { Err(NoteError::Unsigned) } else { Ok(text) }
}

/// Text and signature lines, both with their final newline.
pub(crate) fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_LIMIT {
        return Err(NoteError::TooLong);
    }
    if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Shape);
    }
    let middle = note.rfind("\n\n").ok_or(NoteError::Shape)?;
    let (text, signatures) = note.split_at_checked(middle + 1).ok_or(NoteError::Shape)?;
    let signatures = signatures.strip_prefix('\n').ok_or(NoteError::Shape)?;
    if !signatures.ends_with('\n') {
        return Err(NoteError::Shape);
    }
    if signatures.split_terminator('\n').count() > NOTE_SIGNATURE_LIMIT {
        return Err(NoteError::TooLong);
    }
    Ok((text, signatures))
}

fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
    Origin::new(name).ok()?;
    let signature = STANDARD.decode(signature).ok()?;
    (signature.len() > 4).then_some((name, signature))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use signed_note::Verifier as _;

    use super::*;
    use crate::key::LogKey;

    // From the Go module `golang.org/x/mod/sumdb/note`.
    const PETER_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_by_another_implementation_opens() {
        let key: VerifierKey = PETER_KEY.parse().unwrap();
        assert_eq!(key.to_string(), PETER_KEY);
        assert!(open(PETER_NOTE, &[&key]).unwrap().ends_with("problem is.\n"));
        let changed = PETER_NOTE.replace("don't", "do");
        assert_eq!(open(&changed, &[&key]), Err(NoteError::BadSignature));
    }

    #[test]
    fn another_implementation_opens_ours() {
        let origin = Origin::for_room("logs.example", "retail").unwrap();
        let key = LogKey::generate().unwrap();
        let note = key.sign(&origin, "one line\n");
        let theirs = signed_note::StandardVerifier::new(&key.vkey(&origin).to_string()).unwrap();
        assert_eq!(theirs.key_id().to_be_bytes(), key.vkey(&origin).id());
        let verifiers = signed_note::VerifierList::new(vec![Box::new(theirs)]);
        signed_note::Note::from_bytes(note.as_bytes()).unwrap().verify(&verifiers).unwrap();
    }

    #[test]
    fn unknown_signers_are_ignored_and_known_ones_must_be_right() {
        let origin = Origin::new("logs.example/room/retail").unwrap();
        let (ours, other) = (LogKey::generate().unwrap(), LogKey::generate().unwrap());
        let text = "text\n\nwith an empty line\n";
        let note = ours.sign(&origin, text);
        let theirs = other.sign(&origin, text);
        let line = split(&theirs).unwrap().1;
        let key = ours.vkey(&origin);
        assert_eq!(open(&format!("{note}{line}"), &[&key]), Ok(text));
        assert_eq!(open(&theirs, &[&key]), Err(NoteError::Unsigned));
        // The right name and identifier over a signature of something else.
        let wrong = ours.sign(&origin, "other text\n");
        let both = format!("{note}{}", split(&wrong).unwrap().1);
        assert_eq!(open(&both, &[&key]), Err(NoteError::BadSignature));
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let origin = Origin::new("logs.example/room/retail").unwrap();
        let key = LogKey::generate().unwrap();
        let note = key.sign(&origin, "text\n");
        let vkey = key.vkey(&origin);
        let refused = |note: &str| open(note, &[&vkey]).unwrap_err();
        for broken in [
            "",
            "text\n",
            "text\n\n",
            &note.replace('—', "-"),
            &note.replace("text", "te\u{1}xt"),
            &note.replace("\n\n", "\n"),
            note.trim_end(),
            &format!("{note}\n"),
            &format!("{note}trailing\n"),
            &note.replace("=\n", "\n"),
        ] {
            assert_eq!(refused(broken), NoteError::Shape, "{broken}");
        }
        let line = split(&note).unwrap().1.to_owned();
        assert!(open(&format!("text\n\n{}", line.repeat(16)), &[&vkey]).is_ok());
        assert_eq!(refused(&format!("text\n\n{}", line.repeat(17))), NoteError::TooLong);
        assert_eq!(refused(&"x".repeat(NOTE_LIMIT + 1)), NoteError::TooLong);
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let text = |id: &str| PETER_KEY.replace("c74f20a3", id);
        assert_eq!(text("c74f20a4").parse::<VerifierKey>(), Err(KeyTextError::Id));
        assert_eq!(text("C74F20A3").parse::<VerifierKey>(), Err(KeyTextError::Id));
        assert_eq!("PeterNeumann".parse::<VerifierKey>(), Err(KeyTextError::Shape));
        assert_eq!(PETER_KEY.replace("+AR", "+BB").parse::<VerifierKey>(), Err(KeyTextError::Algorithm));
        assert_eq!(PETER_KEY.replace("Peter", "P eter").parse::<VerifierKey>(), Err(KeyTextError::Shape));
        assert!(Origin::for_room("", "retail").is_err());
        assert!(Origin::new("a+b").is_err());
        assert_eq!(Origin::new("h/room/r").unwrap().room(), Some("r"));
    }
}
