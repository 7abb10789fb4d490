//! What partners sign: that they belong to a room, and which policy governs their table. A statement is the text of a signed
//! note (C2SP signed-note), and the signer's name is the partner's.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::entry::EntryTime;
use crate::event::TemplateReference;
use crate::format::{MEMBERSHIP_STATEMENT, POLICY_STATEMENT};
use crate::hash::Digest;
use crate::note::{Origin, VerifierKey, split};

/// "This policy decides over my table from here on."
#[derive(Debug, Clone, Copy)]
pub struct PolicyStatement<'a> {
    /// The room it is for: a policy that is signed for one room is not signed for another.
    pub room: &'a str,
    /// `owner.table`.
    pub table: &'a str,
    /// The policy's version.
    pub version: u64,
    /// SHA-256 of the policy's canonical document.
    pub digest: Digest,
    /// The templates that it approves, with the content that is approved.
    pub templates: &'a [TemplateReference],
}

impl PolicyStatement<'_> {
    /// The text that is signed; it ends in a newline.
    pub fn text(&self) -> String {
        let Self { room, table, version, digest, templates } = self;
        let mut text = format!("{POLICY_STATEMENT}\nroom {room}\ntable {table}\nversion {version}\npolicy {digest}\n");
        let mut templates: Vec<_> = templates.iter().map(|template| (&template.name, template.digest)).collect();
        templates.sort();
        for (name, digest) in templates {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "template {name} {digest}");
        }
        text
    }
}

/// "I am in this room, with these abilities, and this is my key."
#[derive(Debug, Clone, Copy)]
pub struct MembershipStatement<'a> {
    /// The room.
    pub room: &'a str,
    /// The room's log: a room of the same name on another server is another one. The oldest memberships name none.
    pub log: Option<&'a Origin>,
    /// The partner.
    pub partner: &'a str,
    /// What it may do there.
    pub abilities: &'a [String],
    /// When it was signed: of two memberships the later one counts, so that none is put back.
    pub since: EntryTime,
    /// The key that signs for it from here on.
    pub key: &'a VerifierKey,
}

impl MembershipStatement<'_> {
    /// The text that is signed; it ends in a newline.
    pub fn text(&self) -> String {
        let Self { room, log, partner, abilities, since, key } = self;
        let mut abilities: Vec<&str> = abilities.iter().map(String::as_str).collect();
        abilities.sort_unstable();
        let abilities = abilities.join(" ");
        let log = log.map(|log| format!("log {log}\n")).unwrap_or_default();
        let head = format!("{MEMBERSHIP_STATEMENT}\nroom {room}\n{log}partner {partner}\n");
        format!("{head}abilities {abilities}\nsince {since}\nkey {key}\n")
    }
}

/// A signature by itself, as a signature line of a signed note carries it: base64 of the key's identifier and the 64 bytes.
pub fn signature_text(key: &VerifierKey, signature: &[u8; 64]) -> String {
    STANDARD.encode([&key.id()[..], signature].concat())
}

/// The signed note over `text` with one signature, by `key`.
pub fn signed_note(text: &str, key: &VerifierKey, signature: &str) -> String {
    format!("{text}\n— {} {signature}\n", key.origin())
}

/// The text of a note and its signature under a name; nothing of it is verified.
///
/// # Errors
/// Where it is no signed note, or has no signature under that name.
pub fn unverified_note<'n>(note: &'n str, name: &str) -> Result<(&'n str, &'n str), StatementError> {
    let (text, signatures) = split(note).map_err(|_| StatementError::NotANote)?;
    let mut lines = signatures.split_terminator('\n').filter_map(|line| line.strip_prefix("— ")?.split_once(' '));
    let (_, signature) = lines.find(|(signer, _)| *signer == name).ok_or(StatementError::Unsigned)?;
    Ok((text, signature))
}

/// Whether `signature` is by `key` over `text`.
///
/// # Errors
/// Where it is not.
pub fn check_signature(text: &str, signature: &str, key: &VerifierKey) -> Result<(), StatementError> {
    let bytes = STANDARD.decode(signature).map_err(|_| StatementError::NotASignature)?;
    let (id, signature) = bytes.split_at_checked(4).ok_or(StatementError::NotASignature)?;
    if signature.len() != 64 {
        return Err(StatementError::NotASignature);
    }
    if id != key.id() {
        return Err(StatementError::OtherKey);
    }
    if key.verifies(text, signature) { Ok(()) } else { Err(StatementError::Wrong) }
}

/// Why a statement is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not a signed note.
    #[error("it is not a signed note: a text, an empty line, and a line `— <name> <signature>`")]
    NotANote,
    /// No signature under the partner's name.
    #[error("it has no signature under the partner's name")]
    Unsigned,
    /// Not base64 of a key identifier and a signature.
    #[error("the signature is not one: base64 of 4 and 64 bytes")]
    NotASignature,
    /// Signed with another key.
    #[error("it is signed with another key than the partner's")]
    OtherKey,
    /// Over another text.
    #[error("the signature is over something else")]
    Wrong,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn key() -> (Ed25519KeyPair, VerifierKey) {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, VerifierKey::new(Origin::new("retailer").unwrap(), public))
    }

    fn statement<'a>(templates: &'a [TemplateReference]) -> PolicyStatement<'a> {
        PolicyStatement {
            room: "spring",
            table: "retailer.purchases",
            version: 3,
            digest: Digest::sha256_of(b"policy"),
            templates,
        }
    }

    #[test]
    fn a_signature_is_over_all_of_a_policy_and_its_place() {
        let (pair, key) = key();
        let sign = |text: &str| signature_text(&key, pair.sign(text.as_bytes()).as_ref().try_into().unwrap());
        let approved = [("b", b"1"), ("a", b"2")]
            .map(|(name, content)| TemplateReference { name: name.to_owned(), digest: Digest::sha256_of(content) });
        let text = statement(&approved).text();
        let signature = sign(&text);
        assert_eq!(check_signature(&text, &signature, &key), Ok(()));
        // In whichever order the templates are given.
        let turned = [approved[1].clone(), approved[0].clone()];
        assert_eq!(check_signature(&statement(&turned).text(), &signature, &key), Ok(()));
        let base = statement(&approved);
        for other in [
            PolicyStatement { room: "autumn", ..base },
            PolicyStatement { table: "retailer.visits", ..base },
            PolicyStatement { version: 4, ..base },
            PolicyStatement { digest: Digest::sha256_of(b"another"), ..base },
            PolicyStatement { templates: &approved[..1], ..base },
            PolicyStatement { templates: &[], ..base },
        ] {
            assert_eq!(check_signature(&other.text(), &signature, &key), Err(StatementError::Wrong), "{other:?}");
        }
        let (_, another) = self::key();
        assert_eq!(check_signature(&text, &signature, &another), Err(StatementError::OtherKey));
        for wrong in ["", "AAAA", "no", &signature[..signature.len() - 4]] {
            assert_eq!(check_signature(&text, wrong, &key), Err(StatementError::NotASignature), "{wrong}");
        }
    }

    #[test]
    fn a_statement_is_a_note_that_others_open() {
        let (pair, key) = key();
        let abilities = ["query".to_owned(), "contribute".to_owned()];
        let since = EntryTime::parse("2026-05-04T13:14:15.123Z").unwrap();
        let log = Origin::for_room("logs.example", "spring").unwrap();
        let statement = MembershipStatement {
            room: "spring",
            log: Some(&log),
            partner: "retailer",
            abilities: &abilities,
            since,
            key: &key,
        };
        let membership = statement.text();
        let expected = format!(
            "cleanroom/v1 membership\nroom spring\nlog logs.example/room/spring\npartner retailer\n\
             abilities contribute query\nsince 2026-05-04T13:14:15.123Z\nkey {key}\n"
        );
        assert_eq!(membership, expected);
        let nowhere = MembershipStatement { log: None, ..statement }.text();
        assert_eq!(nowhere, expected.replace("log logs.example/room/spring\n", ""));
        let signature = signature_text(&key, pair.sign(membership.as_bytes()).as_ref().try_into().unwrap());
        let note = signed_note(&membership, &key, &signature);
        assert_eq!(unverified_note(&note, "retailer"), Ok((membership.as_str(), signature.as_str())));
        assert_eq!(unverified_note(&note, "agency"), Err(StatementError::Unsigned));
        assert_eq!(unverified_note("policy", "agency"), Err(StatementError::NotANote));
        let theirs = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
        let verifiers = signed_note::VerifierList::new(vec![Box::new(theirs)]);
        signed_note::Note::from_bytes(note.as_bytes()).unwrap().verify(&verifiers).unwrap();
    }
}
