//! Receipts (C2SP tlog-proof): that an answer is the one that a log records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_format::{ANSWER_NUMBER, DIGEST_SHA256, PROOF_HEADER};
use serde_json::{Map, Value, json};

use crate::hash::Hash;
use crate::json::read_json;
use crate::kept::Kept;
use crate::merkle::root_from;
use crate::note::{Checkpoint, Key, number};
use crate::policy::WitnessPolicy;

/// What a receipt was found to vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// The whole answer.
    Answer,
    /// That there is a record of the question's end, and for a refusal its code.
    Record,
}

/// A receipt that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The entry, from 0.
    pub index: u64,
    /// Entries of the log that was signed.
    pub size: u64,
    /// What is vouched for.
    pub covers: Covers,
}

/// Checks that `receipt` is of an entry in the log that `key` signs for and, where `answer` is given, that the entry is about
/// this answer: for a released one that every byte of meaning in it is what was recorded.
///
/// # Errors
/// What does not hold, in a sentence.
pub fn verify_receipt(receipt: &str, answer: Option<&Value>, key: &Key) -> Result<Verified, String> {
    verify_receipt_witnessed(receipt, answer, key, &[], &[])
}

/// As [`verify_receipt`]; besides, enough witnesses of each policy must have cosigned the receipt's checkpoint, in the receipt or
/// in the very same checkpoint that somebody `kept`. A policy that lists logs must list this one with this key.
///
/// # Errors
/// What does not hold, in a sentence.
pub fn verify_receipt_witnessed(
    receipt: &str,
    answer: Option<&Value>,
    key: &Key,
    policies: &[WitnessPolicy],
    kept: &[Kept],
) -> Result<Verified, String> {
    let receipt = Receipt::read(receipt)?;
    let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_owned());
    // What a witness cosigned is the text: whoever has it need not have got it with the receipt.
    let same = kept.iter().map(Kept::note).filter(|note| text(note) == text(receipt.checkpoint));
    let notes: Vec<&str> = std::iter::once(receipt.checkpoint).chain(same).collect();
    for policy in policies {
        if !policy.is_about(key.name()) {
            return Err(format!("a policy of witnesses is about other logs than `{}`", key.name()));
        }
        if !policy.logs().is_empty() && !policy.logs().contains(key) {
            return Err(format!("a policy of witnesses gives another key for `{}` than the given one", key.name()));
        }
        let cosigned = policy.cosigned_together(&notes, std::slice::from_ref(key));
        if !cosigned.map_err(|error| format!("its checkpoint: {error}"))?.quorum {
            return Err("its checkpoint is not cosigned by enough witnesses; one of the same entries that is may be given as kept".to_owned());
        }
    }
    let checkpoint = Checkpoint::open(receipt.checkpoint, key).map_err(|error| format!("its checkpoint: {error}"))?;
    let root = root_from(receipt.index, checkpoint.size, Hash::leaf(receipt.entry.as_bytes()), &receipt.path);
    if root != Some(checkpoint.root) {
        return Err("its entry is not in the log that was signed".to_owned());
    }
    let entry: Value = read_json(receipt.entry.as_bytes()).map_err(|_| "its entry is not JSON".to_owned())?;
    let committed = entry.get("body").and_then(|body| body.get("result")).and_then(Value::as_str);
    let covers = match (answer, committed, &receipt.nonce) {
        (_, None, Some(_)) => return Err("it has a nonce and its entry no result".to_owned()),
        (Some(_), Some(_), None) => {
            return Err("it is without the nonce that only the receipt of who asked has".to_owned());
        }
        (None, ..) => Covers::Record,
        (Some(answer), committed, nonce) => {
            receipt.stated_in(answer, &entry)?;
            match committed.zip(nonce.as_ref()) {
                Some((committed, nonce)) if commitment(nonce, answer).as_deref() == Some(committed) => Covers::Answer,
                Some(_) => return Err("the answer is not the one that was recorded".to_owned()),
                None if ended_alike(answer, &entry) => Covers::Record,
                None => return Err("the entry tells of another outcome".to_owned()),
            }
        }
    };
    Ok(Verified { index: receipt.index, size: checkpoint.size, covers })
}

struct Receipt<'r> {
    entry: String,
    nonce: Option<Vec<u8>>,
    index: u64,
    path: Vec<Hash>,
    checkpoint: &'r str,
}

/// A `tlog-proof`, taken apart.
pub(crate) struct Proof<'r> {
    pub(crate) extra: Option<Vec<u8>>,
    pub(crate) index: u64,
    pub(crate) path: Vec<Hash>,
    pub(crate) checkpoint: &'r str,
}

impl<'r> Proof<'r> {
    pub(crate) fn read(text: &'r str) -> Result<Self, String> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| wrong("no empty line before its checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(PROOF_HEADER) {
            return Err(wrong(&format!("its first line is not `{PROOF_HEADER}`")));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra")) {
            None => None,
            Some(line) => {
                let bytes = line.strip_prefix("extra ").and_then(|text| STANDARD.decode(text).ok());
                Some(bytes.ok_or_else(|| wrong("its `extra` data is not base64"))?)
            }
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(number);
        let index = index.ok_or_else(|| wrong("it has no line of `index` and a number"))?;
        let path = lines.map(Hash::read).collect::<Option<Vec<_>>>().ok_or_else(|| wrong("a hash in it is not one"))?;
        Ok(Self { extra, index, path, checkpoint })
    }
}

fn wrong(what: &str) -> String {
    format!("it is not a receipt: {what}")
}

impl<'r> Receipt<'r> {
    fn read(text: &'r str) -> Result<Self, String> {
        let Proof { extra, index, path, checkpoint } = Proof::read(text)?;
        let extra: Map<String, Value> = extra
            .and_then(|bytes| read_json(&bytes).ok())
            .and_then(|extra| extra.as_object().cloned())
            .ok_or_else(|| wrong("its second line is not `extra` and JSON in base64"))?;
        let entry = extra.get("entry").and_then(Value::as_str).ok_or_else(|| wrong("it holds no entry"))?.to_owned();
        let nonce = match extra.get("nonce") {
            None => None,
            Some(text) => {
                let bytes = text.as_str().and_then(|text| STANDARD.decode(text).ok()).filter(|bytes| bytes.len() == 32);
                Some(bytes.ok_or_else(|| wrong("its nonce is not 32 bytes in base64"))?)
            }
        };
        if extra.keys().any(|name| name != "entry" && name != "nonce") {
            return Err(wrong("it holds more than an entry and a nonce"));
        }
        Ok(Self { entry, nonce, index, path, checkpoint })
    }

    /// What an answer says of itself must be what the entry says.
    fn stated_in(&self, answer: &Value, entry: &Value) -> Result<(), String> {
        if answer.get("query_id").is_none() || answer.get("query_id") != entry.get("request") {
            return Err("the entry is about another query".to_owned());
        }
        let Some(stated) = answer.get("receipt") else {
            return Ok(());
        };
        let says = |name: &str, value: Option<&Value>| stated.get(name).is_none_or(|stated| Some(stated) == value);
        let agrees = says("entry", Some(&Value::from(self.entry.as_str())))
            && says("sequence", Some(&Value::from(self.index)))
            && says("room", entry.get("room"));
        if agrees { Ok(()) } else { Err("the answer's `receipt` says something else than the proof in it".to_owned()) }
    }
}

/// `SHA-256(nonce || answer)`, the answer without what is about it, its numbers as their digits, in RFC 8785.
fn commitment(nonce: &[u8], answer: &Value) -> Option<String> {
    let mut bound = answer.as_object()?.clone();
    bound.retain(|name, _| name != "query_id" && name != "receipt");
    let mut bound = Value::Object(bound);
    numbers_to_digits(&mut bound)?;
    let canonical = serde_json_canonicalizer::to_vec(&bound).ok()?;
    Some(format!("{DIGEST_SHA256}{}", hex::encode(Hash::of(&[nonce, &canonical]).as_bytes())))
}

/// None where an object already looks like a number so written: no answer has one.
fn numbers_to_digits(value: &mut Value) -> Option<()> {
    match value {
        Value::Number(number) => *value = json!({ ANSWER_NUMBER: number.to_string() }),
        Value::Array(items) => items.iter_mut().try_for_each(numbers_to_digits)?,
        Value::Object(members) if members.keys().eq([ANSWER_NUMBER]) => return None,
        Value::Object(members) => members.values_mut().try_for_each(numbers_to_digits)?,
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
    Some(())
}

/// Whether an answer without a result and its entry tell of the same outcome.
fn ended_alike(answer: &Value, entry: &Value) -> bool {
    let part = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (outcome, kind) = (part(answer, "outcome").unwrap_or_default(), part(entry, "type").unwrap_or_default());
    let body = entry.get("body").unwrap_or(&Value::Null);
    let same_code = answer.get("error").and_then(|error| part(error, "code")) == part(body, "code");
    match kind.as_str() {
        "query.outcome" => outcome == "failed" && same_code,
        "query.refused" => ["refused", "exhausted", "failed"].contains(&outcome.as_str()) && same_code,
        // A dry run shows no rows.
        "query.priced" => {
            let rows = answer.get("rows").and_then(Value::as_array);
            part(body, "outcome").as_deref() == Some(outcome.as_str()) && rows.is_none_or(Vec::is_empty)
        }
        _ => false,
    }
}
