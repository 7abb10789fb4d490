//! What a receipt holds beside its proof, and what an outcome's record commits to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hash::{Algorithm, Digest, sha256};

/// Members of an answer that are about the answer, and not of it.
const ABOUT: [&str; 2] = ["query_id", "receipt"];

/// What `query.outcome` says of a released result: `SHA-256(nonce || answer)`, where `answer` is the RFC 8785 form of the
/// answer's JSON object without `query_id` and `receipt`, every number in it a string of its own digits. Numbers are written
/// as strings because RFC 8785 would round those that a double cannot hold.
///
/// The nonce is random and known to whoever received the result, so that nobody can try results until one fits.
///
/// # Errors
/// Where `answer` is not an object.
pub fn result_commitment(nonce: &[u8; 32], answer: &Value) -> Result<Digest, ReceiptError> {
    let Value::Object(members) = answer else {
        return Err(ReceiptError::NotAnAnswer);
    };
    let bound: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| !ABOUT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), in_text(value)))
        .collect();
    let canonical = serde_json_canonicalizer::to_vec(&bound).map_err(|_| ReceiptError::NotAnAnswer)?;
    Ok(Digest::new(Algorithm::Sha256, *sha256(&[nonce, &canonical]).as_bytes()))
}

fn in_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(items) => items.iter().map(in_text).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), in_text(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// The `extra` data of a receipt (C2SP tlog-proof), as JSON: all that its reader needs beside the log's public key, and for
/// the rows the answer itself. The proof vouches for the entry, the entry for the nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptExtra {
    /// The entry, byte for byte what its leaf is the hash of.
    pub entry: String,
    /// The nonce of the result's commitment in base64; absent where nothing was released.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    nonce: Option<String>,
}

impl ReceiptExtra {
    /// Of an entry, and the nonce of its commitment if it has one.
    pub fn new(entry: String, nonce: Option<[u8; 32]>) -> Self {
        Self { entry, nonce: nonce.map(|nonce| STANDARD.encode(nonce)) }
    }

    /// Reads the `extra` data of a receipt.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn read(extra: &[u8]) -> Result<Self, ReceiptError> {
        serde_json::from_slice(extra).map_err(|_| ReceiptError::Extra)
    }

    /// As it stands in a receipt.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings always has a form in JSON.
        serde_json_canonicalizer::to_vec(self).unwrap_or_default()
    }

    /// The nonce of the result's commitment.
    ///
    /// # Errors
    /// Where it is there and is not 32 bytes in base64.
    pub fn nonce(&self) -> Result<Option<[u8; 32]>, ReceiptError> {
        let read = |text: &String| STANDARD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        self.nonce.as_ref().map(|text| read(text).ok_or(ReceiptError::Extra)).transpose()
    }
}

/// Why a receipt says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The proof has no entry with it.
    #[error("the receipt's `extra` line does not hold an entry and a nonce as JSON")]
    Extra,
    /// The answer is not a JSON object.
    #[error("the answer is not the JSON object that a question is answered with")]
    NotAnAnswer,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_commitment_is_to_all_of_the_answer_and_to_nothing_about_it() {
        let nonce = [7; 32];
        let of = |text: &str| result_commitment(&nonce, &parsed(text)).unwrap();
        let first = of(r#"{"query_id":"q1","outcome":"released","rows":[["a",1]],"receipt":{"x":1}}"#);
        assert_eq!(first, of(r#"{ "rows": [["a", 1]], "outcome": "released" }"#));
        for other in [
            r#"{"outcome":"released","rows":[["a",2]]}"#,
            r#"{"outcome":"released","rows":[["b",1]]}"#,
            r#"{"outcome":"released","rows":[["a",1]],"notes":[]}"#,
            r#"{"outcome":"released","rows":[["a",1],["a",1]]}"#,
            r#"{"outcome":"released","rows":[["a",null]]}"#,
        ] {
            assert_ne!(first, of(other), "{other}");
        }
        assert_ne!(first, result_commitment(&[8; 32], &parsed(r#"{"outcome":"released","rows":[["a",1]]}"#)).unwrap());
        assert_eq!(result_commitment(&nonce, &json!([])), Err(ReceiptError::NotAnAnswer));
    }

    // Computed apart from this crate: SHA-256 over 32 bytes of 7 and `{"rows":[["12345678901234567890.10","é"]]}`.
    #[test]
    fn every_digit_of_a_number_counts() {
        let digest = result_commitment(&[7; 32], &parsed(r#"{"rows":[[12345678901234567890.10,"\u00e9"]]}"#)).unwrap();
        assert_eq!(digest.to_string(), "sha256:dfeb215c3bc40aaf8e1f2a4b01c757c1188e04de496b85887215ac8e79560ece");
        let rounded = result_commitment(&[7; 32], &parsed(r#"{"rows":[[12345678901234567890.1,"é"]]}"#)).unwrap();
        assert_ne!(rounded, digest);
    }

    #[test]
    fn extra_data_reads_back_and_nothing_else_does() {
        for nonce in [None, Some([3; 32])] {
            let extra = ReceiptExtra::new("{\"seq\":1}".to_owned(), nonce);
            let read = ReceiptExtra::read(&extra.to_bytes()).unwrap();
            assert_eq!((read.nonce(), &read), (Ok(nonce), &extra));
        }
        for wrong in ["", "{}", "[]", r#"{"entry":1}"#, r#"{"entry":"","more":1}"#] {
            assert_eq!(ReceiptExtra::read(wrong.as_bytes()), Err(ReceiptError::Extra), "{wrong}");
        }
        let short = ReceiptExtra::read(br#"{"entry":"","nonce":"AAAA"}"#).unwrap();
        assert_eq!(short.nonce(), Err(ReceiptError::Extra));
    }
}
