//! What a receipt holds beside its proof, and what an outcome's record commits to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_format::ANSWER_NUMBER as NUMBER;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::hash::{Algorithm, Digest, sha256};

/// Members of an answer that are about the answer, and not of it.
const ABOUT: [&str; 2] = ["query_id", "receipt"];

/// What `query.outcome` says of a released result: `SHA-256(nonce || answer)`, where `answer` is the RFC 8785 form of the
/// answer's JSON object without `query_id` and `receipt`, every number in it written as `{"number":"<its digits>"}`: RFC 8785
/// would round those that a double cannot hold, and a text of the same digits is another answer.
///
/// The nonce is random and known to whoever received the result, so that nobody can try results until one fits.
///
/// # Errors
/// Where `answer` is not an object, or one in it would be taken for a number.
pub fn result_commitment(nonce: &[u8; 32], answer: &Value) -> Result<Digest, ReceiptError> {
    let Value::Object(members) = answer else {
        return Err(ReceiptError::NotAnAnswer);
    };
    let bound: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| !ABOUT.contains(&name.as_str()))
        .map(|(name, value)| Some((name.clone(), with_digits(value)?)))
        .collect::<Option<_>>()
        .ok_or(ReceiptError::NotAnAnswer)?;
    let canonical = serde_json_canonicalizer::to_vec(&bound).map_err(|_| ReceiptError::NotAnAnswer)?;
    Ok(Digest::new(Algorithm::Sha256, *sha256(&[nonce, &canonical]).as_bytes()))
}

/// The value with its numbers written out; none where an object in it already looks like a number so written.
fn with_digits(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Number(number) => json!({ NUMBER: number.to_string() }),
        Value::Array(items) => Value::Array(items.iter().map(with_digits).collect::<Option<_>>()?),
        Value::Object(members) if members.len() == 1 && members.contains_key(NUMBER) => return None,
        Value::Object(members) => {
            let written = members.iter().map(|(name, value)| Some((name.clone(), with_digits(value)?)));
            Value::Object(written.collect::<Option<_>>()?)
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    })
}

/// The `extra` data of a receipt (C2SP tlog-proof), as JSON: all that its reader needs beside the log's public key, and for
/// the rows the answer itself. The proof vouches for the entry, the entry for the nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptExtra {
    /// The entry, byte for byte what its leaf is the hash of.
    entry: String,
    /// The nonce of the result's commitment in base64; absent where nothing was released, and where the proof is not the
    /// receipt of who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

impl ReceiptExtra {
    /// Of an entry, and the nonce of its commitment if it has one.
    pub fn new(entry: String, nonce: Option<[u8; 32]>) -> Self {
        Self { entry, nonce: nonce.map(|nonce| STANDARD.encode(nonce)) }
    }

    /// As it stands in a receipt.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings always has a form in JSON.
        serde_json_canonicalizer::to_vec(self).unwrap_or_default()
    }
}

/// Why a receipt says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
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
            r#"{"outcome":"released","rows":[["a","1"]]}"#,
        ] {
            assert_ne!(first, of(other), "{other}");
        }
        assert_ne!(first, result_commitment(&[8; 32], &parsed(r#"{"outcome":"released","rows":[["a",1]]}"#)).unwrap());
        for no_answer in [json!([]), json!({"rows": [[{"number": "1"}]]})] {
            assert_eq!(result_commitment(&nonce, &no_answer), Err(ReceiptError::NotAnAnswer));
        }
    }

    // Computed apart from this crate: SHA-256 over 32 bytes of 7 and `{"rows":[[{"number":"12345678901234567890.10"},"é"]]}`.
    #[test]
    fn every_digit_of_a_number_counts() {
        let digest = result_commitment(&[7; 32], &parsed(r#"{"rows":[[12345678901234567890.10,"\u00e9"]]}"#)).unwrap();
        assert_eq!(digest.to_string(), "sha256:41a71fe615f0860d8c2e07f0eaf8a0be93957bf62134cf611847a1f139cc9736");
        let rounded = result_commitment(&[7; 32], &parsed(r#"{"rows":[[12345678901234567890.1,"é"]]}"#)).unwrap();
        assert_ne!(rounded, digest);
    }
}
