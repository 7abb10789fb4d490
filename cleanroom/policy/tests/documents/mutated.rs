//! Documents with damage: whatever is done to a text, it is read or refused with a place, and nothing panics.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use cleanroom_policy::{
    lint_policy, parse_cases, parse_document, parse_documents, parse_made_tables, parse_policy, parse_room,
    parse_template,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::samples::{POLICY, REFERENCE, ROOM, SMALL_POLICY, TEMPLATE};

const DOCUMENTS: &[&str] = &[POLICY, REFERENCE, ROOM, SMALL_POLICY, TEMPLATE];

/// What YAML and its readers stumble over.
const WORDS: &[&str] = &[
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!x ",
    "---\n",
    "...\n",
    "%YAML 3.0\n",
    "#",
    "? ",
    "null",
    "~",
    "true",
    "-0",
    "1e999",
    ".nan",
    ".inf",
    "0x10",
    "0o17",
    "99999999999999999999",
    "-1",
    "0.1",
    "1e-400",
    "2024-02-30",
    "\u{0}",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "é",
    "🦀",
    "retailer.*",
    "*.*",
    "a.b.c",
    "__cr_unit",
    "use: [join]",
    "version: 2\n",
    "bounds: [1, 0]",
    "bounds: [-1e308, 1e308]",
    "step: 0",
    "min_units: 18446744073709551616",
];

#[derive(Debug, Clone)]
enum Damage {
    Insert(Index, &'static str),
    Remove(Index, usize),
    Double(Index),
    Swap(Index, Index),
    Replace(Index, &'static str),
    Byte(Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), select(WORDS)).prop_map(|(at, word)| Damage::Insert(at, word)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        any::<Index>().prop_map(Damage::Double),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Damage::Swap(one, other)),
        (any::<Index>(), select(WORDS)).prop_map(|(at, word)| Damage::Replace(at, word)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        let lines = |bytes: &[u8]| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        match damage {
            Damage::Insert(at, word) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, word.bytes());
            }
            Damage::Remove(at, length) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes.drain(at..bytes.len().min(at + length));
            }
            Damage::Double(at) if !bytes.is_empty() => {
                let mut all = lines(&bytes);
                let at = at.index(all.len());
                let line = all.get(at).unwrap().clone();
                all.insert(at, line);
                bytes = all.concat();
            }
            Damage::Swap(one, other) if !bytes.is_empty() => {
                let mut all = lines(&bytes);
                let (one, other) = (one.index(all.len()), other.index(all.len()));
                all.swap(one, other);
                bytes = all.concat();
            }
            // The value behind a colon.
            Damage::Replace(at, word) => {
                let colons: Vec<usize> =
                    bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at).collect();
                if !colons.is_empty() {
                    let start = at.get(&colons) + 1;
                    let end = bytes
                        .iter()
                        .skip(start)
                        .position(|byte| *byte == b'\n')
                        .map_or(bytes.len(), |length| start + length);
                    bytes.splice(start..end, format!(" {word}").bytes());
                }
            }
            Damage::Byte(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                *bytes.get_mut(at).unwrap() = *byte;
            }
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read(text: &str) {
    // YAML 1.1 knows more ends of lines than one.
    let lines = 1 + text.chars().filter(|char| ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'].contains(char)).count();
    let places = |errors: &[cleanroom_policy::DocumentError]| {
        assert!(!errors.is_empty(), "refused without a reason:\n{text}");
        for error in errors {
            assert!(error.line.is_none_or(|line| line >= 1 && line <= lines), "{error:?} is outside of:\n{text}");
            assert!(!error.message.is_empty());
        }
    };
    match parse_policy("p.yaml", text) {
        Ok(policy) => {
            // What was read means the same once written.
            let again = parse_policy("again.yaml", &policy.canonical_json()).unwrap();
            assert_eq!(again.digest(), policy.digest(), "{text}");
            let _warnings = lint_policy(&policy);
        }
        Err(errors) => places(&errors),
    }
    for errors in [
        parse_room("r.yaml", text).err(),
        parse_template("t.yaml", text).err(),
        parse_document("d.yaml", text).err(),
        parse_documents("d.yaml", text).err(),
    ]
    .into_iter()
    .flatten()
    {
        places(&errors);
    }
    drop(parse_cases("c.yaml", text));
    drop(parse_made_tables("m.yaml", text));
}

/// `FUZZ_CASES` documents (300).
fn cases() -> ProptestConfig {
    let cases = std::env::var("FUZZ_CASES").map_or(300, |text| text.parse().unwrap());
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn damaged_documents_are_read_or_refused(document in select(DOCUMENTS), damages in prop::collection::vec(damage(), 1..6)) {
        read(&damaged(document, &damages));
    }

    #[test]
    fn any_text_is_read_or_refused(words in prop::collection::vec(prop_oneof![select(WORDS).prop_map(str::to_owned), "\\PC{0,12}"], 0..40)) {
        read(&words.concat());
    }
}
