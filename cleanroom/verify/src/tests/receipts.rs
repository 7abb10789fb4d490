//! Receipts that the writer makes hold, and no bit of one, nor of its answer, can be another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_log::{InclusionProof, ReceiptExtra, inclusion_proof, result_commitment};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::merkle::root_from;

const NONCE: [u8; 32] = [7; 32];

/// A log with a released answer among other entries, its receipt, and the answer.
fn released(before: usize, after: usize) -> (Story, String, Value) {
    let answer = json!({
        "query_id": "q1", "outcome": "released", "columns": [{"name": "n", "type": "Int64"}],
        "rows": [["a\u{e9}", 812, 0.5], [null, -3, 1e300]], "notes": [], "receipt": {"sequence": before + 1},
    });
    let mut story = Story::begun();
    while story.lines.len() < before {
        story.tell(
            None,
            TemplatePut { name: format!("t{}", story.lines.len()), digest: digest("SELECT"), previous: None },
        );
    }
    story.tell(Some("q1"), intent("policy 1", 1));
    let result = Some(result_commitment(&NONCE, &answer).unwrap());
    let index = story.tell(Some("q1"), QueryOutcome { status: OutcomeStatus::Released, code: None, result });
    for _ in 0..after {
        story.tell(
            None,
            TemplatePut { name: format!("t{}", story.lines.len()), digest: digest("SELECT"), previous: None },
        );
    }
    let leaves: Vec<EntryHash> = story.lines.iter().map(|line| EntryHash::of_entry(line)).collect();
    let tree = Tree::from_leaves(leaves.iter().copied());
    let entry = String::from_utf8(story.lines[index as usize].clone()).unwrap();
    let proof = InclusionProof {
        extra: Some(ReceiptExtra::new(entry, Some(NONCE)).to_bytes()),
        index,
        path: inclusion_proof(leaves.as_slice(), index, tree.size()).unwrap(),
        checkpoint: story.sign(tree.size(), tree.root()),
    };
    let mut answer = answer;
    answer["receipt"]["sequence"] = json!(index);
    (story, proof.to_string(), answer)
}

#[test]
fn no_bit_of_a_receipt_or_of_its_answer_can_be_another() {
    let (story, receipt, answer) = released(5, 3);
    let key = story.public();
    let verified = verify_receipt(&receipt, Some(&answer), &key).unwrap();
    assert_eq!((verified.index, verified.size, verified.covers), (6, 10, Covers::Answer));
    assert_eq!(verify_receipt(&receipt, None, &key).unwrap().covers, Covers::Record);
    for at in 0..receipt.len() {
        for bit in 0..8 {
            let mut bytes = receipt.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            assert!(verify_receipt(&flipped, Some(&answer), &key).is_err(), "byte {at}, bit {bit}");
        }
    }
    let text = answer.to_string();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let flipped = String::from_utf8(bytes).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        // What is said of the receipt beside it may be missing, but not another.
        if let Some(flipped) = flipped.filter(|flipped| flipped["receipt"]["sequence"] == answer["receipt"]["sequence"])
        {
            assert!(verify_receipt(&receipt, Some(&flipped), &key).is_err(), "byte {at}: {flipped}");
        }
    }
    let foreign = read_key(&LogKey::generate().unwrap().vkey(&story.origin()));
    assert!(verify_receipt(&receipt, Some(&answer), &foreign).is_err());
}

#[test]
fn what_a_reader_would_not_see_is_not_verified() {
    let (story, receipt, answer) = released(5, 3);
    let extra = receipt.lines().find_map(|line| line.strip_prefix("extra ")).unwrap();
    let honest = String::from_utf8(STANDARD.decode(extra).unwrap()).unwrap();
    let with = |other: &str| {
        let forged = receipt.replace(extra, &STANDARD.encode(other));
        verify_receipt(&forged, Some(&answer), &story.public())
    };
    assert!(with(&honest).is_ok());
    // A parser that takes its own names for what stands in them sees the honest data in each of these.
    let within = serde_json::to_string(&honest).unwrap();
    assert!(with(&format!(r#"{{"$serde_json::private::RawValue":{within}}}"#)).is_err());
    assert!(with(&format!(r#"{{"\u0024serde_json::private::RawValue":{within}}}"#)).is_err());
    let nonce = serde_json::to_string(&STANDARD.encode(NONCE)).unwrap();
    let text = serde_json::to_string(&nonce).unwrap();
    let raw = honest.replacen(&nonce, &format!(r#"{{"$serde_json::private::RawValue":{text}}}"#), 1);
    assert!(raw != honest && with(&raw).is_err());
    // The same of an answer, of which another reader sees no rows, or no number.
    for forged in [
        serde_json::to_string(&answer).unwrap().replace("812", r#"{"$serde_json::private::Number":"812"}"#),
        format!(r#"{{"$serde_json::private::RawValue":{}}}"#, json!(answer.to_string())),
    ] {
        assert!(read_json(forged.as_bytes()).unwrap_err().is_data(), "{forged}");
    }
}

#[test]
fn a_receipt_holds_wherever_its_entry_stands() {
    for before in [3, 4, 7, 12] {
        for after in [0, 1, 2, 5] {
            let (story, receipt, answer) = released(before, after);
            verify_receipt(&receipt, Some(&answer), &story.public()).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn inclusion_is_as_the_writer_proves_it(size in 1_u64..200, index in 0_u64..200, wrong in 0_usize..9) {
        let index = index % size;
        let leaves: Vec<EntryHash> = (0..size).map(|leaf| EntryHash::of_entry(&leaf.to_be_bytes())).collect();
        let tree = Tree::from_leaves(leaves.iter().copied());
        let hash = |ours: &EntryHash| Hash::read(&ours.to_base64()).unwrap();
        let mut path: Vec<Hash> = inclusion_proof(leaves.as_slice(), index, size).unwrap().iter().map(hash).collect();
        let (leaf, root) = (Hash::leaf(&index.to_be_bytes()), hash(&tree.root()));
        prop_assert_eq!(root_from(index, size, leaf, &path), Some(root));
        prop_assert_eq!(root_from(size, size, leaf, &path), None);
        if index > 0 {
            prop_assert_ne!(root_from(index - 1, size, leaf, &path), Some(root));
        }
        path.insert(wrong.min(path.len()), leaf);
        prop_assert_ne!(root_from(index, size, leaf, &path), Some(root));
    }
}
